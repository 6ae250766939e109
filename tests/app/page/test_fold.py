"""Curves of long recordings in few points."""

import numpy as np
import pytest

from app.page.fold import Fold


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 100, 1_000])
def test_a_fold_keeps_the_highest(length):
    x = np.random.default_rng(length).standard_normal((length, 2)).astype(np.float32)
    fold = Fold(2, 8)
    for at in range(0, length, 3):
        fold.push(x[at : at + 3])
    points = fold.points
    assert len(points) <= 9
    expected = [x[at : at + fold.width].max(axis=0) for at in range(0, length, fold.width)]
    assert points.tolist() == np.array(expected).reshape(-1, 2).tolist()


def test_a_fold_of_one_large_piece_is_as_small():
    x = np.random.default_rng(0).standard_normal((1_000, 1)).astype(np.float32)
    fold = Fold(1, 8)
    fold.push(x[:8])
    assert (fold.width, len(fold.points)) == (1, 8)
    fold.push(x[8:])
    assert fold.points.tolist() == [
        x[at : at + 128].max(axis=0).tolist() for at in range(0, 1_000, 128)
    ]
