"""The loss weighs a keyword as the detector does, and the model learns from it."""

import numpy as np
import torch

from sssm import talk
from sssm.evidence import evidence
from training.amid_talk import CAUTION, no_talk, weighed

SECOND = 100
KEYWORDS, UNKNOWN, SILENCE = 2, 2, 3


def random_logits(rows: int, frames: int) -> torch.Tensor:
    return 3 * torch.randn(rows, frames, 4, generator=torch.Generator().manual_seed(0))


def test_it_is_what_the_detector_does():
    """Of two keywords, the likelier of which counts as both there; whatever the pieces are."""
    logits, state = random_logits(2, 3 * SECOND), no_talk(2, torch.device("cpu"))
    pieces = []
    for piece in logits.split([113, 1, 186], dim=1):
        one, state = weighed(piece, KEYWORDS, UNKNOWN, state)
        pieces.append(one)
    got = torch.cat(pieces, dim=1).softmax(dim=2)[:, :, :KEYWORDS]
    p = logits.softmax(dim=2).double().numpy()
    prior, after = talk.prior(p[:, :, UNKNOWN], talk.no_talk(2), CAUTION)
    expected = evidence(p[:, :, :KEYWORDS], prior)
    np.testing.assert_allclose(got.sum(dim=2), expected.max(axis=2), rtol=1e-4)
    np.testing.assert_allclose(got.amin(dim=2), expected.min(axis=2), rtol=1e-4)
    np.testing.assert_allclose(state, after, rtol=1e-5)


def test_what_is_heard_before_a_word_learns_from_it():
    """A keyword that is missed wants less talk before it; a false one wants more."""
    logits = random_logits(1, 2 * SECOND).requires_grad_()
    after, _ = weighed(logits, KEYWORDS, UNKNOWN, no_talk(1, torch.device("cpu")))
    log_p = after.log_softmax(dim=2)[0, -1, 0]
    log_p.backward()
    before = logits.grad[0, SECOND : SECOND + 50]
    assert (before[:, UNKNOWN] < 0).all()
    assert (before[:, SILENCE] > 0).all()
