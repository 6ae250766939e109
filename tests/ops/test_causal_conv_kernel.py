import pytest
import torch
from kernels import DEVICE, assert_kernel

from sssm.ops.causal_conv import causal_conv, causal_conv_reference
from sssm.ops.causal_conv import kernel as under_test
from sssm.ops.causal_conv.kernel import (
    BLOCK,
    TIME,
    causal_conv_backward_triton,
    causal_conv_triton,
)

pytestmark = pytest.mark.usefixtures("nan_memory")


def operands(batch=2, length=5, channels=3, width=4, dtype=torch.float32):
    g = torch.Generator().manual_seed(length)
    shapes = (batch, length, channels), (channels, width), (channels,), (batch, width - 1, channels)
    x, weight, bias, tail = (torch.randn(s, generator=g, dtype=torch.float64) for s in shapes)
    precise = torch.float32 if dtype == torch.bfloat16 else dtype
    return [x.to(dtype), weight.to(precise), bias.to(precise), tail.to(dtype)]


def backward(x, weight, bias, tail, dy, dtail):
    return causal_conv_backward_triton(x, weight, tail, dy, dtail)


def check(inputs):
    assert_kernel(causal_conv_triton, backward, causal_conv_reference, inputs)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, TIME - 3, TIME - 1, TIME, TIME + 1, 70])
def test_as_good_as_the_reference(length):
    check(operands(length=length))


@pytest.mark.parametrize("width", [1, 2, 7])
@pytest.mark.parametrize("channels", [1, BLOCK, BLOCK + 1])
def test_any_width_and_number_of_channels(channels, width):
    check(operands(1, 5, channels, width))


def test_rounded_operands_and_precise_sums():
    check(operands(length=40, dtype=torch.bfloat16))


def test_double_stays_double():
    inputs = operands(dtype=torch.float64)
    found = causal_conv_triton(*(t.to(DEVICE) for t in inputs))
    for f, e in zip(found, causal_conv_reference(*inputs), strict=True):
        torch.testing.assert_close(f.cpu(), e, rtol=1e-12, atol=1e-12)


def test_nothing_leaves_the_tail():
    x, weight, bias, tail = (t.to(DEVICE) for t in operands(length=0))
    y, after = causal_conv_triton(x, weight, bias, tail)
    assert y.shape == x.shape
    assert torch.equal(after, tail)
    assert after.data_ptr() != tail.data_ptr()
    *grads, dtail = backward(x, weight, bias, tail, y, tail)
    assert torch.equal(dtail, tail)
    assert not any(g.any() for g in grads)


def test_a_long_sequence_fits_the_grid_of_a_gpu(monkeypatch):
    """Its first axis has room for 2^31 programs, the others have for 65,535."""
    grids = []

    class Noted:
        def __getitem__(self, grid):
            grids.append(grid)
            return lambda *_, **__: None

    for name in ("_conv_kernel", "_conv_backward_kernel"):
        monkeypatch.setattr(under_test, name, Noted())
    inputs = [torch.empty(shape, device="meta") for shape in ((2, 3_000_000, 3), (3, 4), (3,))]
    tail = torch.empty(2, 3, 3, device="meta")
    y, after = causal_conv_triton(*inputs, tail)
    backward(*inputs, tail, y, after)
    assert len(grids) == 2
    assert all(max(others) <= 65_535 for _, *others in grids)


def test_strides_do_not_matter():
    inputs = [t.to(DEVICE) for t in operands()]
    strided = [t if t.dim() == 1 else t.mT.contiguous().mT for t in inputs]
    assert all(map(torch.equal, causal_conv_triton(*strided), causal_conv_triton(*inputs)))


@pytest.mark.gpu
@pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_real_size_on_a_gpu(dtype):
    check(operands(8, 1000, 384, dtype=dtype))


@pytest.mark.gpu
@pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device")
def test_the_op_is_registered_properly_on_a_gpu():
    inputs = tuple(t.to(DEVICE).requires_grad_() for t in operands())
    torch.library.opcheck(torch.ops.sssm.causal_conv.default, inputs)
    found = causal_conv(*inputs)
    assert all(map(torch.equal, found, causal_conv_triton(*(t.detach() for t in inputs))))
