"""What the tests of listening share: sound in pieces, a screen that remembers, a listener."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sounds import chirps

from app.display import Lines
from app.listener import Listener
from app.sources import Piece


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a recording."""
    monkeypatch.chdir(tmp_path)
    soundfile.write("chirps.wav", chirps(3.0, 16_000), 16_000, subtype="FLOAT")
    return tmp_path


class Pieces:
    """A source that gives what a test made."""

    name, live = "a test", True

    def __init__(self, pieces: list[Piece], rate: int = 16_000, next_rate: int = 0):
        self.sample_rate_hz, self._next_rate = rate, next_rate
        self._pieces: Iterator[Piece] = iter(pieces)
        self._given = 0

    def start(self):
        pass

    def read(self):
        piece = next(self._pieces, None)
        if piece is not None and piece.fresh and self._given and self._next_rate:
            self.sample_rate_hz = self._next_rate
        self._given += 1
        return piece

    def close(self):
        pass


class Screen(Lines):
    def __init__(self):
        self.events: list[str] = []
        self.notes: list[str] = []

    def event(self, line):
        self.events.append(line)

    def note(self, line):
        self.notes.append(line)


def listener(spotter, pieces: list[Piece] | Pieces, **options) -> tuple[Listener, Screen]:
    screen = Screen()
    source = pieces if isinstance(pieces, Pieces) else Pieces(pieces)
    listening = Listener(source, spotter, screen, as_json=True, **options)
    listening.run(lambda: False, lambda: False)
    listening.close()
    return listening, screen


def cut(x: np.ndarray, length: int = 160) -> list[Piece]:
    return [Piece(x[at : at + length]) for at in range(0, len(x), length)]
