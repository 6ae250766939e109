"""What is told of an evaluation on streams: figures, tables, and every error in its place."""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sssm.calibration import Point, best_point, measurable
from sssm.intervals import binomial_interval, poisson_interval, poisson_upper
from training.corpus import SAMPLE_RATE_HZ
from training.report import drawn
from training.scoring import interval_by_speaker
from training.stream_scoring import (
    Latency,
    Negatives,
    Positives,
    count_by_keyword,
    counts_together,
    latency,
)
from training.stream_truth import Matched, around
from training.word_end import FRAME

RATES = ("0.1", "0.5", "1", "8")  # false accepts an hour
ERRORS_SHOWN = 12


def report(
    positives: Positives,
    negatives: Negatives,
    points: Sequence[Point],
    thresholds: Mapping[str, float],
) -> dict[str, Any]:
    """Figures at the given thresholds, and along the curve of one common shift of them.

    Args:
        positives: heard.
        negatives: heard.
        points: of the curve.
        thresholds: for latency, `missed` and false accepts.
    """
    hours, said = negatives.hours, int(positives.said.sum())
    once = best_point(points, 1)
    missed_once = int(once.misses.sum()) if once else said
    here = Point(dict(thresholds), *counts_together(positives, negatives, thresholds))
    matched = positives.matched(positives.traces.fired(thresholds))
    late = _latency(positives, matched)
    matched_once = positives.matched(positives.traces.fired(once.thresholds)) if once else None
    late_once = latency([]) if matched_once is None else _latency(positives, matched_once)
    once_by_speaker = (
        (1.0, 1.0) if matched_once is None else _missed_by_speaker(positives, matched_once)
    )
    count = int(here.false_accepts.sum())
    low, high = poisson_interval(count)
    return {
        "misses": _misses_at_rates(points, hours, said),
        "misses_at_most_one": missed_once / said,
        "misses_at_most_one_ci95": list(binomial_interval(missed_once, said)),
        "misses_at_most_one_ci95_by_speaker": list(once_by_speaker),
        "latency_at_most_one_median_s": late_once.median_s,
        "latency_at_most_one_p95_s": late_once.p95_s,
        "thresholds_at_most_one": once.thresholds if once else None,
        "false_accepts_at_most_one": int(once.false_accepts.sum()) if once else None,
        "missed": int(here.misses.sum()) / said,
        "missed_ci95_by_speaker": list(_missed_by_speaker(positives, matched)),
        "said": said,
        "latency_median_s": late.median_s,
        "latency_p95_s": late.p95_s,
        "negative_hours": hours,
        "heard_hours": negatives.traces.hours,
        "positive_hours": positives.traces.hours,
        "false_accepts": count,
        "false_accepts_per_hour_upper95": poisson_upper(count) / hours,
        "false_accepts_per_hour_ci95": [low / hours, high / hours],
        "false_accepts_with_homophones": int(
            negatives.false_accepts(negatives.traces.fired(thresholds), homophones=False).sum()
        ),
        "false_accepts_beside_keywords": sum(len(of.false) for of in matched),
        "accuracy_state_carried": positives.carried,
        "accuracy_state_reset": positives.fresh,
        "per_keyword": _per_keyword(positives, negatives, points, here, matched),
        "confusions": _confusions(positives, matched),
        "fired_on": _fired_on(negatives, thresholds),
    }


def tables(result: Mapping[str, Any]) -> str:
    """The figures for people."""
    words = Table("word", "said", "missed", "at most one", "at 8 an hour", "false", "latency s")
    for keyword, of in result["per_keyword"].items():
        words.add_row(
            keyword, str(of["said"]), f"{of['missed']:.1%}", _percent(of["misses_at_most_one"]),
            _percent(of["misses"]["8"]), str(of["false_accepts"]),
            f"{_seconds(of['latency_median_s'])}, 95% {_seconds(of['latency_p95_s'])}",
        )  # fmt: skip
    hours, said = result["negative_hours"], result["said"]
    low, high = result["false_accepts_per_hour_ci95"]
    missed_low, missed_high = result["missed_ci95_by_speaker"]
    once_low, once_high = result["misses_at_most_one_ci95_by_speaker"]
    rows = [
        (f"misses at {rate} false accepts an hour",
         f"cannot be measured in {hours:.2f} h" if share is None else f"{share:.2%}")
        for rate, share in result["misses"].items()
    ]  # fmt: skip
    rows += [
        (f"misses at most one false in {hours:.2f} h",
         f"{result['misses_at_most_one']:.2%} ({once_low:.2%} to {once_high:.2%}, 95% interval "
         "by speaker), latency "
         f"{_seconds(result['latency_at_most_one_median_s'])} s, 95% "
         f"{_seconds(result['latency_at_most_one_p95_s'])} s"),
        ("at its thresholds: missed", f"{result['missed']:.2%} of {said} ({missed_low:.2%} to "
         f"{missed_high:.2%})"),
        ("  latency from the word's end", f"median {_seconds(result['latency_median_s'])} s, 95% "
         f"{_seconds(result['latency_p95_s'])} s"),
        ("  false accepts", f"{result['false_accepts']}: {result['false_accepts'] / hours:.2f} an "
         f"hour ({low:.2f} to {high:.2f}); homophones would add "
         f"{result['false_accepts_with_homophones'] - result['false_accepts']}"),
        ("  in the streams with keywords", str(result["false_accepts_beside_keywords"])),
        ("right, state carried / reset", f"{result['accuracy_state_carried']:.2%} / "
         f"{result['accuracy_state_reset']:.2%}"),
        ("heard", f"{result['heard_hours']:.2f} h without and {result['positive_hours']:.2f} h "
         "with keywords"),
        ("most often fired on", _listed(result["fired_on"])),
        ("most often wrong beside keywords", _listed(result["confusions"])),
    ]  # fmt: skip
    return drawn(Console(width=110, markup=False), words, rows)


def det_lines(
    positives: Positives, negatives: Negatives, points: Sequence[Point]
) -> dict[str, list[tuple[float, float]]]:
    """Curve of all keywords, and of each with its own false accepts, from few of them to many."""
    said, hours = positives.said, negatives.hours_of
    lines = {"all": [(float(p.false_accepts.sum() / negatives.hours),
                      float(p.misses.sum() / said.sum())) for p in points]}  # fmt: skip
    for k, keyword in enumerate(positives.keywords):
        lines[keyword] = [
            (float(p.false_accepts[k] / hours[k]), float(p.misses[k] / said[k])) for p in points
        ]
    return lines


def save_errors(
    path: Path, positives: Positives, negatives: Negatives, thresholds: Mapping[str, float]
) -> None:
    """Every miss and every false accept at these thresholds, as a table to listen by.

    Raises:
        OSError: the file cannot be written.
    """
    rows: list[tuple[str, str, str, str, str]] = []
    matched = positives.matched(positives.traces.fired(thresholds))
    for session, of in zip(positives.sessions, matched, strict=True):
        for n, w in enumerate(session.said):
            if w.word in positives.keywords and n not in of.found:
                rows.append(("missed", session.name, _time(w.end), w.word, ""))
        for event in of.false:
            heard = around(session, event.frame)
            rows.append(("beside", session.name, _time(event.frame * FRAME), event.keyword, heard))
    for fired in negatives.false(negatives.traces.fired(thresholds)):
        session = negatives.sessions[fired.recording]
        heard = around(session, fired.frame)
        rows.append(("false", session.name, _time(fired.frame * FRAME), fired.keyword, heard))
    with path.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([("error", "session", "time_s", "keyword", "said"), *rows])


def _per_keyword(
    positives: Positives,
    negatives: Negatives,
    points: Sequence[Point],
    here: Point,
    matched: Sequence[Matched],
) -> dict[str, dict[str, Any]]:
    """Figures of each keyword; its rates count its own false accepts alone."""
    beside = count_by_keyword((e for of in matched for e in of.false), positives.keywords)
    seconds = positives.latencies_s(matched)
    once = best_point(points, 1)
    result = {}
    for k, keyword in enumerate(positives.keywords):
        said, hours = int(positives.said[k]), float(negatives.hours_of[k])
        own = [p._replace(false_accepts=p.false_accepts[[k]], misses=p.misses[[k]])
               for p in points]  # fmt: skip
        late = latency([s for word, s in seconds if word == keyword])
        result[keyword] = {
            "threshold": here.thresholds[keyword],
            "said": said,
            "missed": int(here.misses[k]) / said,
            "missed_ci95": list(binomial_interval(int(here.misses[k]), said)),
            "misses": _misses_at_rates(own, hours, said),
            "misses_at_most_one": int(once.misses[k]) / said if once else 1.0,
            "false_accepts": int(here.false_accepts[k]),
            "false_accepts_per_hour_upper95": poisson_upper(int(here.false_accepts[k])) / hours,
            "negative_hours": hours,
            "false_accepts_beside_keywords": int(beside[k]),
            "latency_median_s": late.median_s,
            "latency_p95_s": late.p95_s,
        }
    return result


def _confusions(positives: Positives, matched: Sequence[Matched]) -> list[dict[str, Any]]:
    """What fired beside what was said in the streams with keywords; the most frequent first."""
    pairs = Counter(
        (event.keyword, around(session, event.frame))
        for session, of in zip(positives.sessions, matched, strict=True)
        for event in of.false
    )
    return _counted(pairs)


def _fired_on(negatives: Negatives, thresholds: Mapping[str, float]) -> list[dict[str, Any]]:
    """What fired on what in the negatives; the most frequent first."""
    false = negatives.false(negatives.traces.fired(thresholds))
    return _counted(
        Counter((e.keyword, around(negatives.sessions[e.recording], e.frame)) for e in false)
    )


def _counted(pairs: Counter[tuple[str, str]]) -> list[dict[str, Any]]:
    return [
        {"fired": keyword, "said": said, "times": times}
        for (keyword, said), times in pairs.most_common(ERRORS_SHOWN)
    ]


def _missed_by_speaker(positives: Positives, matched: Sequence[Matched]) -> tuple[float, float]:
    """95% interval of the share of keywords missed: one speaker's words are missed together."""
    found, speakers = positives.found(matched)
    return interval_by_speaker(~found, speakers)


def _latency(positives: Positives, matched: Sequence[Matched]) -> Latency:
    return latency([seconds for _, seconds in positives.latencies_s(matched)])


def _misses_at_rates(points: Sequence[Point], hours: float, said: int) -> dict[str, float | None]:
    """Share missed at each of `RATES`: None where so few hours cannot measure it.

    Where no thresholds keep to a rate, everything is missed.
    """
    shares: dict[str, float | None] = {}
    for rate in RATES:
        point = best_point(points, float(rate) * hours)
        missed = said if point is None else int(point.misses.sum())
        shares[rate] = missed / said if measurable(float(rate), hours) else None
    return shares


def _listed(pairs: Sequence[Mapping[str, Any]]) -> str:
    shown = (f"{p['fired']} ({p['said'] or 'no word'}) {p['times']}" for p in pairs)
    return ", ".join(shown) or "nothing"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.2f}"


def _time(sample: int) -> str:
    return f"{sample / SAMPLE_RATE_HZ:.2f}"
