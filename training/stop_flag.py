"""Ctrl-C in a long run."""

import signal
from types import FrameType
from typing import Any


class StopFlag:
    """Ctrl-C asks; the loop stops after the step, when everything agrees.  Twice kills."""

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None

    def __enter__(self) -> "StopFlag":
        self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, self._before)
