"""A user's command for each detection: started and left alone, so that listening goes on."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO

from sssm.reason import reader_has_left, reason_of

MOST_AT_ONCE = 32  # commands that never end must not fill the machine
PATIENCE_S = 2.0  # at the end
MOST_SHOWN = 16_384  # bytes at once: a command that prints without end must not hold up listening


class Hook:
    """Starts the command with an event on its standard input and in `SSSM_*` variables.

    What it prints goes to standard error as it comes, or some lines at a time to `show`.  It runs
    in a session of its own, so Ctrl-C reaches the listener alone.

    Args:
        command: split as a shell would, but for backslashes on Windows; run without one.
        tell: hears of what fails, once for each kind of failure.
        show: hears what it prints, where a picture would be drawn over it; else None.

    Raises:
        ValueError: an empty command, one that cannot be found, or a quotation without an end.
    """

    def __init__(
        self,
        command: str,
        tell: Callable[[str], None],
        show: Callable[[Sequence[str]], None] | None = None,
    ):
        try:
            words = _words(command)
        except ValueError as error:
            raise ValueError(f"--on-detection {command!r}: {str(error).lower()}") from None
        if not words:
            raise ValueError("--on-detection: an empty command")
        self._name = words[0]
        program = shutil.which(self._name)
        if program is None:
            is_there = os.path.isfile(self._name)
            reason = "not a program: chmod +x makes it one" if is_there else "no such command"
            raise ValueError(f"--on-detection {self._name}: {reason}")
        self._command = [program, *words[1:]]  # Windows starts no light.bat that is called light
        self._tell, self._show = tell, show
        can_show = show is not None and hasattr(os, "pread")
        self._printed = _temporary_file() if can_show else None
        self._shown = 0  # bytes of it
        self._told: set[str] = set()
        self._running: list[subprocess.Popen[bytes]] = []
        self.failures = 0

    def run(self, event: Mapping[str, object]) -> None:
        """Start it for this event."""
        self.reap()
        if len(self._running) >= MOST_AT_ONCE:
            self._fail("many", f"{MOST_AT_ONCE} still run, so it was not started again")
            return
        variables = {f"SSSM_{name.upper()}": str(value) for name, value in event.items()}
        try:
            process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=self._output(),
                stderr=self._output(), env={**os.environ, **variables}, start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # on Windows
            )  # fmt: skip
        except OSError as error:
            self._fail("start", f"cannot be started: {reason_of(error)}")
            return
        self._running.append(process)
        assert process.stdin is not None
        try:  # some hundred bytes, which a pipe takes whether they are read or not
            with process.stdin as pipe:
                pipe.write(json.dumps(event).encode() + b"\n")
        except OSError as error:
            if not reader_has_left(error):  # it may not want to know
                raise

    def reap(self) -> None:
        """Look after those that have ended, and show some more of what was printed."""
        self._show_lines(whole=True)
        for process in self._running:
            code = process.poll()
            if code:
                how = f"ended with {code}" if code > 0 else f"was ended by signal {-code}"
                self._fail("code", how)
        self._running = [process for process in self._running if process.returncode is None]
        if not self._running:
            self._shorten()

    def close(self) -> None:
        """Wait a little for those that still run; then leave them to themselves."""
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s and (self._show_lines(whole=True) or self._running):
            self.reap()
            time.sleep(0.01)
        self._show_lines(whole=False)
        if self._printed is not None:
            self._printed.close()
        for process in self._running:
            process.returncode = 0  # or Python would warn that nobody waits for it
        if self._running:
            self._tell(f"--on-detection: {len(self._running)} still run, and are left alone")

    def _output(self) -> int:
        return _standard_error() if self._printed is None else self._printed.fileno()

    def _show_lines(self, *, whole: bool) -> bool:
        """Some of what was printed since, in whole lines or as it is; whether there was any."""
        if self._show is None or self._printed is None:
            return False
        end = os.fstat(self._printed.fileno()).st_size
        if end < self._shown:  # a command has emptied it: `> /dev/stderr` opens it anew
            self._shown = 0
        data = os.pread(self._printed.fileno(), min(end - self._shown, MOST_SHOWN), self._shown)
        if b"\n" in data or len(data) < MOST_SHOWN:  # a longer line comes in parts
            data = data[: data.rfind(b"\n") + 1] if whole else data
        self._shown += len(data)
        if lines := data.decode(errors="replace").splitlines():
            self._show(lines)
        return bool(lines)

    def _shorten(self) -> None:
        """Begin the file anew once all of it was shown: in days it would fill the disk."""
        if self._printed is None or not self._shown:
            return
        descriptor = self._printed.fileno()
        if os.fstat(descriptor).st_size == self._shown:
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)  # theirs too, who may still have it open
            self._shown = 0

    def _fail(self, kind: str, what: str) -> None:
        self.failures += 1
        if kind not in self._told:
            self._told.add(kind)
            self._tell(f"--on-detection {self._name}: {what} (not said again)")


def _words(command: str) -> list[str]:
    """Of a command, as a shell reads it; in a path of Windows backslashes escape nothing."""
    words = shlex.shlex(command, posix=True)
    words.whitespace_split, words.commenters = True, ""
    if os.name == "nt":
        words.escape = ""
    return list(words)


def _temporary_file() -> IO[bytes] | None:
    """A file, not a pipe: who still runs at the end may go on printing.

    None where there is no place for it: what is printed is then not kept off the picture.
    """
    with suppress(OSError):
        return tempfile.TemporaryFile()
    return None


def _standard_error() -> int:
    """Where messages go; descriptor 2 itself may be closed to what PortAudio writes."""
    try:
        return sys.stderr.fileno()
    except (OSError, ValueError, AttributeError):
        return subprocess.DEVNULL
