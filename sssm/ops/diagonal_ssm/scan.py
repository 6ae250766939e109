"""The diagonal model as one compiled loop over time: the recurrence itself, and its adjoint.

All modes of all channels are one line of N H numbers, channels last as in the input, real and
imaginary part apart, so that the inner loops run over contiguous memory and become vector
instructions.  The backward keeps one state every `CHUNK` elements and makes the others again.
"""

import numpy as np

from sssm.ops.compiled import compiled
from sssm.ops.flush import TINY

CHUNK = 64


@compiled
def scan(
    x: np.ndarray, A: np.ndarray, B: np.ndarray, C: np.ndarray, h: np.ndarray, y: np.ndarray
) -> None:
    """Write y (batch, length, H); `h` (batch, 2, N H) comes as the first state, leaves as the last.

    x is (batch, length, H), A, B and C are (2, N H).
    """
    length, lanes = x.shape[1], A.shape[1]
    before, u = np.empty((2, lanes), x.dtype), np.empty(lanes, x.dtype)
    for row in range(x.shape[0]):
        for t in range(length):
            _repeat(x[row, t], u)
            _copy(h[row], before)
            _advance(u, A, B, before, h[row])
            for k in range(lanes):
                u[k] = 2 * (C[0, k] * h[row, 0, k] - C[1, k] * h[row, 1, k])
            _add_up(u, y[row, t])
            if (t + 1) % CHUNK == 0:
                _flush(h[row])
        _flush(h[row])


@compiled
def scan_backward(
    x: np.ndarray, A: np.ndarray, B: np.ndarray, C: np.ndarray, h0: np.ndarray, dy: np.ndarray,
    dx: np.ndarray, dA: np.ndarray, dB: np.ndarray, dC: np.ndarray, dh: np.ndarray,
) -> None:  # fmt: skip
    """Adjoint of `scan`: `dh` comes as the last state's gradient and leaves as the first's.

    dx is written; dA, dB and dC are added to.
    """
    length, lanes = x.shape[1], A.shape[1]
    chunks = max(1, (length + CHUNK - 1) // CHUNK)  # the first has a mark, of no elements too
    marks = np.empty((chunks, 2, lanes), x.dtype)  # the state before each chunk
    states = np.empty((CHUNK + 1, 2, lanes), x.dtype)  # before and after each element of a chunk
    u, twice_dy = np.empty(lanes, x.dtype), np.empty(lanes, x.dtype)
    g = np.empty((2, lanes), x.dtype)
    for row in range(x.shape[0]):
        _copy(h0[row], marks[0])
        for chunk in range(chunks - 1):
            _run(x[row, chunk * CHUNK : (chunk + 1) * CHUNK], A, B, marks[chunk], states, u)
            _copy(states[CHUNK], marks[chunk + 1])
            _flush(marks[chunk + 1])
        for chunk in range(chunks - 1, -1, -1):
            first = chunk * CHUNK
            size = min(CHUNK, length - first)
            _run(x[row, first : first + size], A, B, marks[chunk], states, u)
            for t in range(size - 1, -1, -1):
                _repeat(x[row, first + t], u)
                _repeat(dy[row, first + t], twice_dy)
                _double(twice_dy)
                _retreat(u, A, B, C, states[t], states[t + 1], twice_dy, dA, dB, dC, dh[row], g)
                _add_up(u, dx[row, first + t])


@compiled
def _run(
    x: np.ndarray, A: np.ndarray, B: np.ndarray, start: np.ndarray, states: np.ndarray,
    u: np.ndarray,
) -> None:  # fmt: skip
    """All states of one chunk."""
    _copy(start, states[0])
    for t in range(x.shape[0]):
        _repeat(x[t], u)
        _advance(u, A, B, states[t], states[t + 1])


# Each loop below touches few arrays and writes one: with more, the compiler cannot check at run
# time that they do not overlap, and leaves the loop scalar; likewise with an offset in an index, so
# a mode's part of a line is a view.  None assigns a slice: that takes seconds to compile, and this
# is compiled on the first run after an install.


@compiled
def _copy(h: np.ndarray, to: np.ndarray) -> None:
    for k in range(h.shape[1]):
        to[0, k] = h[0, k]
    for k in range(h.shape[1]):
        to[1, k] = h[1, k]


@compiled
def _double(u: np.ndarray) -> None:
    for k in range(u.shape[0]):
        u[k] *= 2


@compiled
def _repeat(x: np.ndarray, u: np.ndarray) -> None:
    """The input once for every mode."""
    H = x.shape[0]
    for start in range(0, u.shape[0], H):
        part = u[start : start + H]
        for k in range(H):
            part[k] = x[k]


@compiled
def _add_up(u: np.ndarray, y: np.ndarray) -> None:
    """The sum over the modes of `u`."""
    H = y.shape[0]
    for k in range(H):
        y[k] = u[k]
    for start in range(H, u.shape[0], H):
        part = u[start : start + H]
        for k in range(H):
            y[k] += part[k]


@compiled
def _advance(
    u: np.ndarray, A: np.ndarray, B: np.ndarray, before: np.ndarray, after: np.ndarray
) -> None:
    """One element: after = A before + B u."""
    lanes = u.shape[0]
    for k in range(lanes):
        after[0, k] = A[0, k] * before[0, k] - A[1, k] * before[1, k] + B[0, k] * u[k]
    for k in range(lanes):
        after[1, k] = A[0, k] * before[1, k] + A[1, k] * before[0, k] + B[1, k] * u[k]


@compiled
def _retreat(
    u: np.ndarray, A: np.ndarray, B: np.ndarray, C: np.ndarray, before: np.ndarray,
    after: np.ndarray, twice_dy: np.ndarray, dA: np.ndarray, dB: np.ndarray, dC: np.ndarray,
    dh: np.ndarray, g: np.ndarray,
) -> None:  # fmt: skip
    """Adjoint of `_advance` and of y = 2 Re C h; `u` becomes the input's gradient, `g` is scratch.

    Gradients of complex numbers conjugate.
    """
    lanes = u.shape[0]
    for k in range(lanes):
        g[0, k] = dh[0, k] + twice_dy[k] * C[0, k]
    for k in range(lanes):
        g[1, k] = dh[1, k] - twice_dy[k] * C[1, k]
    for k in range(lanes):
        dC[0, k] += twice_dy[k] * after[0, k]
    for k in range(lanes):
        dC[1, k] -= twice_dy[k] * after[1, k]
    for k in range(lanes):
        dB[0, k] += g[0, k] * u[k]
    for k in range(lanes):
        dB[1, k] += g[1, k] * u[k]
    for k in range(lanes):
        u[k] = g[0, k] * B[0, k] + g[1, k] * B[1, k]
    for k in range(lanes):
        dA[0, k] += g[0, k] * before[0, k] + g[1, k] * before[1, k]
    for k in range(lanes):
        dA[1, k] += g[1, k] * before[0, k] - g[0, k] * before[1, k]
    for k in range(lanes):
        dh[0, k] = g[0, k] * A[0, k] + g[1, k] * A[1, k]
    for k in range(lanes):
        dh[1, k] = g[1, k] * A[0, k] - g[0, k] * A[1, k]


@compiled
def _flush(h: np.ndarray) -> None:
    for part in range(2):
        for k in range(h.shape[1]):
            if abs(h[part, k]) < TINY:
                h[part, k] = 0
