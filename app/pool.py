"""Work on many items in several processes: what it yields, as it comes, and back in order.

Processes, because the operations of a small model are too short for threads to overlap.  They are
started afresh (spawn): that works on every system, and this process need not load torch.
"""

import os
import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import BrokenExecutor
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, NamedTuple, TypeVar, cast

from sssm.children import ctrl_c_waits

T = TypeVar("T")
M = TypeVar("M")

MOST_PROCESSES = 8  # unless the user asks for more: each holds some 300 MB
ITEMS_AHEAD = 64  # of the first that is not done, for each process: so that few wait their turn
POLL_S = 0.2


class _Raised(NamedTuple):
    error: Exception


def arrivals(
    work: Callable[[T], Iterable[M]],
    items: Sequence[T],
    processes: int,
    stopped: Callable[[], bool] = lambda: False,
) -> Generator[tuple[int, M | None], None, None]:
    """What the work yields for each item, as it comes, with the item's number; None ends an item.

    Args:
        work: for several processes one that they can import, as its messages must be.
        items: each for one process.
        processes: 1 works here.
        stopped: asked again and again; once it says so, nothing is waited for any more.

    Raises:
        BrokenExecutor: a process died.
        Exception: what the work raised.
    """
    if processes > 1:
        yield from _in_processes(work, items, processes, stopped)
        return
    for number, item in enumerate(items):
        for message in work(item):
            yield number, message
            if stopped():
                return
        yield number, None


class InOrder(Generic[M]):
    """Messages of many items, each item's together and the items in the order of their numbers.

    Those of the first item that has not ended pass at once, the others wait.
    """

    def __init__(self) -> None:
        self._first = 0
        self._held: dict[int, list[M]] = {}
        self._ended: set[int] = set()

    def put(self, number: int, message: M | None) -> list[M]:
        """What has its turn now that this came; None ends the item."""
        if message is not None:
            if number == self._first:
                return [message]
            self._held.setdefault(number, []).append(message)
            return []
        self._ended.add(number)
        passed: list[M] = []
        while self._first in self._ended:
            self._ended.remove(self._first)
            self._first += 1
            passed += self._held.pop(self._first, [])
        return passed

    def rest(self) -> list[M]:
        """What still waits, when no more will come."""
        held, self._held = self._held, {}
        return [message for number in sorted(held) for message in held[number]]


def cores() -> int:
    """Those that this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def one_thread() -> None:
    """Keep the models to one: processes share the cores, and a sum's order decides its last bit."""
    torch: Any = sys.modules.get("torch")  # another engine may not need it
    if torch is not None:
        torch.set_num_threads(1)


def _in_processes(
    work: Callable[[T], Iterable[M]],
    items: Sequence[T],
    processes: int,
    stopped: Callable[[], bool],
) -> Generator[tuple[int, M | None], None, None]:
    context = get_context("spawn")
    started, idle = [], []
    busy: dict[Connection, int] = {}
    ended: set[int] = set()
    first = following = 0
    try:
        with ctrl_c_waits():
            for _ in range(processes):
                here, there = context.Pipe()
                process = context.Process(target=_serve, args=(work, there), daemon=True)
                process.start()
                there.close()  # or the end of the process would not end the connection
                started.append(process)
                idle.append(here)
        while True:
            while idle and following < min(len(items), first + ITEMS_AHEAD * processes):
                _send(idle[-1], items[following])
                busy[idle.pop()] = following
                following += 1
            if not busy:
                return
            ready = wait(list(busy), 0 if stopped() else POLL_S)
            if not ready and stopped():
                return
            for connection in cast("list[Connection]", ready):  # on Windows they are of its kind
                number, message = busy[connection], _received(connection)
                if isinstance(message, _Raised):
                    raise message.error
                yield number, message
                if message is None:
                    idle.append(connection)
                    ended.add(busy.pop(connection))
                    while first in ended:
                        ended.remove(first)
                        first += 1
    finally:  # Ctrl-C or a closed pipe too: a long file should not keep anybody waiting
        for process in started:
            process.terminate()
        for process in started:
            process.join()


def _send(connection: Connection, item: object) -> None:
    try:
        connection.send(item)
    except OSError:  # not to be taken for the closed pipe of who reads our output
        raise BrokenExecutor("a process died") from None


def _received(connection: Connection) -> Any:
    try:
        return connection.recv()
    except (EOFError, OSError):
        raise BrokenExecutor("a process died") from None


def _serve(work: Callable[[Any], Iterable[Any]], connection: Connection) -> None:
    """Until the process that started this one ends it, or is gone itself."""
    try:
        while True:
            item = connection.recv()
            try:
                for message in work(item):
                    connection.send(message)
                connection.send(None)
            except Exception as error:
                connection.send(_Raised(error))
    except (EOFError, OSError):
        return
