"""What the page is made of, without a server: inbox, hearing, curves, accounts, files."""

import asyncio
import base64
import dataclasses
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import gradio as gr
import numpy as np
import pytest
import soundfile
from page_server import clip_path, stream_of
from typer.testing import CliRunner

import app.page.gate
import app.page.visit
from app.cli import cli
from app.demo import _accounts
from app.events import read_header
from app.page.accounts import read_accounts
from app.page.files import _Progress
from app.page.fold import Fold
from app.page.gate import Gate
from app.page.hearing import Hearing
from app.page.inbox import (
    HEADER,
    MOST_BYTES,
    Greeting,
    Inbox,
    RefusalError,
    read_greeting,
    read_wish,
)
from app.page.model import CAPTIONS, about
from app.page.recording import heard_recording
from app.page.server import _within
from app.page.shelf import MOST_SENSITIVE, Shelf
from app.page.uploads import Uploads
from app.page.visit import Visit
from sssm.spotter import KeywordSpotter
from sssm.thresholds import write_thresholds
from sssm.weights import load_model, save_model, shipped_models


def chunk(number, index, samples):
    return HEADER.pack(number, index) + np.asarray(samples, "<i2").tobytes()


@pytest.fixture(scope="module")
def shelf():
    return Shelf("s4")


def test_chunks_come_out_in_order():
    inbox = Inbox(8_000)
    inbox.put(chunk(0, 0, [1, 2]), 0.0)
    inbox.put(chunk(1, 2, []), 0.0)
    inbox.put(chunk(2, 2, [3]), 0.1)
    assert inbox.waiting_s == 3 / 8_000
    assert inbox.take(1.0, 0.2).tolist() == [1, 2, 3]
    assert inbox.take(1.0, 0.2).tolist() == []
    assert inbox.counters() == {
        "received_samples": 3, "lost_samples": 0, "late_samples": 0, "lost_chunks": 0,
    }  # fmt: skip


def test_what_is_missing_is_silence_and_counted():
    inbox = Inbox(8_000)
    inbox.put(chunk(0, 0, [1]), 0.0)
    inbox.put(chunk(3, 4, [2]), 0.0)
    assert inbox.take(1.0, 9.0).tolist() == [1, 0, 0, 0, 2]
    counted = inbox.counters()
    assert counted["lost_samples"] == 3
    assert counted["lost_chunks"] == 2
    assert counted["late_samples"] == 5
    assert counted["received_samples"] == 2


def test_numbers_start_anew_after_32_bits():
    inbox = Inbox(48_000)
    inbox._number = inbox._index = 2**32 - 1
    inbox.put(chunk(2**32 - 1, 2**32 - 1, [1, 2]), 0.0)
    inbox.put(chunk(0, 1, [3]), 0.0)
    assert inbox.take(1.0, 0.0).tolist() == [1, 2, 3]
    assert inbox.lost_samples == 0


def test_the_largest_message_and_the_longest_gap_are_taken():
    inbox = Inbox(8_000)
    longest = (MOST_BYTES - HEADER.size) // 2
    inbox.put(chunk(0, 0, np.ones(longest)), 0.0)
    inbox.put(chunk(3, longest + 80_000, [1]), 0.0)
    inbox.put(chunk(5, longest + 80_002, [1]), 0.1)
    assert inbox.waiting_s == (longest + 80_003) / 8_000
    assert len(inbox.take(60.0, 0.5)) == longest + 80_003
    assert (inbox.waiting_s, inbox.lost_samples, inbox.lost_chunks) == (0, 80_001, 3)
    assert inbox.late_samples == 0  # half a second is not late


def test_a_turn_is_no_longer_than_asked():
    inbox = Inbox(8_000)
    for n in range(10):
        inbox.put(chunk(n, 800 * n, np.full(800, n)), 0.0)
    assert len(inbox.take(0.2, 0.0)) == 1_600
    assert inbox.waiting_s == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        (b"1234567", 1003, "a chunk is 8 bytes"),
        (chunk(0, 0, [1]) + b"x", 1003, "got 11 bytes"),
        (bytes(MOST_BYTES + 2), 1009, "at most 65,536 bytes"),
        (chunk(5, 2, [1]), 1008, "out of order"),  # a chunk that was there already
        (chunk(1, 4, [1]), 1008, "out of order"),
        (chunk(2, 6, [1]), 1008, "out of order"),  # by its number alone, or by its place
        (chunk(3, 5, [1]), 1008, "out of order"),
        (chunk(9, 6 + 80_001, [1]), 1008, "10 s of sound are missing"),
        (chunk(9, 100_000, [1]), 1008, "12 s of sound are missing"),
    ],
)
def test_what_is_no_next_chunk_is_refused(message, code, reason):
    inbox = Inbox(8_000)
    for n in range(3):
        inbox.put(chunk(n, 2 * n, [0, 0]), 0.0)
    with pytest.raises(RefusalError) as refused:
        inbox.put(message, 0.0)
    assert refused.value.code == code
    assert reason in refused.value.reason


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"sample_rate_hz": "x"}', '{"sample_rate_hz": true}', '{"rate": 1}', "[" * 999,
     '{"sample_rate_hz": 8000, "model": 3}', '{"sample_rate_hz": 8000, "sensitivity": null}',
     '{"sample_rate_hz": 8000' + " " * 1_000 + "}"],
)  # fmt: skip
def test_what_is_no_greeting_is_refused(text):
    with pytest.raises(RefusalError) as refused:
        read_greeting(text)
    assert refused.value.code == 1003
    assert len(refused.value.reason.encode()) <= 123


def test_wishes():
    assert read_greeting('{"sample_rate_hz": 44100}') == (44_100, None, 0.0)
    assert read_wish('{"sensitivity": 1}') == (1.0, False)
    assert read_wish('{"end": true}') == (None, True)
    assert read_wish('{"end": 1}') == (None, False)
    with pytest.raises(RefusalError):
        read_wish('{"sensitivity": "high"}')


def test_the_page_hears_what_a_spotter_hears(shelf):
    """At a native rate and at one that is resampled; however the sound is cut."""
    for rate in (48_000, 96_000):
        x = stream_of(["yes", "no"], rate)
        hearing = Hearing(shelf.spotter("s4"), rate)
        heard = [hearing.push(x[at : at + 777]) for at in range(0, len(x), 777)]
        expected = KeywordSpotter.load("s4").stream(rate).push(x)
        found = [detection for piece in heard for detection in piece.detections]
        assert [event.keyword for event in expected] == ["yes", "no"]
        assert [event[:1] + event[2:] for event in found] == [
            event[:1] + event[2:] for event in expected
        ]
        smoothed = np.concatenate([piece.smoothed for piece in heard])
        column = shelf.spotter("s4").keywords.index("yes")
        score = smoothed[round(expected[0].time_s * 100) - 1, column]
        assert score == pytest.approx(expected[0].score, abs=1e-5)


def test_sensitivity_shifts_thresholds_and_keeps_the_stream(shelf):
    plain, eager = shelf.spotter("s4"), shelf.spotter("s4", 1.0)
    for word, threshold in plain.thresholds.items():
        odds = threshold / (1 - threshold)
        assert eager.thresholds[word] == pytest.approx(odds / (odds + np.e))
    x = stream_of(["yes"])
    hearing = Hearing(shelf.spotter("s4", -MOST_SENSITIVE), 16_000)
    assert not hearing.push(x[:17_000]).detections
    hearing.take_thresholds(plain)
    (detection,) = hearing.push(x[17_000:]).detections
    assert detection.time_s == plain.stream(16_000).push(x)[0].time_s
    for wrong in (3.1, float("nan")):
        with pytest.raises(ValueError, match="sensitivity must be"):
            shelf.spotter("s4", wrong)


def test_a_visitor_names_models_not_files(shelf, model_file):
    with pytest.raises(ValueError, match=r"no model .* here \(models: s4"):
        shelf.spotter(str(model_file))
    own = Shelf(str(model_file))
    assert own.names[0] == "tiny"
    assert own.spotter("tiny").keywords == ("yes", "no")
    assert "s4" in own.names


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 100, 1_000])
def test_a_fold_keeps_the_highest(length):
    x = np.random.default_rng(length).standard_normal((length, 2)).astype(np.float32)
    fold = Fold(2, 8)
    for at in range(0, length, 3):
        fold.push(x[at : at + 3])
    points = fold.points
    assert len(points) <= 9
    expected = [x[at : at + fold.width].max(axis=0) for at in range(0, length, fold.width)]
    assert points.tolist() == np.array(expected).reshape(-1, 2).tolist()


def test_a_fold_of_one_large_piece_is_as_small():
    x = np.random.default_rng(0).standard_normal((1_000, 1)).astype(np.float32)
    fold = Fold(1, 8)
    fold.push(x[:8])
    assert (fold.width, len(fold.points)) == (1, 8)
    fold.push(x[8:])
    assert fold.points.tolist() == [
        x[at : at + 128].max(axis=0).tolist() for at in range(0, 1_000, 128)
    ]


def test_files_go_when_the_last_visitor_does(tmp_path):
    paths = []
    for name in "abc":
        (tmp_path / name).mkdir()
        paths.append(str(tmp_path / name / "x.wav"))
        (tmp_path / name / "x.wav").write_bytes(b"x")
    a, b, c = (tmp_path / name for name in "abc")
    uploads = Uploads()
    uploads.replace("one", paths[:2])
    uploads.replace("two", paths[1:])
    uploads.replace("one", [])
    assert (a.exists(), b.exists(), c.exists()) == (False, True, True)
    uploads.leave("two")
    assert not b.exists()
    assert uploads.is_here("one")
    assert not uploads.is_here("two")
    uploads.leave("two")


def test_models_that_listen_as_one_are_one_of_the_shelf():
    shelf = Shelf("s4+mamba")
    assert shelf.names == ["s4+mamba", "s4", "mamba"]
    assert [path.stem for path in shelf.files("s4+mamba")] == ["kws12-s4", "kws12-mamba"]
    assert shelf.spotter("s4+mamba").fingerprint == KeywordSpotter.load("s4+mamba").fingerprint


def test_thresholds_from_a_file_are_those_of_the_model_met_first(tmp_path):
    own, file = KeywordSpotter.load("s4"), tmp_path / "mine.json"
    mine = dict.fromkeys(own.keywords, 0.75)
    write_thresholds(file, mine, fingerprint=own.fingerprint)
    shelf = Shelf("s4", str(file))
    assert shelf.spotter("s4").thresholds == mine
    assert shelf.spotter("s4", 1.0).thresholds["yes"] < 0.75
    assert shelf.spotter("mamba").thresholds == KeywordSpotter.load("mamba").thresholds
    with pytest.raises(ValueError, match="thresholds of another model"):
        Shelf("mamba", str(file))


@pytest.mark.parametrize(("typed", "taken"), [(None, 0), (5, 3), (-9, -3), (0.5, 0.5)])
def test_what_is_typed_for_the_sensitivity_is_no_error(typed, taken):
    assert _within(gr.Slider(-3, 3, 0)).preprocess(typed) == taken


def test_a_threshold_of_1_stays_at_any_sensitivity(model_file, tmp_path):
    model, card = load_model(model_file)
    path = tmp_path / "never.safetensors"
    save_model(path, model, dataclasses.replace(card, thresholds={"yes": 1.0, "no": 0.5}))
    shelf = Shelf(str(path))
    for sensitivity in (-MOST_SENSITIVE, MOST_SENSITIVE):
        assert shelf.spotter("never", sensitivity).thresholds["yes"] == 1


def test_a_detector_of_new_thresholds_counts_at_the_rate_heard(shelf):
    hearing = Hearing(shelf.spotter("s4", -MOST_SENSITIVE), 48_000)
    hearing.take_thresholds(shelf.spotter("s4"))
    x = stream_of(["yes"], 48_000)
    (found,) = hearing.push(x).detections
    (expected,) = KeywordSpotter.load("s4").stream(48_000).push(x)
    assert (found.start_s, found.time_s) == (expected.start_s, expected.time_s)


def test_accounts():
    assert read_accounts("ann:a:b\n\nbob:c\n") == {"ann": "a:b", "bob": "c"}
    for text in ("", "\n", "ann", ":x", "ann:"):
        with pytest.raises(ValueError, match=r"name:password"):
            read_accounts(text)


def ignore(heard_s, promised_s):
    pass


def test_a_clip_is_ranked(shelf):
    heard = heard_recording(shelf, "s4", 0.0, clip_path("left"), 60, ignore)
    assert [event.keyword for event in heard.events] == ["left"]
    assert heard.ranked[0][0] == "left"
    assert heard.ranked[0][1] > 0.5
    assert len(heard.ranked) == 12
    assert heard.peaks.max() == pytest.approx(np.abs(soundfile.read(clip_path("left"))[0]).max())


def test_the_curve_shows_both_sides_of_a_sound(shelf, tmp_path):
    x = np.zeros(32_000, np.int16)
    x[100], x[20_000] = 16_384, -8_192
    soundfile.write(tmp_path / "a.wav", x, 16_000)
    shares = []
    heard = heard_recording(
        shelf, "s4", 0.0, str(tmp_path / "a.wav"), 2, lambda *seconds: shares.append(seconds)
    )
    assert heard.peaks.max(axis=0).tolist() == [0.5, 0.25]
    assert heard.ranked  # two seconds are still a clip
    assert (heard.message, heard.duration_s) == ("", 2)
    assert heard.score_s == heard.duration_s / len(heard.scores)
    assert set(shares) == {(2.0, 2.0)}


def test_curves_end_where_the_recording_does(shelf, cut_word):
    heard = heard_recording(shelf, "s4", 0.0, str(cut_word), 60, ignore)
    assert [(event.keyword, event.time_s) for event in heard.events] == [("left", 0.57)]
    assert (heard.duration_s, len(heard.scores), heard.score_s) == (0.57, 57, 0.01)
    assert 0.57 <= len(heard.peaks) * heard.peak_s < 0.58


def test_a_model_of_one_rate_on_the_page(fixed_rate_model, tmp_path):
    shelf = Shelf(str(fixed_rate_model))
    shelf.warm_up()
    soundfile.write(tmp_path / "a.wav", np.zeros(8_000), 8_000)
    heard = heard_recording(shelf, "frame", 0.0, str(tmp_path / "a.wav"), 60, ignore)
    assert heard.message.startswith(f"recorded at 8000 Hz; {fixed_rate_model}: hears 16000 Hz")


def test_files_that_cannot_be_heard(shelf, tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "words.txt").write_text("not audio")
    soundfile.write(tmp_path / "long.flac", np.zeros(8_000 * 70, np.int16), 8_000)
    messages = {
        name: heard_recording(shelf, "s4", 0.0, str(tmp_path / name), 60, ignore).message
        for name in ("empty.wav", "words.txt", "long.flac")
    }
    assert messages == {
        "empty.wav": "empty file",
        "words.txt": "not audio that can be read: format not recognised",
        "long.flac": "1.2 min long: this page hears 1.0 min of a file; `sssm scan` has no limit",
    }


def test_a_header_that_lies_does_not_help(shelf, tmp_path):
    """MP3 has no length to trust: what is heard has a bound all the same."""
    soundfile.write(tmp_path / "long.mp3", np.zeros(16_000 * 9, np.float32), 16_000)
    heard = heard_recording(shelf, "s4", 0.0, str(tmp_path / "long.mp3"), 5, ignore)
    assert heard.message.startswith("heard up to 0.1 min: this page hears 0.1 min")
    assert 5 < heard.duration_s < 9
    assert not read_header(tmp_path / "long.mp3").is_longer(5)


def test_progress_of_nothing_is_no_share():
    shares = []
    uploads = Uploads()
    uploads.replace("visitor", [])
    _Progress(uploads, "visitor", lambda share, desc: shares.append(share), "empty.wav")(0.0, 0.0)
    assert shares == [0.0]


def test_wishes_and_reasons_that_are_no_text_or_number():
    with pytest.raises(RefusalError, match="sensitivity must be a number"):
        read_wish('{"sensitivity": 1' + 400 * "0" + "}")
    assert RefusalError(1003, 100 * "ü").reason == 61 * "ü"  # 123 bytes end within a letter
    assert RefusalError(1003, "no model '\ud800' here").reason == r"no model '\ud800' here"


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["--model", "nothing"], 2, "nothing: no such model file (shipped models: s4"),
        (["--auth", "nowhere"], 2, "--auth nowhere: no such file or directory"),
        (["--host", "256.1.1.1"], 1, "256.1.1.1:0: "),
    ],
)
def test_a_server_that_cannot_start_says_so_in_a_line(arguments, code, line):
    result = CliRunner().invoke(cli, ["demo", "--port", "0", *arguments])
    assert result.exit_code == code
    assert result.stderr.startswith(line)
    assert result.stderr.count("\n") == 1


def test_accounts_from_a_file_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "auth.txt"
    path.write_bytes(b"\xef\xbb\xbfann:secret\r\n")
    assert _accounts(str(path)) == {"ann": "secret"}


def test_accounts_from_the_environment(monkeypatch):
    monkeypatch.setenv("SSSM_AUTH", "nonsense")
    result = CliRunner().invoke(cli, ["demo", "--port", "0"])
    assert (result.exit_code, result.stderr) == (2, "SSSM_AUTH: line 1 is not name:password\n")


def test_events_are_json(shelf):
    heard = heard_recording(shelf, "s4", 0.0, clip_path("stop"), 60, ignore)
    assert json.loads(heard.events[0].as_json())["path"] == "stop.flac"


class Talk:
    """A socket from which these messages come, and then nothing."""

    def __init__(self, *messages):
        self.said, self._messages = [], iter(messages)
        self.before_each = lambda: None

    async def receive(self):
        self.before_each()
        for message in self._messages:
            kind = "text" if isinstance(message, str) else "bytes"
            return {"type": "websocket.receive", kind: message}
        await asyncio.Event().wait()

    async def send_json(self, message):
        self.said.append(message)


def visited(talk, shelf):
    with ThreadPoolExecutor(1) as pool:
        visit = Visit(talk, Greeting(16_000), shelf, pool)
        asyncio.run(visit.run())


def test_reports_join_and_tell_how_loud_it_was(shelf, monkeypatch):
    monkeypatch.setattr(app.page.visit, "REPORT_S", 0.0)
    x = np.repeat(np.int16([8_192, -4_096, -4_096]), 8_000)
    sound = [chunk(n, 1_600 * n, x[1_600 * n :][:1_600]) for n in range(15)]
    talk = Talk(*sound, '{"end": true}')
    visited(talk, shelf)
    heard = [message for message in talk.said if message["type"] == "heard"]
    lengths = [len(message["scores"]) for message in heard]
    assert len(heard) > 2
    assert [message["frame"] for message in heard] == [sum(lengths[:n]) for n in range(len(heard))]
    assert sum(lengths) == 150
    assert (heard[0]["peak"], heard[0]["rms"]) == (0.25, 0.25)
    assert (heard[-1]["peak"], heard[-1]["rms"]) == (0.125, 0.125)
    power = sum(m["rms"] ** 2 * n for m, n in zip(heard, lengths, strict=True)) / 150
    assert power == pytest.approx((0.25**2 + 2 * 0.125**2) / 3, rel=1e-3)


def test_who_sends_faster_than_is_heard_is_read_more_slowly(shelf):
    waiting = []
    talk = Talk(*(chunk(n, 8_000 * n, np.ones(8_000)) for n in range(20)), '{"end": true}')
    with ThreadPoolExecutor(1) as pool:
        visit = Visit(talk, Greeting(16_000), shelf, pool)
        talk.before_each = lambda: waiting.append(visit._inbox.waiting_s)
        asyncio.run(visit.run())
    assert len(waiting) == 21
    assert 1 < max(waiting) <= app.page.visit.WAITING_S
    assert talk.said[-1]["received_samples"] == 160_000


def test_another_sensitivity_leaves_the_loop_free(shelf, monkeypatch):
    """A model that is asked for may have to be loaded first, and others are listened to."""
    threads, asked = [], shelf.spotter

    def spotter(*arguments):
        threads.append(threading.current_thread())
        return asked(*arguments)

    monkeypatch.setattr(shelf, "spotter", spotter)
    talk = Talk('{"sensitivity": 1}', '{"end": true}')
    visited(talk, shelf)
    assert [message["type"] for message in talk.said] == ["ready", "thresholds"]
    assert len(threads) == 2
    assert threading.main_thread() not in threads


def test_a_socket_that_the_server_has_closed_is_a_visitor_gone(shelf):
    async def closed(_):
        raise RuntimeError("Unexpected ASGI message 'websocket.send'")

    talk = Talk()
    talk.send_json = closed
    with pytest.raises(ConnectionResetError):
        visited(talk, shelf)


def test_who_says_nothing_must_go(shelf, monkeypatch):
    monkeypatch.setattr(app.page.visit, "IDLE_S", 0.01)
    with pytest.raises(RefusalError, match="nothing came for 0 s") as refused:
        visited(Talk(), shelf)
    assert refused.value.code == 1008


def at_the_gate(headers, accounts=None, *, local_only=False):
    """Status and headers of the answer to a request."""

    async def inside(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    said = []

    async def send(message):
        said.append(message)

    gate = Gate(inside, accounts=accounts or {}, local_only=local_only)
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    asyncio.run(gate({"type": "http", "headers": raw}, None, send))
    return said[0]["status"], {name.decode() for name, _ in said[0]["headers"]}


@pytest.mark.parametrize(
    ("scheme", "credentials", "status"),
    [
        ("Basic", b"ann:a:b", 200),
        ("bASIC", b"ann:a:b", 200),
        ("Bearer", b"ann:a:b", 401),
        ("Basic", b"ann:a", 401),
        ("Basic", b"bob:", 401),
        ("Basic", b"ann", 401),
        ("Basic", b"", 401),
        ("Basic", b"\xff:a:b", 401),
    ],
)
def test_who_is_known(monkeypatch, scheme, credentials, status):
    monkeypatch.setattr(app.page.gate, "WRONG_S", 0.0)
    value = f"{scheme} {base64.b64encode(credentials).decode()}"
    headers = {"authorization": value, "cookie": "no,name=x"}
    assert at_the_gate(headers, {"ann": "a:b"})[0] == status
    assert at_the_gate({"authorization": value[:8] + "!" + value[8:]}, {"ann": "a:b"})[0] == 401


@pytest.mark.parametrize("other", ['theme={"a": 1}; ', "no,name=x; ", "bare; ", ""])
def test_a_visitor_is_known_again_beside_other_programs_cookies(other):
    """A browser sends all cookies of a host, whichever port they come from."""

    async def inside(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    gate, said = Gate(inside, accounts={"ann": "a"}, local_only=False), []

    async def send(message):
        said.append(message)

    def ask(name, value):
        said.clear()
        asyncio.run(gate({"type": "http", "headers": [(name, value)]}, None, send))
        return said.pop(0)

    answer = ask(b"authorization", b"Basic " + base64.b64encode(b"ann:a"))
    cookie = dict(answer["headers"])[b"set-cookie"].split(b";")[0]
    assert ask(b"cookie", other.encode() + cookie)["status"] == 200
    assert ask(b"cookie", other.encode() + cookie[:-1])["status"] == 401


def test_what_the_browser_is_told():
    always = {"content-security-policy", "x-content-type-options"}
    assert at_the_gate({}) == (200, always)
    known = {"authorization": "Basic " + base64.b64encode(b"ann:a").decode()}
    assert at_the_gate(known, {"ann": "a"}) == (200, always | {"set-cookie"})


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost", 200), ("127.0.0.1:80", 200), ("[::1]:80", 200), ("[", 403), ("", 403)],
)
def test_a_host_that_is_no_name_is_foreign(host, status):
    assert at_the_gate({"host": host}, local_only=True)[0] == status


def test_pictures_beside_a_model_say_what_they_show(tmp_path):
    model, card = load_model(shipped_models()["s4"])
    save_model(tmp_path / "mine.safetensors", model, card)
    for name in ("mine-det.png", "mine-word-errors.png", "mine.png"):
        (tmp_path / name).write_bytes(b"\x89PNG")
    shown, _ = about(tmp_path / "mine.safetensors")
    captions = re.findall("<figcaption>(.*?)</figcaption>", shown, re.DOTALL)
    assert captions[-3:] == [CAPTIONS["det"], "Word errors", "Mine"]
