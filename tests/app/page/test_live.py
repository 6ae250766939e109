"""The live tab in real browsers, whose microphones are files."""

import json
import statistics
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import soxr
from browser import IN_A_BROWSER, chromium, playwright
from page_server import (
    PATIENCE_S,
    clip,
    opened,
    serving,
    stream_of,
)

from app.events import Heard, events
from app.page.hearing import Hearing
from sssm.evidence import evidence
from sssm.spotter import KeywordSpotter
from sssm.talk import no_talk, prior
from training.word_end import word_span

__all__ = ["playwright"]  # a fixture
pytestmark = IN_A_BROWSER
RATE = 48_000
WORDS = {"first": ["yes", "left", "stop"], "second": ["no", "up", "right"]}
# When a chunk was sent and a word was painted, on one clock.
WATCH = """
    window.sent = []; window.painted = [];
    const send = WebSocket.prototype.send;
    WebSocket.prototype.send = function (data) {
        if (data instanceof ArrayBuffer) {
            const end = new DataView(data).getUint32(4, true) + (data.byteLength - 8) / 2;
            window.sent.push([performance.now(), end]);
        }
        send.call(this, data);
    };
    window.watch = () => {
        const word = document.querySelector(".sssm-word");
        new MutationObserver(() => requestAnimationFrame(
            () => window.painted.push([performance.now(), word.textContent])
        )).observe(word, { childList: true });
    };
"""


@pytest.fixture(scope="module")
def served():
    with serving() as served:
        yield served


class Listener:
    """A page that listens, and all that goes over its websocket."""

    def __init__(self, browser, url):
        self.sent, self.said = [], []
        self.page = opened(browser, url)
        self.page.on("websocket", self._watch)

    def _watch(self, socket):
        socket.on("framesent", lambda data: self.sent.append(data))
        socket.on("framereceived", lambda data: self.said.append(json.loads(data)))

    def of_type(self, name):
        return [message for message in self.said if message["type"] == name]

    def press(self):
        self.page.locator("sssm-live .sssm-button").click()

    @property
    def words(self):
        return self.page.locator(".sssm-list li strong").all_text_contents()[::-1]


@pytest.fixture(scope="module")
def sessions(playwright, served, tmp_path_factory):
    """Two browsers that hear different words at once, and the sound that the server received."""
    folder = tmp_path_factory.mktemp("microphones")
    keeper = pytest.MonkeyPatch()
    kept = {}
    push = Hearing.push

    def push_and_keep(self, samples):
        kept.setdefault(self, []).append(samples)
        return push(self, samples)

    keeper.setattr(Hearing, "push", push_and_keep)
    files = {name: folder / f"{name}.wav" for name in WORDS}
    for name, words in WORDS.items():
        soundfile.write(files[name], stream_of(words, RATE), RATE)
    done = {}
    with chromium(playwright, files["first"]) as one, chromium(playwright, files["second"]) as two:
        listeners = {}
        for name, browser in (("first", one), ("second", two)):
            context = browser.new_context()
            context.set_default_timeout(PATIENCE_S * 1000)
            context.add_init_script(WATCH)
            listeners[name] = Listener(context, served.url)
        for listener in listeners.values():
            listener.page.evaluate("window.watch()")
            listener.press()
        for name, listener in listeners.items():
            listener.page.locator(".sssm-list li").nth(len(WORDS[name]) - 1).wait_for()
        for name, listener in listeners.items():
            page = listener.page
            page.wait_for_function(f"window.sent.at(-1)[1] > {len(stream_of(WORDS[name], RATE))}")
            listener.press()
            page.locator("sssm-live:not(.sssm-listening)").wait_for()
            done[name] = SimpleNamespace(
                words=listener.words, sent=listener.sent, said=listener.said,
                of_type=listener.of_type, spoken=page.locator(".sssm-spoken").text_content(),
                counters=page.locator(".sssm-counters").text_content(),
                notice=page.locator("sssm-live .sssm-notice").text_content(),
                timeline=page.evaluate("document.querySelector('sssm-live').timeline"),
                times=page.evaluate("[window.sent, window.painted]"),
            )  # fmt: skip
    keeper.undo()
    sounds = [np.concatenate(pieces) for pieces in kept.values()]
    for session in done.values():
        greeting, *session.sent, end = session.sent
        session.rate = json.loads(greeting)["sample_rate_hz"]
        assert json.loads(end) == {"end": True}
        session.headers = [np.frombuffer(chunk[:8], "<u4").tolist() for chunk in session.sent]
        sound = _as_captured(session.sent)
        (session.received,) = [heard for heard in sounds if np.array_equal(heard, sound)]
    return done


def _as_captured(chunks):
    """Samples at their indices; zeros where the browser's audio thread was skipped."""
    pieces = [(np.frombuffer(c[4:8], "<u4")[0], np.frombuffer(c[8:], "<i2")) for c in chunks]
    sound = np.zeros(pieces[-1][0] + len(pieces[-1][1]), np.int16)
    for index, samples in pieces:
        sound[index : index + len(samples)] = samples
    return sound


@pytest.mark.parametrize("name", WORDS)
def test_each_browser_hears_its_own_words_in_order(sessions, name):
    session = sessions[name]
    assert session.words == WORDS[name]
    assert session.spoken.startswith(f"{WORDS[name][-1]}, at ")  # what a screen reader says
    assert session.notice == ""
    assert session.counters.startswith("Sound received ")


@pytest.mark.parametrize("name", WORDS)
def test_every_sample_that_was_captured_is_received(sessions, name):
    """What was sent is what the server heard, as the fixture has seen; nothing is hidden."""
    session = sessions[name]
    lengths = [(len(chunk) - 8) // 2 for chunk in session.sent]
    ends = np.cumsum(lengths)
    assert [number for number, _ in session.headers] == list(range(len(lengths)))
    last = session.of_type("heard")[-1]
    assert last["received_samples"] == ends[-1]
    assert last["lost_chunks"] == 0
    # A browser on a busy machine may skip samples before they are captured; they are counted.
    skipped = [index - end for (_, index), end in zip(session.headers[1:], ends, strict=False)]
    assert last["lost_samples"] == skipped[-1]
    if skipped[-1]:
        assert f"{skipped[-1]} samples missing" in session.counters


@pytest.mark.parametrize("name", WORDS)
def test_the_page_says_what_a_scan_of_the_same_sound_says(sessions, name, tmp_path):
    session = sessions[name]
    spotter = KeywordSpotter.load("s4")
    soundfile.write(tmp_path / "received.wav", session.received, session.rate)
    scanned = [
        e for e in events(spotter.stream, tmp_path / "received.wav") if not isinstance(e, Heard)
    ]
    said = session.of_type("word")
    assert [word["keyword"] for word in said] == [event.keyword for event in scanned]
    for word, event in zip(said, scanned, strict=True):
        assert word["score"] == pytest.approx(event.score, abs=1e-4)
        assert word["time_s"] == pytest.approx(event.time_s, abs=1e-9)
    # The timeline, as it is drawn: the detector's running mean of the scores.
    scores = spotter.stream(session.rate).push_scores(session.received)
    columns = [spotter.labels.index(word) for word in spotter.keywords]
    unknown = scores[:, spotter.labels.index("_unknown_")]
    known, _ = prior(unknown[None], no_talk(1), spotter.detector.caution)
    said_at_all = evidence(scores[None][:, :, columns], known)
    smoothed, share = np.zeros(len(columns)), spotter.detector.smoothing
    expected = []
    for frame in said_at_all[0]:
        smoothed = share * smoothed + (1 - share) * frame
        expected.append(smoothed)
    drawn = session.timeline
    assert len(drawn) == min(1_000, len(expected))
    for time_s, of_keywords in drawn:
        assert of_keywords == pytest.approx(expected[round(100 * time_s) - 1], abs=1e-4)


def test_latency(sessions, capsys):
    """From the end of a word to its being painted, by the browser's own clock."""
    latencies = []
    for name, session in sessions.items():
        sent, painted = session.times
        zero_ms = min(at - 1000 * end / session.rate for at, end in sent)
        shown = [(at, word) for at, word in painted if word in WORDS[name]]
        assert [word for _, word in shown] == WORDS[name]
        for at, word in shown:
            end_s = word_span(clip(word))[1] / 16_000 + _start_s(session, word)
            latencies.append(at - zero_ms - 1000 * end_s)
    median = statistics.median(latencies)
    with capsys.disabled():
        print(f"\nword's end to page: median {median:.0f} ms of {sorted(map(round, latencies))}")
    assert median < 1_000  # on a machine that may be busy; the aim is 400


def _start_s(session, word):
    """Where its clip starts in what was captured."""
    n = 1 << 20
    x = soxr.resample(clip(word), 16_000, session.rate)
    both = np.fft.irfft(np.fft.rfft(session.received, n) * np.fft.rfft(x, n).conj(), n)
    return ((np.argmax(both) + n // 2) % n - n // 2) / session.rate
