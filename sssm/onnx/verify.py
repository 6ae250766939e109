"""Proof that a file gives what torch gives, from states that have been used.

Two rows run through the file at once, call after call: noise, and speech.  Torch runs in float64,
so that all of the difference is the file's: torch's own float32 is off by as much, or more.
"""

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from numpy.typing import NDArray

from sssm.audio import Samples
from sssm.model import KeywordModel
from sssm.onnx.card import OnnxCard
from sssm.onnx.engine import open_session
from sssm.timing import frame_end
from sssm.weights import shipped_file

USED_FRAMES, COMPARED_FRAMES = 48, 304  # the first make the states used; 3 s of the others count
TOLERANCE = 1e-5
DEMO = "demo.wav"
SEED = 0


class VerificationError(ValueError):
    """A file does not give what torch gives; one line says by how much."""


def verify(path: Path, card: OnnxCard, model: KeywordModel) -> float:
    """Largest difference of scores over three seconds or more of noise and of speech.

    Args:
        path: of the file.
        card: of the file.
        model: that the file was made from, at its own rate.

    Raises:
        VerificationError: it is larger than `TOLERANCE`.
    """
    sizes = _calls(card, open_session(path).get_inputs()[0].shape[1])
    x = _whole_turns(sounds(card.sample_rate_hz), sum(sizes))
    exact = copy.deepcopy(model).double().at_rate(card.sample_rate_hz)
    with torch.inference_mode():
        wanted = exact(torch.from_numpy(x).double()[..., None])[0]
    apart = scores_of(path, card, x) - wanted.softmax(dim=-1).numpy()
    difference = float(np.abs(apart)[:, USED_FRAMES:].max())
    if not difference <= TOLERANCE:  # NaN too
        raise VerificationError(
            f"the file's scores differ from torch's by {difference:.1e}, more than {TOLERANCE:.0e}"
        )
    return difference


def scores_of(path: Path, card: OnnxCard, x: Samples) -> NDArray[np.float32]:
    """(rows, frames, classes) of the decisions of a file, hearing (rows, samples) call by call."""
    session = open_session(path)
    names = [output.name for output in session.get_outputs()]
    sizes, at, found = _calls(card, session.get_inputs()[0].shape[1]), 0, []
    state = {s.input: s.start(len(x)) for s in card.states}
    while at + sizes[0] <= x.shape[1]:
        result = session.run(None, {"audio": x[:, at : at + sizes[0]], **state})
        given = dict(zip(names, result, strict=True))
        state = {s.input: given[s.output] for s in card.states}
        if given.get("ready", True):
            found.append(given["scores"])
        at += sizes[0]
        sizes = [*sizes[1:], sizes[0]]
    return np.concatenate(found, axis=1)


def sounds(sample_rate_hz: int) -> Samples:
    """(2, samples): noise whose level changes, and speech, said at two levels.

    Raises:
        FileNotFoundError: the speech did not come with this installation.
    """
    demo = shipped_file(DEMO)
    if demo is None:
        raise FileNotFoundError(f"{DEMO} did not come with this installation")
    n = frame_end(USED_FRAMES + COMPARED_FRAMES, sample_rate_hz)
    random = np.random.default_rng(SEED)
    level = 0.02 + 0.3 * np.abs(np.sin(np.arange(n) * 2 * np.pi / sample_rate_hz))
    noise = level * random.standard_normal(n)
    said, rate = soundfile.read(demo, dtype="float32")
    said = soxr.resample(said, rate, sample_rate_hz)
    speech = np.concatenate([said, 0.1 * said])
    return np.stack([noise, np.resize(speech, n)]).astype(np.float32)


def _calls(card: OnnxCard, samples: int | str) -> Sequence[int]:
    """Samples of one call after the other; where the length is open, all kinds of lengths."""
    if isinstance(samples, int):
        return [samples]
    return [frame_end(frames, card.sample_rate_hz) for frames in (1, 5, 16, 1, 21, 8)]


def _whole_turns(x: Samples, turn: int) -> Samples:
    """The sounds, begun again until they fill whole turns of calls, two at least."""
    turns = max(2, -(-x.shape[1] // turn))
    return np.pad(x, ((0, 0), (0, turns * turn - x.shape[1])), mode="wrap")
