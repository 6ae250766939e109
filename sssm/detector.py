"""From scores to detections.  No audio, no network, no clock: frames in, events out.

Decided here: when a score that stands for some frames becomes one event.  Many streams are one
array of rows, because a program may watch thousands; a single stream is one row.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import ge, itemgetter, le
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sssm import talk
from sssm.evidence import evidence, evidence_of_frame
from sssm.labels import SILENCE, UNKNOWN
from sssm.timing import frame_end

DEFAULT_THRESHOLD = 0.7
MOST, MOST_CAUTION = 1_000_000, 8  # that a setting which counts may be, and caution


class Detection(NamedTuple):
    """A keyword was heard."""

    keyword: str
    score: float  # smoothed, at the frame that fired, in [0, 1]
    start_s: float  # start of the frame in which the score rose above the release threshold
    time_s: float  # end of the frame that fired; both from the stream's start


class DetectorState(NamedTuple):
    """What a detector remembers of every row and keyword."""

    smoothed: NDArray[Any]  # (rows, keywords) float64
    talk: NDArray[Any]  # (rows, memories, stages) float64, see `sssm.talk`
    above: NDArray[Any]  # (rows, keywords) int64, frames in a row that reached the threshold
    since: NDArray[Any]  # (rows, keywords) int64, frame that rose above the release; 0 below it
    armed: NDArray[Any]  # (rows, keywords) bool, False from a detection until the release
    quiet: NDArray[Any]  # (rows,) int64, frame up to which nothing fires any more
    frame: NDArray[Any]  # (rows,) int64, frames heard


@dataclass(frozen=True, kw_only=True)
class Detector:
    """Weigh and smooth, compare with a threshold, and stay quiet for a while after a detection.

    All durations are in frames, so the answer does not depend on how the caller cuts the stream
    into pieces.  Of several keywords that are ready in one frame, the one furthest above its
    threshold fires.

    Attributes:
        labels: names of the columns of the scores; those of silence and unknown words never fire.
        thresholds: keyword -> smoothed score from which it counts as heard, in (0, 1].  A keyword
            that is left out gets `DEFAULT_THRESHOLD`, so the attribute has every keyword.
        release: a keyword may fire again once its score fell below this share of its threshold.
        smoothing: share of the frame before in a smoothed score; 0 does not smooth.
        min_frames: frames in a row that must reach the threshold.
        refractory: frames after a detection in which no keyword fires.
        caution: how much less likely a keyword is amid talk, see `sssm.talk`; 0 for no less.
        sample_rate_hz: of the audio, for the times: frame n ends at sample floor(n rate / 100).

    Raises:
        ValueError: a value is outside of its range, or a threshold is for what is no keyword.
    """

    labels: tuple[str, ...]
    thresholds: Mapping[str, float] = field(default_factory=dict)
    release: float = 0.6
    smoothing: float = 0.9
    min_frames: int = 1
    refractory: int = 40
    caution: int = 0
    sample_rate_hz: int = 16_000

    def __post_init__(self) -> None:
        unknown = sorted(set(self.thresholds) - set(self.keywords))
        if unknown:
            known = ", ".join(self.keywords)
            raise ValueError(f"no keyword {unknown[0]!r} to have a threshold (keywords: {known})")
        for keyword, value in self.thresholds.items():
            if not _within(value, 0, 1) or value == 0:
                raise ValueError(f"threshold of {keyword!r} must be in (0, 1], got {value!r}")
        # A copy, as the caller's may change, of every keyword; and numbers that JSON knows.
        own = {k: float(self.thresholds.get(k, DEFAULT_THRESHOLD)) for k in self.keywords}
        object.__setattr__(self, "thresholds", own)
        if not _within(self.release, 0, 1) or not _within(self.smoothing, 0, 0.999):
            raise ValueError(
                f"release must be in [0, 1] and smoothing in [0, 0.999], "
                f"got {self.release!r} and {self.smoothing!r}"
            )
        for name, least, most in (
            ("min_frames", 1, MOST), ("refractory", 0, MOST), ("sample_rate_hz", 1, MOST),
            ("caution", 0, MOST_CAUTION),
        ):  # fmt: skip
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise ValueError(f"{name} must be a whole number from {least}, got {value!r}")
            if value > most:
                raise ValueError(f"{name} must be at most {most:,}, got {value:,}")

    @property
    def keywords(self) -> tuple[str, ...]:
        """The labels that fire, in their order."""
        return tuple(label for label in self.labels if label not in (SILENCE, UNKNOWN))

    @cached_property
    def _columns(self) -> Any:
        """Of the keywords: a slice where they stand side by side, which copies nothing."""
        places = [self.labels.index(keyword) for keyword in self.keywords]
        first, end = min(places, default=0), max(places, default=-1) + 1
        together = places == list(range(first, end))
        return slice(first, end) if together else np.array(places, np.int64)

    @cached_property
    def _unknown(self) -> int | None:
        """Column of `_unknown_`, if it counts."""
        return self.labels.index(UNKNOWN) if self.caution and UNKNOWN in self.labels else None

    @cached_property
    def _limits(self) -> NDArray[np.float64]:
        return np.array([self.thresholds[keyword] for keyword in self.keywords], np.float64)

    @cached_property
    def _releases(self) -> NDArray[np.float64]:
        """Below the threshold even where `release` is 1: what fires has not ended."""
        return np.minimum(self.release * self._limits, np.nextafter(self._limits, 0))

    @cached_property
    def _of_one(self) -> tuple[list[float], list[float], Callable[[list[float]], Sequence[float]]]:
        """Limits, releases, and what takes keywords' scores from all labels', in Python's own."""
        places = [self._columns] if isinstance(self._columns, slice) else self._columns.tolist()
        return self._limits.tolist(), self._releases.tolist(), itemgetter(*places)

    @property
    def settings(self) -> dict[str, Any]:
        """All that a model file keeps of it besides labels and thresholds."""
        names = ("release", "smoothing", "min_frames", "refractory", "caution")
        return {name: getattr(self, name) for name in names}

    def init_state(self, rows: int) -> DetectorState:
        """State of streams that have heard nothing."""
        shape = (rows, len(self.keywords))
        return DetectorState(
            smoothed=np.zeros(shape),
            talk=talk.no_talk(rows),
            above=np.zeros(shape, np.int64),
            since=np.zeros(shape, np.int64),
            armed=np.ones(shape, np.bool_),
            quiet=np.zeros(rows, np.int64),
            frame=np.zeros(rows, np.int64),
        )

    def run(
        self, scores: NDArray[np.floating], state: DetectorState
    ) -> tuple[list[tuple[int, Detection]], DetectorState]:
        """Detections with their rows, in the order of time, and the next state.

        Args:
            scores: (rows, frames, labels) in [0, 1]; no frame is a piece too.
            state: of the frames before.
        """
        if scores.shape[:2] == (1, 1) and (after := self._unheard(scores[0, 0], state)) is not None:
            return [], after
        smoothed, said = self.smooth(scores, state)
        return self.fire(smoothed, state._replace(talk=said))

    def fire(
        self, smoothed: NDArray[np.float64], state: DetectorState
    ) -> tuple[list[tuple[int, Detection]], DetectorState]:
        """`run` for scores that are smoothed already, (rows, frames, keywords).

        `state` is that of the frames before, but for its talk, which is that after them.
        """
        if smoothed.shape[1] == 0:
            return [], state
        low = smoothed <= self._releases
        # Nearly always one of these two, and many times as fast as frame after frame.
        if np.count_nonzero(low) == low.size:  # no word goes on
            since = np.zeros(state.since.shape, np.int64)
            return [], self._unfired(smoothed, since, low[:, -1].copy(), state)
        if smoothed.shape[1] > 1 and not np.count_nonzero(smoothed >= self._limits):
            since, armed = self._risen(low, state), state.armed | low.any(axis=1)
            return [], self._unfired(smoothed, since, armed, state)
        found = []
        for t in range(smoothed.shape[1]):
            events, state = self._hear(smoothed[:, t], low[:, t], state)
            found += events
        return found, state

    def smooth(
        self, scores: NDArray[np.floating], state: DetectorState
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(rows, frames, labels) -> what thresholds are compared with, and the talk after it.

        It is (rows, frames, keywords), running means of `sssm.evidence` given the talk before.
        """
        said, prior = state.talk, np.ones(scores.shape[:2])
        if self._unknown is not None:
            prior, said = talk.prior(scores[:, :, self._unknown], said, self.caution)
        found = evidence(scores[:, :, self._columns].astype(np.float64), prior)
        smoothed, before = found * (1 - self.smoothing), state.smoothed
        for t in range(scores.shape[1]):
            before = smoothed[:, t] = smoothed[:, t] + self.smoothing * before
        return smoothed, said

    def _unheard(self, scores: NDArray[np.floating], state: DetectorState) -> DetectorState | None:
        """The state after a frame of one stream that reaches no threshold; None where it does.

        Live nearly every frame is one, and there, where the engine has just filled the caches, ten
        numbers one by one cost half as much as operations on an array of ten.
        """
        limits, releases, of_keywords = self._of_one
        keep, take = self.smoothing, 1 - self.smoothing
        all_scores, said, prior = scores.tolist(), state.talk, 1.0
        if self._unknown is not None:
            unknown, before = all_scores[self._unknown], said[0].tolist()
            prior, after = talk.prior_of_frame(unknown, before, self.caution)
            said = np.array([after])
        found = evidence_of_frame(of_keywords(all_scores), prior)
        numbers = zip(state.smoothed[0].tolist(), found, strict=True)
        smoothed = [keep * before + take * score for before, score in numbers]
        above, since, armed, quiet, frame = state[2:]
        is_low = all(map(le, smoothed, releases))
        if not is_low and any(map(ge, smoothed, limits)):
            return None
        if not is_low or np.count_nonzero(since):  # else all stays as it is
            low = list(map(le, smoothed, releases))
            now = int(frame[0]) + 1
            firsts = zip(low, since[0].tolist(), strict=True)
            since = np.array([[0 if fell else first or now for fell, first in firsts]])
            above, armed = np.zeros(since.shape, np.int64), armed | low
        return DetectorState(np.array([smoothed]), said, above, since, armed, quiet, frame + 1)

    def _risen(self, low: NDArray[np.bool_], state: DetectorState) -> NDArray[np.int64]:
        """(rows, keywords) frame that rose above the release, after frames some of which were low.

        0 where the last one is.
        """
        numbers = state.frame[:, None, None] + np.arange(1, low.shape[1] + 1)[:, None]
        last_low = np.where(low, numbers, 0).max(axis=1)  # 0 where there was none
        risen = np.where(last_low > 0, last_low + 1, state.frame[:, None] + 1)
        going_on = (last_low == 0) & (state.since > 0)
        return np.where(low[:, -1], 0, np.where(going_on, state.since, risen))

    def _unfired(
        self, smoothed: NDArray[np.float64], since: NDArray[np.int64], armed: NDArray[np.bool_],
        state: DetectorState,
    ) -> DetectorState:  # fmt: skip
        """The state after frames (rows, frames, keywords) of which none reached its threshold."""
        return DetectorState(
            smoothed=smoothed[:, -1].copy(),
            talk=state.talk,
            above=np.zeros(since.shape, np.int64),
            since=since,
            armed=armed,
            quiet=state.quiet,
            frame=state.frame + smoothed.shape[1],
        )

    def _hear(
        self, smoothed: NDArray[np.float64], low: NDArray[np.bool_], state: DetectorState
    ) -> tuple[list[tuple[int, Detection]], DetectorState]:
        """One frame of every row, (rows, keywords)."""
        limits = self._limits
        frame = state.frame + 1
        risen = np.where(state.since > 0, state.since, frame[:, None])
        since = np.where(low, 0, risen)
        armed = state.armed | low
        above = np.where(smoothed >= limits, state.above + 1, 0)
        quiet = state.quiet.copy()

        ready = armed & (above >= self.min_frames) & (frame > quiet)[:, None]
        events = []
        for row in np.flatnonzero(ready.any(axis=1)).tolist():
            best = int(np.argmax(np.where(ready[row], smoothed[row] / limits, -1)))
            armed[row, best] = False
            quiet[row] = frame[row] + self.refractory
            event = Detection(
                keyword=self.keywords[best],
                score=float(smoothed[row, best]),
                start_s=self._end_s(int(since[row, best]) - 1),
                time_s=self._end_s(int(frame[row])),
            )
            events.append((row, event))
        return events, DetectorState(smoothed, state.talk, above, since, armed, quiet, frame)

    def _end_s(self, frame: int) -> float:
        """End of frame n = 1, 2, ... in seconds, exact in samples."""
        return frame_end(frame, self.sample_rate_hz) / self.sample_rate_hz


def _within(value: Any, low: float, high: float) -> bool:
    """NaN is within nothing, and True is no number here."""
    is_number = isinstance(value, (int, float, np.integer, np.floating))
    return is_number and not isinstance(value, bool) and bool(low <= value <= high)
