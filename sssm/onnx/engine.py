"""An exported model, live, with numpy and onnxruntime alone.

Decided here: how arrays get in and out without being made anew in every call, and how one file
hears every rate.  The bank's matrices for a rate are worked out from the modes in its metadata.
A damaged file is refused before the runtime sees it.
"""

import itertools
import math
import os
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from sssm.audio import Samples
from sssm.engines.engine import Logits, Run, Scores, State
from sssm.engines.readings import cut
from sssm.onnx.card import OnnxCard
from sssm.onnx.checksum import check
from sssm.onnx.modes import Matrices, reading_lengths
from sssm.reason import reason_of
from sssm.timing import (
    FRAMES_HZ,
    NATIVE_RATES_HZ,
    READINGS_A_FRAME,
    READINGS_HZ,
    frames_within,
    whole_rate,
)
from sssm.weights import ModelFileError

KEPT = 256  # calls whose arrays are kept in a thread; a live stream has two or three
FRAMES = ".frame.onnx"  # ends the name of a file of unit `frame` beside one that hears any length

Array = NDArray[np.float32]


class OnnxModel:
    """A file that `sssm export` wrote.

    Where NAME.frame.onnx, the same model by the frame, lies beside NAME.onnx, single frames go
    through it: it hears one rate alone, and a live stream saves a ninth of its work.

    Args:
        path: of unit `chunk` with its length left open, which hears every rate; or `frame`.

    Attributes:
        session: onnxruntime's, which runs the file.
        card: the file's metadata.
        is_open: whether a call hears any number of frames.
        frames: the same of NAME.frame.onnx; None where there is none.

    Raises:
        ModelFileError: the file is damaged, or of another unit.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.session = open_session(Path(path))
        self.card = _card(self.session, path)
        self.is_open = self.card.unit == "chunk" and isinstance(self._audio_length(), str)
        if not self.is_open and self.card.unit != "frame":
            wanted = "export it with --unit chunk, without --chunk-ms, to listen to it"
            raise ModelFileError(f"{path}: a file of unit {self.card.unit}; {wanted}")
        self.path = path
        self.frames = self._beside(Path(path).with_suffix(FRAMES)) if self.is_open else None

    def at_rate(self, sample_rate_hz: int) -> "OnnxEngine":
        """What runs it at this rate.

        Raises:
            ValueError: the rate is not one of 8 to 48 kHz.
            ModelFileError: the file hears another rate alone.
        """
        rate, own = whole_rate(sample_rate_hz, NATIVE_RATES_HZ), self.card.sample_rate_hz
        if rate != own and not (self.is_open and self.card.modes):
            raise ModelFileError(f"{self.path}: hears {own} Hz alone, not {rate} Hz")
        return OnnxEngine(self, rate)

    def _beside(self, path: Path) -> onnxruntime.InferenceSession | None:
        """The same model by the frame at the same rate, if that is what the file holds."""
        if not os.path.isfile(path):
            return None
        session = open_session(path)
        card, own = _card(session, path), self.card
        is_same = (card.model, card.states, card.sample_rate_hz) == (
            own.model, own.states, own.sample_rate_hz,
        )  # fmt: skip
        return session if is_same and card.unit == "frame" else None

    def _audio_length(self) -> int | str:
        length: int | str = self.session.get_inputs()[0].shape[1]
        return length


def read_card(path: str | os.PathLike[str]) -> OnnxCard:
    """Card of an exported file of any unit.

    Raises:
        ModelFileError: there is no such file, or it is no whole model of this version.
    """
    return _card(open_session(Path(path)), path)


def _card(session: onnxruntime.InferenceSession, path: str | os.PathLike[str]) -> OnnxCard:
    try:
        return OnnxCard.from_metadata(session.get_modelmeta().custom_metadata_map)
    except ValueError as error:
        raise ModelFileError(f"{path}: {error}") from None


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """The file, ready to run on one thread.

    Raises:
        ModelFileError: there is no such file, it is damaged, or it is no ONNX model.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # optional inputs are meant
    try:
        data = path.read_bytes()
        check(data)
    except OSError as error:
        raise ModelFileError(f"{path}: {reason_of(error)}") from None
    except ValueError as error:
        raise ModelFileError(f"{path}: {error}") from None
    try:
        # Bytes: those that were checked, and so that a file cannot name others to be read.
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has many, with no class in common
        reason = " ".join(str(error).split())[:120]
        raise ModelFileError(f"{path}: not a whole ONNX model ({reason})") from None


class _Bound(NamedTuple):
    """Arrays of one shape of call, that the runtime reads and writes where they are."""

    session: onnxruntime.InferenceSession
    binding: Any
    audio: Samples
    before: list[Array]  # states that are read, (rows, numbers) of every tensor
    after: list[Array]  # and written
    scores: Scores
    logits: Logits
    given: tuple[Array | None, Array | None]  # the caller's: kept alive, as their ids are the key


class OnnxEngine:
    """See `sssm.engines.engine.Engine`.

    A stream's state is one array (rows, numbers): all tensors of the file, side by side.
    """

    def __init__(self, model: OnnxModel, sample_rate_hz: int):
        self._session, self._card, self._rate = model.session, model.card, sample_rate_hz
        self._is_open = model.is_open
        self._pattern = FRAMES_HZ // math.gcd(sample_rate_hz, FRAMES_HZ)
        self._matrices: list[Matrices] = []
        if sample_rate_hz != model.card.sample_rate_hz:
            assert model.card.modes is not None
            for frame in range(self._pattern):
                lengths = reading_lengths(sample_rate_hz, frame)
                own = model.card.modes.matrices(sample_rate_hz, lengths)
                # Frames that differ go one at a time, in which `block` has no part: one will do.
                shared = self._matrices[0].block if self._matrices else own.block
                self._matrices.append(own._replace(block=shared))
        self._size = -(-sample_rate_hz // READINGS_HZ)  # samples of a reading, at most
        self._local = threading.local()  # an engine may be shared by threads, its arrays may not
        starts = [state.start(1).ravel() for state in model.card.states]
        self._start = np.concatenate(starts)[None]
        self._frames = None if self._matrices else model.frames
        ends = np.cumsum([len(start) for start in starts]).tolist()
        self._columns = [slice(a, b) for a, b in itertools.pairwise([0, *ends])]  # of every tensor

    def init_state(self, rows: int) -> State:
        return (np.repeat(self._start, rows, axis=0),)

    def run(self, x: Samples, before: int, state: State, out: State | None = None) -> Run:
        place = frames_within(before, self._rate)
        frames = frames_within(before + x.shape[1], self._rate) - place
        audio = x
        if self._rate % READINGS_HZ:  # else all readings are full, as nearly always live
            pieces, _ = cut(x, before, self._size, self._rate)
            audio = pieces.reshape(len(x), -1)
        if frames == 1 or (self._is_open and self._pattern == 1):
            return self._call(audio, frames, place % self._pattern, state, out)
        found: list[Run] = []
        for frame, piece in enumerate(np.split(audio, frames, axis=1)):
            found.append(self._call(piece, 1, (place + frame) % self._pattern, state, None))
            state = found[-1].state
        scores = np.concatenate([run.scores for run in found], axis=1)
        return Run(scores, np.concatenate([run.logits for run in found], axis=1), state)

    def _call(self, audio: Samples, frames: int, turn: int, state: State, out: State | None) -> Run:
        live = out if len(audio) == 1 else None
        if live is not None:  # in the caller's own arrays
            bound = self._bound(1, frames, turn, state[0], live[0])
        else:
            bound = self._bound(len(audio), frames, turn)
            for part, columns in zip(bound.before, self._columns, strict=True):
                part[...] = state[0][:, columns]
        bound.audio[...] = audio
        bound.session.run_with_iobinding(bound.binding)
        after = live or (np.concatenate(bound.after, axis=1),)
        return Run(bound.scores.copy(), bound.logits.copy(), after)

    def _bound(
        self,
        rows: int,
        frames: int,
        turn: int,
        before: Array | None = None,
        after: Array | None = None,
    ) -> _Bound:
        """Arrays for a shape of call, made anew only where none of its kind was kept.

        Those used last are kept.
        """
        kept = self._local.__dict__.setdefault("bound", {})
        key = rows, frames, turn, id(before), id(after)
        if key not in kept:
            if len(kept) == KEPT:
                del kept[next(iter(kept))]
            kept[key] = self._bind(rows, frames, turn, before, after)
        bound: _Bound = kept.pop(key)
        kept[key] = bound  # at the end of those that wait to be dropped
        return bound

    def _bind(
        self, rows: int, frames: int, turn: int, before: Array | None, after: Array | None
    ) -> _Bound:
        given = before, after
        own = self._scratch(rows * self._start.shape[1]) if before is None else given
        states = [x.reshape(-1) for x in own if x is not None]
        session = self._frames if self._frames is not None and frames == 1 else self._session
        binding, shape = session.io_binding(), (rows, frames, len(self._card.labels))
        audio = np.zeros((rows, frames * READINGS_A_FRAME * self._size), np.float32)
        scores, logits = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        inputs: dict[str, Array] = {"audio": audio}
        if self._matrices:
            inputs |= self._matrices[turn]._asdict()
        outputs: dict[str, Array] = {"scores": scores, "logits": logits}
        read, written = (self._parts(x, rows) for x in states)
        for state, x, y in zip(self._card.states, read, written, strict=True):
            inputs[state.input] = x.reshape(rows, *state.shape[1:])
            outputs[state.output] = y.reshape(rows, *state.shape[1:])
        for name, array in inputs.items():
            binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        for name, array in outputs.items():
            binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        return _Bound(session, binding, audio, read, written, scores, logits, given)

    def _scratch(self, size: int) -> list[Array]:
        """Two states for a call that hands in none.

        It leaves nothing in them, so all such calls share them: of a batch any number of rows may
        be active, and two states for each number would be hundreds of MB.
        """
        both: list[Array] = self._local.__dict__.setdefault("scratch", [np.zeros(0, np.float32)])
        if both[0].size < size:
            self._local.bound.clear()  # they hold the smaller ones
            both[:] = np.zeros((2, size), np.float32)
        return [x[:size] for x in both]

    def _parts(self, states: Array, rows: int) -> list[Array]:
        """(rows, numbers) of every tensor, which stand one after the other."""
        return [
            states[rows * columns.start : rows * columns.stop].reshape(rows, -1)
            for columns in self._columns
        ]
