"""That a keyword is said at all counts for the likeliest one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sssm.detector import Detector
from sssm.evidence import evidence, evidence_of_frame

LABELS = ("_silence_", "_unknown_", "go", "no", "yes")


def softmax(logits: np.ndarray) -> np.ndarray:
    odds = np.exp(logits)
    return odds / odds.sum(axis=-1, keepdims=True)


def test_the_odds_of_any_keyword_are_the_sum_over_that_of_the_rest_times_what_is_known():
    rng = np.random.default_rng(0)
    scores, prior = softmax(3 * rng.standard_normal((2, 50, 5))), rng.uniform(0.01, 1, (2, 50))
    found = evidence(scores[:, :, 2:], prior)
    # Bayes' rule: the odds of keywords times the prior, the others as they are, one together.
    known = scores * np.where(np.arange(5) >= 2, prior[:, :, None], 1)
    known /= known.sum(axis=2, keepdims=True)
    likeliest = scores[:, :, 2:].argmax(axis=2)
    rows, frames = np.indices(likeliest.shape)
    np.testing.assert_allclose(found[rows, frames, likeliest], known[:, :, 2:].sum(axis=2))
    found[rows, frames, likeliest] = known[:, :, 2:][rows, frames, likeliest] = 0
    np.testing.assert_allclose(found, known[:, :, 2:])


@settings(max_examples=100)
@given(st.integers(0, 2**32 - 1), st.integers(0, 12), st.sampled_from([0.5, 1.0, 4.0]))
def test_one_frame_is_the_same_to_the_last_bit_as_many(seed, keywords, loudest):
    rng = np.random.default_rng(seed)
    scores = rng.random((3, 4, keywords)) * loudest / max(1, keywords)
    scores = np.minimum(np.float32(scores).astype(np.float64), 1)
    prior = rng.uniform(1e-16, 1, (3, 4))
    found = evidence(scores, prior)
    for row, t in np.ndindex(3, 4):
        one = evidence_of_frame(scores[row, t].tolist(), float(prior[row, t]))
        assert one == found[row, t].tolist()
    assert ((found >= 0) & (found <= 1)).all()


def test_with_nothing_known_a_keyword_alone_is_what_its_score_says():
    scores = np.random.default_rng(0).random((1, 400, 1))
    assert np.array_equal(evidence(scores, np.ones((1, 400))), scores)


def test_scores_whose_sum_is_rounded_up_are_certain():
    scores, prior = np.array([[[0.6, 0.5]]]), np.full((1, 1), 1e-16)
    assert evidence(scores, prior).tolist() == [[[1.0, 0.5]]]
    assert evidence_of_frame([0.6, 0.5], 1e-16) == [1.0, 0.5]


def test_of_alike_ones_the_first_counts():
    assert evidence_of_frame([0.25, 0.25, 0.125], 1.0) == [0.625, 0.25, 0.125]
    assert evidence(np.array([[[0.25, 0.25, 0.125]]]), np.ones((1, 1)))[0, 0, 0] == 0.625


@pytest.mark.parametrize("frames_a_push", [1, 10])
def test_a_word_is_heard_that_two_share(frames_a_push):
    quiet, shared = [0.9, 0.06, 0.02, 0.01, 0.01], [0.05, 0.05, 0.5, 0.38, 0.02]
    scores = np.array([[quiet] * 50 + [shared] * 30 + [quiet] * 50])
    detector = Detector(labels=LABELS, thresholds=dict.fromkeys(LABELS[2:], 0.7), caution=2)
    state, heard = detector.init_state(1), []
    for t in range(0, 130, frames_a_push):
        events, state = detector.run(scores[:, t : t + frames_a_push], state)
        heard += [event for _, event in events]
    assert [event.keyword for event in heard] == ["go"]
    assert 0.7 <= heard[0].score < 0.9
