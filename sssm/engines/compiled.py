"""A filterbank and blocks of S4D, live, in a few compiled loops over real numbers.

The same arithmetic as the layers', which are its definition; `tests/engines` compares the two.
"""

from typing import Any

import numpy as np
import torch

from sssm.audio import Samples
from sssm.config import ModelConfig
from sssm.engines import loops
from sssm.engines.engine import Run, State, softmax
from sssm.engines.readings import cut
from sssm.layers.arrays import Array, array, linear
from sssm.model import KeywordModel
from sssm.ops.filterbank.scan import scan
from sssm.timing import QUIET, READINGS_A_FRAME


class CompiledEngine:
    """A `KeywordModel` with a filterbank in front and S4D in its blocks.

    Its state: the bank's two stages (rows, 4, K), the gain's mean (rows, K), the modes of all
    blocks (rows, blocks, 2, N, H), the pooling's mean (rows, H).

    Args:
        model: frozen, at the rate of the audio.
    """

    @staticmethod
    def runs(config: ModelConfig) -> bool:
        """Whether a model of this shape is one for this engine."""
        whole = config.bands % loops.TILE == config.channels % loops.TILE == 0
        return whole and config.front == "filterbank" and config.layer == "s4d"

    @torch.no_grad()
    def __init__(self, model: KeywordModel):
        front = model.front
        self._rate = front.sample_rate_hz
        taps, carries = front.matrices()
        self._size = -(-taps.shape[0] // loops.TILE) * loops.TILE  # samples a reading, at most
        self._taps = np.zeros((self._size, taps.shape[1]), np.float32)
        self._taps[self._size - taps.shape[0] :] = taps.numpy()
        self._no_bias = np.zeros(taps.shape[1], np.float32)
        self._carries = array(carries)
        self._heard = (front.top_hz() <= self._rate / 2).numpy()
        affine = front.gain_share(), front.scale, front.shift, front.unheard
        self._affine = array(torch.stack(affine))
        self._gain = array(front.gain.decay())
        self._lift = linear(model.lift)
        self._blocks = [_block(block) for block in model.blocks]
        self._pool = array(model.pool.decay())
        self._head = linear(model.head)
        start = model.init_state(1)
        h = torch.stack([state.h[0].T for state in start.blocks])
        K = len(self._gain)
        self._start = (
            np.zeros((4, K), np.float32), np.zeros(K, np.float32),
            array(torch.stack([h.real, h.imag], dim=1)), array(start.pool.r[0]),
        )  # fmt: skip

    def init_state(self, rows: int) -> State:
        return tuple(np.repeat(part[None], rows, axis=0) for part in self._start)

    def run(self, x: Samples, before: int, state: State, out: State | None = None) -> Run:
        bank, gain, h, pool = (np.array(part, np.float32, order="C") for part in state)
        # For one that is read-only or not aligned the loops would be compiled anew, for seconds.
        x = np.require(x, np.float32, ["C", "A", "W"])
        rows = x.shape[0]
        pieces, lengths = cut(x, before, self._size, self._rate)
        u = _times(pieces, self._taps, self._no_bias)
        energy = np.empty((*u.shape[:2], len(self._gain)), np.float32)
        scan(u, self._carries[lengths], bank, energy)
        frames = u.shape[1] // READINGS_A_FRAME
        heard = np.empty((rows, frames, len(self._gain)), np.float32)
        loops.bands(energy, QUIET, gain, self._gain, self._affine, self._heard, heard)
        y = _times(heard, *self._lift)
        v, w = np.empty_like(y), np.empty((*y.shape[:2], 2 * y.shape[2]), np.float32)
        for n, weights in enumerate(self._blocks):
            loops.block(y, h, n, *weights, v, w)
        loops.pooled(y, pool, self._pool)
        logits, bank = _times(y, *self._head), u[:, -1].reshape(bank.shape).copy()
        return Run(softmax(logits), logits, (bank, gain, h, pool))


def _times(x: Array, W: Array, b: Array) -> Array:
    """Linear map of the last axis."""
    y = np.empty((*x.shape[:-1], W.shape[1]), np.float32)
    loops.linear(np.ascontiguousarray(x).reshape(-1, x.shape[-1]), W, b, y.reshape(-1, y.shape[-1]))
    return y


def _block(block: Any) -> tuple[Array, ...]:
    """A, B, C, D of its state-space model, W and b of its mix."""
    A, B, C = (array(torch.stack([m.real.T, m.imag.T])) for m in block.ssm.discrete())
    return A, B, C, array(block.ssm.D), *linear(block.mix)
