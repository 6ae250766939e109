"""`sssm calibrate`: thresholds from one's own recordings of everything but the keywords."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.events import Heard, heard_out
from app.outputs import keep_inputs
from app.progress import ScanProgress, progress_of
from app.recordings import listed
from app.spotting import Model, load_spotter
from app.terminal import INPUT_FAILED, aligned, refuse, say, tell
from sssm.reason import reason_of

if TYPE_CHECKING:
    from sssm.calibration import Counts
    from sssm.spotter import KeywordSpotter
    from sssm.traces import Fired, Trace

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
    """Choose how sure of each keyword to be, from recordings in which none is said."""
    from sssm.live import members_of
    from sssm.thresholds import write_thresholds

    spotter = load_spotter(model, None, None, None)
    place = Path(out)
    folder = place.resolve().parent
    if not folder.is_dir() or place.is_dir() or not os.access(folder, os.W_OK):
        refuse(f"{out}: no file can be written there")
    picture = place.with_suffix(".png")
    if picture == place:
        refuse(f"{out}: the curve is drawn there, so the thresholds need another name")
    if picture.exists() and not place.exists():
        refuse(f"{picture}: is there without {out}, and the curve would be drawn over it")
    if positives is not None and not os.path.isdir(positives):
        refuse(f"{positives}: no such folder")
    heard = _Recordings(spotter)
    files, failures = listed([negatives])
    heard.failures += failures
    recordings = [(path, None) for path in files] + _of_keywords(positives, heard)
    for written in (out, str(picture)):
        keep_inputs(written, [*members_of(model), *(path for path, _ in recordings)])
    if named := [word for word in spotter.keywords if os.path.isdir(Path(negatives, word))]:
        folders = ", ".join(named)
        tell(
            f"{negatives}: holds {folders}; what is said there counts as a false accept, so it may"
            " no longer be heard"
        )
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


class _Recordings:
    """What was heard of one's recordings, and what could not be.

    Attributes:
        negatives: scores of recordings without a keyword.
        positives: scores of those with one.
        hours: of the recordings without a keyword.
        said: number of a recording of `positives` -> its keyword.
        failures: a line each.
    """

    def __init__(self, spotter: "KeywordSpotter"):
        from sssm.calibration import LOWEST
        from sssm.traces import Traces

        self.spotter = spotter
        self.negatives = Traces(spotter.detector, LOWEST)
        self.positives = Traces(spotter.detector, LOWEST)
        self.hours = 0.0
        self.said: dict[int, str] = {}
        self.failures: list[str] = []

    def listen(self, files: Sequence[tuple[str, str | None]]) -> None:
        """Hear files, each with the keyword that is said in it, or with None."""
        from sssm.audio import AudioError

        with progress_of([path for path, _ in files]) as progress:
            for number, (path, keyword) in enumerate(files):
                traces = self.negatives if keyword is None else self.positives
                recording, trace = len(traces.frames), traces.begin()
                try:
                    self._hear(path, keyword, trace, number, progress)
                except AudioError as error:  # what was heard until there counts as background
                    self.failures.append(str(error))
                else:
                    if keyword is not None:
                        self.said[recording] = keyword
                progress.put(number, None)

    def _hear(
        self, path: str, keyword: str | None, trace: "Trace", number: int, progress: ScanProgress
    ) -> None:
        from sssm.audio import AudioFile
        from sssm.live import at_rate_of

        with AudioFile(path) as audio:
            stream, before = at_rate_of(audio, self.spotter.stream), self.hours
            for samples, is_after in heard_out(audio):
                trace.push(stream.push_scores(samples))
                progress.put(number, Heard(audio.heard_s, audio.replaced_samples, is_after))
                if keyword is None:
                    sound = audio.heard_samples - audio.replaced_samples
                    self.hours = before + sound / audio.sample_rate_hz / 3_600

    def false_accepts(self, fired: "Sequence[Fired]") -> "Counts":
        """(keywords,) of detections in the negatives."""
        import numpy as np

        heard = [event.keyword for event in fired]
        return np.array([heard.count(keyword) for keyword in self.spotter.keywords])

    def misses(self, fired: "Sequence[Fired]") -> "Counts":
        """(keywords,) recordings of each in which it was not heard."""
        import numpy as np

        found = {(event.recording, event.keyword) for event in fired}
        missed = [keyword for n, keyword in self.said.items() if (n, keyword) not in found]
        return np.array([missed.count(keyword) for keyword in self.spotter.keywords])

    def count(self, thresholds: Mapping[str, float]) -> "tuple[Counts, Counts]":
        """False accepts and misses, as live."""
        return (
            self.false_accepts(self.negatives.fired(thresholds)),
            self.misses(self.positives.fired(thresholds)),
        )


def _of_keywords(folder: str | None, heard: _Recordings) -> list[tuple[str, str | None]]:
    """Recordings of `folder` with their keywords, by the names of its folders."""
    if folder is None:
        return []
    found: list[tuple[str, str | None]] = []
    for keyword in heard.spotter.keywords:
        names = [Path(folder, name) for name in dict.fromkeys((keyword, keyword.replace(" ", "_")))]
        files, failures = listed([str(path) for path in names if os.path.isdir(path)])
        heard.failures += failures
        found += [(path, keyword) for path in files]
    if not found:
        known = ", ".join(heard.spotter.keywords)
        # Before hours of recordings are heard for nothing.
        refuse(f"{folder}: no recording in a folder named by a keyword ({known})")
    return found


def _choose(heard: _Recordings, per_hour: float) -> dict[str, float]:
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


def _report(heard: _Recordings, thresholds: Mapping[str, float], per_hour: float) -> None:
    from sssm.calibration import EVENTS_MEASURABLE, HIGHEST, logit, measurable
    from sssm.intervals import poisson_interval

    keywords, hours = heard.spotter.keywords, heard.hours
    false, missed = heard.count(thresholds)
    said = list(heard.said.values())
    rows = [("keyword", "threshold", "false accepts", *(("misses to expect",) if said else ()))]
    for k, keyword in enumerate(keywords):
        misses = (_misses(int(missed[k]), said.count(keyword)),) if said else ()
        rows.append((keyword, f"{thresholds[keyword]:.4f}", str(false[k]), *misses))
    if said:
        total = _misses(int(missed.sum()), len(said))
        rows.append(("all", "", str(false.sum()), total))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        say(aligned(row, widths))
    low, high = (count / hours for count in poisson_interval(int(false.sum())))
    say(
        f"heard {hours:.2f} h: {false.sum() / hours:.2f} false accepts an hour"
        f" (95% interval {low:.2f} to {high:.2f})"
    )
    if per_hour and not measurable(per_hour, hours):
        least = EVENTS_MEASURABLE / hours
        shown = f"{least:,.0f}" if least >= 10 else f"{least:.2g}"
        tell(
            f"{hours:.2f} h cannot tell {per_hour:g} false accepts an hour from none: the smallest"
            f" rate that they can measure is {shown}; record more, or expect up to that"
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


def _draw(heard: _Recordings, thresholds: Mapping[str, float], per_hour: float, png: Path) -> None:
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
        say(f"curve: {png}")
