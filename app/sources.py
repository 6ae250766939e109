"""What can be listened to: the seam between where sound comes from and what is done with it.

A source gives pieces as they arrive.  A microphone is one (`app.microphone`), a recording another;
a test makes its own.
"""

import time
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np

from app.events import heard_out
from sssm.audio import AudioFile, Samples

PIECE_S = 0.01  # of live sound: what the device gives at once, so that a word is heard at once
RECORDING_PIECE_S = 0.1  # where nobody waits, larger ones cost less
WAIT_S = 0.1  # longest that `read` waits, so that Ctrl-C and the display need not
REPLACED = "some samples taken as 0: NaN or infinite"  # told once of a source


class Piece(NamedTuple):
    """Some sound, and what went wrong since the piece before."""

    samples: Samples  # (n,) or (n, channels), n 0 where nothing arrived in time
    fresh: bool = False  # a new beginning, maybe at another rate: what was before is another stream
    overflows: int = 0  # incidents in which sound was lost
    lost_s: float = 0.0  # how much, as far as it could be measured
    notes: tuple[str, ...] = ()  # what to tell the user, a line each
    is_after: bool = False  # silence after a recording, in which its last word may still be heard


SILENT = np.zeros(0, np.float32)
NOTHING = Piece(SILENT)


class Source(Protocol):
    """Sound from somewhere.

    Attributes:
        name: for the user.
        sample_rate_hz: of the pieces; it may change with a fresh one.
        live: whether sound comes as it happens.
    """

    name: str
    sample_rate_hz: int
    live: bool

    def start(self) -> None:
        """Begin; nothing that happened before is given."""

    def read(self) -> Piece | None:
        """The next piece, after `WAIT_S` at the latest an empty one; None at the end."""

    def close(self) -> None:
        """Give back what was opened."""


class RecordingSource:
    """A file in place of a microphone.

    Args:
        path: of the recording.
        real_time: give its sound as slowly as it was recorded.

    Raises:
        AudioError: here or in `read`: it cannot be used, or holds no sound.
    """

    def __init__(self, path: str, *, real_time: bool):
        self._file = AudioFile(path)
        self.name = path
        self.sample_rate_hz = self._file.stream_rate_hz
        self.live = real_time
        self._pieces = self._cut(PIECE_S if real_time else RECORDING_PIECE_S)
        self._given, self._start_s = 0, 0.0
        self._told = False

    def start(self) -> None:
        self._start_s = time.monotonic()

    def read(self) -> Piece | None:
        samples, is_after = next(self._pieces, (None, False))
        if samples is None:
            return None
        self._given += len(samples)
        if self.live and not is_after:
            due_s = self._start_s + self._given / self.sample_rate_hz
            time.sleep(max(0.0, due_s - time.monotonic()))
        notes: tuple[str, ...] = ()
        if self._file.replaced_samples and not self._told:
            self._told = True
            notes = (f"{self.name}: {REPLACED}",)
        return Piece(samples, notes=notes, is_after=is_after)

    def close(self) -> None:
        self._file.close()

    def _cut(self, piece_s: float) -> Iterator[tuple[Samples, bool]]:
        length = int(piece_s * self.sample_rate_hz)
        for samples, is_after in heard_out(self._file):
            for at in range(0, len(samples), length):
                yield samples[at : at + length], is_after
