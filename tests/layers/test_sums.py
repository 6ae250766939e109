import pytest
import torch

from sssm.layers.sums import sums_of

SIZE = 4


@pytest.mark.parametrize("sizes", [(11,), (3, 1, 0, 7), (4, 4, 3), (0, 11), (1,) * 11])
def test_any_cut_gives_the_same_sums(sizes):
    x = torch.arange(2 * 11 * 3.0).reshape(2, 11, 3)
    found, partial, heard = [], torch.zeros(2, 3), 0
    for piece in x.split(sizes, dim=1):
        sums, partial = sums_of(piece, SIZE, heard % SIZE, partial)
        found.append(sums)
        heard += piece.shape[1]
    assert torch.equal(torch.cat(found, dim=1), x[:, :8].unflatten(1, (2, SIZE)).sum(dim=2))
    assert torch.equal(partial, x[:, 8:].sum(dim=1))


@pytest.mark.parametrize("length", [0, 1, 3, 5])
def test_what_is_left_is_a_tensor_of_its_own(length):
    partial = torch.ones(1, 2)
    _, rest = sums_of(torch.ones(1, length, 2), SIZE, 1, partial)
    rest += 1
    assert torch.equal(partial, torch.ones(1, 2))
