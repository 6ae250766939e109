"""What one call of an exported model consumes: a sample, a frame of 10 ms, or a chunk of frames.

All three give the same numbers.  `sample` is the definition of the live form; `frame` has the
fewest operations a call; `chunk` hears many frames at once, `FRAMES_A_BLOCK` in each product, and
at a rate that the caller chooses where its length is left open.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from sssm.onnx.card import StateTensor
from sssm.onnx.filterbank import SUMS, FilterbankGraph
from sssm.onnx.graph import Graph
from sssm.onnx.model import ModelGraph
from sssm.onnx.modes import reading_lengths
from sssm.onnx.state import State, rounded
from sssm.timing import FRAMES_HZ, READINGS_HZ

BATCH = "batch"


class Unit(NamedTuple):
    """A graph whose inputs and outputs are named, and its states."""

    graph: Graph
    states: list[StateTensor]


def chunk_unit(model: ModelGraph, g: Graph, frames: int | None) -> Unit:
    """One call consumes `frames` frames, 1 for the unit `frame`; or any number, at least one.

    Args:
        model: whose frames all have equally many samples.
        g: an empty graph.
        frames: None leaves the length open, and the bank to the caller.

    Raises:
        ValueError: frames at this rate differ.
    """
    rate = model.sample_rate_hz
    if rate % READINGS_HZ:
        raise ValueError(
            f"{READINGS_HZ} does not divide {rate} Hz, so frames differ: export the unit sample"
        )
    samples = "samples" if frames is None else frames * rate // FRAMES_HZ
    audio = g.input("audio", (BATCH, samples))
    tensors = declare(g, [*model.front.states, *model.memory])
    states = [tensor.input for tensor in tensors]
    pieces, hear = _front(g, model, audio, frames)
    if frames is None:
        logits, states = _any_number(g, model, pieces, states, hear)
    else:
        logits, states = _fixed_number(g, model, pieces, states, hear, frames)
    shape = (BATCH, "frames" if frames is None else frames, len(model.labels))
    g.output(g.softmax(logits), "scores", shape)
    give(g, tensors, states)
    g.output(logits, "logits", shape)  # for an engine, which answers whole recordings too
    return Unit(g, tensors)


Hear = Callable[[Graph, str, Sequence[str], int], tuple[str, list[str]]]


def _front(g: Graph, model: ModelGraph, audio: str, frames: int | None) -> tuple[str, Hear]:
    """(batch, frames, ...) of what the frames are heard from, and how."""
    front, rate = model.front, model.sample_rate_hz
    if not isinstance(front, FilterbankGraph):
        return g.reshape(audio, (0, -1, front.hop)), front.frames
    assert model.modes is not None
    matrices = model.modes.matrices(rate, reading_lengths(rate))
    if frames is None:
        bank = front.optional(g, matrices)
        size: str | tuple[int, ...] = g.concat(
            [g.constant(np.array([0, -1])), g.size(bank.taps, 0)], axis=0
        )
    else:
        bank = front.constants(g, matrices)
        size = (0, -1, rate // READINGS_HZ)
    K, sums = front.modes, front.sums(g, audio, bank, size)
    if frames != 1:
        sums = g.reshape(sums, (0, -1, front.width))

    def hear(g: Graph, sums: str, states: Sequence[str], count: int) -> tuple[str, list[str]]:
        if count == 1:
            return front.one(g, g.reshape(sums, (-1, SUMS, K)), bank, states)
        return front.many(g, g.reshape(sums, (-1, count, SUMS, K)), bank, states, count)

    return sums, hear


def _hear(
    g: Graph, model: ModelGraph, piece: str, states: Sequence[str], hear: Hear, count: int
) -> tuple[str, list[str]]:
    """Logits (batch, count, classes) of one piece, and all next states."""
    first = len(model.front.states)
    y, front = hear(g, piece, states[:first], count)
    logits, memory = model.decide(g, y, states[first:], count)
    return logits, [*front, *memory]


def _repeat(
    g: Graph, model: ModelGraph, pieces: str, states: Sequence[str], hear: Hear, count: int
) -> tuple[str, list[str]]:
    """(batch, pieces, ...), each of `count` frames, one after the other."""
    body = g.body()
    specs = [*model.front.states, *model.memory]
    inner = [body.input(f"{state.name}_now", (BATCH, *state.shape)) for state in specs]
    piece = body.input("piece", (BATCH, "size"))
    logits, after = _hear(body, model, piece, inner, hear, count)
    for state, value in zip(specs, after, strict=True):
        body.output(value, f"{state.name}_then", (BATCH, *state.shape))
    classes = len(model.labels)
    body.output(logits, "piece_logits", (BATCH, count, classes))
    *last, logits = g.scan(body, states, [pieces], 1)
    return g.reshape(logits, (0, -1, classes)), last


def _fixed_number(
    g: Graph, model: ModelGraph, pieces: str, states: list[str], hear: Hear, frames: int
) -> tuple[str, list[str]]:
    if frames == 1:
        return _hear(g, model, pieces, states, hear, 1)
    together = model.front.together
    blocks, found = frames // together, []
    if blocks:
        whole = g.slice(pieces, 0, blocks * together, 1)
        whole = g.reshape(whole, (0, -1, together * model.front.width))
        logits, states = _repeat(g, model, whole, states, hear, together)
        found.append(logits)
    if frames % together:
        rest = g.slice(pieces, blocks * together, frames, 1)
        logits, states = _repeat(g, model, rest, states, hear, 1)
        found.append(logits)
    return g.concat(found, axis=1) if len(found) > 1 else found[0], states


def _any_number(
    g: Graph, model: ModelGraph, pieces: str, states: list[str], hear: Hear
) -> tuple[str, list[str]]:
    """Blocks of frames, then single ones.  A `Scan` of nothing is no Scan: hence the choices."""
    together = model.front.together
    if together == 1:
        return _repeat(g, model, pieces, states, hear, 1)
    frames, one, size = g.size(pieces, 1), *(g.constant(np.array([n])) for n in (1, together))

    single = g.body()  # what a live stream asks for, without the cost of a Scan
    _result(single, model, *_hear(single, model, pieces, states, hear, 1))

    several = g.body()
    few = several.body()
    _result(few, model, *_repeat(few, model, pieces, states, hear, 1))
    many = several.body()
    rest = many.remainder(frames, size)
    whole = many.subtract(frames, rest)
    blocks = many.slice_at(pieces, many.constant(np.array([0])), whole, 1)
    blocks = many.reshape(blocks, (0, -1, together * model.front.width))
    first, after = _repeat(many, model, blocks, states, hear, together)
    last = many.body()
    left = last.slice_at(pieces, whole, frames, 1)
    second, ended = _repeat(last, model, left, after, hear, 1)
    _result(last, model, last.concat([first, second], axis=1), ended)
    none = many.body()
    _result(none, model, first, after)
    logits, *after = many.choose(many.less(rest, one), none, last)
    _result(many, model, logits, after)
    logits, *after = several.choose(several.less(frames, size), few, many)
    _result(several, model, logits, after)

    logits, *states = g.choose(g.equal(frames, one), single, several)
    return logits, states


def _result(g: Graph, model: ModelGraph, logits: str, states: Sequence[str]) -> None:
    """Outputs of a body: logits, then all states."""
    g.output(logits, g.name("logits"), (BATCH, "some", len(model.labels)))
    for state, value in zip([*model.front.states, *model.memory], states, strict=True):
        g.output(value, g.name(state.name), (BATCH, *state.shape))


def declare(g: Graph, states: Sequence[State]) -> list[StateTensor]:
    """Inputs for these states."""
    tensors = []
    for state in states:
        shape: tuple[int | str, ...] = (BATCH, *state.shape)
        g.input(state.name, shape)
        fill = rounded(state.fill)
        tensors.append(StateTensor(state.name, f"{state.name}_next", shape, "float32", fill))
    return tensors


def give(g: Graph, tensors: Sequence[StateTensor], values: Sequence[str]) -> None:
    """Outputs for the next states."""
    for tensor, value in zip(tensors, values, strict=True):
        g.output(value, tensor.output, tensor.shape)
