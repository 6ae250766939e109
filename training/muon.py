"""Muon: steps of a matrix that are made orthogonal.

PyTorch has it too, in bfloat16 alone, in which many a processor takes twenty times as long.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

MOMENTUM = 0.95
TURNS = 5
QUINTIC = 3.4445, -4.7750, 2.0315  # brings singular values in (0, 1] to about 1 in so many turns
AS_ADAMW = 0.2  # root mean square of what AdamW's step of a matrix usually is, at rate 1


class Muon(torch.optim.Optimizer):
    """Momentum whose singular values are all made about 1, as large a step as AdamW's.

    So all directions of a matrix are learned at one pace, not those alone in which most gradients
    point.  Weights decay as AdamW's do.

    Args:
        groups: of matrices, with `lr` and `weight_decay`.

    Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers"; its size and decay as in
    Liu et al. 2025, arXiv:2502.16982, section 2.2.
    """

    def __init__(self, groups: Iterable[dict[str, Any]]):
        super().__init__(groups, {"lr": 0.0, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step against the gradients; matrices without one stay as they are."""
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                if not state:
                    state["momentum"] = torch.zeros_like(matrix)
                momentum = state["momentum"].mul_(MOMENTUM).add_(matrix.grad)
                direction = orthogonal(matrix.grad + MOMENTUM * momentum)  # Nesterov's
                size = AS_ADAMW * max(matrix.shape) ** 0.5
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(direction, alpha=-group["lr"] * size)


def orthogonal(matrix: Tensor) -> Tensor:
    """A matrix of the same singular vectors whose singular values are about 1, 0.7 to 1.2."""
    a, b, c = QUINTIC
    is_high = matrix.shape[0] > matrix.shape[1]
    X = matrix.mT if is_high else matrix
    X = X / (X.norm() + 1e-7)
    for _ in range(TURNS):
        gram = X @ X.mT
        X = a * X + (b * gram + c * gram @ gram) @ X
    return X.mT if is_high else X
