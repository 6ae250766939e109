"""The causal convolution as one compiled loop over time, and its adjoint.

Channels are last, as in the input, so that the inner loops run over contiguous memory.
"""

import numpy as np

from sssm.ops.compiled import compiled


@compiled
def convolve(heard: np.ndarray, taps: np.ndarray, bias: np.ndarray, y: np.ndarray) -> None:
    """Write y (batch, length, D); heard is (batch, width - 1 + length, D), taps (width, D)."""
    width = taps.shape[0]
    for row in range(y.shape[0]):
        for t in range(y.shape[1]):
            _filter(heard[row, t : t + width], taps, bias, y[row, t])


@compiled
def convolve_backward(
    heard: np.ndarray, taps: np.ndarray, dy: np.ndarray, dheard: np.ndarray, dtaps: np.ndarray,
    dbias: np.ndarray,
) -> None:  # fmt: skip
    """Adjoint of `convolve`: dheard, dtaps and dbias are added to."""
    width = taps.shape[0]
    for row in range(dy.shape[0]):
        for t in range(dy.shape[1]):
            _add_lines(dy[row, t], taps, dheard[row, t : t + width])
            _add_lines(dy[row, t], heard[row, t : t + width], dtaps)
            _add(dy[row, t], dbias)


# Each loop below touches few arrays and writes one, so that it becomes vector instructions.


@compiled
def _filter(heard: np.ndarray, taps: np.ndarray, bias: np.ndarray, y: np.ndarray) -> None:
    for k in range(y.shape[0]):
        y[k] = bias[k]
    for w in range(taps.shape[0]):
        for k in range(y.shape[0]):
            y[k] += heard[w, k] * taps[w, k]


@compiled
def _add_lines(a: np.ndarray, b: np.ndarray, to: np.ndarray) -> None:
    for w in range(to.shape[0]):
        for k in range(to.shape[1]):
            to[w, k] += a[k] * b[w, k]


@compiled
def _add(a: np.ndarray, to: np.ndarray) -> None:
    for k in range(to.shape[0]):
        to[k] += a[k]
