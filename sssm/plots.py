"""Plots of an operating curve: misses against false accepts an hour, or those alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sssm.calibration import EVENTS_MEASURABLE
from sssm.whole_file import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def save_det(
    path: Path, lines: Mapping[str, Sequence[tuple[float, float]]], hours: float, title: str
) -> None:
    """Detection error tradeoff as PNG.

    Args:
        path: of the picture.
        lines: name -> (false accepts an hour, share missed) of each place of its curve.
        hours: heard; what they cannot measure is shaded.
        title: above the picture.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    figure, axes = _empty(title)
    none = 1 / (3 * hours)  # where a rate of zero is drawn, which a logarithm has no place for
    for n, (name, points) in enumerate(lines.items()):
        first = n == 0
        axes.step(
            [max(rate, none) for rate, _ in points], [100 * missed for _, missed in points],
            where="post", label=name, color="black" if first else None,
            linewidth=2.2 if first else 1, zorder=3 if first else 2,
        )  # fmt: skip
    axes.axvspan(none, EVENTS_MEASURABLE / hours, color="0.92", zorder=0)
    axes.set_xscale("log")
    axes.set_xlim(left=none)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"false accepts an hour (left edge: none in {hours:.1f} h)")
    axes.set_ylabel("missed, %")
    axes.legend(fontsize=8)
    _save(figure, path)


def save_rates(path: Path, points: Sequence[tuple[float, float]], hours: float, title: str) -> None:
    """False accepts against thresholds as PNG, where no recordings of the keywords are known.

    Args:
        path: of the picture.
        points: mean of the thresholds, false accepts an hour.
        hours: heard; what they cannot measure is shaded.
        title: above the picture.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    figure, axes = _empty(title)
    axes.plot([x for x, _ in points], [rate for _, rate in points], color="black", marker=".")
    axes.axhspan(0, EVENTS_MEASURABLE / hours, color="0.92", zorder=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("threshold, mean of the keywords'")
    axes.set_ylabel("false accepts an hour")
    _save(figure, path)


def _empty(title: str) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, parse_math=False)  # names of files: a $ in them is one
    axes.grid(alpha=0.3)
    return figure, axes


def _save(figure: "Figure", path: Path) -> None:
    with whole_file(path) as file:
        figure.savefig(file, format="png")
