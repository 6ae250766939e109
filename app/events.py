"""Keywords in one recording, in constant memory: what `sssm scan` and the page hear.

Decided here: what follows a recording, so that its last word is heard.  Which word counts as heard
is the spotter's, and the same as live.
"""

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from sssm.audio import AudioFile, Samples
    from sssm.detector import Detection

AFTER_S = 0.75  # of silence after a recording, in which its last word may still be heard
LONGEST_S = 1e9  # some headers say "unknown" by the largest number they can hold
MP3_BYTES_PER_S = 16_000


class Heard(NamedTuple):
    """How far a recording has been heard."""

    heard_s: float
    replaced_samples: int  # NaN or infinite ones so far, heard as zero
    is_after: bool  # what was heard last is the silence after it


class Listens(Protocol):
    """A stream, as far as a recording needs one."""

    def push(self, samples: "Samples") -> "list[Detection]":
        """Keywords that the next samples complete."""


def events(
    stream_at: Callable[[int], Listens], path: str | os.PathLike[str]
) -> Iterator["Detection | Heard"]:
    """Detections as they are found, in the order of time, and every few seconds how far it is.

    Args:
        stream_at: makes a stream for a rate, as `KeywordSpotter.stream` does.
        path: of the recording.

    Raises:
        AudioError: the file cannot be read to its end, holds no sound, or is at a rate that the
            model cannot hear; what was found before has been yielded.
    """
    from sssm.audio import AudioFile
    from sssm.live import at_rate_of

    with AudioFile(path) as audio:
        stream = at_rate_of(audio, stream_at)
        for samples, is_after in heard_out(audio):
            for detection in stream.push(samples):
                yield capped(detection, audio.heard_s)
            yield Heard(audio.heard_s, audio.replaced_samples, is_after)


def heard_out(audio: "AudioFile") -> Iterator[tuple["Samples", bool]]:
    """Pieces of a recording, then silence, so that its last word can be heard; which of them it is.

    A recording that ends in damage has a last word too.

    Raises:
        AudioError: the file cannot be read to its end, or holds no sound.
    """
    import numpy as np

    from sssm.audio import AudioError

    damage = None
    try:
        for piece in audio.pieces():
            yield piece, False
    except AudioError as error:
        damage = error
    if audio.heard_samples:
        yield np.zeros(round(AFTER_S * audio.stream_rate_hz), np.float32), True
    if damage is not None:
        raise damage
    audio.check_heard()


def capped(detection: "Detection", end_s: float) -> "Detection":
    """The same, no later than the recording's end."""
    start_s, time_s = min(detection.start_s, end_s), min(detection.time_s, end_s)
    return detection._replace(start_s=start_s, time_s=time_s)


class Header(NamedTuple):
    """What a recording promises before it is heard."""

    length_s: float = 0.0  # 0 where nothing is promised
    is_guess: bool = False  # an MP3 does not tell

    def is_longer(self, most_s: float) -> bool:
        """Whether it is surely longer than that."""
        return self.length_s > most_s and not self.is_guess


def read_header(path: str | os.PathLike[str]) -> Header:
    """The header of a recording, of whatever there is at this path."""
    import soundfile

    from sssm.audio import QUIET_CONTAINERS

    if not os.path.isfile(path):  # a named pipe would wait for its writer
        return Header()
    try:
        with open(path, "rb") as file:
            quiet = file.read(4) in QUIET_CONTAINERS
        if not quiet:  # MP3, whose decoder would write to the screen
            return Header(os.path.getsize(path) / MP3_BYTES_PER_S, is_guess=True)
        info = soundfile.info(os.fspath(path) if os.name == "nt" else os.fsencode(path))
    except (soundfile.SoundFileError, TypeError, OSError, ValueError):
        return Header()
    return Header(info.duration if info.duration < LONGEST_S else 0.0)
