"""Words as files, their labels and streams, and recordings that can be told from one another."""

import numpy as np
import pytest
from generated_words import SAMPLE_RATE_HZ, make_words

from training.corpus import Entry, open_corpus
from training.labels import label_set
from training.recipe import Recipe
from training.streams import Streams

RECIPE = Recipe(
    labels="folder", stream_rows=3, stream_s=0.5, session_s=4.0, room=0.0, low_pass=0.0, notch=0.0,
    tilt=0.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = make_words(tmp_path_factory.mktemp("words") / "all", clips=8)
    return open_corpus(root, own_words=True)


@pytest.fixture(scope="module")
def labels(corpus):
    return label_set("folder", corpus)


@pytest.fixture
def streams(corpus, labels):
    return Streams(corpus, labels, RECIPE, 0)


def recorded(source: str, value: int, word: str = "") -> tuple[Entry, np.ndarray]:
    """Three seconds of one value, or one of a word, by which it can be told from the others."""
    x = np.full((1 if word else 3) * SAMPLE_RATE_HZ, value, np.int16)
    return Entry(f"{source} {value}", source, "training", word, "somebody"), x
