"""`sssm calibrate`: thresholds from one's own recordings of everything but the keywords."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from app.labelled import LabelledRecordings, folder_names, left_out, of_keywords
from app.outputs import keep_inputs
from app.recordings import listed
from app.spotting import Model, load_spotter
from app.terminal import INPUT_FAILED, aligned, refuse, say, shown, tell
from sssm.reason import reason_of

MOST_ASKED = 10_000  # false accepts an hour
MOST_TIMES = 10  # the target, to which a curve is drawn
MUCH_SURER = 1.0  # in logit, above a model's own threshold


def calibrate(
    negatives: Annotated[
        str,
        typer.Option(
            metavar="DIR", help="Recordings in which no keyword is said: talk, television, noise."
        ),
    ],
    out: Annotated[
        str,
        typer.Option(
            metavar="FILE", help="Where to write the thresholds, and beside it their curve as .png."
        ),
    ],
    positives: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Recordings of keywords, one in each: DIR/KEYWORD/*.wav."),
    ] = None,
    false_accepts_per_hour: Annotated[
        float, typer.Option(min=0, max=MOST_ASKED, metavar="X", help="Of all keywords together.")
    ] = 0.5,
    model: Model = "s4",
) -> None:
    """Choose thresholds from recordings in which no keyword is said."""
    from sssm.live import members_of
    from sssm.thresholds import write_thresholds

    spotter = load_spotter(model, None, None, None)
    place = Path(out)
    folder = os.path.dirname(os.path.realpath(out))
    if not os.path.isdir(folder) or place.is_dir() or not os.access(folder, os.W_OK):
        refuse(f"{out}: no file can be written there")
    picture = place.with_suffix(".png")
    if picture == place:
        refuse(f"{out}: the curve is drawn there, so the thresholds need another name")
    if picture.exists() and not place.exists():
        refuse(f"{picture}: is there without {out}, and the curve would be drawn over it")
    if positives is not None and not os.path.isdir(positives):
        refuse(f"{positives}: no such folder")
    heard = LabelledRecordings(spotter)
    files, failures = listed([negatives])
    heard.failures += failures
    recordings = [(path, None) for path in files] + of_keywords(positives, heard)
    for written in (out, str(picture)):
        keep_inputs(written, [*members_of(model), *(path for path, _ in recordings)])
    names = [name for word in spotter.keywords for name in sorted(folder_names(word))]
    if named := [name for name in names if os.path.isdir(Path(negatives, name))]:
        folders = ", ".join(named)
        tell(
            f"{negatives}: holds {folders}; what is said there counts as a false accept, so it may"
            " no longer be heard"
        )
    if positives is not None and (others := left_out(positives, spotter.keywords)):
        tell(f"{positives}: left out {', '.join(others)}: no keyword is called so")
    heard.listen(recordings)
    if heard.hours == 0:
        heard.failures.append(f"{negatives}: nothing was heard, so no thresholds were chosen")
    else:
        thresholds = _choose(heard, false_accepts_per_hour)
        try:
            write_thresholds(place, thresholds, fingerprint=spotter.fingerprint)
        except OSError as error:
            heard.failures.append(f"{out}: {reason_of(error)}, so the thresholds are only printed")
        _report(heard, thresholds, false_accepts_per_hour)
        if place.is_file() or not place.exists():  # beside a pipe there is no place for it
            _draw(heard, thresholds, false_accepts_per_hour, picture)
    for line in heard.failures:
        tell(line)
    if heard.failures:
        raise typer.Exit(INPUT_FAILED)


def _choose(heard: LabelledRecordings, per_hour: float) -> dict[str, float]:
    """Thresholds that keep to a rate of all keywords together in what was heard."""
    import numpy as np

    from sssm.calibration import threshold_grid, thresholds_within

    grid = threshold_grid()
    false = np.array([heard.false_accepts(heard.negatives.fired_alone(x)) for x in grid])
    missed = None
    if heard.said:
        missed = np.array([heard.misses(heard.positives.fired_alone(x)) for x in grid])
    return thresholds_within(
        heard.spotter.keywords,
        grid,
        false,
        missed,
        lambda thresholds: heard.false_accepts(heard.negatives.fired(thresholds)),
        per_hour * heard.hours,
    )


def _report(heard: LabelledRecordings, thresholds: Mapping[str, float], per_hour: float) -> None:
    from sssm.calibration import EVENTS_MEASURABLE, HIGHEST, logit, measurable
    from sssm.intervals import poisson_interval

    keywords, hours = heard.spotter.keywords, heard.hours
    false, missed = heard.count(thresholds)
    said = list(heard.said.values())
    rows = [("keyword", "threshold", "false accepts", *(("misses to expect",) if said else ()))]
    for k, keyword in enumerate(keywords):
        misses = (_misses(int(missed[k]), said.count(keyword)),) if said else ()
        rows.append((shown(keyword), f"{thresholds[keyword]:.4f}", str(false[k]), *misses))
    if said:
        total = _misses(int(missed.sum()), len(said))
        rows.append(("all", "", str(false.sum()), total))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        say(aligned(row, widths))
    tell("counted in what the thresholds were chosen by: in other recordings expect more of both")
    low, high = (count / hours for count in poisson_interval(int(false.sum())))
    say(
        f"heard {hours:.2f} h: {false.sum() / hours:.2f} false accepts an hour"
        f" (95% interval {low:.2f} to {high:.2f})"
    )
    if per_hour and not measurable(per_hour, hours):
        least = EVENTS_MEASURABLE / hours
        tell(
            f"{hours:.2f} h cannot tell {per_hour:g} false accepts an hour from none: the smallest"
            f" rate that they can measure is {least:,.2f}; record more, or expect up to that"
        )
    deaf = [k for k in keywords if said.count(k) and missed[keywords.index(k)] == said.count(k)]
    if deaf:
        tell(
            f"no recording of {', '.join(deaf)} is heard at these thresholds: allow more false"
            " accepts, or train on more"
        )
    own = heard.spotter.thresholds
    lower = [word for word in keywords if thresholds[word] < own[word]]
    if lower:
        tell(
            f"less sure than the model's own of {', '.join(lower)}: little in these recordings"
            " sounds like them; where more does, expect more false accepts"
        )
    surer = [k for k in keywords if logit(thresholds[k]) > logit(min(own[k], HIGHEST)) + MUCH_SURER]
    if surer:
        tell(
            f"much surer than the model's own of {', '.join(surer)}, so more of what is said will"
            " be missed: record more without a keyword, or allow more false accepts"
        )
    if false.sum() > per_hour * hours:
        tell(f"even at the highest thresholds there are more than {per_hour:g} an hour")


def _misses(missed: int, said: int) -> str:
    from sssm.intervals import binomial_interval

    if said == 0:
        return "no recording"
    low, high = binomial_interval(missed, said)
    return f"{missed / said:.1%} ({low:.1%} to {high:.1%}; {missed} of {said})"


def _draw(
    heard: LabelledRecordings, thresholds: Mapping[str, float], per_hour: float, png: Path
) -> None:
    """The curve of one common shift of the thresholds: misses, or without words just the rate."""
    from sssm.calibration import LOWEST, curve
    from sssm.plots import save_det, save_rates

    hours = heard.hours
    most = MOST_TIMES * max(per_hour * hours, 1.0)
    points = curve(thresholds, heard.count, lowest=LOWEST, most=most)
    rates = [float(point.false_accepts.sum()) / hours for point in points]
    title = f"{hours:.2f} h without a keyword"
    try:
        if heard.said:
            missed = [float(point.misses.sum()) / len(heard.said) for point in points]
            save_det(png, {"all": list(zip(rates, missed, strict=True))}, hours, title)
        else:
            middle = [sum(p.thresholds.values()) / len(p.thresholds) for p in points]
            save_rates(png, list(zip(middle, rates, strict=True)), hours, title)
    except ModuleNotFoundError:
        tell("no picture of the curve: matplotlib is not installed")
    except OSError as error:
        heard.failures.append(f"{png}: {reason_of(error)}")
    else:
        say(f"curve: {shown(str(png))}")
