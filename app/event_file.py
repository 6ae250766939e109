"""Events in a file that is whole and valid after each of them, whatever happens next.

Ctrl-C, a full disk, a machine that loses its power: what was found before can be read.
"""

import csv
import errno
import io
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import PurePath
from typing import NamedTuple

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]


class Event(NamedTuple):
    """A keyword in a recording; its fields are the columns of the file."""

    path: str
    keyword: str
    start_s: float
    time_s: float
    score: float

    def as_json(self) -> str:
        return json.dumps(self._asdict())


def _csv_line(fields: tuple[object, ...]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(fields)  # ends in "\r\n", without which it would not quote a "\r"
    return line.getvalue().removesuffix("\r\n") + "\n"


class _Format(NamedTuple):
    head: str
    row: Callable[[Event], str]
    between: str
    tail: str


_FORMATS = {
    ".csv": _Format(_csv_line(Event._fields), _csv_line, "", ""),
    ".json": _Format("[\n", Event.as_json, ",\n", "\n]\n"),
    ".jsonl": _Format("", lambda event: event.as_json() + "\n", "", ""),
}


def check_name(path: str) -> None:
    """Refuse a name that does not say the format.

    Raises:
        ValueError: it does not end in .csv, .json or .jsonl; one line.
    """
    if PurePath(path).suffix.lower() not in _FORMATS:
        raise ValueError(f"{path}: a file of events ends in {', '.join(_FORMATS)}")


class EventFile:
    """A file of events, valid after each of them; what was there before is overwritten.

    Args:
        path: ends in .csv, .json or .jsonl.

    Raises:
        ValueError: the name does not say a format.
        OSError: the file cannot be opened, or another program is writing events to it.
    """

    def __init__(self, path: str):
        check_name(path)
        self.path = path
        self._format = _FORMATS[PurePath(path).suffix.lower()]
        self._file = _alone(path)
        self._size = 0  # without the tail, over which the next row goes
        self._between = ""

    def start(self) -> None:
        """Write what stands before the first event.

        Raises:
            OSError: the file cannot be written.
        """
        self._put(self._format.head)

    def write(self, event: Event) -> None:
        """Add an event.

        Raises:
            OSError: it cannot be written; the events before it are still there.
        """
        self._put(self._between + self._format.row(event))
        self._between = self._format.between

    def close(self) -> None:
        self._file.close()

    def _put(self, text: str) -> None:
        before = self._size
        # A name that is no text (broken UTF-8) must not make the file unreadable.
        data = text.encode("utf-8", "backslashreplace")
        try:
            if self._format.tail:  # the others may go into a pipe
                self._file.seek(before)
            self._write_all(data + self._format.tail.encode())
        except OSError:
            with suppress(OSError):
                self._file.truncate(before)
                self._file.seek(before)
                self._write_all(self._format.tail.encode() if before else b"")
            raise
        self._size = before + len(data)

    def _write_all(self, data: bytes) -> None:
        while data:
            data = data[self._file.write(data) :]


def _alone(path: str) -> io.FileIO:
    """The file, empty, and of this process alone: of two that write, both would be lost.

    It has no buffer, so that a row is in it, or the failure known, when `write` ends.
    """
    file = io.FileIO(path, "w", opener=_without_emptying)
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise OSError(errno.EBUSY, "Another program writes to it", path) from None
        except OSError:  # there are systems of files without locks
            pass
    with suppress(OSError):  # a pipe has nothing to lose
        file.truncate(0)
    return file


def _without_emptying(path: str, flags: int) -> int:
    return os.open(path, flags & ~os.O_TRUNC, 0o666)
