"""What is said in a stream: keywords, and what is nearly one but must not fire."""

from typing import NamedTuple

import numpy as np

from sssm.labels import SILENCE, UNKNOWN
from training import augment
from training.corpus import SAMPLE_RATE_HZ, Corpus
from training.labels import LabelSet
from training.made_sounds import made_sound
from training.pools import NoisePool, SentencePool, TalkPool, WordPool
from training.recipe import Recipe
from training.vocabulary import onset, rime
from training.word_end import word_span

EDGE = int(0.02 * SAMPLE_RATE_HZ)  # of every cut, faded
# Kept before and after a word, where its recording has it: `word_span` misses many a last f or p.
BEFORE_S, AFTER_S = (0.05, 0.35), (0.1, 0.6)
# Where a word is cut.  More of "go" is "go"; and what follows of "on" is "on", so endings are of
# words that start with a consonant.
BEGINNING, ENDING = (0.2, 0.4), (0.35, 0.6)
SPEECH_S, NOISE_S = (1.0, 6.0), (0.3, 4.0)
BURST_S, BURST_OCTAVES = (0.15, 0.9), (-0.8, 0.8)  # as long as a word, and so much faster

# How often each kind of sound stands in a stream beside the others, where there is any.
SHARES = {
    "keyword": 0.38, "other": 0.09, "cut": 0.12, "beginning": 0.04, "ending": 0.04,
    "together": 0.06, "blend": 0.06, "speech": 0.25, "noise": 0.06, "burst": 0.09, "made": 0.06,
}  # fmt: skip


class Sound(NamedTuple):
    """Something said, cut out of its recording."""

    samples: np.ndarray  # float32
    start: int  # first sample of what is said
    end: int  # sample after it: for a word by `word_span`
    label: str


class SoundPool:
    """Draws sounds from the recordings of split `training`.

    Args:
        corpus: recordings.
        labels: keywords, and what is not one.
        recipe: `balance`, and how often and how far speed and pitch change.
    """

    def __init__(self, corpus: Corpus, labels: LabelSet, recipe: Recipe):
        self._recipe = recipe
        commands = corpus.where(source="commands", split="training")
        words = {corpus.entries[n].word for n in commands}
        # Whole words, however short the clips are: they are labelled by where they end.
        self._words = WordPool(corpus, commands, recipe.balance, max(1.0, recipe.clip_s))
        self._keywords = [word for word in labels.keywords if word in words]
        self._with_ending = [word for word in self._keywords if onset(word)]
        self._blends = _blends(self._keywords, sorted(words))
        self._avoid = (*labels.keywords, SILENCE)
        self._others = bool(words - set(self._avoid))
        self._talk = TalkPool(corpus, avoid=labels.keywords)
        self._cuts = SentencePool(corpus, avoid=labels.keywords)
        self._noise = NoisePool(corpus, babble=0.0)  # who talks may say a keyword
        there = {
            "other": self._others, "cut": self._cuts.exists, "ending": bool(self._with_ending),
            "blend": bool(self._blends), "speech": self._talk.exists,
            "noise": self._noise.exists, "burst": self._noise.has_bursts,
        }  # fmt: skip
        self._kinds = [kind for kind in SHARES if there.get(kind, True)]
        shares = np.array([SHARES[kind] for kind in self._kinds])
        self._shares = shares / shares.sum()

    def draw(self, rng: np.random.Generator) -> Sound:
        """A sound of a random kind."""
        kind = self._kinds[rng.choice(len(self._kinds), p=self._shares)]
        if kind == "speech":
            return self._speech(rng)
        if kind == "cut":
            return self._cut(rng)
        if kind == "beginning":
            return self._beginning(rng)
        if kind == "ending":
            return self._ending(rng)
        if kind == "blend":
            return self._blend(rng)
        if kind == "together":
            return _joined(self._part(rng), self._part(rng))
        if kind == "noise":
            return _unknown(self._noise.draw(_samples(NOISE_S, rng), rng))
        if kind == "burst":
            return self._burst(rng)
        if kind == "made":
            return _unknown(made_sound(rng))
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
        start, end = word_span(x)
        first = max(0, start - _samples(BEFORE_S, rng))
        last = min(len(x), end + _samples(AFTER_S, rng))
        cut = augment.fade(x[first:last], EDGE)
        return Sound(cut, start - first, end - first, word if is_keyword else UNKNOWN)

    def _beginning(self, rng: np.random.Generator) -> Sound:
        """The beginning of a keyword."""
        return self._beginning_of(self._keyword(rng), rng)

    def _beginning_of(self, word: str, rng: np.random.Generator) -> Sound:
        whole = self._word(word, False, rng)
        end = whole.start + int((whole.end - whole.start) * rng.uniform(*BEGINNING))
        return Sound(augment.fade(whole.samples[:end], EDGE), whole.start, end, UNKNOWN)

    def _ending(self, rng: np.random.Generator) -> Sound:
        """What follows the beginning of a keyword."""
        word = self._with_ending[rng.integers(len(self._with_ending))]
        return self._ending_of(word, rng)

    def _ending_of(self, word: str, rng: np.random.Generator) -> Sound:
        whole = self._word(word, False, rng)
        start = whole.start + int((whole.end - whole.start) * rng.uniform(*ENDING))
        return Sound(augment.fade(whole.samples[start:], EDGE), 0, whole.end - start, UNKNOWN)

    def _blend(self, rng: np.random.Generator) -> Sound:
        """A keyword that starts with the consonants of another word: "no" and "down", "noun"."""
        other, word = self._blends[rng.integers(len(self._blends))]
        return _joined(self._beginning_of(other, rng), self._ending_of(word, rng))

    def _part(self, rng: np.random.Generator) -> Sound:
        """Part of a keyword, or the whole of another word."""
        if self._others and rng.random() < 0.5:
            return self._word(self._other(rng), False, rng)
        if self._with_ending and rng.random() < 0.5:
            return self._ending(rng)
        return self._beginning(rng)

    def _cut(self, rng: np.random.Generator) -> Sound:
        """A word of a sentence, or some, with a pause before and after."""
        x = self._varied(self._cuts.draw(rng)[0], rng)
        return Sound(x, 0, len(x), UNKNOWN)

    def _speech(self, rng: np.random.Generator) -> Sound:
        """Continuous speech without a keyword."""
        return _unknown(self._varied(self._talk.draw(_samples(SPEECH_S, rng), rng), rng))

    def _burst(self, rng: np.random.Generator) -> Sound:
        """As much of an everyday sound as a word takes: a dog's bark is nearly "stop"."""
        faster = 2 ** rng.uniform(*BURST_OCTAVES)
        x = self._noise.burst(int(_samples(BURST_S, rng) * faster), rng)
        return _unknown(augment.speed(x, faster))

    def _varied(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        recipe = self._recipe
        return augment.speed_or_pitch(
            x, rng, speed_share=recipe.speed, pitch_share=recipe.pitch, most=recipe.speed_range
        )


def _blends(keywords: list[str], words: list[str]) -> list[tuple[str, str]]:
    """Pairs of a word and a keyword that, with the word's first consonants, is no keyword."""
    said = {onset(keyword) + rime(keyword) for keyword in keywords}
    return [
        (other, keyword)
        for keyword in keywords
        for other in words
        if onset(keyword)[:1] != onset(other)[:1]
        if onset(keyword) and onset(other) and onset(other) + rime(keyword) not in said
    ]


def _unknown(x: np.ndarray) -> Sound:
    """All of it is no keyword."""
    return Sound(augment.fade(x, EDGE), 0, len(x), UNKNOWN)


def _samples(seconds: tuple[float, float], rng: np.random.Generator) -> int:
    """A random duration."""
    return int(rng.uniform(*seconds) * SAMPLE_RATE_HZ)


def _joined(one: Sound, two: Sound) -> Sound:
    """Two sounds run together: the second starts where the first one ends."""
    x = np.concatenate([one.samples[: one.end], two.samples[two.start :]])
    end = one.end + two.end - two.start
    return Sound(augment.fade(x, EDGE), one.start, end, UNKNOWN)
