"""The selective scan as one compiled pass over time, and its adjoint.

The state is kept as N lines of D numbers, channels last as in the input, so that the inner loops
run over contiguous memory and become vector instructions.  The forward pass leaves the state
before every `chunk` elements; the backward makes the others again from there.
"""

import math

import numpy as np

from sssm.ops.compiled import compiled
from sssm.ops.exp2 import exp2
from sssm.ops.flush import TINY


@compiled
def scan(
    x: np.ndarray, dt: np.ndarray, A: np.ndarray, B: np.ndarray, C: np.ndarray, D: np.ndarray,
    z: np.ndarray, leak: float, gated: bool, chunk: int, h: np.ndarray, y: np.ndarray,
    marks: np.ndarray,
) -> None:  # fmt: skip
    """Write y (batch, length, D) and marks (batch, chunks, N, D), or (batch, 0, N, D) for none.

    `h` (batch, N, D) comes as the first state, leaves as the last.  A is (N, D), the rest as in the
    contract; A and `leak` are in base 2.
    """
    length = x.shape[1]
    u = np.empty(x.shape[2], x.dtype)
    for row in range(x.shape[0]):
        for t in range(length):
            if t % chunk == 0:
                _flush(h[row])
                if marks.shape[1] > 0:
                    _copy(h[row], marks[row, t // chunk])
            _multiply(dt[row, t], x[row, t], u)
            _multiply(D, x[row, t], y[row, t])
            _advance(dt[row, t], A, u, B[row, t], leak, h[row])
            _read(h[row], C[row, t], y[row, t])
            if gated:
                _gate(z[row, t], y[row, t])
        _flush(h[row])


@compiled
def scan_backward(
    x: np.ndarray, dt: np.ndarray, A: np.ndarray, B: np.ndarray, C: np.ndarray, D: np.ndarray,
    z: np.ndarray, leak: float, gated: bool, chunk: int, marks: np.ndarray, dy: np.ndarray,
    dx: np.ndarray, ddt: np.ndarray, dA: np.ndarray, dB: np.ndarray, dC: np.ndarray,
    dD: np.ndarray, dz: np.ndarray, dh: np.ndarray,
) -> None:  # fmt: skip
    """Adjoint of `scan`: `dh` comes as the last state's gradient and leaves as the first's.

    dA and dD are added to, and are those of A and D in base e; everything else is written.
    """
    length, N, H = x.shape[1], A.shape[0], x.shape[2]
    states = np.empty((chunk + 1, N, H), x.dtype)  # before and after each element of a chunk
    decays = np.empty((chunk, N, H), x.dtype)
    q = np.empty((N, H), x.dtype)
    u, y, gy, gB, gA = np.empty((5, H), x.dtype)
    ln_2 = x.dtype.type(math.log(2))
    for row in range(x.shape[0]):
        for piece in range(marks.shape[1] - 1, -1, -1):
            first = piece * chunk
            size = min(chunk, length - first)
            _copy(marks[row, piece], states[0])
            for s in range(size):
                t = first + s
                _multiply(dt[row, t], x[row, t], u)
                _decay(dt[row, t], A, leak, decays[s])
                _follow(decays[s], states[s], u, B[row, t], states[s + 1])
            for s in range(size - 1, -1, -1):
                t = first + s
                _copy_line(dy[row, t], gy)
                if gated:
                    _multiply(D, x[row, t], y)
                    _read(states[s + 1], C[row, t], y)
                    _multiply(y, gy, dz[row, t])
                    _gate_slope(z[row, t], dz[row, t])
                    _gate(z[row, t], gy)
                _multiply(dt[row, t], x[row, t], u)
                _dots(gy, states[s + 1], dC[row, t])
                _add_outer(gy, C[row, t], dh[row])
                _dots(u, dh[row], dB[row, t])
                _zero(gB)
                _read(dh[row], B[row, t], gB)
                _scale(decays[s], dh[row])
                _multiply_all(dh[row], states[s], q)
                _zero(gA)
                _add_columns(q, A, gA)
                _add_rows(q, dt[row, t], dA)
                _add_product(gy, x[row, t], dD)
                _multiply(gy, D, dx[row, t])
                _add_product(gB, dt[row, t], dx[row, t])
                _multiply(gB, x[row, t], ddt[row, t])
                _add_scaled(gA, ln_2, ddt[row, t])


# Each loop below touches few arrays and writes one: with more, the compiler cannot check at run
# time that they do not overlap, and leaves the loop scalar.


@compiled
def _advance(
    dt: np.ndarray, A: np.ndarray, u: np.ndarray, B: np.ndarray, leak: float, h: np.ndarray
) -> None:
    for n in range(h.shape[0]):
        b = B[n]
        for k in range(h.shape[1]):
            h[n, k] = exp2(dt[k] * A[n, k] - leak) * h[n, k] + u[k] * b


@compiled
def _read(h: np.ndarray, C: np.ndarray, y: np.ndarray) -> None:
    for n in range(h.shape[0]):
        c = C[n]
        for k in range(h.shape[1]):
            y[k] += h[n, k] * c


@compiled
def _decay(dt: np.ndarray, A: np.ndarray, leak: float, decay: np.ndarray) -> None:
    for n in range(A.shape[0]):
        for k in range(A.shape[1]):
            decay[n, k] = exp2(dt[k] * A[n, k] - leak)


@compiled
def _follow(
    decay: np.ndarray, before: np.ndarray, u: np.ndarray, B: np.ndarray, after: np.ndarray
) -> None:
    for n in range(after.shape[0]):
        b = B[n]
        for k in range(after.shape[1]):
            after[n, k] = decay[n, k] * before[n, k] + u[k] * b


@compiled
def _dots(a: np.ndarray, b: np.ndarray, to: np.ndarray) -> None:
    """Sums over the channels, eight at a time: one sum alone would wait for itself."""
    whole = a.shape[0] // 8 * 8
    for n in range(b.shape[0]):
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = a.dtype.type(0)
        for k in range(0, whole, 8):
            s0 += a[k] * b[n, k]
            s1 += a[k + 1] * b[n, k + 1]
            s2 += a[k + 2] * b[n, k + 2]
            s3 += a[k + 3] * b[n, k + 3]
            s4 += a[k + 4] * b[n, k + 4]
            s5 += a[k + 5] * b[n, k + 5]
            s6 += a[k + 6] * b[n, k + 6]
            s7 += a[k + 7] * b[n, k + 7]
        total = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
        for k in range(whole, a.shape[0]):
            total += a[k] * b[n, k]
        to[n] = total


@compiled
def _add_outer(a: np.ndarray, b: np.ndarray, to: np.ndarray) -> None:
    for n in range(to.shape[0]):
        by = b[n]
        for k in range(to.shape[1]):
            to[n, k] += a[k] * by


@compiled
def _scale(by: np.ndarray, to: np.ndarray) -> None:
    for n in range(to.shape[0]):
        for k in range(to.shape[1]):
            to[n, k] *= by[n, k]


@compiled
def _multiply_all(a: np.ndarray, b: np.ndarray, to: np.ndarray) -> None:
    for n in range(to.shape[0]):
        for k in range(to.shape[1]):
            to[n, k] = a[n, k] * b[n, k]


@compiled
def _add_columns(a: np.ndarray, b: np.ndarray, to: np.ndarray) -> None:
    for n in range(a.shape[0]):
        for k in range(a.shape[1]):
            to[k] += a[n, k] * b[n, k]


@compiled
def _add_rows(a: np.ndarray, b: np.ndarray, to: np.ndarray) -> None:
    for n in range(a.shape[0]):
        for k in range(a.shape[1]):
            to[n, k] += a[n, k] * b[k]


@compiled
def _multiply(a: np.ndarray, b: np.ndarray, to: np.ndarray) -> None:
    for k in range(to.shape[0]):
        to[k] = a[k] * b[k]


@compiled
def _add_scaled(a: np.ndarray, by: float, to: np.ndarray) -> None:
    for k in range(to.shape[0]):
        to[k] += a[k] * by


@compiled
def _add_product(a: np.ndarray, b: np.ndarray, to: np.ndarray) -> None:
    for k in range(to.shape[0]):
        to[k] += a[k] * b[k]


@compiled
def _gate(z: np.ndarray, y: np.ndarray) -> None:
    """Multiply y by SiLU(z)."""
    one, most, log2_e = z.dtype.type(1), z.dtype.type(126), z.dtype.type(1 / math.log(2))
    for k in range(y.shape[0]):
        y[k] *= z[k] / (one + exp2(min(-log2_e * z[k], most)))


@compiled
def _gate_slope(z: np.ndarray, y: np.ndarray) -> None:
    """Multiply y by dSiLU(z)/dz."""
    one, most, log2_e = z.dtype.type(1), z.dtype.type(126), z.dtype.type(1 / math.log(2))
    for k in range(y.shape[0]):
        open_ = one / (one + exp2(min(-log2_e * z[k], most)))
        y[k] *= open_ * (one + z[k] * (one - open_))


@compiled
def _copy(h: np.ndarray, to: np.ndarray) -> None:
    for n in range(h.shape[0]):
        for k in range(h.shape[1]):
            to[n, k] = h[n, k]


@compiled
def _copy_line(a: np.ndarray, to: np.ndarray) -> None:
    for k in range(to.shape[0]):
        to[k] = a[k]


@compiled
def _zero(to: np.ndarray) -> None:
    for k in range(to.shape[0]):
        to[k] = 0


@compiled
def _flush(h: np.ndarray) -> None:
    tiny, zero = h.dtype.type(TINY), h.dtype.type(0)
    for n in range(h.shape[0]):
        for k in range(h.shape[1]):
            h[n, k] = zero if abs(h[n, k]) < tiny else h[n, k]
