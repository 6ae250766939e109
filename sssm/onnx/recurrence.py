"""Linear recurrences of single channels by dense matrices: many elements in one product.

    z_t = A z_(t-1) + B x_t,  y_t = C z_(t-1) + D x_t,  N real numbers a channel

A channel hears S elements at once by one matrix (S + N, S + N): from the elements and the state
before to the outputs and the state after.  More elements are cut into pieces; what is inside of a
piece, and what it leaves to the state, is one product for all of them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sssm.onnx.graph import Graph
from sssm.onnx.state import State

MOST_IN_A_PIECE = 40  # elements: longer pieces cost more inside, shorter ones more between


class Recurrence:
    """A recurrence with one state (batch, N, H).

    Args:
        name: of its state.
        A: (H, N, N) from the state before (last axis) to the state after, in float64.
        B, C: (H, N).
        D: (H,).
    """

    def __init__(
        self, name: str, A: NDArray[Any], B: NDArray[Any], C: NDArray[Any], D: NDArray[Any]
    ):
        self._system = A, B, C, D
        H, N = B.shape
        self.states: Sequence[State] = (State(name, (N, H)),)

    def hear(self, g: Graph, x: str, states: Sequence[str], count: int) -> tuple[str, list[str]]:
        """(batch count, H) -> the same, elements of a row side by side, and the next state."""
        H, N = self._system[1].shape
        size = max(n for n in range(1, min(count, MOST_IN_A_PIECE) + 1) if count % n == 0)
        matrix = unrolled(*self._system, size)
        if size < count:
            return self._in_pieces(g, x, states[0], matrix, count // size)
        both = g.concat([g.reshape(x, (-1, count, H)), states[0]], axis=1)
        after = g.matmul(g.transpose(both, (2, 0, 1)), _constant(g, matrix))
        y, z = g.split(g.transpose(after, (1, 2, 0)), [count, N], axis=1)
        return g.reshape(y, (-1, H)), [z]

    def _in_pieces(
        self, g: Graph, x: str, state: str, matrix: NDArray[np.float64], pieces: int
    ) -> tuple[str, list[str]]:
        """The state is carried from piece to piece, channel by channel."""
        H, N = self._system[1].shape
        size = matrix.shape[1] - N
        heard, carry, onward = (
            _constant(g, part[:, None])
            for part in (matrix[:, :size], matrix[:, size:, size:], matrix[:, size:, :size])
        )
        u = g.reshape(x, (-1, pieces, size, H))
        u = g.transpose(u, (3, 1, 0, 2))  # (H, pieces, batch, S)
        y, added = g.split(g.matmul(u, heard), [size, N], axis=3)
        z = g.unsqueeze(g.transpose(state, (2, 0, 1)), [1])  # (H, 1, batch, N)
        starts = []
        for piece in g.split(added, [1] * pieces, axis=1):
            starts.append(z)
            z = g.add(g.matmul(z, carry), piece)
        y = g.add(y, g.matmul(g.concat(starts, axis=1), onward))
        z = g.transpose(g.reshape(z, (H, -1, N)), (1, 2, 0))
        return g.reshape(g.transpose(y, (2, 1, 3, 0)), (-1, H)), [z]


def leaky(name: str, decay: NDArray[Any]) -> Recurrence:
    """r_t = decay r_(t-1) + (1 - decay) x_t, which is the output too."""
    a = decay.astype(np.float64)[:, None]
    return Recurrence(name, a[..., None], 1 - a, a, 1 - a[:, 0])


def unrolled(
    A: NDArray[Any], B: NDArray[Any], C: NDArray[Any], D: NDArray[Any], steps: int
) -> NDArray[np.float64]:
    """The matrix (H, steps + N, steps + N) of so many elements, rows being what is heard."""
    H, N = B.shape
    matrix = np.zeros((H, steps + N, steps + N))
    element, state = B, np.swapaxes(A, 1, 2)  # what one left in the state so many steps ago
    answer = D.astype(np.float64)  # of an element that was heard so many steps ago
    for step in range(steps):
        for source in range(steps - step):
            matrix[:, source, source + step] = answer
        answer = np.einsum("hn,hn->h", element, C)
        matrix[:, steps - 1 - step, steps:] = element
        element = np.einsum("hnm,hm->hn", A, element)
    leaves = C
    for step in range(steps):
        matrix[:, steps:, step] = leaves
        leaves = np.einsum("hn,hnm->hm", leaves, A)
    matrix[:, steps:, steps:] = np.linalg.matrix_power(state, steps)
    return matrix


def _constant(g: Graph, matrix: NDArray[Any]) -> str:
    return g.constant(np.ascontiguousarray(matrix, np.float32), "recurrence")
