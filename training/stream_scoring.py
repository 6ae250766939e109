"""A spotter over sessions, and what its detections amount to at any thresholds."""

import bisect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sssm.calibration import Counts
from sssm.spotter import KeywordSpotter
from sssm.timing import FRAMES_HZ
from sssm.traces import Fired, Traces
from training.corpus import SAMPLE_RATE_HZ
from training.stream_trials import Said, Session, Sessions
from training.stream_truth import AFTER_S, Event, Matched, counted_s, is_said, match
from training.word_end import FRAME

TOGETHER = 16  # sessions that are heard side by side
LEAD_S = 0.5  # that a fresh stream hears before a word
LONGEST_WORD_S = 1.25  # of which a fresh stream hears all

Scores = NDArray[np.float32]
Watch = Callable[[Sequence[range], str], Iterable[range]]


class Positives:
    """Sessions with keywords, heard.

    Attributes:
        sessions: without their samples.
        said: (keywords,) how often each is said.
        traces: of all sessions.
        carried: share of the keywords whose score is the highest of all keywords' after them.
        fresh: likewise, of streams that begin half a second before the word.
    """

    def __init__(self, spotter: KeywordSpotter, sessions: Sessions, lowest: float, watch: Watch):
        self.keywords = spotter.keywords
        self.traces = Traces(spotter.detector, lowest)
        self.sessions: list[Session] = []
        right = np.zeros(2, int)
        total = 0
        for session, scores in _heard(spotter, sessions, "keywords", watch):
            smoothed = self.traces.begin().push(scores)
            said = [w for w in session.said if w.word in self.keywords]
            spans = _spans(session, said)
            best = np.array([_best(smoothed, span) for span in spans], int)
            truth = np.array([self.keywords.index(w.word) for w in said], int)
            fresh = _fresh(spotter, session, said, spans)
            right += (best == truth).sum(), (fresh == truth).sum()
            total += len(said)
            self.sessions.append(session._replace(samples=np.zeros(0, np.int16)))
        self.carried, self.fresh = (right / total).tolist()
        words = [w.word for session in self.sessions for w in session.said]
        self.said = np.array([words.count(keyword) for keyword in self.keywords])

    def matched(self, fired: Iterable[Fired]) -> list[Matched]:
        """Detections beside what was said, by session."""
        events: list[list[Event]] = [[] for _ in self.sessions]
        for recording, frame, keyword in fired:
            events[recording].append(Event(keyword, frame))
        return [match(s.said, of) for s, of in zip(self.sessions, events, strict=True)]

    def found(self, matched: Sequence[Matched]) -> tuple[NDArray[np.bool_], list[str]]:
        """Of each time that a keyword is said whether it was found, and by whom it is said."""
        heard = [
            (n in of.found, w.speaker)
            for session, of in zip(self.sessions, matched, strict=True)
            for n, w in enumerate(session.said)
            if w.word in self.keywords
        ]
        return np.array([found for found, _ in heard]), [speaker for _, speaker in heard]

    def misses(self, fired: Iterable[Fired]) -> Counts:
        """(keywords,) how often each was said and not found."""
        left = self.said.copy()
        for session, matched in zip(self.sessions, self.matched(fired), strict=True):
            for n in matched.found:
                left[self.keywords.index(session.said[n].word)] -= 1
        return left

    def latencies_s(self, matched: Sequence[Matched]) -> list[tuple[str, float]]:
        """Keyword, and seconds from its end to its detection, of all that were found."""
        return [
            (session.said[n].word, (frame * FRAME - session.said[n].end) / SAMPLE_RATE_HZ)
            for session, of in zip(self.sessions, matched, strict=True)
            for n, frame in of.found.items()
        ]


class Negatives:
    """Sessions without keywords, or where it is known when they are said, heard.

    Attributes:
        sessions: without their samples.
        traces: of all sessions.
        hours_of: (keywords,) hours that count for each.
    """

    def __init__(self, spotter: KeywordSpotter, sessions: Sessions, lowest: float, watch: Watch):
        self.keywords = spotter.keywords
        self.traces = Traces(spotter.detector, lowest)
        self.sessions: list[Session] = []
        self.hours_of = np.zeros(len(self.keywords))
        self._known: dict[tuple[Fired, bool], bool] = {}
        for session, scores in _heard(spotter, sessions, "negatives", watch):
            self.traces.begin().push(scores)
            self.hours_of += [counted_s(session, keyword) / 3_600 for keyword in self.keywords]
            self.sessions.append(session._replace(samples=np.zeros(0, np.int16)))

    @property
    def hours(self) -> float:
        """That count for a keyword, on average."""
        return float(self.hours_of.mean())

    def false(self, fired: Iterable[Fired], *, homophones: bool = True) -> list[Fired]:
        """Detections of what is not said."""
        return [event for event in fired if not self._is_said(event, homophones)]

    def false_accepts(self, fired: Iterable[Fired], *, homophones: bool = True) -> Counts:
        """(keywords,) detections of what is not said."""
        return count_by_keyword(self.false(fired, homophones=homophones), self.keywords)

    def _is_said(self, event: Fired, homophones: bool) -> bool:
        if (event, homophones) not in self._known:
            session = self.sessions[event.recording]
            heard = Event(event.keyword, event.frame)
            self._known[event, homophones] = is_said(session, heard, homophones=homophones)
        return self._known[event, homophones]


class Latency(NamedTuple):
    """Seconds from the end of a word to its detection; None where nothing was found."""

    median_s: float | None
    p95_s: float | None


def latency(seconds: Sequence[float]) -> Latency:
    """Median and 95th percentile."""
    if not seconds:
        return Latency(None, None)
    return Latency(*np.percentile(seconds, [50, 95]).tolist())


def count_by_keyword(events: Iterable[Fired | Event], keywords: Sequence[str]) -> Counts:
    """(keywords,) how many of the detections are of each."""
    heard = [event.keyword for event in events]
    return np.array([heard.count(keyword) for keyword in keywords], np.int64)


def counts_alone(
    positives: Positives, negatives: Negatives, grid: Sequence[float]
) -> tuple[Counts, Counts]:
    """(grid, keywords) false accepts and misses of each keyword as if it were the only one."""
    false = [negatives.false_accepts(negatives.traces.fired_alone(x)) for x in grid]
    missed = [positives.misses(positives.traces.fired_alone(x)) for x in grid]
    return np.array(false), np.array(missed)


def counts_together(
    positives: Positives, negatives: Negatives, thresholds: Mapping[str, float]
) -> tuple[Counts, Counts]:
    """(keywords,) false accepts and misses, as live."""
    false = negatives.false_accepts(negatives.traces.fired(thresholds))
    return false, positives.misses(positives.traces.fired(thresholds))


def _heard(
    spotter: KeywordSpotter, sessions: Sessions, what: str, watch: Watch
) -> Iterator[tuple[Session, Scores]]:
    """Every session with its scores (frames, labels), each one stream from its start to its end."""
    groups = [
        range(first, min(first + TOGETHER, len(sessions)))
        for first in range(0, len(sessions), TOGETHER)
    ]
    for group in watch(groups, what):
        made = [sessions[n] for n in group]
        yield from zip(made, _scores(spotter, [s.samples for s in made]), strict=True)


def _scores(spotter: KeywordSpotter, recordings: Sequence[np.ndarray]) -> list[Scores]:
    """Scores (frames, labels) of the whole frames of recordings, int16, side by side."""
    batch = spotter.batch(len(recordings))
    lengths = np.array([len(x) for x in recordings])
    pieces: list[list[Scores]] = [[] for _ in recordings]
    for start in range(0, int(lengths.max()), SAMPLE_RATE_HZ):
        active = lengths > start
        x = np.zeros((len(recordings), SAMPLE_RATE_HZ), np.int16)
        for row, recording in enumerate(recordings):
            piece = recording[start : start + SAMPLE_RATE_HZ]
            x[row, : len(piece)] = piece
        for row, scores in enumerate(batch.push_scores(x, active)):
            pieces[row].append(scores)
    whole = [np.concatenate(of) for of in pieces]
    return [of[: len(x) // FRAME] for of, x in zip(whole, recordings, strict=True)]


def _spans(session: Session, said: Sequence[Said]) -> list[range]:
    """Frames in which each word's score is looked for: from its end on, for `AFTER_S`.

    Not before: a word that ends there may still have the highest score.  Nor after the end of the
    word that follows.
    """
    ends = [w.end for w in session.said]
    spans = []
    for w in said:
        following = bisect.bisect_right(ends, w.end)
        last = min([w.end + int(AFTER_S * SAMPLE_RATE_HZ), *ends[following : following + 1]])
        spans.append(range(w.end // FRAME, max(w.end // FRAME + 1, last // FRAME)))
    return spans


def _fresh(
    spotter: KeywordSpotter, session: Session, said: Sequence[Said], spans: Sequence[range]
) -> NDArray[np.int64]:
    """Number of the keyword with the highest score after each word, for streams without a past."""
    frames = round((LEAD_S + LONGEST_WORD_S + AFTER_S) * FRAMES_HZ)
    first = [max(0, w.start // FRAME - round(LEAD_S * FRAMES_HZ)) for w in said]
    clips = [session.samples[f * FRAME : (f + frames) * FRAME] for f in first]
    best = []
    for at in range(0, len(said), TOGETHER):
        some = slice(at, at + TOGETHER)
        for span, f, scores in zip(
            spans[some], first[some], _scores(spotter, clips[some]), strict=True
        ):
            smoothed = Traces(spotter.detector, 1.0).begin().push(scores)
            best.append(_best(smoothed, range(span.start - f, span.stop - f)))
    return np.array(best, np.int64)


def _best(smoothed: NDArray[np.float64], span: range) -> int:
    """Number of the keyword with the highest score in these frames, or in the last one heard."""
    start = min(span.start, len(smoothed) - 1)
    return int(smoothed[start : max(start + 1, span.stop)].max(axis=0).argmax())
