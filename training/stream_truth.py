"""What a detection is worth: which word it found, or that it is false."""

import bisect
from collections.abc import Sequence
from typing import NamedTuple

from training.corpus import SAMPLE_RATE_HZ
from training.speech_commands import HOMOPHONES
from training.stream_trials import Said, Session, Utterance
from training.word_end import FRAME

AFTER_S = 0.75  # a word may be found from its start until so long after its end
REACH_S = 5.0  # no word is longer than this less `AFTER_S`


class Event(NamedTuple):
    """A detection in a session."""

    keyword: str
    frame: int  # that fired, from 1


class Matched(NamedTuple):
    """Detections beside what was said."""

    found: dict[int, int]  # number of what was said -> frame in which it was found
    false: list[Event]


def match(said: Sequence[Said], events: Sequence[Event]) -> Matched:
    """Each detection finds the earliest such word that is not found yet; else it is false.

    A word may be found from its first sample until `AFTER_S` after its last.

    Args:
        said: in the order of time.
        events: in the order of time.
    """
    found: dict[int, int] = {}
    false = []
    for event in events:
        near = _near(said, event.frame)
        n = next((n for n in near if said[n].word == event.keyword and n not in found), None)
        if n is None:
            false.append(event)
        else:
            found[n] = event.frame
    return Matched(found, false)


def is_said(session: Session, event: Event, *, homophones: bool) -> bool:
    """Whether a detection is of a word that stands in the utterance in which it fired.

    Its time there does not matter: alignment puts some words elsewhere, and the utterance does not
    count to the word's hours either (`counted_s`).

    Args:
        session: with its utterances.
        event: a detection.
        homophones: whether other spellings of the same sounds count as the word.
    """
    names = _names(event.keyword, homophones)
    return any(u.words & names for u in _utterances(session, event.frame))


def counted_s(session: Session, keyword: str) -> float:
    """Seconds of a session that count for a keyword: without the utterances that hold it."""
    names = _names(keyword, homophones=True)
    held = sum(u.end - u.start for u in session.utterances if u.words & names)
    return (len(session.samples) - held) / SAMPLE_RATE_HZ


def around(session: Session, frame: int) -> str:
    """What is said when a frame ends and within `AFTER_S` before it."""
    words = [session.said[n].word for n in _near(session.said, frame)]
    untimed = any(not utterance.timed for utterance in _utterances(session, frame))
    return " ".join(words) if words or not untimed else "?"


def _names(keyword: str, homophones: bool) -> set[str]:
    return {keyword, *(HOMOPHONES.get(keyword, ()) if homophones else ())}


def _near(said: Sequence[Said], frame: int) -> list[int]:
    """Numbers of the words that end at most `AFTER_S` before a frame does, and have begun."""
    end = frame * FRAME
    begun = bisect.bisect_left(said, end, key=lambda w: w.start)
    first = bisect.bisect_left(said, end - REACH_S * SAMPLE_RATE_HZ, key=lambda w: w.start)
    return [n for n in range(first, begun) if end <= said[n].end + AFTER_S * SAMPLE_RATE_HZ]


def _utterances(session: Session, frame: int) -> list[Utterance]:
    """Those that end at most `AFTER_S` before a frame does, and have begun."""
    end, after = frame * FRAME, AFTER_S * SAMPLE_RATE_HZ
    return [u for u in session.utterances if u.start < end <= u.end + after]
