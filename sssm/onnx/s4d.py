"""Blocks of S4D in real arithmetic, see `sssm.layers.s4d`.

The state of a mode is kept turned, z_t = A h_t, and scaled so that a channel's output is the plain
sum of its parts: with B' = 2 C B / (1 - i), since Re w + Im w = Re((1 - i) w),

    y_t = sum(z_(t-1)) + (sum(B') + D) x_t,     z_t = A (z_(t-1) + B' x_t)

So what a block needs of its state is known before the call, and the states of all blocks move on
together, in a few large operations rather than many small ones.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sssm.layers.arrays import Array
from sssm.onnx.graph import Graph
from sssm.onnx.parts import Mix
from sssm.onnx.recurrence import Recurrence
from sssm.onnx.state import State
from sssm.ops.flush import TINY


class S4DBlock(NamedTuple):
    """A block's discrete A, B, C (H, N), complex; D (H,); its mix; and where h starts (H, N)."""

    A: NDArray[np.complexfloating]
    B: NDArray[np.complexfloating]
    C: NDArray[np.complexfloating]
    D: Array
    mix: Mix
    settled: NDArray[np.complexfloating]


class S4DStack:
    """Blocks of S4D, one after the other, with one state (batch, blocks, 2, N, H)."""

    def __init__(self, blocks: Sequence[S4DBlock]):
        self._blocks = blocks
        A = np.stack([block.A.astype(np.complex128).T for block in blocks])  # (blocks, N, H)
        C = np.stack([(2 * block.C / (1 - 1j)).T for block in blocks])
        B = C * np.stack([block.B.T for block in blocks])
        z = A * C * np.stack([block.settled.T for block in blocks])
        self._A = np.stack([A.real, A.imag, -A.imag, A.real], 1).reshape(len(A), 2, 2, *A.shape[1:])
        self._B = np.stack([B.real, B.imag], axis=1)  # (blocks, 2, N, H)
        self._now = self._B.sum(axis=(1, 2)) + np.stack([block.D for block in blocks])
        settled = np.stack([z.real, z.imag], axis=1).astype(np.float32)
        self.states = (State("blocks", self._B.shape, settled),)

    def hear(self, g: Graph, y: str, states: Sequence[str], count: int) -> tuple[str, list[str]]:
        return self._one(g, y, states[0]) if count == 1 else self._many(g, y, states[0], count)

    def _one(self, g: Graph, y: str, z: str) -> tuple[str, list[str]]:
        blocks, _, _, H = self._B.shape
        # The norm's own scale does the product with D for nothing; B is of what comes out of it.
        now = np.where(np.abs(self._now) < TINY, TINY, self._now)
        B = (self._B / now[:, None, None]).astype(np.float32)
        A, heard = self._A.astype(np.float32), []
        before = g.split(g.reshape(g.sum(z, [2, 3]), (-1, blocks * H)), [H] * blocks, axis=1)
        for block, scale, past in zip(self._blocks, now.astype(np.float32), before, strict=True):
            u = g.normalize(y, scale)
            heard.append(u)
            y = block.mix.add(g, y, g.add(u, past))
        u = g.reshape(g.concat(heard, axis=1), (-1, blocks, 1, 1, H))
        h = g.unsqueeze(g.add(z, g.multiply(u, g.constant(B))), [3])  # (batch, blocks, 2, 1, N, H)
        return y, [g.sum(g.multiply(h, g.constant(A)), [2])]

    def _many(self, g: Graph, y: str, z: str, count: int) -> tuple[str, list[str]]:
        blocks, _, N, H = self._B.shape
        ones, after = np.ones(H, np.float32), []
        for n, before in enumerate(g.split(z, [1] * blocks, axis=1)):
            before = g.reshape(before, (-1, 2 * N, H))
            v, new = self._recurrence(n).hear(g, g.normalize(y, ones), [before], count)
            y = self._blocks[n].mix.add(g, y, v)
            after.append(g.reshape(new[0], (-1, 1, 2, N, H)))
        return y, [g.concat(after, axis=1)]

    def _recurrence(self, block: int) -> Recurrence:
        """One block's, with a dense matrix a channel."""
        _, _, N, H = self._B.shape
        A = np.zeros((H, 2, N, 2, N))  # state after, state before
        for mode in range(N):
            A[:, :, mode, :, mode] = np.moveaxis(self._A[block][:, :, mode], -1, 0).swapaxes(1, 2)
        dense = A.reshape(H, 2 * N, 2 * N)
        B = np.einsum("hnm,hm->hn", dense, self._B[block].reshape(2 * N, H).T)
        return Recurrence("block", dense, B, np.ones_like(B), self._now[block])
