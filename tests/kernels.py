"""How every kernel is tested: on a GPU if there is one, else in Triton's interpreter on the CPU.

Outputs and gradients may be off the float64 truth by four times what the float32 reference is, plus
one epsilon of the scale.  Operands in bfloat16 count as exact: the reference hears the same rounded
numbers and rounds its answer, so that only the kernel's own arithmetic is judged.
"""

from collections.abc import Callable, Sequence

import torch
from numerics import assert_as_good_as
from torch import Tensor

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

DOUBLE = {torch.complex64: torch.complex128, torch.complex128: torch.complex128}
SINGLE = {torch.bfloat16: torch.float32}

Form = Callable[..., Tensor | tuple[Tensor, ...]]


def as_tuple(outputs: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (outputs,) if isinstance(outputs, Tensor) else outputs


def double(t: Tensor | None) -> Tensor | None:
    return None if t is None else t.to(DOUBLE.get(t.dtype, torch.float64))


def single(t: Tensor | None) -> Tensor | None:
    return None if t is None else t.to(SINGLE.get(t.dtype, t.dtype))


def on_device(operands: Sequence[Tensor | None]) -> list[Tensor | None]:
    return [None if t is None else t.to(DEVICE) for t in operands]


def upstream(outputs: Sequence[Tensor]) -> list[Tensor]:
    """A gradient for every output, the last state's too."""
    g = torch.Generator().manual_seed(1)
    return [torch.randn(t.shape, generator=g, dtype=double(t).dtype).to(t.dtype) for t in outputs]


def outcome(form: Form, operands: Sequence[Tensor | None], given: Sequence[Tensor]) -> list[Tensor]:
    """Outputs, then the gradients of all operands that are there, by autograd."""
    leaves = [t if t is None else t.detach().clone().requires_grad_() for t in operands]
    outputs = as_tuple(form(*leaves))
    wanted = [t for t in leaves if t is not None]
    used = [(y, dy) for y, dy in zip(outputs, given, strict=True) if y.requires_grad]
    ys, dys = zip(*used, strict=True)
    grads = torch.autograd.grad(ys, wanted, dys, materialize_grads=True)
    return [t.detach() for t in (*outputs, *grads)]


def assert_kernel(
    forward: Form, backward: Form, reference: Form, operands: Sequence[Tensor | None]
) -> None:
    """`forward(*operands)` and `backward(*operands, *upstream)` against `reference`.

    `backward` returns a gradient for every operand, in their order, and anything for those that
    are None.
    """
    outputs = as_tuple(forward(*on_device(operands)))
    given = upstream([t.cpu() for t in outputs])
    grads = as_tuple(backward(*on_device(operands), *on_device(given)))
    found = [*outputs, *(g for g, t in zip(grads, operands, strict=True) if t is not None)]
    expected = outcome(reference, [*map(single, operands)], [*map(single, given)])
    truth = outcome(reference, [*map(double, operands)], [*map(double, given)])
    for number, (f, e, t) in enumerate(zip(found, expected, truth, strict=True)):
        try:
            assert_as_good_as(f.cpu(), e.to(f.dtype), t)
        except AssertionError as error:
            raise AssertionError(f"output or gradient {number}: {error}") from None
