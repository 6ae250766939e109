"""Commands of a user that are started for what is heard."""

import errno
import io
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from listening import Pieces, Screen, folder
from virtual_microphone import LIMIT_S

import app.hooks
from app.hooks import Hook
from app.listener import Listener
from app.sources import NOTHING

__all__ = ["folder"]  # a fixture


EVENT = {"keyword": "yes", "score": 0.9, "start_s": 0.5, "time_s": 1.25, "at": "now"}


def test_what_a_command_did_is_told_when_it_ends(spotter):
    """Not at the next detection, which may be hours later."""
    screen = Screen()
    hook = Hook("false", screen.note)
    hook.run(EVENT)
    hook._running[0].wait()
    Listener(Pieces([NOTHING]), spotter, screen, hook=hook).run(lambda: False, lambda: False)
    assert ["ended with 1" in note for note in screen.notes] == [False, True]


def test_a_command_gets_the_event_and_its_output_is_not_ours(folder, capfd):
    program = (
        "import os, sys; print('heard', os.environ['SSSM_KEYWORD'], os.environ['SSSM_TIME_S'], "
        "os.environ['SSSM_SCORE'], os.environ['SSSM_START_S'], os.environ['SSSM_AT']); "
        "open('event', 'w').write(sys.stdin.read())"
    )
    notes: list[str] = []
    hook = Hook(f'{sys.executable} -c "{program}"', notes.append)
    hook.run(EVENT)
    hook.close()
    assert (notes, hook.failures) == ([], 0)
    assert json.loads(Path("event").read_text()) == EVENT
    assert capfd.readouterr().out == ""


def test_a_command_has_a_session_of_its_own_and_our_standard_error(folder, monkeypatch, capfd):
    monkeypatch.setenv("ROOM", "kitchen")
    program = "import os; print(os.getsid(0) == os.getpid(), os.environ['ROOM'])"
    hook = Hook(f'{sys.executable} -c "{program}"', pytest.fail)
    hook.run(EVENT)
    hook.close()
    assert capfd.readouterr() == ("", "True kitchen\n")


@pytest.mark.skipif(not hasattr(os, "pread"), reason="its output goes past us")
@pytest.mark.parametrize(("text", "times"), [("one of many lines\n", 3_000), ("x", 50_000)])
def test_of_a_command_that_prints_much_some_is_shown_at_a_time(monkeypatch, text, times):
    """Listening goes on in between."""
    monkeypatch.setattr(app.hooks, "PATIENCE_S", LIMIT_S)
    shown: list[str] = []
    program = f"print({text!r} * {times}, end='')"
    hook = Hook(f'{sys.executable} -c "{program}"', pytest.fail, shown.extend)
    hook.run(EVENT)
    hook._running[0].wait()
    hook.reap()
    assert 0 < sum(map(len, shown)) <= app.hooks.MOST_SHOWN
    hook.close()
    assert "".join(shown) == text.strip() * times


def test_where_no_file_can_be_made_the_output_goes_to_standard_error(monkeypatch, capfd):
    """As in a container that may be read alone."""

    def refused():
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(app.hooks.tempfile, "TemporaryFile", refused)
    hook = Hook("echo heard", pytest.fail, pytest.fail)
    hook.run(EVENT)
    hook.close()
    assert capfd.readouterr() == ("", "heard\n")


def test_a_command_need_not_read(monkeypatch):
    ours, theirs = os.pipe()
    os.close(ours)
    process = SimpleNamespace(stdin=os.fdopen(theirs, "wb"), poll=lambda: 0, returncode=0)
    monkeypatch.setattr(app.hooks.subprocess, "Popen", lambda *_, **__: process)
    hook = Hook("true", pytest.fail)
    hook.run(EVENT)
    hook.close()
    assert hook.failures == 0


@pytest.fixture
def started(monkeypatch):
    """Commands as Windows would be told to start them, with the options of each."""
    calls: list[tuple[list[str], dict]] = []

    class Deaf(io.BytesIO):
        def write(self, _):
            raise OSError(errno.EINVAL, "Invalid argument")

    def start(command, **options):
        calls.append((command, options))
        return SimpleNamespace(stdin=Deaf(), poll=lambda: 0, returncode=0)

    monkeypatch.setattr(app.hooks.subprocess, "Popen", start)
    monkeypatch.setattr(app.hooks.subprocess, "CREATE_NEW_PROCESS_GROUP", 512, raising=False)
    monkeypatch.setattr(app.hooks.shutil, "which", {"light": r"C:\bin\light.bat"}.get)
    return calls


def test_on_windows_a_command_is_found_by_its_name_and_does_not_hear_ctrl_c(started, monkeypatch):
    hook = Hook("light on", pytest.fail)
    with monkeypatch.context() as windows:
        windows.setattr(os, "name", "nt")
        hook.run(EVENT)  # which it does not read
    hook.close()
    ((command, options),) = started
    assert command == [r"C:\bin\light.bat", "on"]
    assert options["creationflags"] == 512


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (r"C:\new\on.exe -v", [r"C:\new\on.exe", "-v"]),
        (
            r'"C:\Program Files\on.exe" "the lamp" #1',
            [r"C:\Program Files\on.exe", "the lamp", "#1"],
        ),
    ],
)
def test_on_windows_a_backslash_is_one(monkeypatch, command, words):
    monkeypatch.setattr(app.hooks.shutil, "which", lambda name: name)
    with monkeypatch.context() as windows:
        windows.setattr(os, "name", "nt")
        hook = Hook(command, pytest.fail)
    assert hook._command == words


def test_commands_that_have_ended_make_room(monkeypatch):
    monkeypatch.setattr(app.hooks, "MOST_AT_ONCE", 1)
    hook = Hook("true", pytest.fail)
    for _ in range(2):
        hook.run(EVENT)
        hook._running[0].wait()
    hook.close()
    assert hook.failures == 0


def test_no_shell_reads_the_command(folder):
    hook = Hook("touch '$HOME' ; touch b", lambda _: None)
    hook.run(EVENT)
    hook.close()
    assert {"$HOME", ";", "b"} <= set(os.listdir())


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("./gone", "cannot be started: no such file or directory"),
        ("false", "ended with 1"),
        ("sh -c 'kill -9 $$'", "was ended by signal 9"),
    ],
)
def test_a_command_that_fails_is_said_once(folder, command, said):
    notes: list[str] = []
    Path("gone").touch(0o755)
    hook = Hook(command, notes.append)
    Path("gone").unlink()
    for _ in range(3):
        hook.run(EVENT)
    hook.close()
    assert hook.failures == 3
    (note,) = notes
    assert said in note


def test_commands_that_never_end_are_few_and_are_left_alone(folder, monkeypatch):
    monkeypatch.setattr(app.hooks, "MOST_AT_ONCE", 2)
    monkeypatch.setattr(app.hooks, "PATIENCE_S", 0.05)
    notes: list[str] = []
    hook = Hook(f"{sys.executable} -c 'import time; time.sleep(600)'", notes.append)
    start_s = time.monotonic()
    for _ in range(3):
        hook.run(EVENT)
    processes = [process.pid for process in hook._running]
    hook.close()
    try:
        assert time.monotonic() - start_s < LIMIT_S
        assert [("2 still run" in note) for note in notes] == [True, True]
    finally:
        for process in processes:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
