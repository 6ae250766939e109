"""AdamW, Muon for the layers' matrices, and the learning rate of every step."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from training.muon import Muon
from training.recipe import Recipe

STATE_SPACE = (
    "log_decay", "frequency", "log_dt", "log_rate", "centre_logit", "width_log", "P", "B",
)  # fmt: skip
"""Names of the parameters of A, B and dt, of the bank and of leaky means too: a low rate of their
own, no weight decay."""


def optimizers_of(module: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """A, B and dt at `ssm_lr`; other matrices and vectors at `lr`; only other matrices decay.

    The layers' matrices are Muon's, at `matrix_lr`, where that is above 0.  Heads, whose rows are
    classes and not directions, are always AdamW's.
    """
    states: list[nn.Parameter] = []
    vectors: list[nn.Parameter] = []
    matrices: list[nn.Parameter] = []
    for_muon: list[nn.Parameter] = []
    for name, parameter in module.named_parameters():
        *_, owner, own = ("", *name.split("."))
        if own in STATE_SPACE:
            states.append(parameter)
        elif parameter.dim() != 2:
            vectors.append(parameter)
        elif recipe.matrix_lr and not owner.endswith("head"):
            for_muon.append(parameter)
        else:
            matrices.append(parameter)
    decay = recipe.weight_decay
    groups = [
        {"params": states, "highest": recipe.ssm_lr, "weight_decay": 0.0},
        {"params": vectors, "highest": recipe.lr, "weight_decay": 0.0},
        {"params": matrices, "highest": recipe.lr, "weight_decay": decay},
    ]
    optimizers: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=0, betas=(0.9, 0.98))]
    if for_muon:
        group = {"params": for_muon, "highest": recipe.matrix_lr, "weight_decay": decay}
        optimizers.append(Muon([group]))
    return optimizers


def set_rates(optimizers: Iterable[torch.optim.Optimizer], step: int, recipe: Recipe) -> None:
    """Give every group its rate at a step."""
    for group in (group for optimizer in optimizers for group in optimizer.param_groups):
        group["lr"] = group["highest"] * share_of_rate(step, recipe)


def share_of_rate(step: int, recipe: Recipe) -> float:
    """Share of the highest learning rate: half a cosine to 1%, times a linear rise at first."""
    rise = min(1.0, (step + 1) / max(1, recipe.warmup))
    return rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / recipe.steps)))
