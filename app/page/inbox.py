"""What a visitor sends, checked: chunks of sound in their order, what is missing, what is asked.

Pure: bytes and text in, samples and settings out.  What breaks the protocol is a `RefusalError`.
"""

import json
import struct
from collections import deque
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

HEADER = struct.Struct("<II")
MOST_BYTES = 65_536  # of one message
MOST_CHARACTERS = 1_000
MOST_GAP_S = 10.0  # of missing sound that is made up for with silence
LATE_S = 0.5
WRAP = 1 << 32  # both numbers of a chunk start anew there

GARBAGE, POLICY, TOO_BIG, BUSY = 1003, 1008, 1009, 1013  # close codes, RFC 6455 and IANA's list


class RefusalError(Exception):
    """The connection ends with this code and reason, of at most 123 bytes."""

    def __init__(self, code: int, reason: str):
        super().__init__(code, reason)
        readable = reason.encode(errors="backslashreplace")
        self.code, self.reason = code, readable[:123].decode(errors="ignore")


class Greeting(NamedTuple):
    """The first message."""

    sample_rate_hz: int
    model: str | None = None
    sensitivity: float = 0.0


class Wish(NamedTuple):
    """Any later message in text."""

    sensitivity: float | None = None
    end: bool = False


def read_greeting(text: str) -> Greeting:
    """A visitor's first message.

    Raises:
        RefusalError: the text is none.
    """
    values = _object(text, Greeting._fields)
    rate = values.get("sample_rate_hz")
    if type(rate) is not int:
        raise RefusalError(GARBAGE, 'the first message is JSON: {"sample_rate_hz": 48000}')
    model = values.get("model")
    if not isinstance(model, str | None):
        raise RefusalError(GARBAGE, "model must be a name")
    return Greeting(rate, model, _number(values.get("sensitivity", 0.0)))


def read_wish(text: str) -> Wish:
    """A later message.

    Raises:
        RefusalError: the text is none.
    """
    values = _object(text, Wish._fields)
    sensitivity = values.get("sensitivity")
    return Wish(
        None if sensitivity is None else _number(sensitivity), values.get("end", False) is True
    )


class Inbox:
    """Chunks wait here until they are heard.

    Attributes:
        received_samples, lost_samples, late_samples: of all chunks so far; lost ones became
            silence, late ones waited longer than `LATE_S`.
        lost_chunks: numbers that never came.
    """

    def __init__(self, sample_rate_hz: int):
        self._rate = sample_rate_hz
        self._chunks: deque[tuple[float, NDArray[np.int16]]] = deque()
        self._number = self._index = 0  # of the next chunk, if nothing is missing
        self._waiting = 0
        self.received_samples = self.lost_samples = self.late_samples = self.lost_chunks = 0

    @property
    def waiting_s(self) -> float:
        """Seconds of sound that have not been taken."""
        return self._waiting / self._rate

    def put(self, message: bytes, now_s: float) -> None:
        """Take a chunk; raises RefusalError where it is none, or comes out of order."""
        if len(message) > MOST_BYTES:
            got = f"got {len(message):,}"
            raise RefusalError(TOO_BIG, f"a message has at most {MOST_BYTES:,} bytes, {got}")
        if len(message) < HEADER.size or len(message) % 2:
            raise RefusalError(
                GARBAGE, f"a chunk is 8 bytes and then int16 samples, got {len(message)} bytes"
            )
        number, index = HEADER.unpack_from(message)
        samples = np.frombuffer(message, "<i2", offset=HEADER.size)
        skipped, missing = (number - self._number) % WRAP, (index - self._index) % WRAP
        if skipped >= WRAP // 2 or missing >= WRAP // 2:
            raise RefusalError(
                POLICY, f"chunk {number} at sample {index} is out of order: expected "
                f"{self._number} at {self._index}"
            )  # fmt: skip
        if missing > MOST_GAP_S * self._rate:
            raise RefusalError(
                POLICY, f"{missing / self._rate:.0f} s of sound are missing: start again"
            )
        for sound in (np.zeros(missing, np.int16), samples):
            if len(sound):
                self._chunks.append((now_s, sound))
        self._waiting += missing + len(samples)
        self.lost_chunks += skipped
        self.lost_samples += missing
        self.received_samples += len(samples)
        self._number, self._index = (number + 1) % WRAP, (index + len(samples)) % WRAP

    def take(self, most_s: float, now_s: float) -> NDArray[np.int16]:
        """The sound that waits, oldest first, about `most_s` seconds of it."""
        taken, count = [], 0
        while self._chunks and count < most_s * self._rate:
            arrived_s, samples = self._chunks.popleft()
            if now_s - arrived_s > LATE_S:
                self.late_samples += len(samples)
            taken.append(samples)
            count += len(samples)
        self._waiting -= count
        return np.concatenate(taken) if taken else np.zeros(0, np.int16)

    def counters(self) -> dict[str, int]:
        """Name -> how many so far."""
        names = ("received_samples", "lost_samples", "late_samples", "lost_chunks")
        return {name: getattr(self, name) for name in names}


def _object(text: str, fields: tuple[str, ...]) -> dict[str, Any]:
    try:
        values = json.loads(text) if len(text) <= MOST_CHARACTERS else None
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict) or not values.keys() <= set(fields):
        raise RefusalError(GARBAGE, f"text is a JSON object of {', '.join(fields)}")
    return values


def _number(value: object) -> float:
    try:
        if type(value) in (int, float):
            return float(value)  # type: ignore[arg-type]
    except OverflowError:  # a whole number of hundreds of digits
        pass
    raise RefusalError(GARBAGE, "sensitivity must be a number")
