"""Batches: batch k is a function of the seed and of k, so a run can go on from any step."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sssm.labels import SILENCE, UNKNOWN
from training import augment
from training.corpus import SAMPLE_RATE_HZ, Corpus
from training.labels import LabelSet
from training.pools import NoisePool, SentencePool, TalkPool, WordPool, hiss, loudest
from training.recipe import Recipe
from training.vocabulary import BLANK, Vocabulary


class Batch(NamedTuple):
    """Clips of one step."""

    samples: Tensor  # (batch, samples, 1) float32
    label: Tensor  # (batch,) class
    bandwidth_hz: Tensor  # (batch,) up to where the clip was let through
    word: Tensor  # (batch,) column of the word head, or -1
    phones: Tensor  # (batch, longest) padded with the blank
    phone_count: Tensor  # (batch,) 0 where the phones are not known


class Clip(NamedTuple):
    """One recording before augmentation."""

    samples: np.ndarray  # float32
    words: list[str] | None  # what is said, None where that is not known


class Examples(Dataset[Batch]):
    """The batches of a run, by number.

    Args:
        corpus: recordings; only those of split `training` are read.
        labels: classes.
        vocabulary: of the auxiliary heads.
        recipe: shares, probabilities and ranges.
        rank: of this process among those that train together.

    Raises:
        ValueError: a class has no recordings to draw from, or no share of the clips.
    """

    def __init__(
        self, corpus: Corpus, labels: LabelSet, vocabulary: Vocabulary, recipe: Recipe, rank: int
    ):
        self.labels, self.vocabulary, self.recipe, self.rank = labels, vocabulary, recipe, rank
        training = corpus.where(source="commands", split="training")
        self.words = WordPool(corpus, training, recipe.balance, recipe.clip_s)
        self.noise = NoisePool(corpus, recipe.babble)
        self.sentences = SentencePool(corpus, avoid=labels.keywords)
        self.talk = TalkPool(corpus, avoid=labels.keywords)
        self.phrases = WordPool(corpus, _phrases(corpus, labels), 0.0, recipe.clip_s)
        self._has_others = bool(self.words.words(avoid=labels.keywords))
        self.shares = self._class_shares()

    def __len__(self) -> int:
        return self.recipe.steps

    def __getitem__(self, step: int) -> Batch:
        rng = np.random.default_rng([self.recipe.seed, self.rank, step])
        rows = []
        for label in rng.choice(len(self.shares), size=self.recipe.batch, p=self.shares):
            rows.append((label, *self._row(self.labels.labels[label], rng)))
        return self._stack(rows)

    def log_prior(self) -> Tensor:
        """(classes,) log of how much more often than on average a class is drawn."""
        return torch.tensor(np.log(self.shares * len(self.shares)), dtype=torch.float32)

    def _class_shares(self) -> np.ndarray:
        """Share of every class in a batch."""
        silence = self.recipe.silence_share if self.labels.silence else 0.0
        unknown = self.recipe.unknown_share if self.labels.unknown else 0.0
        counts = {word: self.words.count(word) for word in self.labels.keywords}
        missing = [word for word, count in counts.items() if not count]
        if self.labels.unknown and not (self._has_others or self.talk.exists):
            missing.append(UNKNOWN)
        if missing or not counts:
            raise ValueError(f"no recordings for training: {', '.join(missing) or 'no word'}")
        keywords = np.array(list(counts.values())) ** self.recipe.balance
        keywords *= (1 - silence - unknown) / keywords.sum()
        rest = [unknown] * self.labels.unknown + [silence] * self.labels.silence
        shares = np.concatenate([keywords, rest])
        if (shares <= 0).any():
            raise ValueError("unknown_share and silence_share must leave every class a share")
        return shares

    def _row(self, label: str, rng: np.random.Generator) -> tuple[np.ndarray, float, Clip]:
        """Augmented samples, their bandwidth, and the clip that they were made of."""
        recipe, length = self.recipe, int(self.recipe.clip_s * SAMPLE_RATE_HZ)
        clip = self._clip(label, rng)
        x = clip.samples
        if label != SILENCE:
            x = augment.speed_or_pitch(
                x, rng, speed_share=recipe.speed, pitch_share=recipe.pitch, most=recipe.speed_range
            )
            x = loudest(x, length)
        most = max(recipe.shift_s * SAMPLE_RATE_HZ, (length - len(x)) / 2)
        shift = int(rng.uniform(-1, 1) * most)
        x = augment.place(x, length, shift)
        if rng.random() < recipe.time_mask:
            x = augment.mask_time(x, rng, longest_s=0.1)
        if self.noise.exists and label != SILENCE and rng.random() < recipe.noise:
            snr_db = rng.uniform(recipe.snr_low_db, recipe.snr_high_db)
            x = augment.add_noise(x, self.noise.draw(length, rng), snr_db)
        system = augment.random_system(
            rng, room=recipe.room, low_pass=recipe.low_pass, notch=recipe.notch, tilt=recipe.tilt
        )
        x = augment.through(x, system)
        x = augment.gain(x, rng.uniform(recipe.gain_low_db, recipe.gain_high_db))
        return x, system.bandwidth_hz, clip

    def _clip(self, label: str, rng: np.random.Generator) -> Clip:
        if label == SILENCE:
            return Clip(self._silence(rng), None)
        if label != UNKNOWN:
            return Clip(self.words.draw(label, rng), [label])
        chance = rng.random()
        if self.sentences.exists and chance < self.recipe.sentence_share:
            return Clip(*self.sentences.draw(rng))
        if self.talk.exists and (chance < self.recipe.sentence_share or not self._has_others):
            return Clip(self.talk.draw(int(self.recipe.clip_s * SAMPLE_RATE_HZ), rng), None)
        phrases = self.recipe.sentence_share + self.recipe.phrase_share
        pool = self.phrases if self.phrases.exists and chance < phrases else self.words
        word = pool.draw_word(rng, avoid=self.labels.keywords)
        return Clip(pool.draw(word, rng), None if word == UNKNOWN else [word])

    def _silence(self, rng: np.random.Generator) -> np.ndarray:
        """A piece of noise; now and then next to nothing."""
        length = int(self.recipe.clip_s * SAMPLE_RATE_HZ)
        return hiss(length, rng) if self.noise.is_quiet(rng) else self.noise.draw(length, rng)

    def _stack(self, rows: list[tuple[int, np.ndarray, float, Clip]]) -> Batch:
        said = [clip.words or [] for _, _, _, clip in rows]
        words = [self.vocabulary.word(w[0]) if len(w) == 1 else -1 for w in said]
        phones = [self.vocabulary.phones(w) or [] for w in said]
        longest = max(1, *(len(row) for row in phones))
        padded = torch.full((len(rows), longest), BLANK)
        for n, row in enumerate(phones):
            padded[n, : len(row)] = torch.tensor(row)
        return Batch(
            torch.from_numpy(np.stack([row[1] for row in rows]))[..., None],
            torch.tensor([int(row[0]) for row in rows]),
            torch.tensor([row[2] for row in rows]),
            torch.tensor(words),
            padded,
            torch.tensor([len(row) for row in phones]),
        )


def _phrases(corpus: Corpus, labels: LabelSet) -> list[int]:
    """Recordings of phrases that hold no keyword."""
    keywords = set(labels.keywords)
    phrases = corpus.where(source="phrases", split="training")
    return [n for n in phrases if not keywords & set(corpus.entries[n].word.split())]
