"""States that are carried from a step to the next."""

import torch
from recorded_words import corpus, labels, streams

from sssm.config import ModelConfig
from sssm.layers.contract import leaves
from sssm.model import KeywordModel
from training.carried import detach, from_leaves, restart

__all__ = ["corpus", "labels", "streams"]  # fixtures


def test_a_row_that_restarts_hears_its_session_alone(streams):
    """Carried from piece to piece with the others, a session sounds as it does from silence."""
    model = KeywordModel(ModelConfig(labels=("a", "b"), bands=8, channels=8, state_size=2, depth=2))
    model.eval()
    state, heard = model.init_state(3), []
    with torch.no_grad():
        for step in range(12):
            piece = streams[step]
            state = restart(state, model.init_state(3), piece.fresh)
            logits, state = model(piece.samples, detach(state))
            heard.append(logits)
        fresh = torch.stack([streams[k].fresh for k in range(12)])
        first = int(fresh[:, 1].nonzero()[0])
        assert first > 0  # another session went before
        session = torch.cat([streams[k].samples[1:2] for k in range(first, 12)], dim=1)
        alone, _ = model(session)
    together = torch.cat([logits[1:2] for logits in heard[first:]], dim=1)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_a_state_survives_as_tensors():
    model = KeywordModel(ModelConfig(labels=("a", "b"), bands=8, channels=8, state_size=2, depth=2))
    _, state = model(torch.randn(2, 800, 1))
    tensors = leaves(detach(state))
    again = from_leaves(model.init_state(2), [tensor.clone() for tensor in tensors])
    assert type(again) is type(state)
    assert all(torch.equal(a, b) for a, b in zip(leaves(again), tensors, strict=True))
    assert not any(tensor.requires_grad for tensor in tensors)
