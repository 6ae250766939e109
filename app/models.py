"""`sssm models` and `sssm info`: what is shipped, and what a model says of itself."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from app.terminal import WRONG_USAGE, aligned, say, shown, tell


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """List the models that are shipped."""
    from sssm.weights import ModelFileError, read_card, shipped_models

    shipped = sorted(shipped_models().items())
    if not shipped:
        tell("this installation came without models")
        return
    rows = []
    for name, path in shipped:
        try:
            labels = list(read_card(path).labels)
        except ModelFileError as error:
            tell(str(error))
            raise typer.Exit(WRONG_USAGE) from None
        size = os.path.getsize(path)
        if as_json:
            say(json.dumps({"name": name, "file": str(path), "bytes": size, "labels": labels}))
        about = f"{len(labels)} labels: {', '.join(labels)}"
        rows.append([name, path.name, f"{size / 1000:.0f} kB", about])
    if not as_json:
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for cells in rows:
            say(aligned(cells, widths))


def info(
    model: Annotated[
        str, typer.Argument(metavar="[MODEL]", help="A shipped model, or a model file.")
    ] = "s4",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what a model hears, how large it is, what it costs and how good it is."""
    from sssm.weights import ModelFileError

    try:
        facts = _facts(model)
    except ModelFileError as error:
        tell(str(error))
        raise typer.Exit(WRONG_USAGE) from None
    if as_json:
        say(json.dumps(facts))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        say(aligned([name, shown(_readable(value))], [width, 0]))


def _facts(model: str) -> dict[str, object]:
    from sssm.cost import macs_per_s, parameters, state_bytes
    from sssm.weights import find_model, load_model

    path = Path(find_model(model))
    network, card = load_model(path)
    return {
        "name": path.stem,
        "labels": list(card.labels),
        "sample_rate_hz": card.sample_rate_hz,
        "parameters": parameters(network),
        "state_bytes": state_bytes(network),
        "macs_per_s": macs_per_s(network),
        "training_data": card.training_data,
        "accuracy": card.accuracy,
        "licence": card.licence,
    }


def _readable(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_readable(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return " ".join(map(_readable, value))
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
