"""What was missed, what was false, and how late a word was heard."""

from copy import copy
from types import SimpleNamespace

import numpy as np
import pytest
from heard_streams import corpus, heard, model, watch

from sssm.detector import Detector
from sssm.labels import UNKNOWN
from sssm.traces import Fired
from training import stream_scoring
from training.corpus import SAMPLE_RATE_HZ
from training.speech_commands import CORE_WORDS
from training.stream_scoring import (
    Positives,
    _best,
    _fresh,
    _spans,
    counts_alone,
    counts_together,
    latency,
)
from training.stream_trials import Said, Session
from training.stream_truth import Matched

__all__ = ["corpus", "heard", "model"]  # fixtures

SECOND = SAMPLE_RATE_HZ


def test_a_session_is_heard_as_live(heard):
    thresholds = dict.fromkeys(CORE_WORDS, 0.3)
    spotter = heard.spotter.with_settings(thresholds=thresholds)
    for traces, sessions in (
        (heard.positives.traces, heard.words), (heard.negatives.traces, heard.others),
    ):  # fmt: skip
        live = []
        for n in range(len(sessions)):
            stream, x = spotter.stream(), sessions[n].samples
            whole = len(x) // 160 * 160
            live += [Fired(n, round(d.time_s * 100), d.keyword) for d in stream.push(x[:whole])]
        assert traces.fired(thresholds) == live
        assert live


def test_misses_and_what_was_found_are_what_was_said(heard):
    fired = heard.positives.traces.fired(dict.fromkeys(CORE_WORDS, 0.2))
    matched = heard.positives.matched(fired)
    found = sum(len(of.found) for of in matched)
    assert heard.positives.misses(fired).sum() + found == heard.positives.said.sum()
    assert found + sum(len(of.false) for of in matched) == len(fired)
    assert len(heard.positives.latencies_s(matched)) == found
    assert 0 <= heard.positives.carried <= 1
    assert 0 <= heard.positives.fresh <= 1


def test_a_word_is_looked_for_after_it_and_before_the_next_has_ended():
    said = [Said("yes", 0, 8_000), Said("no", 9_600, 16_000), Said("no", 48_000, 56_000)]
    session = Session("three words", np.zeros(0, np.int16), said, [])
    assert _spans(session, [said[0], said[2]]) == [range(50, 100), range(350, 425)]
    smoothed = np.zeros((200, 2))
    smoothed[60:90, 0], smoothed[110:, 1] = 0.6, 0.9  # each after its end
    assert [_best(smoothed, span) for span in _spans(session, said[:2])] == [0, 1]
    assert _best(smoothed, range(500, 600)) == 1


TWO = SimpleNamespace(
    keywords=("yes", "no"), detector=Detector(labels=("yes", "no", UNKNOWN), smoothing=0.0)
)


def scores_of_frames(_, recordings):
    """Of samples that number the frames: "no" after a word that ends at 3.5 s, else "yes"."""
    found = []
    for samples in recordings:
        is_no = (samples[::160] >= 350) & (samples[::160] < 425)
        found.append(np.stack([~is_no, is_no, 0 * is_no], axis=1).astype(np.float32))
    return found


def numbered(seconds):
    return (np.arange(seconds * SECOND) // 160).astype(np.int16)


def test_a_fresh_stream_begins_half_a_second_before_a_word(monkeypatch):
    clips = []

    def scores(spotter, recordings):
        clips.extend((int(x[0]), int(x[-1])) for x in recordings)
        return scores_of_frames(spotter, recordings)

    monkeypatch.setattr(stream_scoring, "_scores", scores)
    said = [Said("yes", 3_200, 16_000), Said("no", 3 * SECOND, 3 * SECOND + 8_000)]
    session = Session("two words", numbered(10), said, [])
    assert _fresh(TWO, session, said, _spans(session, said)).tolist() == [0, 1]
    assert clips == [(0, 249), (250, 499)]


def test_the_shares_are_of_words_heard_right_in_streams_that_go_on_and_fresh_ones(monkeypatch):
    monkeypatch.setattr(stream_scoring, "_scores", scores_of_frames)
    monkeypatch.setattr(stream_scoring, "_fresh", lambda *_: np.array([1, 0, 0]))
    ends = ((SECOND, "yes"), (3 * SECOND + 8_000, "no"), (6 * SECOND, "no"))
    said = [Said(word, end - 8_000, end) for end, word in ends]
    session = Session("three words", numbered(10), [*said, Said("cat", 100_000, 110_000)], [])
    positives = Positives(TWO, [session], 0.5, watch)
    assert (positives.carried, positives.fresh) == pytest.approx((2 / 3, 0))
    assert positives.said.tolist() == [1, 2]


def test_a_latency_counts_from_the_end_of_the_word():
    said = [Said("yes", 1 * SECOND, 2 * SECOND), Said("no", 2 * SECOND + 1_600, 3 * SECOND)]
    positives = SimpleNamespace(sessions=[Session("a", numbered(5), said, [])])
    matched = [Matched({0: 190, 1: 350}, [])]
    assert Positives.latencies_s(positives, matched) == [("yes", -0.1), ("no", 0.5)]
    assert latency([n / 100 for n in range(101)]) == pytest.approx((0.5, 0.95))


def test_what_is_found_and_who_said_it():
    said = [
        Said("yes", 1 * SECOND, 2 * SECOND, "ann"), Said("cat", 3 * SECOND, 4 * SECOND, "bob"),
        Said("no", 5 * SECOND, 6 * SECOND, "bob"),
    ]  # fmt: skip
    sessions = [Session("a", numbered(9), said, [])]
    positives = SimpleNamespace(keywords=("yes", "no"), sessions=sessions)
    found, speakers = Positives.found(positives, [Matched({0: 190}, [])])
    assert (found.tolist(), speakers) == ([True, False], ["ann", "bob"])


def test_misses_are_of_keywords_and_false_accepts_of_the_rest():
    def heard(name):
        traces = SimpleNamespace(
            fired=lambda thresholds: (name, thresholds),
            fired_alone=lambda threshold: (name, threshold),
        )
        return SimpleNamespace(traces=traces, misses=lambda x: x, false_accepts=lambda x: x)

    with_words, without = heard("words"), heard("others")
    false, missed = counts_together(with_words, without, {"yes": 0.5})
    assert (false, missed) == (("others", {"yes": 0.5}), ("words", {"yes": 0.5}))
    false, missed = counts_alone(with_words, without, [0.2, 0.7])
    assert false.tolist() == [["others", "0.2"], ["others", "0.7"]]
    assert missed.tolist() == [["words", "0.2"], ["words", "0.7"]]


def test_a_false_accept_is_what_is_not_said(heard):
    session = heard.negatives.sessions[0]
    no, know = (next(w for w in session.said if w.word == word) for word in ("no", "know"))
    events = [Fired(0, w.end // 160, "no") for w in (no, know)] + [Fired(1, 50, "no")]
    assert heard.negatives.false(events) == events[2:]
    assert heard.negatives.false(events, homophones=False) == events[2:]  # it holds "no" as well
    without = copy(heard.negatives)  # where only "know" stands
    only_know = [u._replace(words=u.words - {"no"}) for u in session.utterances]
    without.sessions = [session._replace(utterances=only_know), *heard.negatives.sessions[1:]]
    without._known = {}
    assert without.false(events) == events[2:]
    assert without.false(events, homophones=False) == events
    assert heard.negatives.false_accepts(events).sum() == 1
    total = heard.negatives.traces.hours
    assert heard.negatives.hours_of[CORE_WORDS.index("no")] < total
    assert heard.negatives.hours_of[0] == pytest.approx(total, rel=1e-2)


def test_latency_of_nothing_is_none():
    assert latency([]) == (None, None)
    assert latency([0.1, 0.2, 0.3]).median_s == pytest.approx(0.2)
