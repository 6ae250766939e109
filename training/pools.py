"""Where clips are drawn from: words, sentences, noise.  All of split `training`."""

import numpy as np

from sssm.int16 import as_float
from sssm.labels import UNKNOWN
from training import augment
from training.corpus import BACKGROUND_HELD_OUT, SAMPLE_RATE_HZ, Corpus, Spoken
from training.speech_commands import HOMOPHONES
from training.word_end import word_span

SHORTEST_S, LONGEST_S = 0.2, 0.9  # of a word cut from a sentence
EDGE_S = 0.03  # kept around a cut, and faded
SOUNDS_LIKE = HOMOPHONES | {"no": (*HOMOPHONES["no"], "knows")}
TALKERS = (3, 8)  # at least, and fewer than: one alone could be understood
TALKER_RMS = 0.02  # of full scale
FEW = 400  # recordings of a word: with fewer, some are made of the parts of two
SPLICED, SPLICED_AT = 0.5, (0.3, 1.0)  # how often, and where in the word
SEAM = int(0.03 * SAMPLE_RATE_HZ)
QUIET = 0.15  # share of what is noise alone that is next to none, as some microphones give


def loudest(x: np.ndarray, length: int) -> np.ndarray:
    """`length` samples of `x` where it is loudest; all of it where it is no longer."""
    if len(x) <= length:
        return x
    energy = np.cumsum(np.square(np.pad(x, (1, 0)), dtype=np.float64))
    start = int(np.argmax(energy[length:] - energy[:-length]))
    return x[start : start + length]


class WordPool:
    """Recordings of single words.

    Args:
        corpus: recordings.
        numbers: of the entries to draw from.
        balance: exponent of a word's count in how often `draw_word` gives it.
        clip_s: of a recording more than half as long again, only the loudest `clip_s` seconds are
            drawn.
    """

    def __init__(self, corpus: Corpus, numbers: list[int], balance: float, clip_s: float = 1.0):
        self._corpus, self._length = corpus, int(clip_s * SAMPLE_RATE_HZ)
        self._by_word: dict[str, list[int]] = {}
        for n in numbers:
            self._by_word.setdefault(corpus.entries[n].word, []).append(n)
        self._balance = balance
        self._shares: dict[tuple[str, ...], tuple[list[str], np.ndarray]] = {}

    @property
    def exists(self) -> bool:
        return bool(self._by_word)

    def count(self, word: str) -> int:
        """Recordings of a word."""
        return len(self._by_word.get(word, ()))

    def words(self, *, avoid: tuple[str, ...]) -> list[str]:
        """The words that are not to be avoided."""
        return sorted(self._by_word.keys() - set(avoid))

    def draw_word(self, rng: np.random.Generator, *, avoid: tuple[str, ...]) -> str:
        """A word that is not to be avoided."""
        if avoid not in self._shares:
            words = self.words(avoid=avoid)
            weights = np.array([self.count(word) for word in words], float) ** self._balance
            self._shares[avoid] = words, weights / weights.sum()
        words, shares = self._shares[avoid]
        return words[rng.choice(len(words), p=shares)]

    def draw(self, word: str, rng: np.random.Generator) -> np.ndarray:
        """Samples of a recording of a word; of one with few, often the parts of two recordings."""
        x = self._recording(word, rng)
        if 1 < self.count(word) < FEW and rng.random() < SPLICED:
            return spliced(x, self._recording(word, rng), rng.uniform(*SPLICED_AT))
        return x

    def _recording(self, word: str, rng: np.random.Generator) -> np.ndarray:
        """Samples of a recording; of one that is much too long, where it is loudest."""
        numbers = self._by_word[word]
        x = as_float(self._corpus[numbers[rng.integers(len(numbers))]])
        return x if len(x) <= 1.5 * self._length else loudest(x, self._length)


class NoisePool:
    """Pieces of background recordings, of everyday sounds, and of many people talking at once.

    People talk in `_silence_` too: nobody there says a word to be heard.

    Args:
        corpus: recordings.
        babble: how often people talk, where there are sentences and other noise.
    """

    def __init__(self, corpus: Corpus, babble: float):
        self._corpus = corpus
        speech = corpus.where(source="speech", split="training")
        self._sentences = [n for n in speech if corpus.entries[n].word != UNKNOWN]
        self._babble = babble if self._sentences else 0.0
        background = corpus.where(source="background", split="training")
        noise = corpus.where(source="noise", split="training")
        self._background, self._noise = background, noise

    @property
    def exists(self) -> bool:
        return bool(self._background or self._noise)

    def is_quiet(self, rng: np.random.Generator) -> bool:
        """Whether there is to be `hiss` in place of a recording."""
        return not self.exists or bool(rng.random() < QUIET)

    def draw(self, length: int, rng: np.random.Generator) -> np.ndarray:
        """`length` samples; the held out part of a background recording is never read."""
        if self._babble and rng.random() < self._babble:
            return self._talkers(length, rng)
        background = not self._noise or (bool(self._background) and rng.random() < 0.5)
        numbers = self._background if background else self._noise
        x = self._corpus[numbers[rng.integers(len(numbers))]]
        if background:
            x = x[: int(len(x) * (1 - BACKGROUND_HELD_OUT))]
        if len(x) <= length:
            return np.resize(as_float(x), length) if len(x) else np.zeros(length, np.float32)
        start = rng.integers(len(x) - length)
        return as_float(x[start : start + length])

    @property
    def has_bursts(self) -> bool:
        return bool(self._noise)

    def burst(self, length: int, rng: np.random.Generator) -> np.ndarray:
        """At most `length` samples of an everyday sound, where it is loud."""
        x = as_float(self._corpus[self._noise[rng.integers(len(self._noise))]])
        if not len(x):
            return np.zeros(length, np.float32)
        power = np.cumsum(np.square(x, dtype=np.float64))
        loud = int(np.searchsorted(power, rng.random() * power[-1]))
        first = max(0, loud - int(rng.uniform(0.1, 0.9) * length))
        return x[first : first + length]

    def _talkers(self, length: int, rng: np.random.Generator) -> np.ndarray:
        """Some people, alike in loudness, each repeating one sentence."""
        together = np.zeros(length, np.float32)
        talkers = min(len(self._sentences), int(rng.integers(*TALKERS)))
        for n in rng.choice(self._sentences, size=talkers, replace=False):
            x = as_float(self._corpus[n])
            power = float(np.mean(x**2))
            if power > 0:
                turned = np.roll(x, int(rng.integers(len(x))))
                together += np.resize(turned, length) / np.float32(np.sqrt(power))
        return together * np.float32(TALKER_RMS)


class TalkPool:
    """Running speech without the keywords: sentences, and recordings of which somebody says so.

    Args:
        corpus: recordings.
        avoid: no sentence that holds one of these words is read, nor what sounds like them.
    """

    def __init__(self, corpus: Corpus, *, avoid: tuple[str, ...]):
        self._corpus = corpus
        self._numbers = sentences_without(corpus, avoid)
        lengths = np.array([corpus.entries[n].length for n in self._numbers], float)
        self._shares = lengths / lengths.sum() if len(lengths) else lengths

    @property
    def exists(self) -> bool:
        return bool(self._numbers)

    def draw(self, length: int, rng: np.random.Generator) -> np.ndarray:
        """At most `length` samples; every second is as likely as any other."""
        x = self._corpus[int(rng.choice(self._numbers, p=self._shares))]
        first = int(rng.integers(max(1, len(x) - length)))
        return as_float(x[first : first + length])


class SentencePool:
    """Words cut from sentences: one, some in a row, or whatever falls into one second.

    Args:
        corpus: recordings.
        avoid: no sentence that holds one of these words is cut, nor what sounds like them.
    """

    def __init__(self, corpus: Corpus, *, avoid: tuple[str, ...]):
        self._corpus = corpus
        self._places: dict[str, list[tuple[int, int]]] = {}  # word -> (entry, position)
        for n in sentences_without(corpus, avoid):
            for position, spoken in enumerate(self._said(n)):
                if SHORTEST_S <= (spoken.end - spoken.start) / SAMPLE_RATE_HZ <= LONGEST_S:
                    self._places.setdefault(spoken.word, []).append((n, position))
        self._words = sorted(self._places)
        weights = np.sqrt([len(self._places[word]) for word in self._words])
        self._shares = weights / weights.sum() if len(weights) else weights

    @property
    def exists(self) -> bool:
        return bool(self._words)

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, list[str] | None]:
        """Samples of at most about a second, and the words in it where all of them are whole."""
        word = self._words[rng.choice(len(self._words), p=self._shares)]
        places = self._places[word]
        n, position = places[rng.integers(len(places))]
        words = self._said(n)
        chance = rng.random()
        if chance < 0.15:
            middle = (words[position].start + words[position].end) // 2
            start = max(0, middle - int(rng.uniform(0.3, 0.7) * SAMPLE_RATE_HZ))
            return as_float(self._corpus[n][start : start + SAMPLE_RATE_HZ]), None
        last = position
        if chance > 0.6:  # with the words that follow within a second
            latest = words[position].start + 0.95 * SAMPLE_RATE_HZ
            while last + 1 < len(words) and words[last + 1].end <= latest:
                last += 1
        return self._cut(n, words[position : last + 1])

    def _said(self, n: int) -> list[Spoken]:
        return self._corpus.words.get(self._corpus.entries[n].path, [])

    def _cut(self, n: int, words: list[Spoken]) -> tuple[np.ndarray, list[str]]:
        edge = int(EDGE_S * SAMPLE_RATE_HZ)
        start, end = max(0, words[0].start - edge), words[-1].end + edge
        x = augment.fade(as_float(self._corpus[n][start:end]), edge)
        return x, [spoken.word for spoken in words]


def sentences_without(corpus: Corpus, words: tuple[str, ...]) -> list[int]:
    """Entries of speech that holds none of these words, nor what sounds like them.

    They are aligned sentences, and what a user calls `_unknown_`.  A sentence that holds one is of
    no use around it either: alignment puts some words elsewhere.
    """
    avoid = with_likes(words)

    def is_without(n: int) -> bool:
        said = corpus.words.get(corpus.entries[n].path)
        if said is None:
            return corpus.entries[n].word == UNKNOWN
        return not any(spoken.word in avoid for spoken in said)

    return [n for n in corpus.where(source="speech", split="training") if is_without(n)]


def spliced(one: np.ndarray, two: np.ndarray, share: float) -> np.ndarray:
    """The first `share` of one recording of a word, and of another, as loud, what follows.

    A few hundred recordings are learned by heart, voice and all; of their parts there are as many
    as pairs.
    """
    (first, last), (other_first, other_last) = word_span(one), word_span(two)
    power, other = (np.mean(np.square(x)) for x in (one[first:last], two[other_first:other_last]))
    cut = first + int(share * (last - first))
    at = other_first + int(share * (other_last - other_first))
    half = min(SEAM // 2, cut, len(one) - cut, at, len(two) - at)
    if not (power > 0 and other > 0 and half > 0):
        return one
    two = two * np.sqrt(power / other, dtype=np.float32)
    rise = np.linspace(0, 1, 2 * half, dtype=np.float32)
    seam = one[cut - half : cut + half] * (1 - rise) + two[at - half : at + half] * rise
    return np.concatenate([one[: cut - half], seam, two[at + half :]])


def with_likes(words: tuple[str, ...]) -> set[str]:
    """Words, and what sounds like them."""
    return {like for word in words for like in (word, *SOUNDS_LIKE.get(word, ()))}


def hiss(length: int, rng: np.random.Generator) -> np.ndarray:
    """`length` samples of next to nothing: white noise at a low level, or zeros."""
    level = 10 ** rng.uniform(-6, -3.5) if rng.random() < 0.5 else 0.0
    return (level * rng.standard_normal(length)).astype(np.float32)
