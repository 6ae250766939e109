"""How a command that may run for hours is told to stop."""

import os
import select
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

from sssm.interrupt import CTRL_C


class Ending:
    """Whether to end, and with which exit code: 130 after Ctrl-C, 0 when asked to by SIGTERM."""

    code: int | None = None

    def __bool__(self) -> bool:
        return self.code is not None


@contextmanager
def asked_to_end(*, by: Sequence[int] = (signal.SIGINT, signal.SIGTERM)) -> Iterator[Ending]:
    """Signals as a flag, so that what is being written is finished; a second Ctrl-C interrupts."""
    ending = Ending()

    def end(number: int, _: FrameType | None) -> None:
        if ending and number == signal.SIGINT:
            raise KeyboardInterrupt
        ending.code = CTRL_C if number == signal.SIGINT else 0

    before = {number: signal.signal(number, end) for number in by}
    try:
        yield ending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def native_messages_hidden() -> Iterator[None]:
    """Keep PortAudio and ALSA, which write to descriptor 2 at any time, off the screen.

    `sys.stderr` gets a descriptor of its own for as long: our messages still come out.
    """
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # a program without a standard error has no screen to keep clean
        yield
        return
    stderr, ours = sys.stderr, None
    with suppress(OSError, ValueError, AttributeError):
        if stderr.fileno() == 2:
            ours = open(  # noqa: SIM115  (closed below)
                os.dup(kept), "w", buffering=1, encoding=stderr.encoding, errors=stderr.errors
            )
            sys.stderr = ours
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        if ours is not None:
            sys.stderr = stderr
            ours.close()


def reader_watch() -> Callable[[], bool]:
    """A function that says whether whoever read standard output has gone.

    Writing would tell too, but a listener may have nothing to write for hours.
    """
    try:
        descriptor = sys.stdout.fileno()
        poll = select.poll()
    except (OSError, ValueError, AttributeError):  # no real file, or Windows
        return lambda: False
    poll.register(descriptor, select.POLLOUT)  # asked for nothing, macOS tells nothing
    gone = select.POLLERR | select.POLLHUP  # which is what macOS calls it
    return lambda: any(event & gone for _, event in poll.poll(0))
