"""A model as one ONNX file that is proved before it is there.

Decided here: what is asked for, in which order it is made, and that a file which differs from
torch is never left behind.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import onnx

from sssm.cost import cost
from sssm.detector import Detector
from sssm.model import KeywordModel
from sssm.onnx.card import UNITS, OnnxCard
from sssm.onnx.checksum import sealed
from sssm.onnx.graph import NEWEST_OPSET, OLDEST_OPSET, Graph
from sssm.onnx.int8 import as_int8
from sssm.onnx.model import ModelGraph, model_graph
from sssm.onnx.sample import sample_unit
from sssm.onnx.units import Unit, chunk_unit
from sssm.onnx.verify import verify
from sssm.timing import FRAMES_HZ
from sssm.weights import ModelCard
from sssm.whole_file import whole_file

MOST_FRAMES = 6_000  # of a chunk: a minute


@dataclass(frozen=True, kw_only=True)
class Export:
    """What file is wanted.

    Attributes:
        unit: what one call consumes: "sample", "frame" or "chunk".
        frames: of a chunk; None leaves it open.
        sample_rate_hz: of the audio.
        opset: of the operations.
        int8: whether the blocks' weights are kept as int8.

    Raises:
        ValueError: a value is outside of its range, or does not go with another.
    """

    unit: str = "frame"
    frames: int | None = None
    sample_rate_hz: int = 16_000
    opset: int = OLDEST_OPSET
    int8: bool = False

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ValueError(f"unit must be one of {', '.join(UNITS)}, got {self.unit!r}")
        if self.frames is not None and self.unit != "chunk":
            raise ValueError(f"a {self.unit} has no length to choose: that is for the unit chunk")
        if self.frames is not None and not 1 <= self.frames <= MOST_FRAMES:
            raise ValueError(f"a chunk has 1 to {MOST_FRAMES} frames, got {self.frames}")
        if not OLDEST_OPSET <= self.opset <= NEWEST_OPSET:
            raise ValueError(f"opset must be {OLDEST_OPSET} to {NEWEST_OPSET}, got {self.opset}")


class Exported(NamedTuple):
    """What was written."""

    nodes: int  # operations, those inside of others among them
    bytes: int
    bytes_float32: int  # the same file without 8 bits
    difference: float  # largest, of scores to torch's


def export_model(
    model: KeywordModel, card: ModelCard, fingerprint: str, path: Path, wanted: Export
) -> Exported:
    """Write the file, and prove it.

    Args:
        model: in float32.
        card, fingerprint: of the model.
        path: of the file.
        wanted: what it shall be.

    Raises:
        ValueError: the model cannot be exported so.
        VerificationError: the file is not what the model is; there is none.
    """
    if wanted.int8:
        model = as_int8(model)
    parts = model_graph(model, wanted.sample_rate_hz)
    unit = _unit(parts, wanted, int8=wanted.int8)
    onnx_card = _card(model, card, fingerprint, parts, unit, wanted)
    proto = _proto(unit, onnx_card)
    full = _proto(_unit(parts, wanted, int8=False), onnx_card) if wanted.int8 else proto
    onnx.checker.check_model(proto, full_check=True)
    with whole_file(path) as file:
        file.write_bytes(sealed(proto.SerializeToString()))
        difference = verify(file, onnx_card, model)
    nodes = sum(1 for _ in _nodes(proto.graph))
    return Exported(nodes, path.stat().st_size, full.ByteSize(), difference)


def _proto(unit: Unit, card: OnnxCard) -> onnx.ModelProto:
    return unit.graph.model(f"sssm_{card.unit}", card.to_metadata())


def _unit(parts: ModelGraph, wanted: Export, *, int8: bool) -> Unit:
    g = Graph(wanted.opset, int8=int8)
    if wanted.unit == "sample":
        return sample_unit(parts, g)
    return chunk_unit(parts, g, 1 if wanted.unit == "frame" else wanted.frames)


def _card(
    model: KeywordModel, card: ModelCard, fingerprint: str, parts: ModelGraph, unit: Unit,
    wanted: Export,
) -> OnnxCard:  # fmt: skip
    """All settings in full, so that a program which reads the file has no defaults to know."""
    rate = wanted.sample_rate_hz
    detector = Detector(labels=card.labels, thresholds=card.thresholds, **card.detector)
    return OnnxCard(
        labels=card.labels,
        thresholds=detector.thresholds,
        detector=detector.settings,
        sample_rate_hz=rate,
        hop_samples=rate // FRAMES_HZ if rate % FRAMES_HZ == 0 else rate / FRAMES_HZ,
        unit=wanted.unit,
        states=tuple(unit.states),
        modes=parts.modes,
        model=fingerprint,
        licence=card.licence,
        training_data=card.training_data,
        accuracy=dict(card.accuracy),
        clip_offset=tuple(model.clip.offset.tolist()),
        cost=cost(model)._asdict(),
    )


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            yield from _nodes(attribute.g)
