"""Diagonal state-space model: outputs, response to a first state, and last state, in one op.

`reference.py` says it one element at a time; `scan.py` is the same recurrence compiled for a CPU,
O(L N) and exact, and `kernel.py` for a GPU; `parallel.py` is the convolution with factored powers,
for any device, and for those two where there is much to convolve.  Only this file knows all of
them.
"""

import torch
from torch import Tensor

from sssm.ops.diagonal_ssm import parallel
from sssm.ops.diagonal_ssm.reference import diagonal_ssm_reference, diagonal_ssm_step
from sssm.ops.operator import of_nothing, operator

__all__ = ["diagonal_ssm", "diagonal_ssm_reference", "diagonal_ssm_step"]

MANY_MODES, LONG = 64, 4_000
"""Where the convolution overtakes the loop on a CPU, for more than one row: `tests/bench/s4d.py`.

With fewer modes, elements or rows its transforms and tables cost more than they save: half as fast
at 16 modes, 1.1 (forward) and 1.4 times (with backward) as fast at 64.
"""

FEWEST_MODES, RECURRED = 8, 1 << 16
"""A GPU takes the recurrence while modes, counted as `FEWEST_MODES` at least, times elements are no
more than `RECURRED`.

It is one launch in which time passes element by element, the convolution many over all elements.  A
training step with it takes a fifth of the convolution's at 8 modes and 200 elements, 1.1 times as
long at 16 and 4,000, 1.3 times at 64 and 1,000, and five times at 64 and 4,000: see
`tests/bench/s4d.py`.  Fewer than eight modes wait for each element as long as eight do.
"""

MODE_BYTES = 512
"""Most bytes of a channel's modes with which a GPU takes the recurrence: 64 modes in complex64, 32
in complex128.  With more, its gradients do not fit into registers and shared memory.
"""


@operator("diagonal_ssm")
def _scan(x: Tensor, dA: Tensor, B: Tensor, C: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
    from sssm.ops.diagonal_ssm.scan import scan

    y = x.new_empty(x.shape)
    h = _planes(h0)
    scan(x.contiguous().numpy(), *(_planes(m).numpy() for m in (dA, B, C)), h.numpy(), y.numpy())
    return y, _complex(h, x.shape[2])


@_scan.register_fake
def _scan_fake(x: Tensor, dA: Tensor, B: Tensor, C: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), h0.new_empty(h0.shape)


@operator("diagonal_ssm_backward")
def _scan_backward(
    x: Tensor, dA: Tensor, B: Tensor, C: Tensor, h0: Tensor, dy: Tensor, dh: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    from sssm.ops.diagonal_ssm.scan import scan_backward

    matrices = [_planes(m) for m in (dA, B, C)]
    dx = x.new_empty(x.shape)
    grads = [torch.zeros_like(m) for m in matrices]
    dh0 = _planes(dh)
    scan_backward(
        x.contiguous().numpy(), *(m.numpy() for m in matrices), _planes(h0).numpy(),
        dy.contiguous().numpy(), dx.numpy(), *(g.numpy() for g in grads), dh0.numpy(),
    )  # fmt: skip
    ddA, dB, dC = (_complex(grad, x.shape[2]) for grad in grads)
    return dx, ddA, dB, dC, _complex(dh0, x.shape[2])


@_scan_backward.register_fake
def _scan_backward_fake(
    x: Tensor, dA: Tensor, B: Tensor, C: Tensor, h0: Tensor, dy: Tensor, dh: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    like = (t.new_empty(t.shape) for t in (x, dA, B, C, h0))
    return tuple(like)  # type: ignore[return-value]


def _save(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx, dy: Tensor, dh: Tensor):
    return _scan_backward(*ctx.saved_tensors, dy, dh)


_scan.register_autograd(_backward, setup_context=_save)


def _cuda(x: Tensor, dA: Tensor, B: Tensor, C: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
    from sssm.ops.diagonal_ssm.kernel import diagonal_ssm_triton

    return diagonal_ssm_triton(x, dA, B, C, h0)


def _cuda_backward(
    x: Tensor, dA: Tensor, B: Tensor, C: Tensor, h0: Tensor, dy: Tensor, dh: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    from sssm.ops.diagonal_ssm.kernel import diagonal_ssm_backward_triton

    return diagonal_ssm_backward_triton(x, dA, B, C, h0, dy, dh)


_scan.register_kernel("cuda", _cuda)
_scan_backward.register_kernel("cuda", _cuda_backward)


def _planes(m: Tensor) -> Tensor:
    """Complex (..., H, N) -> real (..., 2, N H), a copy: modes of all channels as one line."""
    m = torch.view_as_real(m.resolve_conj()).movedim(-1, -3).transpose(-1, -2)
    return m.clone(memory_format=torch.contiguous_format).flatten(-2)


def _complex(m: Tensor, channels: int) -> Tensor:
    """Inverse of `_planes`."""
    m = m.unflatten(-1, (-1, channels)).transpose(-1, -2)
    # contiguous() would leave a tensor of no elements as it lies.
    return torch.view_as_complex(m.movedim(-3, -1).clone(memory_format=torch.contiguous_format))


def diagonal_ssm(x: Tensor, dA: Tensor, B: Tensor, C: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
    """h_t = dA h_(t-1) + B x_t, y_t = 2 Re sum_n C h_t, for all t at once.

    The factor 2 and the real part stand for the conjugate half of the modes, which is not stored.

    Args:
        x: (batch, length, H) real, in any precision: inside it has dA's; length 0 is a chunk too.
        dA: (H, N) complex, |dA| <= 1.
        B: (H, N) complex, discrete: dB elsewhere, which here is a gradient.
        C: (H, N) complex.
        h0: (batch, H, N) complex state before the first element.

    Returns:
        y (batch, length, H), and the state after the last element (batch, H, N).

    Raises:
        ValueError: shapes do not agree, or numbers are of another kind.

    Source: Gu et al. 2021, arXiv:2111.00396, equation 3, with the diagonal A of arXiv:2206.11893.
    """
    is_diagonal = dA.dim() == 2 and dA.shape == B.shape == C.shape
    if x.dim() != 3 or not is_diagonal or x.shape[2] != dA.shape[0]:
        raise ValueError(
            f"need x (batch, length, H), and dA, B, C (H, N); got x {tuple(x.shape)}, "
            f"dA {tuple(dA.shape)}, B {tuple(B.shape)}, C {tuple(C.shape)}"
        )
    if h0.shape != (x.shape[0], *dA.shape):
        raise ValueError(f"need h0 (batch, H, N); got {tuple(h0.shape)}")
    if not x.is_floating_point() or not all(part.is_complex() for part in (dA, B, C, h0)):
        raise ValueError(
            f"need x real, and dA, B, C, h0 complex; got x {x.dtype}, "
            f"dA {dA.dtype}, B {B.dtype}, C {C.dtype}, h0 {h0.dtype}"
        )
    if x.shape[1] == 0 or dA.numel() == 0:
        return of_nothing(x, dA, B, C), h0.clone()
    recurs = _recurs(x.device.type, x.shape[0], x.shape[1], dA)
    if recurs and x.device.type == "cuda":
        return _scan(x, dA, B, C, h0)
    form = _scan if recurs else parallel.diagonal_ssm_parallel
    with torch.autocast(x.device.type, enabled=False):
        y, h = form(x.to(dA.real.dtype), dA, B, C, h0)
    return y.to(x.dtype), h


def _recurs(device: str, batch: int, length: int, dA: Tensor) -> bool:
    """Whether the recurrence is the better choice, not the convolution."""
    modes = dA.shape[1]
    if device == "cuda":
        numbers = max(modes, FEWEST_MODES) * length
        return numbers <= RECURRED and modes * dA.itemsize <= MODE_BYTES
    return device == "cpu" and (batch == 1 or modes < MANY_MODES or length < LONG)
