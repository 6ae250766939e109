"""Ctrl-C, from the first moment on."""

import os
import signal
from types import FrameType

CTRL_C = 130


def heed_ctrl_c() -> None:
    """Let it end what is being imported, and later raise what it always raises."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)


def _interrupted(_: int, frame: FrameType | None) -> None:
    """Ctrl-C: while something is imported, which may take it for an error of its own, the end.

    Nothing can be lost yet.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            os._exit(CTRL_C)
        frame = frame.f_back
    raise KeyboardInterrupt
