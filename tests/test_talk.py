"""Amid talk a keyword must be surer."""

import math

import numpy as np
import pytest

from sssm.detector import Detector
from sssm.evidence import evidence, evidence_of_frame
from sssm.talk import KEEPS, STAGES, no_talk, prior, prior_of_frame

LABELS = ("yes", "no", "_unknown_")
SECOND = 100


def prior_by_hand(unknown: np.ndarray, caution: int) -> list[float]:
    """Of one row: what is known before each frame, with exponentials instead of a recurrence."""
    found = []
    for t in range(len(unknown)):
        known = 1.0
        for keep in KEEPS:
            said = 0.0
            for ago in range(t + 1):  # three leaky means, each a frame behind the one before
                lag = ago - (STAGES - 1)
                if lag >= 0:
                    ways = (lag + 1) * (lag + 2) / 2
                    said += (
                        (1 - keep) ** 3 * ways * math.exp(math.log(keep) * lag) * unknown[t - ago]
                    )
            known *= (1 - 0.99 * said) ** caution
        found.append(known)
    return found


@pytest.mark.parametrize("caution", [0, 1, 2, 5])
def test_it_is_what_its_definition_says(caution):
    unknown = np.random.default_rng(caution).random((1, 80))
    got, _ = prior(unknown, no_talk(1), caution)
    np.testing.assert_allclose(got[0], prior_by_hand(unknown[0], caution), rtol=1e-9)


def test_frames_one_by_one_and_rows_together_are_the_same_to_the_last_bit():
    unknown = np.random.default_rng(0).random((2, 300))
    whole, after = prior(unknown, no_talk(2), 2)
    first, middle = prior(unknown[:, :113], no_talk(2), 2)
    second, end = prior(unknown[:, 113:], middle, 2)
    assert np.array_equal(np.concatenate([first, second], axis=1), whole)
    assert np.array_equal(end, after)
    talk = no_talk(1)[0].tolist()
    for t in range(300):
        one, talk = prior_of_frame(float(unknown[1, t]), talk, 2)
        assert one == whole[1, t]
    assert talk == after[1].tolist()
    alone, of_one = prior(unknown[1:], no_talk(1), 2)
    assert np.array_equal(alone[0], whole[1])
    assert np.array_equal(of_one[0], after[1])


def test_nothing_is_ever_impossible_and_always_a_number():
    certain = np.ones((1, 60 * SECOND))
    known, talk = prior(certain, no_talk(1), 8)
    assert 0 < known[0, -1] < 1e-40
    assert prior_of_frame(1.0, talk[0].tolist(), 8)[0] > 0
    for score in (0.0, 1.0):
        assert evidence(np.full((1, 1, 1), score), known[:, -1:])[0, 0, 0] == score
        assert evidence_of_frame([score], known[0, -1]) == [score]


def test_the_longer_the_talk_the_longer_it_is_remembered():
    """A word before is soon forgotten, a sentence in some seconds, a conversation in a minute."""
    left = {}
    for length_s in (0.3, 3, 60):
        unknown = np.zeros((1, 160 * SECOND))
        unknown[0, : round(length_s * SECOND)] = 1
        known, _ = prior(unknown, no_talk(1), 1)
        after = known[0, round(length_s * SECOND) :]
        left[length_s] = [after[round(s * SECOND)] for s in (0.3, 5, 60)]
    assert left[0.3][0] > 0.6
    assert left[0.3][1] > left[3][1] > 0.5 > left[60][1]
    assert left[3][0] < 0.2
    assert left[60][0] < 1e-3
    assert min(recovered for *_, recovered in left.values()) > 0.99


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
    after_silence = said(("_unknown_", 5), ("", 8), ("yes", 0.3), ("", 1))
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
