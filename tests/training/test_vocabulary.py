import numpy as np
import pytest

from training.corpus import Entry, Spoken
from training.vocabulary import (
    BLANK,
    Vocabulary,
    onset,
    pronounced,
    require_pronounced,
    rime,
    words_of,
)


@pytest.fixture
def corpus(corpus_of):
    second = np.zeros(16_000, np.int16)
    said = ["the", "dog", "and", "the", "cat", "and", "the", "view"]
    sentence = [Spoken(word, 0, 1) for word in said]
    return corpus_of(
        (Entry("1", "commands", "training", "yes", "a"), second),
        (Entry("2", "commands", "training", "cat", "a"), second),
        (Entry("3", "commands", "validation", "tree", "b"), second),
        (Entry("4", "phrases", "training", "view glass", "c"), second),
        (Entry("5", "speech", "training", "", "d"), second),
        (Entry("6", "speech", "validation", "", "e"), second),
        words={"5": sentence, "6": [Spoken("house", 0, 1)] * 9},
    )


def test_words_of_folders_come_first_then_the_frequent_ones_of_training(corpus):
    assert Vocabulary.of(corpus, 5).words == ["cat", "view glass", "yes", "the", "and"]
    everything = Vocabulary.of(corpus, 99).words
    assert set(everything) == {"cat", "view glass", "yes", "the", "and", "dog", "view"}
    assert Vocabulary.of(corpus, 0).words == ["cat", "view glass", "yes"]


def test_a_word_has_the_number_of_its_column_or_none():
    vocabulary = Vocabulary(["yes", "no"])
    assert [vocabulary.word(word) for word in ("yes", "no", "maybe")] == [0, 1, -1]


def test_phones_are_those_of_the_dictionary():
    vocabulary = Vocabulary([])
    stop, top, glass = (vocabulary.phones([word]) for word in ("stop", "top", "glass"))
    assert stop is not None
    assert top is not None
    assert glass is not None
    assert (len(stop), len(top), len(glass)) == (4, 3, 4)
    assert stop[1:] == top
    assert stop[0] == glass[-1]
    assert vocabulary.phones(["top glass"]) == vocabulary.phones(["top", "glass"]) == top + glass
    assert vocabulary.phones([]) == []
    assert vocabulary.phones(["on", "xqzt"]) is None


def test_every_phone_has_a_column_beside_the_blank():
    vocabulary = Vocabulary([])
    assert vocabulary.phone_count == 40  # 39 phones of the CMU dictionary
    numbers = vocabulary.phones(["azure", "boy", "thought", "on", "the", "judge", "white"])
    assert numbers is not None
    assert all(BLANK < n < 40 for n in numbers)


@pytest.mark.parametrize(
    ("word", "first", "rest"),
    [
        ("go", "G", "OW"), ("stop", "S T", "AA P"), ("on", "", "AA N"), ("over", "", "OW V ER"),
        ("rise-2", "", ""),
    ],
)  # fmt: skip
def test_a_word_is_its_first_consonants_and_what_follows(word, first, rest):
    assert onset(word) == tuple(first.split())
    assert rime(word) == tuple(rest.split())


def test_words_in_a_row_are_known_where_each_of_them_is():
    assert pronounced("on top") == pronounced("on") + pronounced("top")
    assert pronounced("on xqzt") == pronounced("xqzt on") == pronounced("") == ()


def test_words_must_be_known_however_they_are_written():
    require_pronounced(["Stop", "hey MAPLE"])
    with pytest.raises(ValueError, match=r"^'Xqzt' is not in the dictionary"):
        require_pronounced(["stop", "Xqzt"])


def test_a_transcript_is_its_words():
    words = ["stop", "he", "said", "don't", "go", "twenty-one"]
    assert words_of('"Stop," he said - (don\'t); go: -twenty-one-!') == words
    assert words_of(" ") == []
