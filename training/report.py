"""What is shown of an evaluation: a table, and the confusion matrix as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from sssm.whole_file import whole_file
from training.console import answering
from training.scoring import Figures

CONFUSIONS_SHOWN = 10


def table(labels: Sequence[str], figures: Figures, facts: Sequence[tuple[str, str]]) -> str:
    """Recall of every class, then the totals and other facts, a line each, for this screen."""
    recalls = Table("said", "clips", "heard right", "else most often heard as")
    for row, label in zip(figures.matrix, labels, strict=True):
        if label in figures.per_class:
            others = [(said, heard, n) for said, heard, n in figures.confusions if said == label]
            worst = ", ".join(f"{heard} {n}" for _, heard, n in others[:3])
            recalls.add_row(label, str(row.sum()), f"{figures.per_class[label]:.1%}", worst)
    low, high = figures.ci95
    rows = [
        ("accuracy", f"{figures.accuracy:.2%} ({low:.2%} to {high:.2%}, 95% interval by speaker)"),
        ("mean over classes", f"{figures.mean_over_classes:.2%}"),
        *facts,
    ]
    return drawn(Console(markup=False), recalls, rows)


def drawn(console: Console, table: Table, rows: Sequence[tuple[str, str]]) -> str:
    """A table, then a line for each name and value."""
    width = max(len(name) for name, _ in rows)
    # What rich captures it still flushes to the screen, as nothing: a full device refuses that too.
    with answering(), console.capture() as captured:
        console.print(table)
        for name, value in rows:
            console.print(f"{name:<{width}}  {value}", soft_wrap=True)
    return captured.get().rstrip("\n")


def save_confusion(path: Path, labels: Sequence[str], figures: Figures, title: str) -> None:
    """Confusion matrix as PNG: clips as numbers, colour by their share of what was said."""
    from matplotlib.figure import Figure

    matrix = figures.matrix
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = max(4.0, 1.8 + 0.42 * len(labels))
    figure = Figure(figsize=(side, side), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    # A few percent are what one looks for: their colour must not be that of none.
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)
    places = range(len(labels))
    plain: dict[str, Any] = {"parse_math": False}  # names of folders: a $ in them is one
    axes.set_xticks(places, labels, rotation=60, ha="right", rotation_mode="anchor", **plain)
    axes.set_yticks(places, labels, **plain)
    axes.set_xlabel("heard")
    axes.set_ylabel("said")
    axes.set_title(title, **plain)
    for said, heard in np.argwhere(matrix):
        color = "white" if shares[said, heard] > 0.4 else "black"
        axes.text(
            heard, said, str(matrix[said, heard]), color=color, size=8, ha="center", va="center"
        )
    with whole_file(path) as file:
        figure.savefig(file, format="png")
