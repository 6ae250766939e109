"""`sssm models` and `sssm info`: what is shipped, and what a model says of itself."""

import json
import os
from typing import Annotated

import typer

from app.terminal import aligned, refuse, say, shown, tell


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """List the models that are shipped."""
    from sssm.live import describe, live_models
    from sssm.weights import ModelFileError

    shipped = sorted(live_models().items())
    if not shipped:
        tell("this installation came without models")
        return
    rows = []
    for name, path in shipped:
        try:
            labels = list(describe(path)[0].labels)
        except ModelFileError as error:
            refuse(str(error))
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
        str, typer.Argument(metavar="MODEL", help="A shipped model, or a model file.")
    ] = "s4",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what a model hears, its size, its cost and how good it is."""
    from sssm.weights import ModelFileError

    try:
        facts = _facts(model)
    except ModelFileError as error:
        refuse(str(error))
    if as_json:
        say(json.dumps(facts))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        say(aligned([name, shown(_readable(value))], [width, 0]))


def _facts(model: str) -> dict[str, object]:
    from sssm.live import describe, find_live

    path = find_live(model)
    card, cost = describe(path)
    return {
        "name": path.stem,
        "labels": list(card.labels),
        "sample_rate_hz": card.sample_rate_hz,
        **cost,
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
