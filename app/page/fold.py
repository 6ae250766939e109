"""A curve of any length in a bounded number of points: each the highest of what it stands for."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Fold:
    """Takes rows piece by piece; when there are too many points, two become one.

    Args:
        columns: values in a row.
        most: points, at the end between half of it and it, unless there are fewer rows.

    Attributes:
        width: rows that a point stands for; the last point may stand for fewer.
    """

    def __init__(self, columns: int, most: int):
        self._most, self.width = most, 1
        self._points = np.zeros((0, columns), np.float32)
        self._rest = np.zeros((0, columns), np.float32)  # rows of an unfinished point

    def push(self, rows: ArrayLike) -> None:
        """Add (n, columns) rows."""
        x = np.concatenate([self._rest, np.asarray(rows, np.float32)])
        whole = len(x) // self.width * self.width
        self._rest = x[whole:]
        points = x[:whole].reshape(-1, self.width, x.shape[1]).max(axis=1)
        self._points = np.concatenate([self._points, points])
        while len(self._points) > self._most:
            self._halve()

    @property
    def points(self) -> NDArray[np.float32]:
        """(points, columns)."""
        if not len(self._rest):
            return self._points
        return np.concatenate([self._points, self._rest.max(axis=0, keepdims=True)])

    def _halve(self) -> None:
        even = len(self._points) // 2 * 2
        # The odd point becomes rows again: its highest stands for all of them.
        odd = np.repeat(self._points[even:], self.width, axis=0)
        self._points = self._points[:even].reshape(-1, 2, self._points.shape[1]).max(axis=1)
        self._rest = np.concatenate([odd, self._rest])
        self.width *= 2
