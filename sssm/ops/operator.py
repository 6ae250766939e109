"""Registration of an operator with PyTorch: what `torch.library.custom_op` does, without its price.

`custom_op` wraps every body for torch.compile, and so imports torch._dynamo at the first call: one
to three seconds in each process that only wants an answer.  `define` and `impl` register the same
operator, and opcheck and torch.compile hold it to the same rules.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class Operator:
    """An operator of the `sssm` library, callable as its body is.

    Args:
        name: without the library's.
        body: for the CPU; its annotations are the schema, and it changes none of its arguments.
    """

    def __init__(self, name: str, body: Callable[..., Any]):
        self.qualified = f"sssm::{name}"
        torch.library.define(self.qualified, torch.library.infer_schema(body, mutates_args=()))
        self.register_kernel("cpu", body)
        self._overload = getattr(torch.ops.sssm, name).default

    def __call__(self, *args: Any) -> Any:
        return self._overload(*args)

    def register_kernel(self, device: str, body: Callable[..., Any]) -> None:
        """Body for another device, "cuda" say."""
        torch.library.impl(self.qualified, device, body)

    def register_fake(self, fake: Callable[..., Any]) -> Callable[..., Any]:
        """Shapes and types of the outputs without the numbers, for torch.compile."""
        torch.library.register_fake(self.qualified, fake)
        return fake

    def register_autograd(
        self, backward: Callable[..., Any], *, setup_context: Callable[..., None]
    ) -> None:
        """Gradients: `setup_context(ctx, inputs, output)` keeps what `backward(ctx, ...)` needs.

        They are exact where a loss goes back within autocast too.
        """

        def exactly(ctx: Any, *grads: Tensor) -> Any:
            with torch.autocast(grads[0].device.type, enabled=False):
                return backward(ctx, *grads)

        torch.library.register_autograd(self.qualified, exactly, setup_context=setup_context)


def operator(name: str) -> Callable[[Callable[..., Any]], Operator]:
    """Decorator that makes a body the operator `sssm::name`."""
    return lambda body: Operator(name, body)


def require_real(*operands: Tensor | None) -> None:
    """Refuse integers, to which outputs would be cut, and complex numbers.

    Raises:
        ValueError: there is one.
    """
    for part in operands:
        if part is not None and not part.is_floating_point():
            raise ValueError(f"need real operands, in floating point; got {part.dtype}")


def of_nothing(x: Tensor, *weights: Tensor) -> Tensor:
    """An operator's output where x, or each weight, has no elements: zeros, as its gradients."""
    return x * sum(weight.real.sum() for weight in weights)


def in_full(operands: tuple[Tensor | None, ...]) -> tuple[Any, ...]:
    """The operands, in float32 where one is of half precision, which compiled loops do not know."""
    if not any(part is not None and part.dtype.itemsize == 2 for part in operands):
        return operands
    return tuple(None if part is None else part.float() for part in operands)
