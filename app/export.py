"""`sssm export`: a model as an ONNX file that was proved to be the model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.outputs import keep_inputs
from app.terminal import fail, refuse, say, shown, tell
from sssm.reason import reason_of

if TYPE_CHECKING:
    from sssm.model import KeywordModel
    from sssm.onnx.export import Export, Exported

FRAME_MS = 10
NEEDS = "sssm export needs what the extra `torch` installs: pip install 'sssm[torch]'"


def export(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A shipped model, or a file of weights.")
    ],
    out: Annotated[Path, typer.Argument(metavar="FILE", help="The ONNX file to write.")],
    unit: Annotated[
        str, typer.Option(metavar="sample|frame|chunk", help="What one call consumes.")
    ] = "frame",
    chunk_ms: Annotated[
        int | None,
        typer.Option(metavar="N", help="Length of every chunk, a multiple of 10; open without it."),
    ] = None,
    sample_rate: Annotated[int, typer.Option(metavar="HZ", help="Rate of the audio.")] = 16_000,
    opset: Annotated[int, typer.Option(metavar="N", help="Version of ONNX's operations.")] = 17,
    quantize: Annotated[
        bool, typer.Option("--quantize", help="Keep the blocks' weights as 8-bit integers.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Recordings in folders named by word, to tell what 8 bits cost."
        ),
    ] = None,
) -> None:
    """Write a model as one ONNX file, and prove it against torch."""
    try:
        from sssm.audio import AudioError
        from sssm.onnx.export import Export, export_model
        from sssm.onnx.verify import VerificationError
        from sssm.weights import ONNX, ModelFileError, find_model, fingerprint, load_model
    except ModuleNotFoundError as error:
        refuse(f"{NEEDS} ({error.name} is missing)")

    try:
        if chunk_ms is not None and chunk_ms % FRAME_MS:
            raise ValueError(f"--chunk-ms must be a multiple of {FRAME_MS}, got {chunk_ms}")
        if data is not None and not quantize:
            raise ValueError("--data is for --quantize")
        if data is not None and not data.is_dir():
            raise ValueError(f"{data}: no such folder")
        wanted = Export(
            unit=unit, frames=None if chunk_ms is None else chunk_ms // FRAME_MS,
            sample_rate_hz=sample_rate, opset=opset, int8=quantize,
        )  # fmt: skip
        if not out.parent.is_dir():
            raise ValueError(f"{out.parent}: no such folder")
        if out.exists() and not out.is_file():
            raise ValueError(f"{out}: not a file")
        path = find_model(model)
        keep_inputs(out, [str(path)])
        if out.suffix != ONNX:
            raise ValueError(f"{out}: its name must end with {ONNX}, by which it is known")
        network, card = load_model(path)
        recordings = None if data is None else _recordings(data, card.labels)
        written = export_model(network, card, fingerprint(path), out, wanted)
    except VerificationError as error:
        fail(f"{out}: not written, {error}")
    except OSError as error:
        fail(f"{out}: not written, {reason_of(error)}")
    except (ModelFileError, ValueError) as error:
        refuse(str(error))
    say(_line(out, wanted, written))
    if quantize:
        try:
            cost = _cost(out, network, written, recordings)
        except AudioError as error:
            fail(f"{error}; so what 8 bits cost is not known")
        say(cost)


def _line(out: Path, wanted: "Export", written: "Exported") -> str:
    unit = wanted.unit if wanted.frames is None else f"chunk of {wanted.frames * FRAME_MS} ms"
    return (
        f"{shown(str(out))}: {unit} at {wanted.sample_rate_hz} Hz, {written.nodes} nodes, "
        f"{written.bytes:,} bytes; within {written.difference:.1e} of torch"
    )


def _cost(
    out: Path,
    network: "KeywordModel",
    written: "Exported",
    recordings: list[tuple[Path, str]] | None,
) -> str:
    """What 8 bits cost in accuracy, and what they save."""
    from sssm.onnx.int8 import agreement, as_int8

    share = written.bytes / written.bytes_float32
    small = f"{shown(str(out))}: {share:.0%} of the size with float32"
    if recordings is None:
        same = agreement(network)
        return f"{small}; {same:.1%} of decisions on test sounds stay the same"
    full, rough = (_accuracy(model, recordings) for model in (network, as_int8(network)))
    return f"{small}; accuracy {full:.2%} with float32, {rough:.2%} with 8 bits"


def _recordings(folder: Path, labels: tuple[str, ...]) -> list[tuple[Path, str]]:
    """Files below a folder, and the label that the name of their own folder means.

    Those for which the model has no label are left out, which is said.

    Raises:
        ValueError: there are none.
    """
    from sssm.audio import find_recordings
    from sssm.labels import label_of

    names = find_recordings(folder, lambda error: tell(f"{error.filename}: {reason_of(error)}"))
    paths = [folder / name for name in names]
    found = [(path, label) for path in paths if (label := label_of(path.parent.name, labels))]
    if not found:
        raise ValueError(f"{folder}: no recordings" + " of the model's labels" * bool(paths))
    if others := len(paths) - len(found):
        tell(f"{folder}: what has none of the model's labels is left out, {others} of {len(paths)}")
    return found


def _accuracy(network: "KeywordModel", recordings: list[tuple[Path, str]]) -> float:
    from sssm.classifier import Classifier

    classifier = Classifier.of(network)
    right = sum(classifier.classify(path).label == word for path, word in recordings)
    return right / len(recordings)
