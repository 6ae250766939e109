"""Streams whose words are known, and streams without any."""

import numpy as np
import pytest
from heard_streams import corpus, heard, model

from training.corpus import SAMPLE_RATE_HZ, Entry, Spoken
from training.speech_commands import CORE_WORDS
from training.stream_trials import (
    KeywordSessions,
    NegativeSessions,
    Said,
    noise_of,
    read_transcripts,
)

__all__ = ["corpus", "heard", "model"]  # fixtures

SECOND = SAMPLE_RATE_HZ


def test_keywords_come_equally_often_where_they_are_said(corpus):
    sessions = KeywordSessions(corpus, CORE_WORDS, "validation", minutes=2, snr_db=None, seed=0)
    words = []
    for n in range(len(sessions)):
        session = sessions[n]
        words += [w.word for w in session.said]
        loud = np.abs(session.samples.astype(float))
        for w, after in zip(session.said, session.said[1:], strict=False):
            assert 0.1 * SECOND - 1 <= after.start - w.end <= 3 * SECOND
            assert loud[w.start : w.end].mean() > 100
        assert len(session.samples) - session.said[-1].end == SECOND
    counts = [words.count(word) for word in CORE_WORDS]
    assert len(set(counts)) == 1
    assert {"cat", "tree"} < set(words)


def test_sessions_are_a_function_of_the_seed(corpus):
    def make(seed):
        return KeywordSessions(corpus, ("yes",), "validation", minutes=1, snr_db=10, seed=seed)[0]

    assert np.array_equal(make(1).samples, make(1).samples)
    assert make(1).said == make(1).said != make(2).said


def test_noise_is_at_the_ratio_that_was_asked_for(corpus):
    def power(snr_db):
        session = KeywordSessions(
            corpus, ("yes", "no"), "validation", minutes=1, snr_db=snr_db, seed=3
        )[0]
        x = session.samples.astype(float) / 32_768
        gap = np.ones(len(x), bool)
        words = []
        for w in session.said:
            gap[max(0, w.start - SECOND) : w.end + SECOND] = False
            words.append(np.mean(x[w.start : w.end] ** 2))
        return np.mean(words), np.mean(x[gap] ** 2)

    clean, nothing = power(None)
    _, noise = power(10)
    assert nothing < 1e-3 * clean
    assert 10 * np.log10(clean / noise) == pytest.approx(10, abs=0.7)


def test_noise_of_validation_was_never_trained_on(corpus):
    held_out, trained = noise_of(corpus, "validation"), noise_of(corpus, "calibration")
    assert [len(x) / SECOND for x in held_out] == pytest.approx([2, 1.2, 1.2])
    assert [len(x) / SECOND for x in trained] == pytest.approx([2, 4.8, 4.8])


def test_a_keyword_without_recordings_is_told(corpus):
    with pytest.raises(ValueError, match="no recording of 'jarvis' in split validation"):
        KeywordSessions(corpus, ("jarvis",), "validation", minutes=1, snr_db=None, seed=0)


def test_sentences_of_a_reader_are_one_session(corpus, commands_root):
    transcripts = read_transcripts(commands_root)
    sessions = NegativeSessions(corpus, transcripts, CORE_WORDS, "validation", seed=0)
    reader, noise = (sessions[n] for n in range(len(sessions)))
    assert (reader.name, noise.name) == ("9", "noise")
    (utterance,) = reader.utterances
    assert utterance.words == {"one", "no", "three", "know", "five"}
    assert utterance.timed
    assert 0.1 * SECOND - 1 <= utterance.start <= 0.5 * SECOND
    assert reader.said[0] == Said("one", utterance.start + 3_200, utterance.start + 11_200)
    assert not noise.said


def test_wake_words_of_a_split_are_negatives(corpus_of):
    x = np.ones(SECOND)
    corpus = corpus_of(
        (Entry("a", "speech", "calibration", "", "reader"), x),
        (Entry("b", "phrases", "calibration", "view glass", "one"), x),
        (Entry("c", "phrases", "calibration", "go home", "two"), x),
        words={"a": [Spoken("hello", 10, 20)]},
    )
    sessions = NegativeSessions(corpus, {}, ("go",), "calibration", seed=0)
    names = {sessions[n].name: sessions[n] for n in range(len(sessions))}
    assert set(names) == {"reader", "phrases"}
    assert [u.words for u in names["phrases"].utterances] == [{"view", "glass"}]
    with pytest.raises(ValueError, match="no sentence and no noise"):
        NegativeSessions(corpus_of((Entry("a", "speech", "x", "", ""), x)), {}, (), "y", seed=0)


def test_thresholds_hear_what_training_heard_and_validation_does_not(corpus_of):
    splits = ("training", "calibration", "validation")
    corpus = corpus_of(*((Entry(s, "speech", s, "", s), np.ones(SECOND)) for s in splits))
    readers = {}
    for split in ("calibration", "validation"):
        sessions = NegativeSessions(corpus, {}, ("go",), split, seed=0)
        readers[split] = {sessions[n].name for n in range(len(sessions))}
    assert readers == {"calibration": {"training", "calibration"}, "validation": {"validation"}}


def test_a_broken_table_of_sentences_is_told(tmp_path):
    assert read_transcripts(tmp_path) == {}
    path = tmp_path / "speech" / "transcripts.csv"
    path.parent.mkdir()
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"transcripts\.csv: row 1 has no 'path'"):
        read_transcripts(tmp_path)
