import numpy as np
import pytest
import torch

from sssm.ops.flush import TINY
from sssm.ops.selective_scan import selective_scan
from sssm.ops.state_update import state_update, state_update_reference


def operands(dtype=torch.float64):
    g = torch.Generator().manual_seed(0)

    def randn(*shape):
        return torch.randn(*shape, generator=g).to(dtype)

    dt = 0.1 + randn(2, 3).abs()
    return [randn(2, 3), dt, -randn(3, 4).exp(), *randn(2, 2, 4), *randn(2, 3)[:1], randn(2, 3),
            randn(2, 3, 4)]  # fmt: skip


def test_it_is_the_recurrence_written_out_in_numpy():
    x, dt, A, B, C, D, z, h = (t.numpy() for t in operands())
    y, after = state_update(*operands(), leak=0.1)
    expected = np.exp(dt[..., None] * A - 0.1) * h + (dt * x)[..., None] * B[:, None]
    np.testing.assert_allclose(after, expected, rtol=1e-12)
    out = np.einsum("bdn,bn->bd", expected, C) + D * x
    np.testing.assert_allclose(y, out * z / (1 + np.exp(-z)), rtol=1e-12)


@pytest.mark.parametrize("leak", [0.0, 0.1])
@pytest.mark.parametrize("absent", [(), (5,), (6,), (5, 6)])
def test_it_is_the_scan_of_one_element(leak, absent):
    x, dt, A, B, C, D, z, h = (None if n in absent else t for n, t in enumerate(operands()))
    gate = None if z is None else z[:, None]
    y, after = selective_scan(
        x[:, None], dt[:, None], A, B[:, None], C[:, None], D, gate, h, leak=leak
    )
    found = state_update(x, dt, A, B, C, D, z, h, leak=leak)
    torch.testing.assert_close(found, (y[:, 0], after), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("full", [(), (2, 5, 7)])
def test_half_precision_is_the_scan_of_one_element_too(dtype, full):
    """Of all operands, or as in mixed precision of all but A, D and the state."""
    inputs = [t if n in full else t.to(dtype) for n, t in enumerate(operands(torch.float32))]
    x, dt, A, B, C, D, z, h = inputs
    y, after = selective_scan(x[:, None], dt[:, None], A, B[:, None], C[:, None], D, z[:, None], h)
    rounding = torch.finfo(dtype).eps
    torch.testing.assert_close(
        state_update(*inputs), (y[:, 0], after), rtol=rounding, atol=rounding
    )


def test_gradients_are_those_of_small_differences():
    inputs = [t.requires_grad_() for t in operands()]
    assert torch.autograd.gradcheck(lambda *t: state_update(*t, leak=0.1), inputs)


def test_it_writes_nothing_and_shares_nothing():
    inputs = operands()
    kept = [t.clone() for t in inputs]
    for result in state_update(*inputs):
        result.fill_(9.0)
    assert all(map(torch.equal, inputs, kept))


def test_what_is_negligible_becomes_exact_zero():
    x, *rest, h = operands()
    x, h = torch.zeros_like(x), torch.full_like(h, TINY / 2)
    _, after = state_update(x, *rest, h)
    assert not after.any()
    assert state_update_reference(x, *rest, h)[1].any()


def test_it_compiles_without_a_break():
    compiled = torch.compile(state_update, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*operands()), state_update(*operands()))


def test_mixed_precision_leaves_it_alone():
    inputs = operands(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = state_update(*inputs)
    assert all(map(torch.equal, found, state_update(*inputs)))


def test_a_wrong_shape_is_named():
    x, dt, A, B, C, D, z, h = operands()
    with pytest.raises(ValueError, match=r"need x and dt \(batch, D\), and A \(D, N\); got x"):
        state_update(x, dt, A[:2], B, C, D, z, h)
    with pytest.raises(ValueError, match=r"need B and C \(batch, N\); got \(1, 4\) and \(2, 4\)"):
        state_update(x, dt, A, B[:1], C, D, z, h)
    with pytest.raises(ValueError, match=r"need h \(batch, D, N\); got \(1, 3, 4\)"):
        state_update(x, dt, A, B, C, D, z, h[:1])
    with pytest.raises(ValueError, match=r"need D \(3,\); got \(1,\)"):
        state_update(x, dt, A, B, C, D[:1], z, h)
    with pytest.raises(ValueError, match=r"need z \(2, 3\); got \(1, 3\)"):
        state_update(x, dt, A, B, C, D, z[:1], h)


@pytest.mark.parametrize("place", [0, 2, 7])
@pytest.mark.parametrize("dtype", [torch.complex64, torch.int64])
def test_a_wrong_kind_of_number_is_named(place, dtype):
    inputs = operands()
    inputs[place] = inputs[place].to(dtype)
    with pytest.raises(ValueError, match=f"need real operands, in floating point; got {dtype}"):
        state_update(*inputs)
