import pytest
import torch

from sssm.math.series import multiply, reciprocal


def rows(length):
    g = torch.Generator().manual_seed(length)
    return torch.randn(2, 3, length, generator=g, dtype=torch.float64)


@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 100])
def test_a_product_is_that_of_the_polynomials_cut_off(length):
    a, b = rows(length)
    expected = [sum(a[:, k] * b[:, n - k] for k in range(n + 1)) for n in range(length)]
    torch.testing.assert_close(multiply(a, b), torch.stack(expected, dim=1))


@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 100])
def test_a_reciprocal_times_the_series_is_one(length):
    a = 0.1 * rows(length)[0] / (1 + torch.arange(length)) + torch.eye(1, length)
    one = multiply(a, reciprocal(a))
    torch.testing.assert_close(one, torch.eye(1, length).to(one).expand(3, -1))


def test_a_longer_reciprocal_has_no_more_to_remember():
    """Newton's turns are not differentiated, except for the last one."""
    remembered = []
    for length in (2, 100):
        a = torch.eye(1, length, dtype=torch.float64).requires_grad_()
        waiting, seen = [reciprocal(a).grad_fn], set()
        while waiting:
            node = waiting.pop()
            if node is not None and node not in seen:
                seen.add(node)
                waiting += [before for before, _ in node.next_functions]
        remembered.append(len(seen))
    assert remembered[0] == remembered[1]


def test_gradients_are_those_of_small_differences():
    a = 0.1 * rows(9)[0] + torch.eye(1, 9)
    assert torch.autograd.gradcheck(reciprocal, a.requires_grad_())
