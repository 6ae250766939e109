"""Recordings in pieces: any format, rate, channels and length, in constant memory.

Decided here: channels are averaged, at each instant those that hold a number; where none does, the
sample becomes zero and is counted; a rate from 8 to 48 kHz is left alone, because the model's bank
follows the rate; any other rate is resampled to 16 kHz; a rate that can hold no speech is refused.
Not decided here: what is heard.
"""

import contextlib
import os
import re
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from sssm.mp3 import WholeMp3, tells_its_length
from sssm.ogg import goes_on, is_damaged
from sssm.reason import reason_of
from sssm.timing import heard_rate

Samples = NDArray[np.float32]

SUFFIXES = (".flac", ".mp3", ".oga", ".ogg", ".opus", ".wav", ".wave")
READABLE_RATES_HZ = (2_000, 1_000_000)
PIECE_S = 4
MOST_VALUES = 1 << 20  # in one piece, over all channels
DAMAGE_S = 0.02  # how exactly it is found where damage begins
# In the header of a WAV whose writer could not know its length, as of one that wrote into a pipe.
UNKNOWN_BYTES = 0x7FFF_0000
# Float files may hold 16-bit integers as they are.  Beyond that a sample is damage, and its square
# must not overflow in the bank.
LARGEST = 32_768.0
# Noted of a WAV, AIFF, W64 or AU file that ends early, and of an RF64 file.
CUT_DATA = r"(?m)^\s*(?:data|SSND|riff|Data Size)\s*: (\d+) \(should be (\d+)\)"
CUT_RF64 = r"Calculated frame count (\d+) does not match value from 'ds64' chunk of (\d+)"
# Noted of a Vorbis file without its last pages, with a part of one, and of such an Opus file.
CUT_OGG = (
    "lacks an end-of-stream bit",
    "Junk after the last page",
    "without an End-Of-Stream flag",
)
MP3_SLACK = 2 * 1_152  # samples: two of its frames
QUIET_CONTAINERS = (b"RIFF", b"RIFX", b"RF64", b"fLaC", b"OggS")  # whose decoders are silent
_descriptor_2 = threading.Lock()  # one of a process: two threads would put back each other's


class AudioError(ValueError):
    """A recording that cannot be used.  The message is one line: which file, what, and where."""

    def __init__(self, path: str | os.PathLike[str], reason: str):
        super().__init__(path, reason)  # both, so that it can pass from one process to another

    def __str__(self) -> str:
        path, reason = self.args
        return f"{os.fspath(path)}: {reason}"


class AudioFile:
    """One recording, read from its start to its end once: `pieces` gives mono float32 samples.

    sample_rate_hz is the file's rate, stream_rate_hz that of the pieces.  heard_samples (at the
    file's rate) and replaced_samples (zeros for NaN or infinity) count what has been read so far.

    Raises:
        AudioError: here or while reading; the file is missing, no regular file, empty, no audio,
            damaged, or recorded at a rate outside 2 kHz to 1 MHz.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = path
        self._quiet = _first_bytes(path) in QUIET_CONTAINERS
        try:
            self._file = self._opened()
        except (soundfile.SoundFileError, TypeError, OSError) as error:
            raise AudioError(path, f"not audio that can be read: {decoder_reason(error)}") from None
        self.sample_rate_hz = int(self._file.samplerate)
        self.channels = int(self._file.channels)
        self.heard_samples = 0
        self.replaced_samples = 0
        low, high = READABLE_RATES_HZ
        if not low <= self.sample_rate_hz <= high:
            self.close()
            reason = f"recorded at {self.sample_rate_hz} Hz; rates from {low} to {high} are read"
            raise AudioError(path, reason)
        self.stream_rate_hz = heard_rate(self.sample_rate_hz)

    @property
    def heard_s(self) -> float:
        """Seconds read so far; the file's duration once `pieces` has ended."""
        return self.heard_samples / self.sample_rate_hz

    def pieces(self) -> Iterator[Samples]:
        """(samples,) of float32 at stream_rate_hz, some seconds at a time, until the file ends."""
        pieces = self._decoded()
        if self.stream_rate_hz == self.sample_rate_hz:
            return pieces
        return resample(pieces, self.sample_rate_hz, self.stream_rate_hz)

    def check_heard(self) -> None:
        """Call at the end of `pieces`.

        Raises:
            AudioError: there was no sound in it, or it is cut short.
        """
        if not self.heard_samples:
            raise AudioError(self.path, "holds no samples")
        if self.replaced_samples == self.heard_samples:
            raise AudioError(self.path, "every sample is NaN or infinite")
        self.check_whole()

    def check_whole(self) -> None:
        """Call at the end of `pieces`.

        Raises:
            AudioError: the file is cut short, an MP3 or Ogg file is damaged (its decoder says
                nothing), or an Ogg file holds several recordings, of which the first was heard.
        """
        if self._file.format == "OGG" and goes_on(self.path):
            reason = f"heard to {self.heard_s:.2f} s, where another recording begins in the file"
            raise AudioError(self.path, f"{reason}; `ffmpeg -i` makes one of them")
        if _is_cut_short(self._file.extra_info):
            raise self._damaged("the file is cut short")
        if self._file.format == "OGG" and is_damaged(self.path):
            raise AudioError(self.path, "damaged: a part of it was not heard")
        if isinstance(self._file, WholeMp3):
            if not self._file.is_read:
                raise self._damaged("what follows is no MP3")
        elif self._file.format == "MP3" and self.heard_samples + MP3_SLACK < self._file.frames:
            raise self._damaged("its header promises more")

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _decoded(self) -> Iterator[Samples]:
        length = min(PIECE_S * self.sample_rate_hz, max(1, MOST_VALUES // self.channels))
        while True:
            try:
                block = self._read(length)
            except (soundfile.SoundFileError, OSError) as error:
                for block in self._before_damage(length):
                    yield self._heard(block)
                raise self._damaged(decoder_reason(error)) from None
            if not len(block):
                return
            yield self._heard(block)

    def _before_damage(self, length: int) -> list[Samples]:
        """What can be read of the next piece up to the damage, for which all of it was refused.

        It comes from a file opened anew: not every decoder finds back from damage.
        """
        step = max(1, int(DAMAGE_S * self.sample_rate_hz))
        blocks: list[Samples] = []
        with contextlib.suppress(soundfile.SoundFileError, OSError):
            self._file.close()
            self._file = self._opened()
            with self._messages_hidden():
                self._file.seek(self.heard_samples)
            for _ in range(0, length, step):
                blocks.append(self._read(step))
        return blocks

    def _opened(self) -> soundfile.SoundFile:
        # Bytes, because soundfile cannot encode names that are not valid UTF-8.
        name = os.fspath(self.path) if os.name == "nt" else os.fsencode(self.path)
        with self._messages_hidden():
            file = soundfile.SoundFile(name)
            if file.format == "MP3" and not tells_its_length(self.path):
                file.close()
                file = WholeMp3(self.path)
        if file.frames == 2**63 - 1:  # of a FLAC that was piped: seeking to its end would fail
            file.seekable = lambda: False  # so soundfile does not, which it would after each piece
        return file

    def _read(self, length: int) -> Samples:
        """(at most length, channels); of no length at the end."""
        with self._messages_hidden():
            block: Samples = self._file.read(length, dtype="float32", always_2d=True)
        return block

    def _damaged(self, reason: str) -> AudioError:
        return AudioError(self.path, f"damaged after {self.heard_s:.2f} s: {reason}")

    def _heard(self, block: Samples) -> Samples:
        self.heard_samples += len(block)
        self.replaced_samples += int((~np.isfinite(block)).all(axis=1).sum())
        return averaged(block)

    @contextlib.contextmanager
    def _messages_hidden(self) -> Iterator[None]:
        """Keep libsndfile's MP3 decoder, which writes its warnings to descriptor 2, off the screen.

        The other decoders are silent, so descriptor 2 is left alone for them.
        """
        if self._quiet:
            yield
            return
        with _descriptor_2:
            try:
                kept = os.dup(2)
            except OSError:  # a program without a standard error has no screen to keep clean
                yield
                return
            nowhere = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(nowhere, 2)
                yield
            finally:
                os.dup2(kept, 2)
                os.close(nowhere)
                os.close(kept)


def averaged(x: NDArray[Any]) -> Samples:
    """(..., channels) -> (...) float32: the mean of the channels that hold a number.

    Where none does it is zero, and what is absurdly loud is cut: a model that never hears such
    samples is never poisoned by them.
    """
    finite = np.isfinite(x)
    kept = np.clip(np.where(finite, x, 0), -LARGEST, LARGEST).astype(np.float32)
    numbers: Samples = np.maximum(finite.sum(axis=-1, dtype=np.float32), 1)
    return kept.sum(axis=-1) / numbers


def resample(pieces: Iterable[Samples], from_hz: int, to_hz: int) -> Iterator[Samples]:
    """The same sound at to_hz, piece by piece; equal to resampling the whole at once."""
    stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32")
    for piece in pieces:
        yield stream.resample_chunk(piece)
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def is_recording(name: str, suffixes: tuple[str, ...] = SUFFIXES) -> bool:
    """Whether a file's name ends like a recording's; `._` begins notes that macOS keeps of one."""
    return name.lower().endswith(suffixes) and not name.startswith("._")


def find_recordings(
    folder: str | os.PathLike[str],
    on_error: Callable[[OSError], None],
    suffixes: tuple[str, ...] = SUFFIXES,
) -> list[str]:
    """Paths below folder, relative to it and sorted, of the files whose names end like audio's.

    Other suffixes are to be in lower case; that of a name does not count.  on_error hears of each
    folder that cannot be listed; the others are searched all the same.  Links to folders are not
    followed (they may form a ring).
    """
    found = []
    for here, _, names in os.walk(folder, onerror=on_error):
        for name in names:
            if is_recording(name, suffixes):
                found.append(os.path.relpath(os.path.join(here, name), folder))
    return sorted(found)


def _first_bytes(path: str | os.PathLike[str]) -> bytes:
    try:
        # A named pipe would wait for its writer, a device may never end.
        if is_file := stat.S_ISREG(os.stat(path).st_mode):
            with open(path, "rb") as file:
                head = file.read(4)
    except (OSError, ValueError) as error:  # ValueError: a name with a null in it
        reason = reason_of(error) if isinstance(error, OSError) else str(error).lower()
        raise AudioError(path, reason) from None
    if not is_file:
        raise AudioError(path, "not a file")
    if not head:
        raise AudioError(path, "empty file")
    return head


def _is_cut_short(log: str) -> bool:
    """By what libsndfile noted of a file of which it reads what is there."""
    cut = any(int(held) < int(told) < UNKNOWN_BYTES for told, held in re.findall(CUT_DATA, log))
    counted = re.search(CUT_RF64, log)
    cut_rf64 = bool(counted and int(counted[1]) < int(counted[2]))
    return cut or cut_rf64 or any(note in log for note in CUT_OGG)


def decoder_reason(error: Exception) -> str:
    """What libsndfile or the system says of a recording, without its decoration."""
    if not isinstance(error, soundfile.LibsndfileError):  # or a TypeError: of no header
        return reason_of(error) if isinstance(error, OSError) else "format not recognised"
    reason = error.error_string.removeprefix("Error : ").strip().rstrip(".")
    # What libsndfile says of a file that it took for MP3 and in which it found no frame.
    return "format not recognised" if "does not exist" in reason else reason[0].lower() + reason[1:]
