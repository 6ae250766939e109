"""Muon against PyTorch's, whose steps are in bfloat16."""

import pytest
import torch

from training.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(40, 24), (24, 40), (32, 32), (1, 7)])
def test_singular_values_become_about_1_and_vectors_stay(shape):
    torch.manual_seed(0)
    U, S, V = torch.linalg.svd(torch.randn(*shape, dtype=torch.float64), full_matrices=False)
    S = S.clamp(min=0.1 * S.max())
    found = U.mT @ orthogonal(U * S @ V) @ V.mT
    assert ((found.diagonal() > 0.6) & (found.diagonal() < 1.3)).all()
    torch.testing.assert_close(found, torch.diag(found.diagonal()), rtol=0, atol=1e-12)


def test_steps_are_those_of_pytorch():
    torch.manual_seed(0)
    mine = torch.nn.Parameter(torch.randn(48, 32))
    theirs = torch.nn.Parameter(mine.detach().clone())
    optimizers = (
        Muon([{"params": [mine], "lr": 0.02, "weight_decay": 0.1}]),
        torch.optim.Muon([theirs], lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
    )
    start = mine.detach().clone()
    for _ in range(5):
        mine.grad = torch.randn(48, 32)
        theirs.grad = mine.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    moved = (theirs - start).norm()
    assert (mine - theirs).norm() < 0.01 * moved


def test_a_matrix_without_a_gradient_stays():
    matrix = torch.nn.Parameter(torch.ones(3, 4))
    Muon([{"params": [matrix], "lr": 1.0, "weight_decay": 0.1}]).step()
    assert (matrix == 1).all()
