"""Answers for many files, in their order: here for a few, in one process a core for many."""

from collections.abc import Generator, Iterator
from contextlib import closing
from functools import cache, partial
from typing import TYPE_CHECKING

from app.pool import MOST_PROCESSES, InOrder, arrivals, cores, one_thread

if TYPE_CHECKING:
    from sssm.audio import AudioError
    from sssm.classifier import Answer, Classifier

FILES_A_PROCESS = 50  # fewer are not worth the time that a process needs to start

Row = tuple[str, "Answer | AudioError"]


def answers(model: str, files: list[str]) -> Generator[Row, None, None]:
    """Each file with its answer, or with the reason why it has none.

    Raises:
        ModelFileError: the model is unknown or damaged.
        BrokenExecutor: a process died.
    """
    processes = max(1, min(cores(), MOST_PROCESSES, len(files) // FILES_A_PROCESS))
    order: InOrder[Row] = InOrder()
    with closing(arrivals(partial(_row, model), files, processes)) as coming:
        for number, row in coming:
            yield from order.put(number, row)


@cache
def _classifier(model: str) -> "Classifier":
    from sssm.classifier import Classifier

    classifier = Classifier.load(model)
    one_thread()
    return classifier


def _row(model: str, path: str) -> Iterator[Row]:
    from sssm.audio import AudioError

    try:
        yield path, _classifier(model).classify(path)
    except AudioError as error:
        yield path, error
