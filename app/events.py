"""Keywords in one recording, in constant memory: what `sssm scan` and the page hear.

Decided here: what a recording is that cannot be heard to its end.  Which word counts as heard is
the spotter's, and the same as live.
"""

import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sssm.detector import Detection
    from sssm.spotter import KeywordSpotter

# In the header of a WAV whose writer could not know its length, as of one that wrote into a pipe.
UNKNOWN_BYTES = 0x7FFF_0000
LONGEST_S = 1e9  # some headers say "unknown" by the largest number they can hold
MP3_BYTES_PER_S = 16_000


class Heard(NamedTuple):
    """How far a recording has been heard."""

    heard_s: float
    replaced_samples: int  # NaN or infinite ones so far, heard as zero


def events(
    spotter: "KeywordSpotter", path: str | os.PathLike[str]
) -> Iterator["Detection | Heard"]:
    """Detections as they are found, in the order of time, and every few seconds how far it is.

    Raises:
        AudioError: the file cannot be read to its end, or holds no sound; what was found before
            has been yielded.
    """
    from sssm.audio import AudioError, AudioFile

    with AudioFile(path) as audio:
        stream = spotter.stream(audio.stream_rate_hz)
        for piece in audio.pieces():
            yield from stream.push(piece)
            yield Heard(audio.heard_s, audio.replaced_samples)
        audio.check_heard()
        if _header(path).cut_short:
            raise AudioError(path, f"damaged after {audio.heard_s:.2f} s: the file is cut short")


def length_s(path: str | os.PathLike[str]) -> float:
    """What the header promises, for a progress bar; 0 where there is none."""
    return _header(path).length_s


def is_longer(path: str | os.PathLike[str], most_s: float) -> bool:
    """Whether the header says so; an MP3's does not tell."""
    header = _header(path)
    return header.length_s > most_s and not header.is_guess


class _Header(NamedTuple):
    length_s: float = 0.0
    is_guess: bool = False
    cut_short: bool = False  # libsndfile reads what is there and says nothing


def _header(path: str | os.PathLike[str]) -> _Header:
    import soundfile

    from sssm.audio import QUIET_CONTAINERS

    if not os.path.isfile(path):  # a named pipe would wait for its writer
        return _Header()
    try:
        with open(path, "rb") as file:
            quiet = file.read(4) in QUIET_CONTAINERS
        if not quiet:  # MP3, whose decoder would write to the screen
            return _Header(os.path.getsize(path) / MP3_BYTES_PER_S, is_guess=True)
        info = soundfile.info(os.fspath(path) if os.name == "nt" else os.fsencode(path))
    except (soundfile.SoundFileError, TypeError, OSError, ValueError):
        return _Header()
    promised = re.search(r"^data : (\d+) \(should be (\d+)\)", info.extra_info, re.MULTILINE)
    cut_wav = bool(promised and int(promised[2]) < int(promised[1]) < UNKNOWN_BYTES)
    cut_ogg = "lacks an end-of-stream bit" in info.extra_info
    length_s = info.duration if info.duration < LONGEST_S else 0.0
    return _Header(length_s, cut_short=cut_wav or cut_ogg)
