"""Who hears Ctrl-C while processes start."""

import ctypes
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from sssm.children import ctrl_c_waits

BLOCKED = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))"


def test_who_is_started_never_hears_it_and_this_process_does_at_the_end():
    said = []

    def start():
        with ctrl_c_waits():
            signal.raise_signal(signal.SIGINT)
            said.append(subprocess.check_output([sys.executable, "-c", BLOCKED], text=True))

    with pytest.raises(KeyboardInterrupt):
        start()
    assert said == ["True\n"]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_on_windows_it_is_ignored_for_as_long(monkeypatch):
    calls = []
    console = SimpleNamespace(SetConsoleCtrlHandler=lambda *arguments: calls.append(arguments))
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=console), raising=False)
    with monkeypatch.context() as windows:
        windows.setattr(sys, "platform", "win32")
        with ctrl_c_waits():
            assert calls == [(None, True)]
    assert calls == [(None, True), (None, False)]
