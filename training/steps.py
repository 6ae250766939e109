"""What a step is fed with, by its number, made ahead by a process of its own."""

import signal
from typing import NamedTuple

from torch.utils.data import DataLoader, Dataset

from training.examples import Batch, Examples
from training.streams import StreamBatch, Streams

AHEAD = 4  # steps made in advance


class Step(NamedTuple):
    """Clips, and where the recipe has streams, a piece of every row."""

    clips: Batch
    stream: StreamBatch | None


class Steps(Dataset[Step]):
    """Step k as a function of its number.

    Args:
        examples: batches of clips.
        streams: or None for clips alone.
    """

    def __init__(self, examples: Examples, streams: Streams | None):
        self._examples, self._streams = examples, streams

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, step: int) -> Step:
        return Step(self._examples[step], self._streams[step] if self._streams else None)

    def loader(self, first: int) -> DataLoader[Step]:
        """Steps from `first` on.

        One process: it keeps one session of each row, and audio is made faster than it is used.
        """
        return DataLoader(
            self, batch_size=None, sampler=range(first, len(self)), num_workers=1,
            prefetch_factor=AHEAD, worker_init_fn=_leave_ctrl_c_to_the_loop,
        )  # fmt: skip


def _leave_ctrl_c_to_the_loop(_: int) -> None:
    """A terminal sends Ctrl-C to every process; the loop ends this one when it has saved."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
