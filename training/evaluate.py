"""Accuracy of a model on recordings whose words are known.

    python -m training.evaluate --data ROOT --model M [--split validation] [--sample-rate 8000]
    python -m training.evaluate --folder DIR --model M

Exit codes: 0 done; 1 some input or the work failed; 2 wrong usage, unknown or damaged model; 130
Ctrl-C.
"""

import json
import os
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar

import numpy as np
import typer

from sssm.audio import AudioError, AudioFile, resample
from sssm.classifier import Classifier
from sssm.labels import SILENCE, label_of
from sssm.model import KeywordModel
from sssm.timing import NATIVE_RATES_HZ
from sssm.weights import find_model, load_model
from training import own_words, speech_commands
from training.console import INPUT_FAILED, failures_told, say, tell, track
from training.corpus import SAMPLE_RATE_HZ, open_corpus
from training.labels import labels_of
from training.report import CONFUSIONS_SHOWN, save_confusion, table
from training.scoring import Figures, clip_scores, figures, labelled_clips

T = TypeVar("T")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


class Split(StrEnum):
    """Parts of a data folder, no speaker in two of them."""

    TRAINING = "training"
    VALIDATION = "validation"
    TESTING = "testing"


class Measured(NamedTuple):
    """One evaluation."""

    figures: Figures
    accuracy_zeros: float | None  # None where the silence is the folder's own
    speakers: int
    sample_rate_hz: int | None  # None where every file was heard at its own rate, not all alike
    failures: int  # files that could not be read


@app.command()
def evaluate(
    model: Annotated[str, typer.Option(metavar="NAME|FILE", help="A shipped model, or a file.")],
    data: Annotated[Path | None, typer.Option(help="Folder that training reads.")] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            help="Instead of --data: any folder of folders of audio files, each named by its label."
            " Other names count as _unknown_, _background_noise_ as _silence_."
        ),
    ] = None,
    split: Annotated[Split, typer.Option(help="Which part of --data.")] = Split.VALIDATION,
    sample_rate: Annotated[
        int | None,
        typer.Option(
            min=NATIVE_RATES_HZ[0], max=NATIVE_RATES_HZ[1],
            help="Resample to this rate, and listen at it; else --data at 16000 Hz, and a file of"
            " --folder at its own rate.",
        ),
    ] = None,
    png: Annotated[
        Path, typer.Option(help="Where to draw the confusion matrix.", dir_okay=False)
    ] = Path("confusion.png"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:  # fmt: skip
    """Accuracy of a model on recordings whose words are known."""
    if data is None and folder is None:
        raise typer.BadParameter("either --data or --folder is needed")
    if data is not None and folder is not None:
        raise typer.BadParameter("--data or --folder, not both")
    if not os.path.isdir(png.parent):  # better now than after minutes of work
        raise typer.BadParameter(f"{png.parent} is no folder")
    if png.suffix.lower() != ".png":  # it may be a recording
        raise typer.BadParameter(f"{png}: the name of a picture ends in .png")
    with failures_told():
        network, _ = load_model(find_model(model))
        if folder is not None:
            measured = _on_folder(network, folder, sample_rate)
        elif data is not None:
            measured = measure(network, data, split, sample_rate or SAMPLE_RATE_HZ)
        labels = network.config.labels
        what = folder.resolve().name if folder else split.value
        title = f"{Path(model).stem} on {what}: {measured.figures.accuracy:.1%}"
        save_confusion(png, labels, measured.figures, title)
        report = {
            "model": model,
            "split": None if folder else split.value,
            **_report(measured),
            "confusion_png": str(png.resolve()),
        }
        say(json.dumps(report) if as_json else table(labels, measured.figures, _facts(report)))
    if measured.failures:
        raise typer.Exit(INPUT_FAILED)


def measure(model: KeywordModel, root: Path, split: str, sample_rate_hz: int) -> Measured:
    """Figures of the clips of a data folder, with silence cut from real noise, and with zeros.

    Raises:
        ValueError: the folder cannot be read, or holds none of the model's labels in this split.
    """
    published = (root / speech_commands.FOLDER).is_dir()
    corpus = open_corpus(root, own_words=not published)
    labels = labels_of(model.config.labels)
    clips = labelled_clips(corpus, labels, split, silence_is_zeros=False)
    spoken = [clip.label != SILENCE for clip in clips]
    if not any(spoken):
        raise ValueError(f"{root}: no recording of {split} has a label of this model")
    zeros = labelled_clips(corpus, labels, split, silence_is_zeros=True)[sum(spoken) :]
    heard = clip_scores(
        model, [clip.samples for clip in clips + zeros], sample_rate_hz=sample_rate_hz,
        watch=lambda batches: track(batches, f"{len(clips)} clips"),
    ).argmax(axis=1)  # fmt: skip
    said = [clip.label for clip in clips + zeros]
    who = [clip.speaker for clip in clips]
    names = model.config.labels
    right = np.array([names[n] for n in heard]) == said
    with_zeros = np.concatenate([np.flatnonzero(spoken), np.arange(len(clips), len(said))])
    return Measured(
        figures(names, said[: len(clips)], heard[: len(clips)], who),
        float(right[with_zeros].mean()),
        len({clip.speaker for clip in clips if clip.label != SILENCE}),
        sample_rate_hz,
        failures=0,
    )


def _on_folder(model: KeywordModel, root: Path, sample_rate_hz: int | None) -> Measured:
    """The files below a folder, each answered as `sssm classify` answers it."""
    classifier, names = Classifier.of(model), model.config.labels
    said, heard, speakers, rates, failures = [], [], [], set(), 0
    for path, label in track(_labelled_files(root, names), "files"):
        try:
            with AudioFile(path) as audio:
                rate = sample_rate_hz or audio.stream_rate_hz
                pieces = audio.pieces()
                if rate != audio.stream_rate_hz:
                    pieces = resample(pieces, audio.stream_rate_hz, rate)
                scores = classifier.scores(pieces, rate)
                audio.check_heard()
        except AudioError as error:
            tell(str(error))
            failures += 1
            continue
        said.append(label)
        heard.append(names.index(max(scores, key=scores.__getitem__)))
        speakers.append(own_words.speaker_of(path, root))
        rates.add(rate)
    if not said:
        raise ValueError(f"{root}: no recording has a label of this model")
    return Measured(
        figures(names, said, np.array(heard), speakers),
        None,
        len(set(speakers)),
        rates.pop() if len(rates) == 1 else None,
        failures,
    )


def _labelled_files(root: Path, names: Sequence[str]) -> list[tuple[Path, str]]:
    files = []
    for folder in own_words.subfolders(root):
        if label := label_of(folder.name, names):
            files += [(path, label) for path in own_words.audio_files(folder)]
        else:
            tell(f"{folder}: left out, none of the model's labels is right for it")
    return files


def _report(measured: Measured) -> dict[str, object]:
    shown = measured.figures
    confusions = [
        {"said": said, "heard": heard, "clips": clips}
        for said, heard, clips in shown.confusions[:CONFUSIONS_SHOWN]
    ]
    return {
        "sample_rate_hz": measured.sample_rate_hz,
        "accuracy": shown.accuracy,
        "accuracy_zeros": measured.accuracy_zeros,
        "ci95": list(shown.ci95),
        "mean_over_classes": shown.mean_over_classes,
        "per_class": shown.per_class,
        "confusions": confusions,
        "clips": int(shown.matrix.sum()),
        "speakers": measured.speakers,
    }


def _facts(report: dict[str, object]) -> list[tuple[str, str]]:
    zeros, rate = report["accuracy_zeros"], report["sample_rate_hz"]
    silence = [("with zeros as silence", f"{zeros:.2%}")] if zeros is not None else []
    return [
        *silence,
        ("clips, speakers", f"{report['clips']}, {report['speakers']}"),
        ("heard at", f"{rate} Hz" if rate else "the rate of each file"),
        ("confusion matrix", str(report["confusion_png"])),
    ]


if __name__ == "__main__":
    app()
