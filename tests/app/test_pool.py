"""Work in several processes, and its messages in order."""

import os
import signal
import threading
from concurrent.futures import BrokenExecutor
from multiprocessing.context import SpawnProcess

import pytest

import app.pool
from app.pool import InOrder, arrivals


def test_a_message_waits_until_the_items_before_have_ended():
    order = InOrder()
    assert order.put(1, "b1") == []
    assert order.put(0, "a1") == ["a1"]
    assert order.put(2, None) == []
    assert order.put(3, "d1") == []
    assert order.put(1, None) == []
    assert order.put(0, None) == ["b1", "d1"]
    assert order.put(3, "d2") == ["d2"]
    assert order.put(5, "f1") == order.put(4, "e1") == []
    assert order.rest() == ["e1", "f1"]
    assert order.rest() == []


@pytest.mark.parametrize(
    ("work", "items", "error"), [(os._exit, [9, 9, 9], BrokenExecutor), (int, "123", TypeError)]
)
def test_a_process_that_dies_or_raises_is_no_silence(work, items, error):
    """Work that needs no import: an end with 9, and a number, in which there is no message."""
    with pytest.raises(error):
        list(arrivals(work, items, 2))


def test_ctrl_c_while_processes_start_is_heard_once_they_have(monkeypatch):
    """And by none of them: they are terminated."""
    start, started = SpawnProcess.start, []
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())

    def interrupted(process):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        start(process)
        started.append(process)

    monkeypatch.setattr(SpawnProcess, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(arrivals(list, ["ab", "c"], 2))
    assert [process.exitcode for process in started] == [-signal.SIGTERM] * 2
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == blocked


def test_a_connection_may_be_of_any_class(monkeypatch):
    """Windows has one of its own."""
    monkeypatch.setattr(app.pool, "Connection", type("Other", (), {}))
    assert sorted(arrivals(list, ["ab", "c"], 2), key=str) == [
        (0, "a"), (0, "b"), (0, None), (1, "c"), (1, None),
    ]  # fmt: skip
