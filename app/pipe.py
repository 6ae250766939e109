"""Sound that another program writes to standard input, heard as it comes.

WAV, AU and OGG can be read so; other formats need a file, because their readers go back in it.
"""

import os
import queue
import sys
import threading
from typing import NamedTuple

import numpy as np
import soundfile

from app.events import AFTER_S
from app.sources import NOTHING, PIECE_S, REPLACED, WAIT_S, Piece
from sssm.audio import READABLE_RATES_HZ, UNKNOWN_BYTES, AudioError, Samples, decoder_reason

NAME = "standard input"
PIPED = ("AIFF", "AU", "NIST", "OGG", "W64", "WAV", "WAVEX")  # more opens, and is heard wrong
NEEDS_A_FILE = "is heard from a file alone; `ffmpeg -i - -f wav - |` makes of it what can be piped"
ANOTHER_FOLLOWS = "another recording follows in the OGG; `ffmpeg -i - -f wav - |` makes one of them"
PIECES_AHEAD = 100  # a second: a program that writes faster than we hear waits
BYTES = {
    "PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8,
    "ALAW": 1, "ULAW": 1,
}  # fmt: skip
"""Of a sample, by libsndfile's name of its kind."""


class _Opened(NamedTuple):
    sample_rate_hz: int


class PipedSource:
    """Standard input in place of a microphone.

    A thread reads it, since a read that waits for a program to write cannot be interrupted.

    Raises:
        AudioError: here or in `read`: it is closed, a terminal, no audio, damaged, or holds no
            sound.
    """

    name = NAME
    live = True

    def __init__(self) -> None:
        if sys.stdin is None or sys.stdin.closed:
            raise AudioError(NAME, "closed, so there is nothing to hear")
        if sys.stdin.isatty():
            raise AudioError(NAME, "a terminal; pipe sound into it, as `arecord -t wav |` does")
        self._came: queue.Queue[_Opened | Samples | AudioError] = queue.Queue(PIECES_AHEAD)
        threading.Thread(target=self._read_all, daemon=True).start()
        first = self._came.get()
        if isinstance(first, AudioError):
            raise first
        assert isinstance(first, _Opened)
        self.sample_rate_hz = first.sample_rate_hz
        self._heard = self._any_finite = self._told = self._is_over = False

    def start(self) -> None:
        """Nothing: what was written before is part of the sound."""

    def read(self) -> Piece | None:
        if self._is_over:
            return None
        try:
            came = self._came.get(timeout=WAIT_S)
        except queue.Empty:
            return NOTHING
        if isinstance(came, AudioError):
            raise came
        assert isinstance(came, np.ndarray)
        if len(came):
            self._heard = True
            return Piece(came, notes=self._notes(came))
        if not self._heard:
            raise AudioError(NAME, "holds no samples")
        if not self._any_finite:
            raise AudioError(NAME, "every sample is NaN or infinite")
        self._is_over = True
        return Piece(np.zeros(round(AFTER_S * self.sample_rate_hz), np.float32), is_after=True)

    def _notes(self, samples: Samples) -> tuple[str, ...]:
        """What to tell once of samples that are no numbers."""
        finite = np.isfinite(samples).any(axis=1)  # of another channel no zero is made
        self._any_finite |= bool(finite.any())
        if finite.all() or self._told:
            return ()
        self._told = True
        return (f"{NAME}: {REPLACED}",)

    def close(self) -> None:
        """Nothing: the descriptor is the program's."""

    def _read_all(self) -> None:
        """Pieces as they come; one without samples, or what went wrong, is the last."""
        try:
            with soundfile.SoundFile(sys.stdin.fileno(), closefd=False) as file:
                if file.format not in PIPED:
                    self._came.put(AudioError(NAME, f"{file.format} {NEEDS_A_FILE}"))
                    return
                low, high = READABLE_RATES_HZ
                if not low <= file.samplerate <= high:
                    reason = f"{file.samplerate} Hz; rates from {low} to {high} are heard"
                    self._came.put(AudioError(NAME, reason))
                    return
                self._came.put(_Opened(file.samplerate))
                self._put_all(file)
                if _goes_on(file):
                    with soundfile.SoundFile(
                        sys.stdin.fileno(), closefd=False, format="RAW", subtype=file.subtype,
                        endian=file.endian, samplerate=file.samplerate, channels=file.channels,
                    ) as rest:  # fmt: skip
                        self._put_all(rest)
                if file.format == "OGG" and os.read(sys.stdin.fileno(), 1):
                    self._came.put(AudioError(NAME, ANOTHER_FOLLOWS))
                    return
                self._came.put(np.zeros((0, file.channels), np.float32))
        except (soundfile.SoundFileError, TypeError, OSError) as error:
            reason = f"not audio that can be read: {decoder_reason(error)}"
            if "flac" in reason:  # it does not even open
                reason = f"FLAC {NEEDS_A_FILE}"
            self._came.put(AudioError(NAME, reason))

    def _put_all(self, file: soundfile.SoundFile) -> None:
        """Pieces until it ends; of what follows its end nothing is read, which would be lost."""
        length = max(1, int(PIECE_S * file.samplerate))
        left = file.frames
        while len(piece := file.read(min(length, left), dtype="float32", always_2d=True)):
            self._came.put(piece)
            left -= len(piece)


def _goes_on(file: soundfile.SoundFile) -> bool:
    """Whether more samples follow the last that a WAV's header told of: its writer did not know.

    Its header tells of none, or of as much as its number can, which a microphone reaches in hours.
    """
    if file.format not in ("WAV", "WAVEX") or file.subtype not in BYTES or file.seekable():
        return False
    told = file.frames * file.channels * BYTES[file.subtype]
    return told == 0 or told >= UNKNOWN_BYTES
