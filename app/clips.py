"""Sound kept as WAV files: 16 bits, one channel, never over another file."""

import io
import itertools
import tempfile
from collections import deque
from pathlib import Path

import numpy as np
import soundfile

from sssm.audio import Samples
from sssm.int16 import as_int16

BEFORE_S, AFTER_S = 0.7, 0.3  # around a detection: its score rises in the middle of its word
KEPT_S = 5.0  # a score that rose longer ago is no longer the same word


def write_new(folder: Path, stem: str, samples: Samples, sample_rate_hz: int) -> Path:
    """(n,) samples in [-1, 1] as folder/stem.wav, or stem-2.wav where that exists, and so on.

    Raises:
        OSError: it cannot be written, by its name; what had been written of it is gone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        path = folder / (f"{stem}.wav" if number == 1 else f"{stem}-{number}.wav")
        try:
            file = open(path, "xb")  # noqa: SIM115  (closed below, where the loop goes on)
        except FileExistsError:
            continue
        break
    try:
        with file:
            file.write(_wav(samples, sample_rate_hz))
    except OSError as error:
        path.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from None
    return path


def _wav(samples: Samples, sample_rate_hz: int) -> bytes:
    data = io.BytesIO()
    soundfile.write(data, as_int16(samples), sample_rate_hz, format="WAV")
    return data.getvalue()


class Clips:
    """The sound around each detection, as a file once what follows it was heard.

    Args:
        folder: made where it is missing.

    Raises:
        OSError: it cannot be made, or nothing can be written there.
    """

    def __init__(self, folder: str):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:  # by its own name, not that of this file
            raise OSError(error.errno, error.strerror, folder) from None
        self._waiting: deque[tuple[str, float, float]] = deque()  # stem, from, to
        self.begin(16_000)

    def begin(self, sample_rate_hz: int) -> None:
        """A new stream, whose time starts at 0; call `finish` before."""
        self._rate = sample_rate_hz
        self._pieces: deque[Samples] = deque()
        self._end = 0  # samples of the stream heard so far
        self._kept = 0  # of them in `_pieces`

    def hear(self, samples: Samples) -> None:
        """The next (n,) samples of the stream."""
        self._pieces.append(samples)
        self._end += len(samples)
        self._kept += len(samples)
        most = KEPT_S * self._rate
        while self._kept - len(self._pieces[0]) > most:
            self._kept -= len(self._pieces.popleft())

    def expect(self, stem: str, start_s: float, time_s: float) -> None:
        """Write what is around a detection, as soon as it was heard."""
        self._waiting.append((stem, start_s - BEFORE_S, time_s + AFTER_S))

    def write(self) -> list[Path]:
        """The files of the detections that are complete now.

        Raises:
            OSError: one cannot be written; it is given up.
        """
        written = []
        while self._waiting and self._waiting[0][2] <= self._end / self._rate:
            written.append(self._write(*self._waiting.popleft()))
        return written

    def finish(self) -> list[Path]:
        """The files of those that still wait, with what there is.

        Raises:
            OSError: one cannot be written; it is given up.
        """
        written = []
        while self._waiting:
            written.append(self._write(*self._waiting.popleft()))
        return written

    def _write(self, stem: str, from_s: float, to_s: float) -> Path:
        first = self._end - self._kept
        samples = np.concatenate(self._pieces) if self._pieces else np.zeros(0, np.float32)
        start = max(0, round(from_s * self._rate) - first)
        end = max(0, round(to_s * self._rate) - first)
        return write_new(self.folder, stem, samples[start:end], self._rate)
