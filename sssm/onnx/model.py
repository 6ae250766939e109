"""A keyword model as parts of a graph: its front, its blocks, its pool and its head.

Decided here: which numbers of the torch model each part gets.  How a part hears is its own file's.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from sssm.layers.arrays import Array, array, linear
from sssm.layers.mamba import Mamba, MambaBlock, MambaState
from sssm.layers.s4 import S4
from sssm.layers.s4d import S4D
from sssm.math.dplr import dense_dplr
from sssm.model import KeywordModel
from sssm.onnx.filterbank import Bands, FilterbankGraph
from sssm.onnx.graph import Graph
from sssm.onnx.mamba import MambaGraph, MambaWeights
from sssm.onnx.modes import Modes
from sssm.onnx.parts import Block, Mix, Part, Pool, in_turn
from sssm.onnx.recurrence import Recurrence
from sssm.onnx.s4d import S4DBlock, S4DStack
from sssm.onnx.samples import SamplesGraph
from sssm.onnx.state import State


class ModelGraph(NamedTuple):
    """All of a model at one rate of audio."""

    sample_rate_hz: int
    labels: tuple[str, ...]
    front: FilterbankGraph | SamplesGraph
    modes: Modes | None  # of the filterbank
    parts: tuple[Part, ...]  # blocks at 100 Hz, then the pool
    head: tuple[Array, Array]

    @property
    def memory(self) -> list[State]:
        """States of what comes after the front."""
        return [state for part in self.parts for state in part.states]

    def decide(self, g: Graph, y: str, states: Sequence[str], count: int) -> tuple[str, list[str]]:
        """Frames (batch count, H) -> logits (batch, count, classes), and the next `memory`."""
        y, after = in_turn(g, self.parts, y, states, count)
        logits = g.linear(y, *(g.constant(part, "head") for part in self.head))
        return g.reshape(logits, (-1, count, len(self.labels))), after


@torch.no_grad()
def model_graph(model: KeywordModel, sample_rate_hz: int) -> ModelGraph:
    """The parts of a model that listens at this rate.

    Raises:
        ValueError: it has a layer that no graph is known for.
    """
    model = model.at_rate(sample_rate_hz).frozen()
    start = model.init_state(1)
    front: FilterbankGraph | SamplesGraph
    modes = None
    if model.config.front == "filterbank":
        bank = model.front
        lift, lift_bias = linear(model.lift)
        bands = Bands(
            decay=array(bank.gain.decay()), share=array(bank.gain_share()), scale=array(bank.scale),
            shift=array(bank.shift), unheard=array(bank.unheard), lift=lift, lift_bias=lift_bias,
        )  # fmt: skip
        front = FilterbankGraph(bands)
        centre = array(bank.centre_hz)
        modes = Modes(centre, array(bank.width_hz), gain=np.ones_like(centre))
    else:
        states: Any = start.front  # which has blocks here
        blocks = _blocks(model.front.blocks, states.blocks, "front")
        front = SamplesGraph(blocks, *linear(model.front.lift), sample_rate_hz)
    pool = Pool(array(model.pool.decay()), array(start.pool.r[0]))
    parts: tuple[Part, ...] = (*_blocks(model.blocks, start.blocks, "block"), pool)
    labels = model.config.labels
    return ModelGraph(sample_rate_hz, labels, front, modes, parts, linear(model.head))


def _blocks(blocks: Sequence[Any], states: Sequence[Any], name: str) -> list[Part]:
    """Parts of a row of blocks; those of S4D are one."""
    if blocks and all(isinstance(getattr(block, "ssm", None), S4D) for block in blocks):
        stack = []
        for block, state in zip(blocks, states, strict=True):
            A, B, C = (part.numpy() for part in block.ssm.discrete())
            mix, settled = Mix(*linear(block.mix)), state.h[0].numpy()
            stack.append(S4DBlock(A, B, C, array(block.ssm.D), mix, settled))
        return [S4DStack(stack)]
    pairs = zip(blocks, states, strict=True)
    return [_block(block, state, f"{name}_{n}") for n, (block, state) in enumerate(pairs)]


def _block(block: Any, state: Any, name: str) -> Part:
    if isinstance(block, MambaBlock):
        return MambaGraph(name, _mamba(block.mamba, state))
    mix = Mix(*linear(block.mix))
    if isinstance(block.ssm, S4):
        A, B, C = (part.numpy() for part in dense_dplr(block.ssm.discrete()))
        D = block.ssm.D.double().numpy()
        past, now = np.einsum("hn,hnm->hm", C, A), np.einsum("hn,hn->h", C, B) + D
        return Block(Recurrence(name, A, B, past, now), mix, len(D))
    raise ValueError(f"no ONNX graph is known for a layer of {type(block.ssm).__name__}")


def _mamba(mamba: Mamba, state: MambaState) -> MambaWeights:
    step_size, step_bias = linear(mamba.step_size)
    return MambaWeights(
        enter=array(mamba.enter.weight.T),
        conv=array(mamba.conv.weight[:, 0].T),
        conv_bias=array(mamba.conv.bias),
        select=array(mamba.select.weight.T),
        step_size=step_size,
        step_bias=step_bias,
        A=array(-mamba.log_decay.exp().T),
        D=array(mamba.D),
        leave=array(mamba.leave.weight.T),
        leak=mamba.leak,
        tail=array(state.tail[0]),
        h=array(state.h[0].T),
    )
