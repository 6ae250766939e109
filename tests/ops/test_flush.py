import pytest
import torch

from sssm.ops.flush import TINY, flush

SMALLEST = torch.finfo(torch.float32).tiny


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_tiny_becomes_exact_zero_and_the_rest_stays(dtype):
    h = torch.tensor([1.0, -3e-18, 9e-19, -9e-19, 1e-40, 0.0, -2e10], dtype=dtype)
    expected = torch.tensor([1.0, -3e-18, 0, 0, 0, 0, -2e10], dtype=dtype)
    assert torch.equal(flush(h), expected)


def test_real_and_imaginary_parts_are_silenced_each():
    """A number that is large in one part would keep a subnormal one in the other."""
    h = torch.tensor([1 + 1e-40j, 1e-19 - 2j, 1e-19j], dtype=torch.complex64)
    assert torch.equal(flush(h), torch.tensor([1, -2j, 0], dtype=torch.complex64))


def test_the_energy_of_the_smallest_number_left_is_not_subnormal():
    assert TINY**2 > SMALLEST


def test_damage_is_not_hidden():
    h = flush(torch.tensor([float("nan"), float("inf")]))
    assert h.isnan().tolist() == [True, False]


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_the_gradient_passes_through_silence(dtype):
    h = torch.tensor([0, 1e-20, 2], dtype=dtype, requires_grad=True)
    flush(h).real.sum().backward()
    assert torch.equal(h.grad, torch.ones(3, dtype=dtype))


def test_it_gives_a_tensor_of_its_own():
    for h in (torch.ones(2), torch.ones(2, dtype=torch.complex64)):
        assert flush(h).untyped_storage().data_ptr() != h.untyped_storage().data_ptr()


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_strides_do_not_matter(dtype):
    h = torch.tensor([[1, 1e-20, 3], [0, 5, 1e-30]], dtype=dtype)
    assert torch.equal(flush(h.T), flush(h).T)
    assert torch.equal(flush(h[:, :1].expand(2, 4)), flush(h[:, :1]).expand(2, 4))
