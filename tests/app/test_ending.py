"""How a command is told to end, and what may write to its screen meanwhile."""

import io
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.ending import asked_to_end, reader_watch
from app.hooks import Hook
from sssm.interrupt import CTRL_C

ROOT = Path(__file__).parents[2]
HIDDEN = r"""
import os, sys
from app.ending import native_messages_hidden
from app.hooks import Hook

before = os.listdir("/dev/fd")
with native_messages_hidden():
    os.write(2, b"of ALSA\n")
    print("of ours \u4e00", file=sys.stderr)
    hook = Hook("sh -c 'echo of the command; echo and its errors >&2'", print)
    hook.run({})
    hook.close()
os.write(2, b"of ALSA, later\n")
print("of ours, later", file=sys.stderr)
assert os.listdir("/dev/fd") == before  # nothing stays open
print("done")
"""


def run(*command):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_only_what_libraries_write_is_hidden_and_only_for_as_long():
    done = run(sys.executable, "-c", HIDDEN)
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert done.stderr.splitlines() == [
        "of ours \\u4e00", "of the command", "and its errors", "of ALSA, later", "of ours, later",
    ]  # fmt: skip


def test_what_a_command_prints_is_shown_by_the_line_where_a_picture_is_drawn(tmp_path):
    shown: list[str] = []
    hook = Hook(
        "sh -c 'echo one; printf tw >&2; read _ < more; echo o; printf end'", print, shown.extend
    )
    os.mkfifo(tmp_path / "more")
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        hook.run({})
        with open("more", "w"):  # it has printed so far
            hook.reap()
            assert shown == ["one"]
        hook.close()
    finally:
        os.chdir(before)
    assert shown == ["one", "two", "end"]


def test_a_command_may_open_standard_error_by_its_name(tmp_path):
    """Which empties the file that it is."""
    shown: list[str] = []
    program = 'echo something long > /dev/stderr; read _ < "$0"; echo end > /dev/stderr'
    os.mkfifo(tmp_path / "more")
    hook = Hook(f"sh -c '{program}' '{tmp_path / 'more'}'", print, shown.extend)
    hook.run({})
    with open(tmp_path / "more", "w"):  # it has printed so far
        hook.reap()
    hook.close()
    assert (shown, hook.failures) == (["something long", "end"], 0)


def test_what_commands_print_in_days_does_not_fill_the_disk():
    shown: list[str] = []
    hook = Hook("sh -c 'seq 1000; sleep 0.2; echo $SSSM_KEYWORD'", print, shown.extend)
    for keyword in ("yes", "no"):  # the second begins while the first still runs
        hook.run({"keyword": keyword})
    sizes = []
    for keyword in ("up", "down"):
        while hook._running:
            hook.reap()
        hook.reap()  # what was printed last may come after the look at it
        sizes.append(os.fstat(hook._printed.fileno()).st_size)
        hook.run({"keyword": keyword})
    hook.close()
    numbers = [str(n) for n in range(1, 1001)]
    assert sizes == [0, 0]
    assert sorted(shown) == sorted([*4 * numbers, "yes", "no", "up", "down"])


def test_a_program_without_a_standard_error_has_nothing_to_hide():
    program = (
        "from app.ending import native_messages_hidden\n"
        "with native_messages_hidden(): print('inside')"
    )
    done = run("sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, program)
    assert (done.returncode, done.stdout) == (0, "inside\n")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, CTRL_C), (signal.SIGTERM, 0)])
def test_a_signal_is_a_flag_and_its_handlers_come_back(number, code):
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with asked_to_end() as ending:
        assert not ending
        signal.raise_signal(number)
        assert ending
        assert ending.code == code
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_second_ctrl_c_interrupts_and_a_second_sigterm_does_not():
    with asked_to_end():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_alone_may_be_a_flag_and_interrupts_a_second_time():
    before = signal.getsignal(signal.SIGTERM)
    with asked_to_end(by=[signal.SIGINT]) as ending:
        assert signal.getsignal(signal.SIGTERM) is before
        signal.raise_signal(signal.SIGINT)
        assert ending
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_reader_that_leaves_is_seen_without_writing(monkeypatch):
    ours, theirs = os.pipe()
    with os.fdopen(theirs, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        has_gone = reader_watch()
        assert not has_gone()
        os.close(ours)
        assert has_gone()


def test_a_reader_that_leaves_is_seen_on_macos(monkeypatch):
    """Whose `poll` says POLLHUP of a pipe, and only to who asks whether it can be written.

    Source: apple-oss-distributions/xnu, bsd/kern/sys_generic.c, `poll_nocancel`, `poll_callback`.
    """
    ours, theirs = os.pipe()

    class Poll:
        def register(self, _, events):
            self._events = events

        def poll(self, _):
            is_asked = bool(self._events & select.POLLOUT)
            return [(theirs, select.POLLHUP if has_left else select.POLLOUT)] * is_asked

    monkeypatch.setattr(select, "poll", Poll)
    with os.fdopen(ours), os.fdopen(theirs, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        has_gone, has_left = reader_watch(), False
        assert not has_gone()
        has_left = True
        assert has_gone()


@pytest.mark.parametrize("stdout", [io.StringIO(), None])
def test_an_output_that_is_no_file_has_no_reader_to_lose(monkeypatch, stdout):
    monkeypatch.setattr(sys, "stdout", stdout)
    assert not reader_watch()()
