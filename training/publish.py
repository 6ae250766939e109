r"""Turn the result of a run into a model to ship: measured, with a card in words beside it.

    python -m training.publish RUN/model.safetensors assets/NAME.safetensors --data ROOT \
        --about training/cards/NAME.md --licence Apache-2.0

The text of --about is Markdown whose first paragraph says what the model learned from; all of it
goes into NAME.md.  The licence of the weights is asked for: it follows from the recordings.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from sssm.classifier import Classifier
from sssm.cost import macs_per_s, parameters, state_bytes
from sssm.weights import ModelCard, ModelFileError, load_model, save_model
from training.evaluate import Measured, measure

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

CONFUSIONS_SHOWN = 8


@app.command()
def publish(
    model: Annotated[Path, typer.Argument(help="Result of a run.")],
    out: Annotated[Path, typer.Argument(help="The model to ship; NAME.md goes beside it.")],
    data: Annotated[Path, typer.Option(help="Folder that training read.")],
    about: Annotated[Path, typer.Option(help="What it learned from, and its limits.")],
    licence: Annotated[str, typer.Option(help="Of the weights.")],
) -> None:
    """Measure a model, and write it with its card."""
    try:
        if not out.parent.is_dir():  # better now than after minutes of work
            raise ValueError(f"{out.parent} is no folder")
        text = about.read_text(encoding="utf-8").strip()
        network, card = load_model(model)
        classifier = Classifier(network, card)
        full = measure(classifier, data, "validation", 16_000)
        half = measure(classifier, data, "validation", 8_000)
        shipped = replace(
            card,
            training_data=" ".join(text.split("\n\n")[0].split()),
            licence=licence,
            accuracy=_accuracy(full, half),
        )
        save_model(out, network, shipped)
        out.with_suffix(".md").write_text(_words(out.stem, text, shipped, network, full), "utf-8")
    except ModelFileError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    except (ValueError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


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


def _words(name: str, text: str, card: ModelCard, network: Any, full: Measured) -> str:
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
    recall = [(label, f"{share:.1%}") for label, share in full.figures.per_class.items()]
    said = [
        (f"{said} heard as {heard}", str(clips))
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
