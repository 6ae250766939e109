import pytest
import torch

from sssm.math.krylov import krylov, power, squarings

A = torch.randn(2, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) / 4


@pytest.mark.parametrize("exponent", [0, 1, 2, 7, 8, 13])
def test_power(exponent):
    expected = torch.linalg.matrix_power(A, exponent)
    torch.testing.assert_close(power(squarings(A, exponent), exponent), expected)


def test_a_power_beyond_the_squarings_is_refused():
    with pytest.raises(ValueError, match="3 squarings make no power of 8"):
        power(squarings(A, 4), 8)


def test_powers_below_the_largest_share_its_squarings():
    squares = squarings(A, 13)
    assert len(squares) == 4
    torch.testing.assert_close(power(squares, 6), torch.linalg.matrix_power(A, 6))


@pytest.mark.parametrize("length", [1, 2, 7, 8, 13])
def test_krylov(length):
    b = torch.arange(10, dtype=torch.float64).view(2, 5)
    expected = [torch.linalg.matrix_power(A, l) @ b[..., None] for l in range(length)]  # noqa: E741
    torch.testing.assert_close(krylov(squarings(A, length), b, length), torch.cat(expected, -1))
