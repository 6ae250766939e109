"""Definition of the filterbank, one sample at a time."""

import torch
from torch import Tensor


def filterbank_step(x: Tensor, a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    """Both stages of every mode after one more sample.

    Args:
        x: (batch,) real samples.
        a: (K,) complex pole of each mode, |a| < 1.
        b: (K,) real gain of each stage.
        h: (batch, 2, K) complex state of the two stages.

    Returns:
        (batch, 2, K) complex, the next state.
    """
    first = a * h[:, 0] + b * x[:, None]
    second = a * h[:, 1] + b * first
    return torch.stack([first, second], dim=1)


def filterbank_reference(
    x: Tensor, a: Tensor, b: Tensor, ends: Tensor, h0: Tensor
) -> tuple[Tensor, Tensor]:
    """Same contract as `sssm.ops.filterbank.filterbank`."""
    readings = set(ends.tolist())
    h, energies = h0.clone(), []
    for n in range(x.shape[1]):
        h = filterbank_step(x[:, n], a, b, h)
        if n + 1 in readings:
            energies.append(h[:, 1].real ** 2 + h[:, 1].imag ** 2)
    if not energies:
        return x.new_zeros(x.shape[0], 0, a.shape[0]), h
    return torch.stack(energies, dim=1), h
