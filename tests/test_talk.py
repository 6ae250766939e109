"""Amid talk a keyword must be surer."""

import math

import numpy as np
import pytest

from sssm.detector import Detector
from sssm.evidence import evidence, evidence_of_frame
from sssm.talk import KEEP, STAGES, prior, prior_of_frame

LABELS = ("yes", "no", "_unknown_")
SECOND = 100


def prior_by_hand(unknown: np.ndarray, caution: int) -> list[float]:
    """Of one row: what is known before each frame, with exponentials instead of a recurrence."""
    rate = -math.log(KEEP)
    found = []
    for t in range(len(unknown)):
        said = 0.0
        for ago in range(t + 1):  # three leaky means in a row, each a frame behind the one before
            lag = ago - (STAGES - 1)
            if lag >= 0:
                ways = (lag + 1) * (lag + 2) / 2
                said += (1 - KEEP) ** 3 * ways * math.exp(-rate * lag) * unknown[t - ago]
        found.append((1 - 0.99 * said) ** caution)
    return found


@pytest.mark.parametrize("caution", [0, 1, 2, 5])
def test_it_is_what_its_definition_says(caution):
    unknown = np.random.default_rng(caution).random((1, 80))
    got, _ = prior(unknown, np.zeros((1, STAGES)), caution)
    np.testing.assert_allclose(got[0], prior_by_hand(unknown[0], caution), rtol=1e-9)


def test_frames_one_by_one_and_rows_together_are_the_same_to_the_last_bit():
    unknown = np.random.default_rng(0).random((2, 300))
    start = np.zeros((2, STAGES))
    whole, after = prior(unknown, start, 2)
    first, middle = prior(unknown[:, :113], start, 2)
    second, end = prior(unknown[:, 113:], middle, 2)
    assert np.array_equal(np.concatenate([first, second], axis=1), whole)
    assert np.array_equal(end, after)
    talk = [0.0] * STAGES
    for t in range(300):
        one, talk = prior_of_frame(float(unknown[1, t]), talk, 2)
        assert one == whole[1, t]
    assert talk == after[1].tolist()


def test_nothing_is_ever_impossible_and_always_a_number():
    certain = np.ones((1, 20 * SECOND))
    known, talk = prior(certain, np.zeros((1, STAGES)), 8)
    assert known[0, -1] > 0
    assert prior_of_frame(1.0, talk[0].tolist(), 8)[0] > 0
    for score in (0.0, 1.0):
        assert evidence(np.full((1, 1, 1), score), known[:, -1:])[0, 0, 0] == score
        assert evidence_of_frame([score], known[0, -1]) == [score]


def said(*parts: tuple[str, float]) -> np.ndarray:
    """(1, frames, labels): what is said for how many seconds, '' for nothing."""
    rows = [
        np.tile([0.9 if label == word else 0.02 for label in LABELS], (round(s * SECOND), 1))
        for word, s in parts
    ]
    return np.concatenate(rows)[None]


def heard(detector: Detector, scores: np.ndarray) -> list[str]:
    events, _ = detector.run(scores, detector.init_state(1))
    return [event.keyword for _, event in events]


@pytest.mark.parametrize("caution", [1, 2])
def test_a_word_of_a_sentence_is_no_command(caution):
    detector = Detector(labels=LABELS, thresholds={"yes": 0.7, "no": 0.7}, caution=caution)
    alone = said(("", 1), ("yes", 0.3), ("", 1))
    after_a_word = said(("", 1), ("_unknown_", 0.3), ("", 0.3), ("yes", 0.3), ("", 1))
    amid = said(("_unknown_", 3), ("yes", 0.3), ("_unknown_", 1))
    after_silence = said(("_unknown_", 5), ("", 3), ("yes", 0.3), ("", 1))
    assert heard(detector, alone) == heard(detector, after_a_word) == ["yes"]
    assert heard(detector, after_silence) == ["yes"]
    assert heard(detector, amid) == []
    assert heard(Detector(labels=LABELS), amid) == ["yes"]


def test_without_a_label_for_other_words_there_is_nothing_to_heed():
    scores = said(("yes", 0.5), ("no", 0.5))[:, :, :2]
    states = [
        Detector(labels=LABELS[:2], caution=caution).run(
            scores, Detector(labels=LABELS[:2]).init_state(1)
        )
        for caution in (0, 2)
    ]
    assert states[0][0] == states[1][0] != []
    assert all(map(np.array_equal, states[0][1], states[1][1]))
