"""The scan over readings, compiled: both stages, the energy, and their adjoint, state kept.

Arrays are real planes (re 1, im 1, re 2, im 2), each K long, so that the inner loops run over
contiguous memory and become vector instructions.  No slice is assigned: that takes seconds to
compile, and this is compiled on the first run after an install.
"""

import numpy as np

from sssm.ops.compiled import compiled
from sssm.ops.flush import TINY


@compiled
def scan(h: np.ndarray, carry: np.ndarray, start: np.ndarray, energy: np.ndarray) -> None:
    """Turn `h` (batch, M, 4K) from inputs into states, and write |h2|^2 of every reading."""
    batch, pieces, planes = h.shape
    K = planes // 4
    tiny = h.dtype.type(TINY)
    zero = h.dtype.type(0)
    r1, i1, r2, i2 = np.empty((4, K), h.dtype)
    for row in range(batch):
        for k in range(K):
            r1[k], i1[k] = start[row, 0, k], start[row, 1, k]
            r2[k], i2[k] = start[row, 2, k], start[row, 3, k]
        for m in range(pieces):
            now, A = h[row, m], carry[m]
            for k in range(K):
                ar, ai, gr, gi = A[0, k], A[1, k], A[2, k], A[3, k]
                nr2 = now[2 * K + k] + ar * r2[k] - ai * i2[k] + gr * r1[k] - gi * i1[k]
                ni2 = now[3 * K + k] + ar * i2[k] + ai * r2[k] + gr * i1[k] + gi * r1[k]
                nr1 = now[k] + ar * r1[k] - ai * i1[k]
                ni1 = now[K + k] + ar * i1[k] + ai * r1[k]
                r1[k] = zero if abs(nr1) < tiny else nr1
                i1[k] = zero if abs(ni1) < tiny else ni1
                r2[k] = zero if abs(nr2) < tiny else nr2
                i2[k] = zero if abs(ni2) < tiny else ni2
            for k in range(K):
                now[k] = r1[k]
            for k in range(K):
                now[K + k] = i1[k]
            for k in range(K):
                now[2 * K + k] = r2[k]
            for k in range(K):
                now[3 * K + k] = i2[k]
            if m < energy.shape[1]:
                for k in range(K):
                    energy[row, m, k] = r2[k] * r2[k] + i2[k] * i2[k]


@compiled
def scan_backward(
    h: np.ndarray, carry: np.ndarray, start: np.ndarray, denergy: np.ndarray,
    dh: np.ndarray, dcarry: np.ndarray, dstart: np.ndarray,
) -> None:  # fmt: skip
    """Adjoint of `scan`: `dh` comes as the gradient of all states and leaves as that of all inputs.

    dcarry and dstart are added to.
    """
    batch, pieces, planes = h.shape
    K = planes // 4
    for row in range(batch):
        for m in range(pieces - 1, -1, -1):
            now, g, A, dA = h[row, m], dh[row, m], carry[m], dcarry[m]
            if m < denergy.shape[1]:
                for k in range(K):
                    twice = 2 * denergy[row, m, k]
                    g[2 * K + k] += twice * now[2 * K + k]
                    g[3 * K + k] += twice * now[3 * K + k]
            if m > 0:
                previous, down = h[row, m - 1].reshape(4, K), dh[row, m - 1].reshape(4, K)
            else:
                previous, down = start[row], dstart[row]
            for k in range(K):
                ar, ai, gr, gi = A[0, k], A[1, k], A[2, k], A[3, k]
                r1, i1, r2, i2 = previous[0, k], previous[1, k], previous[2, k], previous[3, k]
                dr1, di1, dr2, di2 = g[k], g[K + k], g[2 * K + k], g[3 * K + k]
                down[0, k] += ar * dr1 + ai * di1 + gr * dr2 + gi * di2
                down[1, k] += ar * di1 - ai * dr1 + gr * di2 - gi * dr2
                down[2, k] += ar * dr2 + ai * di2
                down[3, k] += ar * di2 - ai * dr2
                dA[0, k] += r1 * dr1 + i1 * di1 + r2 * dr2 + i2 * di2
                dA[1, k] += r1 * di1 - i1 * dr1 + r2 * di2 - i2 * dr2
                dA[2, k] += r1 * dr2 + i1 * di2
                dA[3, k] += r1 * di2 - i1 * dr2
