"""The loops of `compiled.py`, in machine code.

Arrays are float32 and contiguous, channels last, real and imaginary parts apart, so that the inner
loops become vector instructions.  No slice is assigned: that takes seconds to compile, and this is
compiled on the first run after an install.
"""

import numpy as np

from sssm.layers.block import NORM_EPS
from sssm.ops.compiled import compiled
from sssm.ops.exp2 import exp2
from sssm.ops.flush import TINY

TILE = 4  # inputs, and rows, that one pass over the outputs takes


@compiled
def linear(x: np.ndarray, W: np.ndarray, b: np.ndarray, y: np.ndarray) -> None:
    """Linear map y = x W + b: x (rows, I), I a multiple of `TILE`, W (I, O), y (rows, O).

    Four rows share each weight that is loaded; every row's sums have one order however many there
    are, so that a stream's numbers are the same alone and among others.
    """
    rows, whole = x.shape[0], x.shape[0] - x.shape[0] % TILE
    for row in range(rows):
        to = y[row]
        for o in range(W.shape[1]):
            to[o] = b[o]
    for row in range(0, whole, TILE):
        x0, x1, x2, x3 = x[row], x[row + 1], x[row + 2], x[row + 3]
        y0, y1, y2, y3 = y[row], y[row + 1], y[row + 2], y[row + 3]
        for i in range(0, x.shape[1], TILE):
            W0, W1, W2, W3 = W[i], W[i + 1], W[i + 2], W[i + 3]
            a0, a1, a2, a3 = x0[i], x0[i + 1], x0[i + 2], x0[i + 3]
            b0, b1, b2, b3 = x1[i], x1[i + 1], x1[i + 2], x1[i + 3]
            c0, c1, c2, c3 = x2[i], x2[i + 1], x2[i + 2], x2[i + 3]
            d0, d1, d2, d3 = x3[i], x3[i + 1], x3[i + 2], x3[i + 3]
            for o in range(W.shape[1]):
                w0, w1, w2, w3 = W0[o], W1[o], W2[o], W3[o]
                y0[o] = y0[o] + a0 * w0 + a1 * w1 + a2 * w2 + a3 * w3
                y1[o] = y1[o] + b0 * w0 + b1 * w1 + b2 * w2 + b3 * w3
                y2[o] = y2[o] + c0 * w0 + c1 * w1 + c2 * w2 + c3 * w3
                y3[o] = y3[o] + d0 * w0 + d1 * w1 + d2 * w2 + d3 * w3
    for row in range(whole, rows):
        x0, y0 = x[row], y[row]
        for i in range(0, x.shape[1], TILE):
            W0, W1, W2, W3 = W[i], W[i + 1], W[i + 2], W[i + 3]
            a0, a1, a2, a3 = x0[i], x0[i + 1], x0[i + 2], x0[i + 3]
            for o in range(W.shape[1]):
                y0[o] = y0[o] + a0 * W0[o] + a1 * W1[o] + a2 * W2[o] + a3 * W3[o]


@compiled
def bands(
    energy: np.ndarray, quiet: float, mean: np.ndarray, decay: np.ndarray, affine: np.ndarray,
    heard: np.ndarray, y: np.ndarray,
) -> None:  # fmt: skip
    """Readings (rows, 4 frames, K) into y (rows, frames, K), see `sssm.layers.filterbank`.

    `mean` (rows, K) is the gain's state, changed in place; `affine` (4, K) holds the share of the
    mean that is lost, scale, shift, and what an unheard band says.
    """
    share, scale, shift, unheard = affine[0], affine[1], affine[2], affine[3]
    factor, one = np.float32(0.25 / quiet), np.float32(1)
    tiny, zero = np.float32(TINY), np.float32(0)
    for row in range(y.shape[0]):
        r = mean[row]
        for t in range(y.shape[1]):
            to = y[row, t]
            e0, e1 = energy[row, 4 * t], energy[row, 4 * t + 1]
            e2, e3 = energy[row, 4 * t + 2], energy[row, 4 * t + 3]
            for k in range(to.shape[0]):
                loud = np.log1p((e0[k] + e1[k] + e2[k] + e3[k]) * factor)
                now = decay[k] * r[k] + (one - decay[k]) * loud
                r[k] = zero if abs(now) < tiny else now
                said = scale[k] * (loud - share[k] * r[k]) + shift[k]
                to[k] = said if heard[k] else unheard[k]


@compiled
def block(
    y: np.ndarray, h: np.ndarray, n: int, A: np.ndarray, B: np.ndarray, C: np.ndarray,
    D: np.ndarray, W: np.ndarray, b: np.ndarray, v: np.ndarray, w: np.ndarray,
) -> None:  # fmt: skip
    """Block n of S4D, see `sssm.layers.block`: y (rows, frames, H) is changed in place.

    h (rows, blocks, 2, N, H) is the state, changed in place; A, B, C are (2, N, H), D (H,),
    W (H, 2H), b (2H,); v (rows, frames, H) and w (rows, frames, 2H) are scratch.
    """
    rows, frames, H = y.shape
    u, out = np.empty(H, y.dtype), np.empty(H, y.dtype)
    for row in range(rows):
        state = h[row, n]
        for t in range(frames):
            _normalize(y[row, t], u)
            for k in range(H):
                out[k] = D[k] * u[k]
            for m in range(A.shape[1]):
                _mode(
                    u, A[0, m], A[1, m], B[0, m], B[1, m], C[0, m], C[1, m],
                    state[0, m], state[1, m], out,
                )  # fmt: skip
            _gate(out, out, v[row, t])
    linear(v.reshape(rows * frames, H), W, b, w.reshape(rows * frames, 2 * H))
    for row in range(rows):
        for t in range(frames):
            to, mixed = y[row, t], w[row, t]
            _gate(mixed[:H], mixed[H:], out)
            for k in range(H):
                to[k] = to[k] + out[k]


@compiled
def pooled(y: np.ndarray, r: np.ndarray, decay: np.ndarray) -> None:
    """Norm and leaky mean, y (rows, frames, H) and its state r (rows, H) changed in place."""
    one, tiny, zero = np.float32(1), np.float32(TINY), np.float32(0)
    u = np.empty(y.shape[2], y.dtype)
    for row in range(y.shape[0]):
        mean = r[row]
        for t in range(y.shape[1]):
            _normalize(y[row, t], u)
            to = y[row, t]
            for k in range(u.shape[0]):
                now = decay[k] * mean[k] + (one - decay[k]) * u[k]
                mean[k] = zero if abs(now) < tiny else now
                to[k] = mean[k]


@compiled
def _gate(x: np.ndarray, gate: np.ndarray, to: np.ndarray) -> None:
    """Write x sigmoid(gate)."""
    one, most, log2_e = np.float32(1), np.float32(126), np.float32(1.442695041)
    for k in range(x.shape[0]):
        to[k] = x[k] / (one + exp2(min(-log2_e * gate[k], most)))


@compiled
def _normalize(x: np.ndarray, to: np.ndarray) -> None:
    total = np.float32(0)
    for k in range(x.shape[0]):
        total += x[k] * x[k]
    scale = np.float32(1) / np.sqrt(total / np.float32(x.shape[0]) + np.float32(NORM_EPS))
    for k in range(x.shape[0]):
        to[k] = x[k] * scale


@compiled
def _mode(
    u: np.ndarray, ar: np.ndarray, ai: np.ndarray, br: np.ndarray, bi: np.ndarray,
    cr: np.ndarray, ci: np.ndarray, re: np.ndarray, im: np.ndarray, y: np.ndarray,
) -> None:  # fmt: skip
    """One mode of every channel: h = A h + B u, y = y + 2 Re C h."""
    tiny, zero = np.float32(TINY), np.float32(0)
    for k in range(u.shape[0]):
        new_re = ar[k] * re[k] - ai[k] * im[k] + br[k] * u[k]
        new_im = ar[k] * im[k] + ai[k] * re[k] + bi[k] * u[k]
        re[k] = zero if abs(new_re) < tiny else new_re
        im[k] = zero if abs(new_im) < tiny else new_im
        y[k] = y[k] + 2 * (cr[k] * re[k] - ci[k] * im[k])
