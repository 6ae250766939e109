"""How often a spotter misses words in a stream, how late it is, and how often it fires on nothing.

    python -m training.evaluate_stream --data ROOT --model M [--split validation] [--snr-db 10]
    python -m training.evaluate_stream --data ROOT --model M --split calibration
        --false-accepts-per-hour 0.5 --out-thresholds thresholds.json

Exit codes: 0 done; 1 the work failed; 2 wrong usage, unknown or damaged model; 130 Ctrl-C.
"""

import json
import math
import os
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from sssm import thresholds as thresholds_file
from sssm.calibration import HIGHEST, choose, curve, expected_counts, raise_to_fit, threshold_grid
from sssm.live import members_of
from sssm.plots import save_det
from sssm.spotter import KeywordSpotter
from sssm.thresholds import read_thresholds
from sssm.weights import find_model
from training.console import WRONG_USAGE, failures_told, say, tell, track
from training.corpus import open_corpus
from training.stream_report import det_lines, report, save_errors, tables
from training.stream_scoring import Negatives, Positives, counts_alone, counts_together
from training.stream_trials import KeywordSessions, NegativeSessions, read_transcripts

MOST_ASKED = 10_000.0  # minutes, and false accepts an hour
LOWEST = 0.05  # threshold of the curve: below what is sensible, to see where it leads
# Of the way from each keyword's own threshold to the mean of all.  Half an hour of readers and what
# training has heard know less of each keyword than they seem to: see training/LOG.md.
ALIKE = 0.75

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


class Split(StrEnum):
    """Who speaks: see `training.stream_trials`."""

    VALIDATION = "validation"
    CALIBRATION = "calibration"


@app.command()
def evaluate_stream(
    data: Annotated[Path, typer.Option(help="Folder that training reads.")],
    model: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="A shipped model, a file, or some joined by +.")
    ],
    split: Annotated[
        Split,
        typer.Option(
            help="`calibration`: its readers, and what training heard, to choose thresholds by."
        ),
    ] = Split.VALIDATION,
    snr_db: Annotated[
        float, typer.Option(min=-100, max=100, help="Of words to noise, on average.")
    ] = 10.0,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")] = 0,
    minutes: Annotated[
        float,
        typer.Option(
            "--streams", min=0.5, max=MOST_ASKED, help="Minutes of streams with keywords."
        ),
    ] = 120.0,
    thresholds: Annotated[
        Path | None, typer.Option(help="Thresholds instead of the model's own.")
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            "--false-accepts-per-hour", min=0, max=MOST_ASKED,
            help="Choose thresholds for this rate of all keywords together; needs"
            " --out-thresholds.",
        ),
    ] = None,
    out_thresholds: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Where to write them.")
    ] = None,
    out: Annotated[
        Path, typer.Option(file_okay=False, help="Folder for det.png and errors.csv.")
    ] = Path("stream-evaluation"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object alone.")] = False,
) -> None:  # fmt: skip
    """Misses, latency and false accepts of a spotter on streams whose words are known."""
    if (rate is None) != (out_thresholds is None):
        raise typer.BadParameter("--false-accepts-per-hour and --out-thresholds go together")
    if out_thresholds is not None and not os.path.isdir(out_thresholds.parent):
        raise typer.BadParameter(f"{out_thresholds.parent} is no folder")
    try:
        spotter = KeywordSpotter.load([find_model(name) for name in members_of(model)])
        if thresholds is not None:
            chosen = read_thresholds(
                thresholds, fingerprint=spotter.fingerprint, keywords=spotter.keywords
            )
            spotter = spotter.with_settings(thresholds=chosen)
    except ValueError as error:
        tell(str(error))
        raise typer.Exit(WRONG_USAGE) from None
    with failures_told():
        with_words, without = _sessions(spotter, data, split, minutes, snr_db, seed)
        out.mkdir(parents=True, exist_ok=True)  # better now than after minutes of work
        positives = Positives(spotter, with_words, LOWEST, track)
        negatives = Negatives(spotter, without, LOWEST, track)
        extra: dict[str, Any] = {}
        if rate is not None and out_thresholds is not None:
            spotter, extra = _chosen(spotter, positives, negatives, rate)
            thresholds_file.write_thresholds(
                out_thresholds, spotter.thresholds, fingerprint=spotter.fingerprint
            )
        result = _measure(spotter, positives, negatives, out, f"{Path(model).stem} on {split}")
        how = {
            "model": model,
            "fingerprint": spotter.fingerprint,
            "split": split.value,
            "snr_db": snr_db,
            "seed": seed,
        }
        result = {**how, **result, **extra}
        if not as_json:
            say(tables(result))
        say(json.dumps(result))


def _sessions(
    spotter: KeywordSpotter, root: Path, split: Split, minutes: float, snr_db: float, seed: int
) -> tuple[KeywordSessions, NegativeSessions]:
    corpus = open_corpus(root, own_words=False)
    words = spotter.keywords
    return (
        KeywordSessions(corpus, words, split, minutes=minutes, snr_db=snr_db, seed=seed),
        NegativeSessions(corpus, read_transcripts(root), words, split, seed=seed),
    )


def _chosen(
    spotter: KeywordSpotter, positives: Positives, negatives: Negatives, rate: float
) -> tuple[KeywordSpotter, dict[str, Any]]:
    """The spotter with thresholds that keep to a rate in these recordings."""
    grid, allowed = threshold_grid(), rate * negatives.hours
    false_accepts, misses = counts_alone(positives, negatives, grid)
    own = choose(grid, expected_counts(grid, false_accepts), misses, allowed)
    chosen = raise_to_fit(
        spotter.keywords, grid, _drawn_together(own),
        lambda x: negatives.false_accepts(negatives.traces.fired(x)), allowed,
    )  # fmt: skip
    facts = {"target_per_hour": rate, "allowed": int(allowed), "thresholds": chosen}
    return spotter.with_settings(thresholds=chosen), facts


def _drawn_together(places: Sequence[int]) -> list[int]:
    """Numbers of thresholds in the grid, which is even in logit."""
    mean = sum(places) / len(places)
    return [round(place + ALIKE * (mean - place)) for place in places]


def _measure(
    spotter: KeywordSpotter, positives: Positives, negatives: Negatives, out: Path, title: str
) -> dict[str, Any]:
    own = {k: min(max(value, LOWEST), HIGHEST) for k, value in spotter.thresholds.items()}
    points = curve(
        own, lambda x: counts_together(positives, negatives, x), lowest=LOWEST, most=math.inf
    )  # fmt: skip
    save_det(out / "det.png", det_lines(positives, negatives, points), negatives.hours, title)
    save_errors(out / "errors.csv", positives, negatives, own)
    files = {"det_png": str((out / "det.png").resolve()),
             "errors_csv": str((out / "errors.csv").resolve())}  # fmt: skip
    return {**report(positives, negatives, points, own), **files}


if __name__ == "__main__":
    app()
