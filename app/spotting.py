"""What the commands that spot words share: which model, and how sure it must be."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from app.terminal import refuse

if TYPE_CHECKING:
    from sssm.spotter import KeywordSpotter

Model = Annotated[
    str,
    typer.Option(metavar="NAME|FILE", help="A shipped model, a model file, or some joined by +."),
]
Threshold = Annotated[
    list[str] | None,
    typer.Option(
        metavar="X|WORD=X",
        help="Score from which all words, or one, count as heard, over --thresholds; repeatable.",
    ),
]
Thresholds = Annotated[
    str | None, typer.Option(metavar="FILE", help="Thresholds that `calibrate` chose.")
]
Refractory = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=60_000,
        metavar="MS",
        help="How long nothing counts after a detection; without it the model's own.",
    ),
]


def load_spotter(
    model: str, threshold: Sequence[str] | None, thresholds: str | None, refractory_ms: float | None
) -> "KeywordSpotter":
    """The spotter of these options: a word's own threshold over one for all, that over the file's.

    Raises:
        typer.Exit: an option is wrong, which one line has said.
    """
    from sssm.spotter import KeywordSpotter

    try:
        spotter = KeywordSpotter.load(model)
        chosen = _chosen(spotter, threshold or (), thresholds)
        refractory_s = None if refractory_ms is None else refractory_ms / 1000
        return spotter.with_settings(thresholds=chosen, refractory_s=refractory_s)
    except ValueError as error:
        refuse(str(error))


def _chosen(
    spotter: "KeywordSpotter", options: Sequence[str], file: str | None
) -> dict[str, float]:
    """Keyword -> threshold, of those that were given."""
    from sssm.thresholds import read_thresholds

    chosen = {}
    if file is not None:
        chosen = read_thresholds(file, fingerprint=spotter.fingerprint, keywords=spotter.keywords)
    for_all, for_one = [], {}
    for option in options:
        keyword, equals, value = option.rpartition("=")
        try:
            number = float(value)
        except ValueError:
            raise ValueError(f"--threshold {option}: {value!r} is no number") from None
        if equals:
            for_one[keyword] = number
        else:
            for_all.append(number)
    for number in for_all[-1:]:  # of several for all words the last one counts
        chosen = dict.fromkeys(spotter.keywords, number)
    return chosen | for_one
