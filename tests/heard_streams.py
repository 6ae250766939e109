"""Streams of validation, with words and without, as a small model hears them."""

from types import SimpleNamespace

import pytest
from nervous import nervous_model

from sssm.labels import SILENCE, UNKNOWN
from sssm.spotter import KeywordSpotter
from training.corpus import open_corpus
from training.speech_commands import CORE_WORDS
from training.stream_scoring import Negatives, Positives
from training.stream_trials import KeywordSessions, NegativeSessions, read_transcripts


@pytest.fixture(scope="module")
def corpus(commands_root):
    return open_corpus(commands_root, own_words=False)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    labels = (*CORE_WORDS, UNKNOWN, SILENCE)
    return nervous_model(tmp_path_factory.mktemp("model"), labels, seed=5)


def watch(groups, _):
    return groups


@pytest.fixture(scope="module")
def heard(corpus, model, commands_root):
    spotter = KeywordSpotter.load(model)
    words = KeywordSessions(corpus, CORE_WORDS, "validation", minutes=1, snr_db=10, seed=0)
    transcripts = read_transcripts(commands_root)
    others = NegativeSessions(corpus, transcripts, CORE_WORDS, "validation", seed=0)
    return SimpleNamespace(
        spotter=spotter, words=words, others=others,
        positives=Positives(spotter, words, 0.05, watch),
        negatives=Negatives(spotter, others, 0.05, watch),
    )  # fmt: skip
