"""Words as files, their labels, and recordings that can be told from one another."""

import numpy as np
import pytest
from generated_words import SAMPLE_RATE_HZ, make_words

from training.corpus import Entry, open_corpus
from training.labels import label_set


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = make_words(tmp_path_factory.mktemp("words") / "all", clips=8)
    return open_corpus(root, own_words=True)


@pytest.fixture(scope="module")
def labels(corpus):
    return label_set("folder", corpus)


def recorded(source: str, value: int, word: str = "") -> tuple[Entry, np.ndarray]:
    """Three seconds of one value, or one of a word, by which it can be told from the others."""
    x = np.full((1 if word else 3) * SAMPLE_RATE_HZ, value, np.int16)
    return Entry(f"{source} {value}", source, "training", word, "somebody"), x
