"""Processes that this one starts, which are not to hear Ctrl-C.

A terminal sends it to all of them.  Who started them says what there is to say, and ends them.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ctrl_c_waits() -> Iterator[None]:
    """Processes that start meanwhile never hear it, this one does at the end."""
    if sys.platform == "win32":  # nothing there holds it back: one that comes now is lost
        import ctypes

        # Without a handler: to ignore it or no longer, which who is started meanwhile inherits.
        ignore = ctypes.windll.kernel32.SetConsoleCtrlHandler
        ignore(None, True)
        try:
            yield
        finally:
            ignore(None, False)
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # with the first process, and would let the signal through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
