import numpy as np
import pytest

from sssm.labels import SILENCE, UNKNOWN
from training.corpus import Entry
from training.labels import LabelSet, label_set, labels_of
from training.speech_commands import CORE_WORDS

SECOND = np.zeros(16_000, np.int16)


def word(name: str) -> tuple[Entry, np.ndarray]:
    return Entry(name, "commands", "training", name, "a"), SECOND


NOISE = (Entry("fan", "background", "training", "", ""), SECOND)


def test_keywords_come_first_then_unknown_then_silence():
    assert LabelSet(("b", "a"), unknown=True, silence=True).labels == ("b", "a", UNKNOWN, SILENCE)
    assert LabelSet(("b", "a"), unknown=False, silence=True).labels == ("b", "a", SILENCE)
    assert LabelSet(("b", "a"), unknown=False, silence=False).labels == ("b", "a")


def test_sc12_is_the_ten_words_and_two_more_whatever_is_there(corpus_of):
    labels = label_set("sc12", corpus_of(word("cat"), NOISE))
    assert labels.labels == (*CORE_WORDS, UNKNOWN, SILENCE)
    assert len(labels.labels) == 12


def test_sc10_is_the_ten_words_alone(corpus_of):
    assert label_set("sc10", corpus_of(word("cat"), NOISE)).labels == CORE_WORDS


def test_sc35_is_every_word_and_nothing_else(corpus_of):
    phrase = (Entry("p", "phrases", "training", "view glass", "a"), SECOND)
    corpus = corpus_of(word("tree"), word("cat"), word("cat"), phrase, NOISE)
    assert label_set("sc35", corpus).labels == ("cat", "tree")


def test_own_words_have_unknown_and_silence_where_there_are_recordings_of_it(corpus_of):
    own = [word("lamp"), word("door")]
    assert label_set("folder", corpus_of(*own)).labels == ("door", "lamp")
    assert label_set("folder", corpus_of(*own, NOISE)).labels == ("door", "lamp", SILENCE)
    everyday = (Entry("bark", "noise", "training", "", ""), SECOND)  # added to words, never alone
    assert label_set("folder", corpus_of(*own, everyday)).labels == ("door", "lamp")
    with_unknown = label_set("folder", corpus_of(*own, word(UNKNOWN)))
    assert with_unknown.labels == ("door", "lamp", UNKNOWN)


def test_an_unknown_name_lists_the_known_ones(corpus_of):
    with pytest.raises(ValueError, match=r"^labels must be sc12, sc10, sc35 or folder, got "):
        label_set("sc13", corpus_of(NOISE))


def test_the_set_of_a_model_is_read_from_its_columns_in_any_order():
    labels = labels_of((SILENCE, "yes", UNKNOWN, "no"))
    assert labels == LabelSet(("yes", "no"), unknown=True, silence=True)
    assert labels_of((SILENCE, "yes")) == LabelSet(("yes",), unknown=False, silence=True)
    assert labels_of((UNKNOWN, "yes")) == LabelSet(("yes",), unknown=True, silence=False)
    assert labels_of(("yes",)) == LabelSet(("yes",), unknown=False, silence=False)
