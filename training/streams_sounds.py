"""What is said in a stream: keywords, and what is nearly one but must not fire."""

from typing import NamedTuple

import numpy as np

from training import augment
from training.corpus import SAMPLE_RATE_HZ, Corpus
from training.labels import SILENCE, UNKNOWN, LabelSet
from training.pools import SentencePool, WordPool, as_float, with_likes
from training.recipe import Recipe
from training.word_end import word_end, word_start

EDGE = int(0.02 * SAMPLE_RATE_HZ)  # of every cut, faded
AROUND_S = (0.03, 0.2)  # kept before and after a word, where its recording has it
HALF = (0.35, 0.6)  # where a word is cut in two
SHORTEST_SPEECH_S, LONGEST_SPEECH_S = 1.0, 6.0

# How often each kind of sound stands in a stream, where the corpus has it.
SHARES = {
    "keyword": 0.38, "other": 0.09, "cut": 0.12, "half": 0.08, "together": 0.08, "speech": 0.25,
}  # fmt: skip


class Sound(NamedTuple):
    """Something said, cut out of its recording."""

    samples: np.ndarray  # float32
    start: int  # first sample of what is said
    end: int  # sample after it: for a word by `word_end`
    label: str


class SoundPool:
    """Draws sounds from the recordings of split `training`.

    Args:
        corpus: recordings.
        labels: keywords, and what is not one.
        recipe: `balance`, and how often and how far speed and pitch change.
    """

    def __init__(self, corpus: Corpus, labels: LabelSet, recipe: Recipe):
        self._corpus, self._recipe = corpus, recipe
        commands = corpus.where(source="commands", split="training")
        words = {corpus.entries[n].word for n in commands}
        self._words = WordPool(corpus, commands, recipe.balance)
        self._keywords = [word for word in labels.keywords if word in words]
        self._avoid = (*labels.keywords, SILENCE)
        self._others = bool(words - set(self._avoid))
        self._runs = _speech_without(corpus, labels.keywords)
        lengths = np.array([last - first for _, first, last in self._runs], float)
        self._run_shares = lengths / lengths.sum() if len(lengths) else lengths
        self._cuts = SentencePool(corpus, avoid=labels.keywords)
        kinds = dict(SHARES)
        if not self._others:
            del kinds["other"]
        if not self._cuts.exists:
            del kinds["cut"]
        if not self._runs:
            del kinds["speech"]
        self._kinds = list(kinds)
        self._shares = np.array(list(kinds.values())) / sum(kinds.values())

    def draw(self, rng: np.random.Generator) -> Sound:
        """A sound of a random kind."""
        kind = self._kinds[rng.choice(len(self._kinds), p=self._shares)]
        if kind == "speech":
            return self._speech(rng)
        if kind == "cut":
            return self._cut(rng)
        if kind == "half":
            return self._half(rng)
        if kind == "together":
            return _joined(self._part(rng), self._part(rng))
        word = self._keyword(rng) if kind == "keyword" else self._other(rng)
        return self._word(word, kind == "keyword", rng)

    def _keyword(self, rng: np.random.Generator) -> str:
        """All alike: a stream's scores have no prior taken off, unlike a clip's."""
        return self._keywords[rng.integers(len(self._keywords))]

    def _other(self, rng: np.random.Generator) -> str:
        return self._words.draw_word(rng, avoid=self._avoid)

    def _word(self, word: str, is_keyword: bool, rng: np.random.Generator) -> Sound:
        """A word with some of what stands around it in its recording."""
        x = self._varied(self._words.draw(word, rng), rng)
        start, end = word_start(x), word_end(x)
        before, after = (int(rng.uniform(*AROUND_S) * SAMPLE_RATE_HZ) for _ in range(2))
        first, last = max(0, start - before), min(len(x), end + after)
        cut = augment.fade(x[first:last], EDGE)
        return Sound(cut, start - first, end - first, word if is_keyword else UNKNOWN)

    def _half(self, rng: np.random.Generator) -> Sound:
        """The first or the second half of a keyword."""
        whole = self._word(self._keyword(rng), False, rng)
        cut = whole.start + int((whole.end - whole.start) * rng.uniform(*HALF))
        first = rng.random() < 0.5
        x = whole.samples[:cut] if first else whole.samples[cut:]
        start, end = (whole.start, cut) if first else (0, whole.end - cut)
        return Sound(augment.fade(x, EDGE), start, end, UNKNOWN)

    def _part(self, rng: np.random.Generator) -> Sound:
        """Half a keyword, or the whole of another word."""
        if self._others and rng.random() < 0.5:
            return self._word(self._other(rng), False, rng)
        return self._half(rng)

    def _cut(self, rng: np.random.Generator) -> Sound:
        """A word of a sentence, or some, with a pause before and after."""
        x = self._varied(self._cuts.draw(rng)[0], rng)
        return Sound(x, 0, len(x), UNKNOWN)

    def _speech(self, rng: np.random.Generator) -> Sound:
        """Continuous speech without a keyword."""
        n, first, last = self._runs[rng.choice(len(self._runs), p=self._run_shares)]
        length = int(rng.uniform(SHORTEST_SPEECH_S, LONGEST_SPEECH_S) * SAMPLE_RATE_HZ)
        first += int(rng.integers(max(1, last - first - length)))
        x = self._varied(as_float(self._corpus[n][first : min(last, first + length)]), rng)
        return Sound(augment.fade(x, EDGE), 0, len(x), UNKNOWN)

    def _varied(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        recipe = self._recipe
        return augment.speed_or_pitch(
            x, rng, speed_share=recipe.speed, pitch_share=recipe.pitch, most=recipe.speed_range
        )


def _joined(one: Sound, two: Sound) -> Sound:
    """Two sounds run together: the second starts where the first one ends."""
    x = np.concatenate([one.samples[: one.end], two.samples[two.start :]])
    end = one.end + two.end - two.start
    return Sound(augment.fade(x, EDGE), one.start, end, UNKNOWN)


def _speech_without(corpus: Corpus, keywords: tuple[str, ...]) -> list[tuple[int, int, int]]:
    """(entry, first sample, last) of every stretch of speech between keywords, by word times."""
    avoid = with_likes(keywords)
    runs = []
    for n in corpus.where(source="speech", split="training"):
        words = corpus.words.get(corpus.entries[n].path, [])
        first = 0
        for word in words:
            if word.word in avoid:
                runs.append((n, first, word.start))
                first = word.end
        if words:
            runs.append((n, first, corpus.entries[n].length))
    return [run for run in runs if run[2] - run[1] >= SHORTEST_SPEECH_S * SAMPLE_RATE_HZ]
