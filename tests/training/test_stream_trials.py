"""Sessions of which all is known: what is drawn, where it stands, and in what."""

from collections import Counter

import numpy as np
import pytest

from training import stream_trials as under_test
from training.corpus import SAMPLE_RATE_HZ, Entry, Spoken
from training.stream_trials import KeywordSessions, NegativeSessions, noise_of

SECOND = SAMPLE_RATE_HZ


def entry(path: str, source: str, word: str = "", speaker: str = "") -> Entry:
    return Entry(path, source, "validation", word, speaker)


def clip(seed: int) -> np.ndarray:
    """A word of 0.4 s, 40 dB above what stands 0.3 s before and after it."""
    x = 20 * np.sign(np.random.default_rng(seed).standard_normal(SECOND))
    x[int(0.3 * SECOND) : int(0.7 * SECOND)] = 2_000
    return x


@pytest.fixture
def sessions_of(corpus_of):
    """Sessions of `go`, `no` and another word, each recorded so often."""

    def make(clips, minutes, seed=0):
        names = [(f"{word} {n}", word, n) for word in ("go", "no", "cat") for n in range(clips)]
        corpus = corpus_of(*((entry(path, "commands", word), clip(n)) for path, word, n in names))
        keywords = ("go", "no")
        return KeywordSessions(
            corpus, keywords, "validation", minutes=minutes, snr_db=None, seed=seed
        )

    return make


def test_sessions_share_all_clips_in_mixed_order(sessions_of):
    sessions = sessions_of(clips=40, minutes=6)
    said = [[w.word for w in sessions[n].said] for n in range(len(sessions))]
    assert len(said) > 1
    assert said[0] != said[1]
    assert len(set(said[0][:10])) > 1
    words = [word for of in said for word in of]
    assert len(words) == len(sessions._clips)
    assert Counter(words)["cat"] / len(words) == pytest.approx(0.25, abs=0.03)


def test_of_many_clips_the_seed_says_which_are_heard(sessions_of):
    heard = [set(sessions_of(clips=40, minutes=1, seed=seed)._clips.tolist()) for seed in (0, 1)]
    assert heard[0] != heard[1]


def test_what_stands_around_a_word_fades_between_it_and_the_next(sessions_of, monkeypatch):
    monkeypatch.setattr(under_test, "GAP_S", (0.1, 0.1))  # less than stands around a word
    session = sessions_of(clips=3, minutes=1)[0]
    x = np.abs(session.samples.astype(float))
    for word, after in zip(session.said, session.said[1:], strict=False):
        middle, loud = (word.end + after.start) // 2, x[word.start + 500 : word.end - 500].mean()
        assert x[middle - 10 : middle + 10].max() < 0.002 * loud


def test_a_loud_word_does_not_wrap_around(sessions_of, monkeypatch):
    monkeypatch.setattr(under_test, "LEVEL_DB", (6.0, 6.0))
    session = sessions_of(clips=3, minutes=1)[0]
    for word in session.said:
        assert session.samples[word.start + 500 : word.end - 500].min() == 32_767


def test_every_noise_is_heard(corpus_of):
    noises = [(entry(f"{value}", "noise"), np.full(20 * SECOND, value)) for value in (100, -100)]
    corpus = corpus_of((entry("go", "commands", "go"), clip(0)), *noises)
    session = KeywordSessions(corpus, ("go",), "validation", minutes=2, snr_db=0, seed=0)[0]
    gaps = [
        session.samples[word.end + SECOND // 2 : after.start - SECOND // 2]
        for word, after in zip(session.said, session.said[1:], strict=False)
    ]
    assert np.concatenate(gaps).max() > 0 > np.concatenate(gaps).min()


def test_an_empty_background_is_no_noise(corpus_of):
    empty = Entry("hum", "background", "training", "", "")
    corpus = corpus_of((empty, np.zeros(0)), (entry("rain", "noise"), np.ones(SECOND)))
    assert [len(x) for x in noise_of(corpus, "validation")] == [SECOND]


def test_only_words_with_times_are_timed(corpus_of):
    rows = [(entry(path, "speech", speaker="reader"), np.ones(SECOND)) for path in "ab"]
    corpus = corpus_of(*rows, words={"a": [Spoken("hi", 10, 20)]})
    session = NegativeSessions(corpus, {"b": ["stop"]}, (), "validation", seed=0)[0]
    assert [utterance.timed for utterance in session.utterances] == [True, False]


def test_readers_with_most_to_say_come_first(corpus_of):
    rows = [
        (entry(name, "speech", speaker=name), np.ones(seconds * SECOND))
        for name, seconds in (("a", 1), ("b", 3), ("c", 2))
    ]
    sessions = NegativeSessions(corpus_of(*rows), {}, (), "validation", seed=0)
    assert [sessions[n].name for n in range(3)] == ["b", "c", "a"]
