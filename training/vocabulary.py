"""What else a recording says beside its class: its word among the frequent ones, and its phones.

Both are targets of heads that exist in training alone.  Rare words share phones with common ones,
so that `on`, said by few, learns from `one`, `want` and `John`.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from training.corpus import Corpus

BLANK = 0  # index of CTC's blank; phones count from 1


class Vocabulary:
    """Numbers of words and phones.

    Args:
        words: in the order of the word head's columns.
    """

    def __init__(self, words: list[str]):
        self.words = words
        self._numbers = {word: n for n, word in enumerate(words)}
        self._phones = {phone: n for n, phone in enumerate(sorted(_phone_set()), start=1)}

    @classmethod
    def of(cls, corpus: Corpus, size: int) -> "Vocabulary":
        """The words of all commands and phrases, then the most frequent of training sentences.

        They are `size` words together, or more where commands and phrases alone have more.
        """
        said = {e.word for e in corpus.entries if e.word and e.split == "training"}
        counts: Counter[str] = Counter()
        for n in corpus.where(source="speech", split="training"):
            counts.update(w.word for w in corpus.words.get(corpus.entries[n].path, []))
        first = sorted(said)
        rest = [word for word, _ in counts.most_common() if word not in said]
        return cls((first + rest)[: max(size, len(first))])

    @property
    def phone_count(self) -> int:
        """Columns of the phone head, the blank included."""
        return len(self._phones) + 1

    def word(self, word: str) -> int:
        """Number of a word, or -1."""
        return self._numbers.get(word, -1)

    def phones(self, words: list[str]) -> list[int] | None:
        """Phones of words said one after the other, or None where one is not in the dictionary."""
        numbers: list[int] = []
        for word in words:
            phones = pronounced(word)
            if not phones:
                return None
            numbers += [self._phones[phone] for phone in phones]
        return numbers


def words_of(transcript: str) -> list[str]:
    """The words of a transcript, without capitals and punctuation."""
    words = (word.strip('.,;:?!"()-') for word in transcript.lower().split())
    return [word for word in words if word]


def require_pronounced(words: Iterable[str]) -> None:
    """Refuse words that the dictionary does not have.

    Raises:
        ValueError: it does not have one.
    """
    for word in words:
        if not pronounced(word.lower()):
            raise ValueError(f"{word!r} is not in the dictionary of pronunciations")


def pronounced(words: str) -> tuple[str, ...]:
    """Phones of a word or of some in a row; empty where the dictionary does not have one."""
    parts = [_pronunciations().get(word, ()) for word in words.split()]
    return sum(parts, ()) if all(parts) else ()


def is_vowel(phone: str) -> bool:
    """Whether a phone of the dictionary is one."""
    return phone[0] in "AEIOU"


def onset(word: str) -> tuple[str, ...]:
    """The consonants a word starts with; empty where the dictionary does not have it."""
    return tuple(itertools.takewhile(lambda phone: not is_vowel(phone), pronounced(word)))


def rime(word: str) -> tuple[str, ...]:
    """The phones from a word's first vowel on; empty where the dictionary does not have it."""
    return pronounced(word)[len(onset(word)) :]


@cache
def _pronunciations() -> dict[str, tuple[str, ...]]:
    """First pronunciation of each word of the CMU dictionary that pocketsphinx brings."""
    import pocketsphinx

    found: dict[str, tuple[str, ...]] = {}
    path = Path(pocketsphinx.get_model_path(), "en-us", "cmudict-en-us.dict")
    for line in path.read_text(encoding="utf-8").splitlines():
        word, *phones = line.split()
        found.setdefault(re.sub(r"\(\d+\)$", "", word), tuple(phones))
    return found


def _phone_set() -> set[str]:
    return {phone for phones in _pronunciations().values() for phone in phones}
