"""What the Triton kernels share, and their launchers.

Only `kernel.py` files import it, so that Triton is loaded when a CUDA tensor arrives, not before.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

LANES = 32
"""Independent recurrences of a program of one warp: one a thread, neighbours in memory."""

PREFETCH = 6
"""Steps of a recurrence whose operands are on their way while one is computed."""

PROGRAMS = 1024
"""Programs that keep a large GPU busy: about eight for each of its multiprocessors."""

SHORTEST = 64
"""Least steps for which it pays to cut a sequence."""


@triton.jit
def flushed(h, TINY: tl.constexpr):
    """`h` with what is smaller than TINY at 0: see `sssm.ops.flush`."""
    return tl.where(tl.abs(h) < TINY, 0, h)


def on_its_device(launcher: Callable[..., Any]) -> Callable[..., Any]:
    """`launcher` with the GPU of its first operand as the current one, where Triton launches."""

    @functools.wraps(launcher)
    def launch(first: Tensor, *rest: Any) -> Any:
        with torch.cuda.device_of(first):
            return launcher(first, *rest)

    return launch


def state_type(operand: Tensor) -> tl.dtype:
    """Type of states and sums: float64 for double operands, else float32."""
    return tl.float64 if operand.dtype in (torch.float64, torch.complex128) else tl.float32


def chunk_length(length: int, programs: int) -> int:
    """Steps of one program when `programs` of them would take the whole sequence each.

    A cut sequence is read twice, so it is cut only as far as the GPU has nothing else to do; always
    a multiple of `SHORTEST`.
    """
    chunks = max(1, min(PROGRAMS // max(1, programs), length // SHORTEST))
    return SHORTEST * -(-length // (SHORTEST * chunks))


def real_planes(operand: Tensor) -> Tensor:
    """A contiguous complex tensor as real numbers, (..., 2): Triton has no complex ones."""
    return torch.view_as_real(operand.resolve_conj().contiguous())
