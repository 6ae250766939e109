"""How the benchmarks that train small models do it."""

from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn


def fit(
    model: nn.Module,
    groups: Mapping[float, Iterable[nn.Parameter]],
    loss: Callable[[], Tensor],
    steps: int,
) -> Iterator[tuple[int, float]]:
    """AdamW in one cycle of the rate, gradients clipped to norm 1: each step, from 1, and its loss.

    Args:
        model: whose parameters these are.
        groups: highest rate -> parameters.
        loss: of the next batch.
        steps: how many.
    """
    rates = list(groups)
    of_rates = [{"params": list(parameters)} for parameters in groups.values()]
    optimizer = torch.optim.AdamW(of_rates, lr=rates[0], weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, steps, pct_start=0.1)
    for step in range(1, steps + 1):
        value = loss()
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        yield step, value.item()
