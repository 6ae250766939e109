"""MP3s that do not tell their length, read to their end all the same.

Where the first frame does not tell it, as where the writer could not go back, libsndfile takes the
file for as long as it were if all frames were like the first, and reads no further: of a recording
whose rate of bits varies that may be the smaller part.
"""

import contextlib
import io
import os
from typing import Any

import soundfile

TIMES = 64  # more than any two rates of bits are apart: 8 and 320 kbit/s
HEADER_BYTES = 4  # of a frame


def tells_its_length(path: str | os.PathLike[str]) -> bool:
    """Whether the first frame of an MP3 says how many there are: of others it is an estimate."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        head = file.read(10)
        if head[:3] == b"ID3":  # its length has seven bits a byte
            file.seek(10 + sum(byte << 7 * n for n, byte in enumerate(reversed(head[6:]))))
        else:
            file.seek(0)
        first = file.read(64)
        return any(tag in first for tag in (b"Xing", b"Info", b"VBRI"))
    return False


class WholeMp3(soundfile.SoundFile):
    """An MP3 whose own end is its end, whatever the estimate."""

    def __init__(self, path: str | os.PathLike[str]):
        self._bytes = _Longer(os.fspath(path))
        try:
            super().__init__(self._bytes)
        except soundfile.SoundFileError:
            self._bytes.close()
            raise

    @property
    def is_read(self) -> bool:
        """Whether its decoder came to its end, and did not stop where it no longer knew its way."""
        return self._bytes.tell() >= os.fstat(self._bytes.fileno()).st_size

    def seekable(self) -> bool:
        """No: soundfile would seek after each piece, which at the end fails."""
        return False

    def close(self) -> None:
        super().close()
        self._bytes.close()


class _Longer(io.FileIO):
    """A file that is said to be far longer than it is."""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if (offset, whence) == (0, os.SEEK_END):  # to ask how long it is; a tag is found before it
            return super().seek(TIMES * os.fstat(self.fileno()).st_size)
        return super().seek(offset, whence)

    def readinto(self, data: Any) -> int:
        """As ever; but a frame that is cut short ends in zeros, as it would be taken for damage."""
        count = super().readinto(data) or 0
        if len(data) > HEADER_BYTES:
            data[count:] = bytes(len(data) - count)
            count = len(data)
        return count
