"""What a step is fed with, by its number, made ahead by processes of their own."""

import warnings
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset

from sssm.children import ctrl_c_waits
from training.examples import Batch, Examples
from training.streams import StreamBatch, Streams

# A run may be resumed on a machine with fewer cores than the recipe has loaders.
warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)

AHEAD = 4  # steps that each process makes in advance


class Step(NamedTuple):
    """Clips, and where the recipe has streams, a piece of each of one loader's rows."""

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
        """Steps from `first` on, made by the recipe's loaders in turn.

        A set of streams' rows is always made by the same process, which keeps their sessions.
        """
        return DataLoader(
            self, batch_size=None, sampler=range(first, len(self)),
            num_workers=self._examples.recipe.loaders, prefetch_factor=AHEAD,
            pin_memory=torch.cuda.is_available(),
        )  # fmt: skip


def begun(loader: Iterable[Step]) -> Iterator[Step]:
    """Its steps, whose makers have been started and never hear Ctrl-C.

    A terminal sends it to every process; the loop ends these when it has saved.
    """
    with ctrl_c_waits():
        return iter(loader)
