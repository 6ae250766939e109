"""Corpora of made-up recordings."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from generated_corpus import make_published

from training.corpus import Corpus, Entry, Spoken


@pytest.fixture(scope="session")
def commands_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of recordings as they are published; it may be read, not changed."""
    return make_published(tmp_path_factory.mktemp("published"))


@pytest.fixture
def corpus_of(tmp_path: Path) -> Callable[..., Corpus]:
    """A corpus of entries and their int16 samples, in this order."""

    def make(
        *recorded: tuple[Entry, np.ndarray], words: dict[str, list[Spoken]] | None = None
    ) -> Corpus:
        path, entries, start = tmp_path / "samples", [], 0
        for entry, x in recorded:
            fields = (entry.path, entry.source, entry.split, entry.word, entry.speaker)
            entries.append(Entry(*fields, start, len(x)))
            start += len(x)
        np.concatenate([x for _, x in recorded]).astype(np.int16).tofile(path)
        return Corpus(path, entries, words or {})

    return make
