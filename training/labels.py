"""Label sets: which classes a model has, and which class a recording is of."""

from dataclasses import dataclass

from sssm.labels import SILENCE, UNKNOWN
from training.corpus import Corpus
from training.speech_commands import CORE_WORDS


@dataclass(frozen=True, slots=True)
class LabelSet:
    """Classes of a model, keywords first.

    Attributes:
        keywords: each a word of the corpus.
        unknown: whether other words are a class.
        silence: whether no word is a class.
    """

    keywords: tuple[str, ...]
    unknown: bool
    silence: bool

    @property
    def labels(self) -> tuple[str, ...]:
        """Names in the order of the model's columns."""
        return self.keywords + (UNKNOWN,) * self.unknown + (SILENCE,) * self.silence


def labels_of(names: tuple[str, ...]) -> LabelSet:
    """Label set of a model, from the names of its columns in any order."""
    keywords = tuple(name for name in names if name not in (UNKNOWN, SILENCE))
    return LabelSet(keywords, UNKNOWN in names, SILENCE in names)


def label_set(name: str, corpus: Corpus) -> LabelSet:
    """`sc12` (ten words, unknown, silence), `sc10` (the ten alone), `sc35` (all), `folder` (own).

    Raises:
        ValueError: an unknown name.
    """
    words = sorted({e.word for e in corpus.entries if e.source == "commands"})
    if name == "sc12":
        return LabelSet(CORE_WORDS, unknown=True, silence=True)
    if name == "sc10":
        return LabelSet(CORE_WORDS, unknown=False, silence=False)
    if name == "sc35":
        return LabelSet(tuple(words), unknown=False, silence=False)
    if name == "folder":
        keywords = tuple(word for word in words if word != UNKNOWN)
        noise = any(e.source == "background" for e in corpus.entries)
        return LabelSet(keywords, any(e.word == UNKNOWN for e in corpus.entries), noise)
    raise ValueError(f"labels must be sc12, sc10, sc35 or folder, got {name!r}")
