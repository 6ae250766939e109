import numpy as np
import pytest
import torch
from numerics import assert_as_good_as, assert_near

from sssm.ops.flush import TINY
from sssm.ops.selective_scan import CHUNK, selective_scan, selective_scan_reference
from sssm.ops.selective_scan.parallel import selective_scan_parallel

LENGTHS = [1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 50]
SIZES = [(2, 3, 4), (1, 37, 1)]  # below, and above and not a multiple of, a vector of the processor
LEAK = 0.04
OPTIONAL = ["D", "z", "h0"]


def parallel(x, dt, A, B, C, D=None, z=None, h0=None, *, leak=0.0):
    D = x.new_zeros(x.shape[2]) if D is None else D
    h0 = x.new_zeros(x.shape[0], *A.shape) if h0 is None else h0
    return selective_scan_parallel(x, dt, A, B, C, D, z, h0, leak)


FORMS = [selective_scan, parallel]  # one pass of a CPU, plain PyTorch for any device


def operands(length, dtype=torch.float32, batch=2, channels=3, states=4):
    """x, dt, A, B, C, D, z, h0 by name; the same numbers in every precision."""
    g = torch.Generator().manual_seed(length)

    def randn(*shape):
        return torch.randn(*shape, generator=g)

    numbers = {
        "x": randn(batch, length, channels),
        "dt": 0.3 * torch.rand(batch, length, channels, generator=g) + 1e-3,
        "A": -randn(channels, states).exp(),
        "B": randn(batch, length, states),
        "C": randn(batch, length, states),
        "D": randn(channels),
        "z": 2 * randn(batch, length, channels),
        "h0": randn(batch, channels, states),
    }
    return {name: number.to(dtype) for name, number in numbers.items()}


def outcome(form, inputs, leak=LEAK):
    """Outputs, and gradients of a loss that weighs every output, and the last state."""
    inputs = {name: t.clone().requires_grad_() for name, t in inputs.items()}
    y, h = form(**inputs, leak=leak)
    ways = torch.linspace(1, 2, y.shape[1], dtype=y.dtype)[:, None]
    loss = (ways * y.square()).sum() + (h * h * h).sum()
    grads = torch.autograd.grad(loss, list(inputs.values()), materialize_grads=True)
    return [y.detach(), h.detach(), *grads]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(("batch", "channels", "states"), SIZES)
def test_as_good_as_the_reference(form, length, batch, channels, states):
    sizes = batch, channels, states
    single, exact = (operands(length, dtype, *sizes) for dtype in (torch.float32, torch.float64))
    for found, reference, truth in zip(
        outcome(form, single),
        outcome(selective_scan_reference, single),
        outcome(selective_scan_reference, exact),
        strict=True,
    ):
        assert_as_good_as(found, reference, truth)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_exact_inside(dtype):
    halves = operands(40, dtype)
    exact = {name: part.double() for name, part in halves.items()}
    for found, truth in zip(
        outcome(selective_scan, halves), outcome(selective_scan_reference, exact), strict=True
    ):
        assert found.dtype == dtype
        assert_near(found.double(), truth, 1e-2, "half precision")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("absent", [OPTIONAL, *([name] for name in OPTIONAL)], ids="-".join)
def test_what_is_left_out(form, absent):
    inputs = {k: v for k, v in operands(21, torch.float64).items() if k not in absent}
    for leak in (0.0, LEAK):
        torch.testing.assert_close(
            outcome(form, inputs, leak), outcome(selective_scan_reference, inputs, leak),
            rtol=1e-10, atol=1e-12,
        )  # fmt: skip


@pytest.mark.parametrize("form", [*FORMS, selective_scan_reference])
def test_it_is_algorithm_2_written_out_in_numpy(form):
    """Arithmetic of single numbers, in the order of the paper; the gate is SiLU."""
    x, dt, A, B, C, D, z, h = (t.numpy() for t in operands(20, torch.float64).values())
    h, expected = h.copy(), np.zeros_like(x)
    for b, t, d in np.ndindex(2, 20, 3):
        for n in range(4):
            dA, dB = np.exp(dt[b, t, d] * A[d, n]), dt[b, t, d] * B[b, t, n]
            h[b, d, n] = dA * h[b, d, n] + dB * x[b, t, d]
        y = sum(C[b, t, n] * h[b, d, n] for n in range(4)) + D[d] * x[b, t, d]
        expected[b, t, d] = y * z[b, t, d] / (1 + np.exp(-z[b, t, d]))
    y, last = form(**operands(20, torch.float64))
    np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(last, h, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("form", [*FORMS, selective_scan_reference])
def test_a_leak_is_a_decay_of_every_state(form):
    """The same as a state of its own kind: A and dt shifted so that their product loses it."""
    inputs = operands(20, torch.float64, states=1)
    del inputs["D"]
    inputs["A"] = torch.full_like(inputs["A"], -2.0)
    leaky = form(**inputs, leak=0.06)
    slower = inputs["dt"] + 0.03
    inputs |= {"x": inputs["x"] * inputs["dt"] / slower, "dt": slower}
    torch.testing.assert_close(form(**inputs), leaky, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("form", "length"), [(selective_scan, 1), (selective_scan, CHUNK + 2), (parallel, 3)]
)
def test_gradients_are_those_of_small_differences(form, length):
    inputs = operands(length, torch.float64, 2, 2, 2)
    tensors = [t.requires_grad_() for t in inputs.values()]
    assert torch.autograd.gradcheck(lambda *t: form(*t, leak=LEAK), tensors)


def test_either_output_alone_has_its_gradients():
    for part in (0, 1):
        found, expected = [
            torch.autograd.grad(form(*inputs)[part].square().sum(), inputs, materialize_grads=True)
            for form in (selective_scan, selective_scan_reference)
            for inputs in [[t.requires_grad_() for t in operands(5, torch.float64).values()]]
        ]
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("form", FORMS)
def test_extremes_stay_finite(form):
    """Steps so long that nothing is left, none at all, and gates far open and far shut."""
    inputs = operands(20)
    inputs["dt"][:, ::3] = 1e4
    inputs["dt"][:, 1::3] = 1e-30
    inputs["z"][:, ::2] = 1e4
    inputs["z"][:, 1::2] = -1e4
    y, h = form(**inputs)
    expected = selective_scan_reference(**inputs)
    torch.testing.assert_close((y, h), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_what_is_not_a_number_is_not_hidden(form):
    for name in ("x", "dt", "B", "z"):
        inputs = operands(20)
        inputs[name][0, 3] = torch.nan
        y, _ = form(**inputs)
        assert y[0, 3].isnan().all(), name
        assert y[:, :3].isfinite().all()
        assert y[1].isfinite().all()


def test_nothing_leaves_the_state_and_aliases_nothing():
    inputs = operands(0)
    y, h = selective_scan(**inputs)
    assert y.shape == (2, 0, 3)
    assert torch.equal(h, inputs["h0"])
    assert h.data_ptr() != inputs["h0"].data_ptr()
    found, expected = (outcome(f, inputs) for f in (selective_scan, selective_scan_reference))
    assert all(map(torch.equal, found, expected))


def test_nothing_leaves_gradients_of_zero():
    inputs = {name: t.requires_grad_() for name, t in operands(0).items()}
    y, _ = selective_scan(**inputs)
    weights = [part for name, part in inputs.items() if name != "h0"]
    found = torch.autograd.grad(y.sum(), weights)
    assert all(map(torch.equal, found, map(torch.zeros_like, weights)))


def test_no_input_is_written_and_no_output_is_an_input():
    inputs = operands(20)
    kept = {name: t.clone() for name, t in inputs.items()}
    tensors = [*inputs.values(), *selective_scan(**inputs)]
    assert len({t.untyped_storage().data_ptr() for t in tensors}) == len(tensors)
    outcome(selective_scan, inputs)
    assert all(torch.equal(inputs[name], kept[name]) for name in inputs)


@pytest.mark.parametrize("form", FORMS)
def test_what_decays_becomes_exact_zero_and_still_has_a_gradient(form):
    inputs = operands(60)
    inputs |= {"x": torch.zeros_like(inputs["x"]), "dt": torch.ones_like(inputs["dt"])}
    inputs["A"] = torch.full_like(inputs["A"], -0.7)
    h0 = (1e-8 * inputs.pop("h0")).requires_grad_()
    _, h = form(**inputs, h0=h0)
    assert not h.any()
    h.sum().backward()
    torch.testing.assert_close(h0.grad, torch.full_like(h0, np.exp(-0.7 * 60)), rtol=1e-4, atol=0)
    assert h0.detach().abs().max() > TINY


def test_states_are_kept_for_gradients_alone():
    op = torch.ops.sssm.selective_scan.default
    inputs = list(operands(2 * CHUNK).values())
    y, h, marks = op(*inputs, LEAK, True)
    other_y, other_h, none = op(*inputs, LEAK, False)
    assert (marks.shape[1], none.shape[1]) == (2, 0)
    assert torch.equal(y, other_y)
    assert torch.equal(h, other_h)
    y, *_ = op(inputs[0].requires_grad_(), *inputs[1:], LEAK, False)
    with pytest.raises(RuntimeError, match="keep"):
        y.sum().backward()


def test_the_op_is_registered_properly():
    x, dt, A, B, C, D, z, h0 = (t.requires_grad_() for t in operands(5).values())
    op = torch.ops.sssm.selective_scan.default
    torch.library.opcheck(op, (x, dt, A, B, C, D, z, h0, LEAK, True))
    quick = ("test_schema", "test_faketensor")
    torch.library.opcheck(op, (x, dt, A, B, C, D, None, h0, LEAK, False), test_utils=quick)


@pytest.mark.parametrize(
    ("form", "length"), [(selective_scan, 0), (selective_scan, 20), (parallel, 20)]
)
def test_it_compiles_without_a_break(form, length):
    compiled = torch.compile(form, fullgraph=True, backend="aot_eager")
    found, expected = (outcome(f, operands(length)) for f in (compiled, form))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("form", FORMS)
def test_strides_do_not_matter(form):
    def scattered(t):
        return t.transpose(0, -1).contiguous().transpose(0, -1)

    inputs = operands(21)
    found = outcome(form, {name: scattered(t) for name, t in inputs.items()})
    torch.testing.assert_close(found, outcome(form, inputs), rtol=1e-5, atol=1e-5)


def test_a_wrong_shape_is_named():
    inputs = operands(5)
    with pytest.raises(ValueError, match=r"A \(D, N\); got x \(2, 5, 3\), dt \(2, 4, 3\)"):
        selective_scan(**inputs | {"dt": inputs["dt"][:, 1:]})
    for name, shape in (
        ("B", r"\(batch, length, N\), \(2, 5, 4\) here; got \(1, 5, 4\)"),
        ("C", r"\(batch, length, N\), \(2, 5, 4\) here; got \(1, 5, 4\)"),
        ("D", r"\(D,\), \(3,\) here; got \(1,\)"),
        ("z", r"\(batch, length, D\), \(2, 5, 3\) here; got \(1, 5, 3\)"),
        ("h0", r"\(batch, D, N\), \(2, 3, 4\) here; got \(1, 3, 4\)"),
    ):
        with pytest.raises(ValueError, match=f"need {name} {shape}"):
            selective_scan(**inputs | {name: inputs[name][:1]})


@pytest.mark.parametrize("name", ["x", "A", "h0"])
@pytest.mark.parametrize("dtype", [torch.complex64, torch.int64])
def test_a_wrong_kind_of_number_is_named(name, dtype):
    inputs = operands(5)
    with pytest.raises(ValueError, match=f"need real operands, in floating point; got {dtype}"):
        selective_scan(**inputs | {name: inputs[name].to(dtype)})
