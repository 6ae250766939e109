r"""Turn the result of a run into a model to ship: measured, with a card in words beside it.

    python -m training.publish RUN/model.safetensors assets/NAME.safetensors --data ROOT \
        --about training/cards/NAME.md --licence Apache-2.0 \
        --thresholds THRESHOLDS.json --streams STREAMS.json

Thresholds are those that `training.evaluate_stream --split calibration` chose; STREAMS.json is what
it printed with them, `--split validation --thresholds THRESHOLDS.json --json`.

The text of --about is Markdown whose first paragraph says what the model learned from; all of it
goes into NAME.md.  The licence of the weights is asked for: it follows from the recordings.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from sssm.cost import macs_per_s, parameters, state_bytes
from sssm.detector import Detector
from sssm.model import KeywordModel
from sssm.thresholds import read_thresholds
from sssm.weights import WEIGHTS, ModelCard, fingerprint, load_model, save_model
from training.console import failures_told
from training.evaluate import Measured, measure
from training.texts import read_text

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

CONFUSIONS_SHOWN = 8
STREAM_FIGURES = (
    "snr_db", "said", "missed", "misses_at_most_one", "misses_at_most_one_ci95",
    "missed_ci95_by_speaker", "misses_at_most_one_ci95_by_speaker", "negative_hours",
    "false_accepts", "false_accepts_per_hour_ci95", "latency_median_s", "latency_p95_s",
)  # fmt: skip


@app.command()
def publish(
    model: Annotated[Path, typer.Argument(help="Result of a run.")],
    out: Annotated[Path, typer.Argument(help="The model to ship; NAME.md goes beside it.")],
    data: Annotated[Path, typer.Option(help="Folder that training read.")],
    about: Annotated[Path, typer.Option(help="What it learned from, and its limits.")],
    licence: Annotated[str, typer.Option(help="Of the weights.")],
    thresholds: Annotated[
        Path | None, typer.Option(help="Of the keywords, as `evaluate_stream` chose them.")
    ] = None,
    streams: Annotated[
        Path | None, typer.Option(help="What `evaluate_stream` said with them.")
    ] = None,
) -> None:
    """Measure a model, and write it with its card."""
    with failures_told():
        if not out.parent.is_dir():  # better now than after minutes of work
            raise ValueError(f"{out.parent} is no folder")
        if out.suffix != WEIGHTS:
            raise ValueError(f"{out}: the name of a model ends in {WEIGHTS}")
        words = out.with_suffix(".md")
        if words.exists() and words.samefile(about):
            raise ValueError(f"{about}: is read here, and the card would be written over it")
        text = read_text(about).strip()
        network, card = load_model(model)
        name = fingerprint(model)
        if thresholds is not None:
            keywords = Detector(labels=card.labels).keywords
            chosen = read_thresholds(thresholds, fingerprint=name, keywords=keywords)
            card = replace(card, thresholds=chosen)
        heard = {} if streams is None else _stream_figures(streams, name, card)
        full = measure(network, data, "validation", 16_000)
        half = measure(network, data, "validation", 8_000)
        shipped = replace(
            card,
            # Pinned, since defaults may change one day.
            detector=Detector(labels=card.labels).settings | dict(card.detector),
            training_data=" ".join(text.split("\n\n")[0].split()),
            licence=licence,
            accuracy=_accuracy(full, half) | heard,
        )
        save_model(out, network, shipped)
        words.write_text(_words(out.stem, text, shipped, network, full), "utf-8")


def _accuracy(full: Measured, half: Measured) -> dict[str, Any]:
    low, high = full.figures.ci95
    zeros = full.accuracy_zeros
    return {
        "what": "speakers of split validation, none of them in training",
        "accuracy": round(full.figures.accuracy, 4),
        "ci95": [round(low, 4), round(high, 4)],
        "mean_over_classes": round(full.figures.mean_over_classes, 4),
        **({} if zeros is None else {"accuracy_zeros": round(zeros, 4)}),
        "accuracy_8khz": round(half.figures.accuracy, 4),
        "clips": int(full.figures.matrix.sum()),
        "speakers": full.speakers,
    }


def _stream_figures(path: Path, name: str, card: ModelCard) -> dict[str, Any]:
    """What goes into the card of an evaluation on streams.

    Raises:
        ValueError: it is no such evaluation, one of another model or other thresholds, or one in
            which no word was found.
    """
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        figures = {key: _rounded(result[key]) for key in STREAM_FIGURES}
        used = {word: of["threshold"] for word, of in result["per_keyword"].items()}
        model = result["fingerprint"]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{path}: not what `evaluate_stream --json` prints") from None
    own = Detector(labels=card.config.labels, thresholds=card.thresholds)
    if model != name or used != own.thresholds:
        raise ValueError(f"{path}: figures of another model, or of other thresholds")
    if figures["latency_median_s"] is None:
        raise ValueError(f"{path}: no word was found at these thresholds")
    return {"streams": figures}


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return round(value, 6) if isinstance(value, float) else value


def _words(name: str, text: str, card: ModelCard, network: KeywordModel, full: Measured) -> str:
    """The card as Markdown."""
    a = card.accuracy
    zeros = "accuracy_zeros"
    rows = [
        ("accuracy, silence cut from real noise", f"{a['accuracy']:.1%}"),
        ("95% interval by speaker", f"{a['ci95'][0]:.1%} to {a['ci95'][1]:.1%}"),
        ("mean over classes", f"{a['mean_over_classes']:.1%}"),
        *([("accuracy, silence all zeros", f"{a[zeros]:.1%}")] if zeros in a else []),
        ("accuracy at 8 kHz, same weights", f"{a['accuracy_8khz']:.1%}"),
        ("clips, speakers", f"{a['clips']:,}, {a['speakers']}"),
        ("parameters", f"{parameters(network):,}"),
        ("bytes of state", f"{state_bytes(network):,}"),
        ("multiply-accumulates a second", f"{macs_per_s(network):,}"),
    ]
    said_live = a.get("streams", {})
    live = [
        ("words in streams, dB over the noise", "{said:,}, {snr_db:g}"),
        (
            "missed at the thresholds in the file, 95% interval by speaker",
            "{missed:.1%} ({missed_ci95_by_speaker[0]:.1%} to {missed_ci95_by_speaker[1]:.1%})",
        ),
        (
            "false detections in hours of speech and noise without the word",
            "{false_accepts} in {negative_hours:.2f} h",
        ),
        (
            "an hour, 95% interval",
            "{false_accepts_per_hour_ci95[0]:.2f} to {false_accepts_per_hour_ci95[1]:.2f}",
        ),
        (
            "missed where at most one is false in all these hours",
            "{misses_at_most_one:.1%} ({misses_at_most_one_ci95_by_speaker[0]:.1%} to "
            "{misses_at_most_one_ci95_by_speaker[1]:.1%})",
        ),
        (
            "from a word's end to its detection: median, 95%",
            "{latency_median_s:.2f} s, {latency_p95_s:.2f} s",
        ),
    ]
    rows += [(what, text.format(**said_live)) for what, text in live if said_live]
    recall = [(f"`{label}`", f"{share:.1%}") for label, share in full.figures.per_class.items()]
    said = [
        (f"`{said}` heard as `{heard}`", str(clips))
        for said, heard, clips in full.figures.confusions[:CONFUSIONS_SHOWN]
    ]
    return (
        "\n\n".join(
            [
                f"# {name}",
                text,
                f"Licence of the weights: {card.licence}.",
                "## Figures\n\n" + _table(("what", "figure"), rows),
                "## Recall\n\n" + _table(("said", "heard right"), recall),
                "## Most frequent confusions\n\n" + _table(("what", "clips"), said),
            ]
        )
        + "\n"
    )


def _table(head: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    lines = [head, ("---", "---"), *rows]
    return "\n".join(f"| {left} | {right} |" for left, right in lines)


if __name__ == "__main__":
    app()
