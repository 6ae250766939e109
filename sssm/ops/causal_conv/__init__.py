"""Causal convolution of every channel with a short filter of its own; its state is its last inputs.

`reference.py` says it one element at a time; `scan.py` is the loop over time compiled for a CPU;
`kernel.py` is for a GPU; `parallel.py` is plain PyTorch, for any device.  Only this file knows all
of them.
"""

import torch
from torch import Tensor

from sssm.ops.causal_conv import parallel
from sssm.ops.causal_conv.reference import causal_conv_reference, causal_conv_step
from sssm.ops.operator import in_full, operator, require_real

__all__ = ["causal_conv", "causal_conv_reference", "causal_conv_step"]


@operator("causal_conv")
def _conv(x: Tensor, weight: Tensor, bias: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
    from sssm.ops.causal_conv.scan import convolve

    heard, y = torch.cat([tail, x], dim=1), _empty(x)
    convolve(heard.numpy(), _taps(weight).numpy(), bias.contiguous().numpy(), y.numpy())
    return y, heard[:, x.shape[1] :].clone(memory_format=torch.contiguous_format)


@_conv.register_fake
def _conv_fake(x: Tensor, weight: Tensor, bias: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
    return _empty(x), _empty(tail)


@operator("causal_conv_backward")
def _conv_backward(
    x: Tensor, weight: Tensor, tail: Tensor, dy: Tensor, dtail: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, weight, bias and the first tail."""
    from sssm.ops.causal_conv.scan import convolve_backward

    before = tail.shape[1]
    heard, taps = torch.cat([tail, x], dim=1), _taps(weight)
    dheard = torch.cat([torch.zeros_like(x), dtail], dim=1)
    dtaps, dbias = torch.zeros_like(taps), torch.zeros_like(taps[0])
    convolve_backward(
        *(part.numpy() for part in (heard, taps, dy.contiguous(), dheard, dtaps, dbias))
    )
    dx, dtail0 = dheard[:, before:], dheard[:, :before]
    contiguous = torch.contiguous_format
    return (
        dx.clone(memory_format=contiguous),
        _taps(dtaps),
        dbias,
        dtail0.clone(memory_format=contiguous),
    )


@_conv_backward.register_fake
def _conv_backward_fake(
    x: Tensor, weight: Tensor, tail: Tensor, dy: Tensor, dtail: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return _empty(x), _empty(weight), weight.new_empty(weight.shape[0]), _empty(tail)


def _save(ctx, inputs, output) -> None:
    x, weight, _, tail = inputs
    ctx.save_for_backward(x, weight, tail)


def _backward(ctx, dy: Tensor, dtail: Tensor):
    return _conv_backward(*ctx.saved_tensors, dy, dtail)


_conv.register_autograd(_backward, setup_context=_save)


def _cuda(x: Tensor, weight: Tensor, bias: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
    from sssm.ops.causal_conv.kernel import causal_conv_triton

    return causal_conv_triton(x, weight, bias, tail)


def _cuda_backward(
    x: Tensor, weight: Tensor, tail: Tensor, dy: Tensor, dtail: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    from sssm.ops.causal_conv.kernel import causal_conv_backward_triton

    return causal_conv_backward_triton(x, weight, tail, dy, dtail)


_conv.register_kernel("cuda", _cuda)
_conv_backward.register_kernel("cuda", _cuda_backward)


def _empty(like: Tensor) -> Tensor:
    return like.new_empty(like.shape)


def _taps(weight: Tensor) -> Tensor:
    """(D, width) -> (width, D) or back, a copy."""
    return weight.mT.clone(memory_format=torch.contiguous_format)


def causal_conv(x: Tensor, weight: Tensor, bias: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
    """y_t = bias + sum_w weight_w x_(t + 1 - width + w) in every channel, for all t at once.

    Args:
        x: (batch, length, D) real; any length, shorter than the filter or 0.
        weight: (D, width), the last column for the element itself.
        bias: (D,).
        tail: (batch, width - 1, D) elements before the first, the oldest first.

    Returns:
        y (batch, length, D), and the tail for what comes next.

    Raises:
        ValueError: shapes do not agree, or numbers are of another kind.

    Source: the convolution of Gu and Dao 2023, arXiv:2312.00752, section 3.4 and figure 3.
    """
    if x.dim() != 3 or weight.dim() != 2 or x.shape[2] != weight.shape[0]:
        raise ValueError(
            f"need x (batch, length, D) and weight (D, width); "
            f"got {tuple(x.shape)} and {tuple(weight.shape)}"
        )
    if bias.shape != weight.shape[:1]:
        raise ValueError(f"need bias (D,); got {tuple(bias.shape)}")
    if tail.shape != (x.shape[0], weight.shape[1] - 1, x.shape[2]):
        raise ValueError(f"need tail (batch, width - 1, D); got {tuple(tail.shape)}")
    require_real(x, weight, bias, tail)
    if x.device.type == "cpu":
        y, after = _conv(*in_full((x, weight, bias, tail)))
        return y.to(x.dtype), after.to(tail.dtype)
    if x.device.type == "cuda":
        return _conv(x, weight, bias, tail)
    with torch.autocast(x.device.type, enabled=False):
        return parallel.causal_conv_parallel(x, weight, bias, tail)
