"""Answers for many files, in their order: here for a few, in one process a core for many.

Processes, because the operations of a small model are too short for threads to overlap.  They are
started afresh (spawn): that works on every system, and this process need not load torch.
"""

import os
import signal
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ProcessPoolExecutor
from functools import cache
from multiprocessing import active_children, get_context
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sssm.audio import AudioError
    from sssm.classifier import Answer, Classifier

FILES_A_PROCESS = 50  # fewer are not worth the seconds that a process needs to load torch
MOST_PROCESSES = 8  # each holds some 300 MB

Rows = Generator[tuple[str, "Answer | AudioError"], None, None]


def answers(model: str, files: list[str]) -> Rows:
    """Each file with its answer, or with the reason why it has none.

    Raises:
        ModelFileError: the model is unknown or damaged.
        BrokenExecutor: a process died.
    """
    processes = min(_cores(), MOST_PROCESSES, len(files) // FILES_A_PROCESS)
    if processes > 1:
        return _in_processes(processes, model, files)
    return ((path, _answer(model, path)) for path in files)


def _cores() -> int:
    """Those that this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _classifier(model: str) -> "Classifier":
    import torch

    from sssm.classifier import Classifier

    torch.set_num_threads(1)
    return Classifier.load(model)


def _answer(model: str, path: str) -> "Answer | AudioError":
    from sssm.audio import AudioError

    try:
        return _classifier(model).classify(path)
    except AudioError as error:
        return error


def _in_processes(processes: int, model: str, files: list[str]) -> Rows:
    waiting: deque[tuple[str, Future[Answer | AudioError]]] = deque()
    pool = ProcessPoolExecutor(processes, get_context("spawn"), _die_of_ctrl_c)
    try:
        for path in files:
            waiting.append((path, pool.submit(_answer, model, path)))
            if len(waiting) > 4 * processes:  # so that memory does not grow with the files
                first, answer = waiting.popleft()
                yield first, answer.result()
        for path, answer in waiting:
            yield path, answer.result()
    except BaseException:  # Ctrl-C or a closed pipe: a long file should not keep anybody waiting
        for child in active_children():
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _die_of_ctrl_c() -> None:
    """In silence: the process that started this one says what there is to say."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
