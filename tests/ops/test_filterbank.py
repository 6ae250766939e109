import numpy as np
import pytest
import torch
from numerics import assert_as_good_as

from sssm.ops.filterbank import (
    filterbank,
    filterbank_by,
    filterbank_matrices,
    filterbank_reference,
    parallel,
)

K = 3
READINGS = {  # length, ends of the readings, longest
    "equal": (120, [40, 80, 120], 40),
    "a rest": (131, [40, 80, 120], 40),
    "by turns longer": (90, [27, 55, 82], 28),
    "a short first": (70, [3, 43], 40),
    "none": (17, [], 17),
    "one sample": (1, [1], 1),
    "one sample, none": (1, [], 1),
    "nothing": (0, [], 0),
}
every_way = pytest.mark.parametrize(("length", "ends", "longest"), READINGS.values(), ids=READINGS)


def operands(length, ends, real=torch.float32, batch=2, bands=K):
    """x, a, b, ends, h0; the same numbers in every precision."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(batch, length, generator=g)
    radius = torch.tensor([0.995, 0.9, 0.6])[:bands]
    a = torch.polar(radius, torch.tensor([0.05, 0.5, 2.5])[:bands])
    h0 = torch.randn(batch, 2, bands, generator=g, dtype=torch.complex64)
    x, a, b, h0 = (
        t.to(real.to_complex() if t.is_complex() else real) for t in (x, a, 1 - a.abs(), h0)
    )
    return x, a, b, torch.tensor(ends, dtype=torch.int64), h0


def outcome(form, operands):
    """Outputs, and gradients of a loss that weighs every energy and the last state."""
    x, a, b, ends, h0 = operands
    inputs = [t.clone().requires_grad_() for t in (x, a, b, h0)]
    energy, h = form(*inputs[:3], ends, inputs[3])
    ways = torch.linspace(1, 2, energy.shape[1], dtype=energy.dtype)[:, None]
    loss = (ways * energy).sum() + ((2 - 1j) * h * h).real.sum()
    return [energy, h, *torch.autograd.grad(loss, inputs, materialize_grads=True)]


def with_longest(longest):
    return lambda *operands: filterbank(*operands, longest=longest)


@every_way
def test_as_good_as_the_reference(length, ends, longest):
    for found, reference, truth in zip(
        outcome(with_longest(longest), operands(length, ends)),
        outcome(filterbank_reference, operands(length, ends)),
        outcome(filterbank_reference, operands(length, ends, torch.float64)),
        strict=True,
    ):
        assert_as_good_as(found, reference, truth)


@every_way
def test_it_is_the_recurrence_written_out_in_numpy(length, ends, longest):
    x, a, b, _, h0 = (t.numpy() for t in operands(length, ends, torch.float64))
    one, two, energies = h0[:, 0], h0[:, 1], []
    for n in range(length):
        one = a * one + b * x[:, n, None]
        two = a * two + b * one
        if n + 1 in ends:
            energies.append(np.abs(two) ** 2)
    expected = np.array(energies).reshape(len(ends), 2, K).swapaxes(0, 1)
    for form in (with_longest(longest), filterbank_reference):
        energy, h = form(*operands(length, ends, torch.float64))
        np.testing.assert_allclose(energy, expected, rtol=1e-10, atol=1e-14)
        np.testing.assert_allclose(h, np.stack([one, two], axis=1), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(("length", "ends", "longest"), [*READINGS.values()][:-1])
def test_the_plain_loop_is_the_compiled_scan(length, ends, longest):
    """What runs where there is no compiled scan, on other devices."""
    x, a, b, ends, h0 = operands(length, ends, torch.float64)
    lengths = parallel.piece_lengths(ends, length)
    u = parallel.pieces(x, lengths, longest) @ parallel.taps(a, b, longest)
    inputs = [u, parallel.carries(a, b, lengths), parallel.planes(h0)]

    def run(scan):
        leaves = [t.clone().requires_grad_() for t in inputs]
        energy, h = scan(*leaves)
        loss = energy.square().sum() + h[:, -1].sin().sum()
        return [energy, h, *torch.autograd.grad(loss, leaves)]

    found, expected = run(parallel.scan_parallel), run(torch.ops.sssm.filterbank_scan)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("slack", [0, 1, 30])
def test_longest_may_be_longer(slack):
    inputs = operands(90, [27, 55, 82])
    expected = filterbank(*inputs, longest=28)
    found = filterbank(*inputs, longest=28 + slack)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("length", "ends"), [(1, [1]), (7, [3, 6]), (4, [])])
def test_gradients_are_those_of_small_differences(length, ends):
    x, a, b, ends, h0 = operands(length, ends, torch.float64)
    inputs = [t.requires_grad_() for t in (x, a, b, h0)]
    assert torch.autograd.gradcheck(
        lambda x, a, b, h0: filterbank(x, a, b, ends, h0, longest=4), inputs
    )


@torch.no_grad()
def test_what_decays_becomes_exact_zero():
    x, a, b, ends, h0 = operands(10_000, range(40, 10_001, 40))
    energy, h = filterbank(torch.zeros_like(x), a, b, ends, h0, longest=40)
    assert not h.any()
    smallest = torch.finfo(torch.float32).tiny
    assert ((energy == 0) | (energy >= smallest)).all()


def test_damage_is_not_hidden():
    x, a, b, ends, h0 = operands(40, [40])
    x[0, 20] = float("nan")
    energy, h = filterbank(x, a, b, ends, h0, longest=40)
    assert energy[0].isnan().all()
    assert h[0].isnan().all()
    assert energy[1].isfinite().all()  # rows do not hear one another


def test_nothing_leaves_the_state_and_aliases_nothing():
    *rest, h0 = operands(0, [])
    energy, h = filterbank(*rest, h0, longest=0)
    assert energy.shape == (2, 0, K)
    assert torch.equal(h, h0)
    assert h.data_ptr() != h0.data_ptr()


def test_nothing_leaves_gradients_of_zero():
    x, a, b, ends, h0 = operands(0, [])
    inputs = [t.requires_grad_() for t in (x, a, b)]
    energy, _ = filterbank(*inputs, ends, h0, longest=0)
    found = torch.autograd.grad(energy.sum(), inputs)
    assert all(map(torch.equal, found, map(torch.zeros_like, inputs)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize("way", ["a rest", "nothing"])
def test_samples_of_another_precision_are_heard_in_that_of_the_modes(way, dtype):
    length, ends, longest = READINGS[way]
    x, *rest = operands(length, ends)
    found = filterbank(x.to(dtype), *rest, longest=longest)
    expected = filterbank(x.to(dtype).float(), *rest, longest=longest)
    assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize("pieces", [1, 3])
def test_the_op_is_registered_properly(pieces):
    g = torch.Generator().manual_seed(0)
    shapes = (2, pieces, 4 * K), (pieces, 4, K), (2, 4, K)
    inputs = tuple(torch.randn(shape, generator=g).requires_grad_() for shape in shapes)
    torch.library.opcheck(torch.ops.sssm.filterbank_scan.default, inputs)


@pytest.mark.parametrize("way", ["a rest", "nothing"])
def test_it_compiles_without_a_break(way):
    length, ends, longest = READINGS[way]
    form = with_longest(longest)
    compiled = torch.compile(form, fullgraph=True, backend="aot_eager")
    inputs = operands(length, ends)
    assert all(map(torch.equal, outcome(compiled, inputs), outcome(form, inputs)))


def test_strides_and_lazy_conjugates_do_not_matter():
    x, a, b, ends, h0 = operands(131, [40, 80, 120])
    expected = filterbank(x, a.conj_physical(), b, ends, h0.conj_physical(), longest=40)
    strided = h0.transpose(0, 2).contiguous().transpose(0, 2).conj()
    found = filterbank(x.T.contiguous().T, a.conj(), b, ends, strided, longest=40)
    assert all(map(torch.equal, found, expected))


def test_mixed_precision_leaves_it_alone():
    inputs = operands(131, [40, 80, 120])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = filterbank(*inputs, longest=40)
    assert all(map(torch.equal, found, filterbank(*inputs, longest=40)))


def test_its_tables_are_made_where_its_operands_are():
    inputs = operands(131, [40, 80, 120])
    with torch.device("meta"):  # where a table that names no device would go
        found = filterbank(*inputs, longest=40)
    assert all(map(torch.equal, found, filterbank(*inputs, longest=40)))


def test_a_wrong_shape_or_size_is_named():
    x, a, b, ends, h0 = operands(131, [40, 80, 120])
    with pytest.raises(ValueError, match=r"a and b \(K,\); got x \(2, 131\), a \(3,\), b \(2,\)"):
        filterbank(x, a, b[:2], ends, h0, longest=40)
    with pytest.raises(ValueError, match=r"need h0 \(batch, 2, K\); got \(1, 2, 3\)"):
        filterbank(x, a, b, ends, h0[:1], longest=40)
    with pytest.raises(ValueError, match=r"ends \(readings,\); got x \(2, 131\), ends \(1, 3\)"):
        filterbank(x, a, b, ends[None], h0, longest=40)
    matrices = filterbank_matrices(a, b, longest=40)
    with pytest.raises(ValueError, match=r"need x \(batch, length\) .* got x \(2, 131, 1\)"):
        filterbank_by(x[..., None], matrices, ends, h0)
    with pytest.raises(ValueError, match="a reading has 40 samples, more than 39"):
        filterbank(x, a, b, ends, h0, longest=39)
