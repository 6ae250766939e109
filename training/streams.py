"""Streams that never end, for training: rows of audio that go on from one step to the next.

A row is a string of sessions.  Session m of a row, its sounds and their labels, is a function of
(seed, rank, row, m), and step k reads the piece whose turn it is, so a run can go on from any step.
Steps take turns among as many sets of rows as the recipe has loaders.  Rows start their sessions at
different steps; where a session starts, the model's state is reset.  All rows are in phase: a piece
is a whole number of frames.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sssm.labels import UNKNOWN
from sssm.timing import FRAMES_HZ
from training import augment
from training.corpus import SAMPLE_RATE_HZ, Corpus
from training.labels import LabelSet
from training.pools import NoisePool, hiss
from training.recipe import Recipe
from training.streams_sounds import Sound, SoundPool
from training.word_end import FRAME

NOTHING = -1  # label of a frame in which no keyword is heard
DELAY_S = 0.17  # from a word's end on it must be heard: what follows tells "no" from "nobody"
HELD_S = 0.3  # for so long
GAP_S = (0.1, 3.0)  # between two sounds
SNR_DB = (0.0, 20.0)  # of a sound to the background
LEVEL_DB = (-40.0, -15.0)  # of sounds to full scale
SPREAD_DB = (-4.0, 4.0)  # around the level, of one sound
SEGMENT_S = (3.0, 12.0)  # of one background recording
_NOT_A_CLIP = 1  # keeps the generators of sessions apart from those of clips


class StreamBatch(NamedTuple):
    """One piece of each of one loader's rows."""

    samples: Tensor  # (rows, samples, 1) float32
    label: Tensor  # (rows, frames) class of a keyword, NOTHING, or `maybe` of a keyword
    bandwidth_hz: Tensor  # (rows,) up to where the row is let through
    fresh: Tensor  # (rows,) bool, whether a session starts


class Session(NamedTuple):
    """One row's audio from one reset to the next."""

    samples: np.ndarray  # float32
    label: np.ndarray  # int64, one a frame
    bandwidth_hz: float


class Streams:
    """The pieces of a run, by step.

    Args:
        corpus: recordings; only those of split `training` are read.
        labels: classes.
        recipe: rows, seconds of pieces and sessions, augmentation.
        rank: of this process among those that train together.

    Raises:
        ValueError: neither `_unknown_` nor `_silence_` is a class.
    """

    def __init__(self, corpus: Corpus, labels: LabelSet, recipe: Recipe, rank: int):
        if not (labels.unknown or labels.silence):
            raise ValueError("streams need a class _unknown_ or _silence_ for what is no keyword")
        self._recipe, self._rank = recipe, rank
        self._numbers = {label: n for n, label in enumerate(labels.labels)}
        self._sounds = SoundPool(corpus, labels, recipe)
        self._noise = NoisePool(corpus, recipe.babble)
        self.piece_frames = max(1, round(recipe.stream_s * FRAMES_HZ))
        self._pieces = max(1, math.ceil(recipe.session_s / recipe.stream_s))  # of a session
        self._kept: dict[int, tuple[int, Session]] = {}  # by row, the session that is going on

    def __getitem__(self, step: int) -> StreamBatch:
        rows = self._recipe.stream_rows
        turn, first = step // self._recipe.loaders, step % self._recipe.loaders * rows
        turns = [divmod(turn + row * self._pieces // rows, self._pieces) for row in range(rows)]
        sessions = [self._session_of(first + row, number) for row, (number, _) in enumerate(turns)]
        frames = [slice(p * self.piece_frames, (p + 1) * self.piece_frames) for _, p in turns]
        samples = [
            session.samples[at.start * FRAME : at.stop * FRAME]
            for session, at in zip(sessions, frames, strict=True)
        ]
        labels = [session.label[at] for session, at in zip(sessions, frames, strict=True)]
        return StreamBatch(
            torch.from_numpy(np.stack(samples))[..., None],
            torch.from_numpy(np.stack(labels)),
            torch.tensor([session.bandwidth_hz for session in sessions]),
            torch.tensor([piece == 0 for _, piece in turns]),
        )

    def _session_of(self, row: int, number: int) -> Session:
        if row not in self._kept or self._kept[row][0] != number:
            self._kept[row] = number, self.session(row, number)
        return self._kept[row][1]

    def session(self, row: int, number: int) -> Session:
        """The whole session: sounds at random gaps over a background, through one random system."""
        recipe = self._recipe
        rng = np.random.default_rng([recipe.seed, self._rank, row, number, _NOT_A_CLIP])
        frames = self._pieces * self.piece_frames
        level_db, snr_db = rng.uniform(*LEVEL_DB), rng.uniform(*SNR_DB)
        x = self._background(frames * FRAME, level_db - snr_db, rng)
        label = np.full(frames, NOTHING)
        end = 0
        while True:
            gap = int(rng.uniform(*GAP_S) * SAMPLE_RATE_HZ)
            sound = self._sounds.draw(rng)
            start = max(0, end + gap - sound.start)  # the gap is between what is said
            if start + len(sound.samples) > len(x):
                break
            said = sound.samples[sound.start : sound.end]
            loud = augment.at_level(sound.samples, said, level_db + rng.uniform(*SPREAD_DB))
            x[start : start + len(loud)] += loud
            self._mark(label, sound, start)
            end = start + sound.end
        system = augment.random_system(
            rng, room=recipe.room, low_pass=recipe.low_pass, notch=recipe.notch, tilt=recipe.tilt
        )
        return Session(np.clip(augment.through(x, system), -1, 1), label, system.bandwidth_hz)

    def _background(self, length: int, level_db: float, rng: np.random.Generator) -> np.ndarray:
        """One noise after the other at a level; now and then next to nothing."""
        if self._noise.is_quiet(rng):
            return hiss(length, rng)
        pieces, have = [], 0
        while have < length:
            size = min(length - have, int(rng.uniform(*SEGMENT_S) * SAMPLE_RATE_HZ))
            noise = self._noise.draw(size, rng)
            pieces.append(augment.at_level(noise, noise, level_db))
            have += size
        return np.concatenate(pieces)

    def _mark(self, label: np.ndarray, sound: Sound, start: int) -> None:
        """Write a sound's labels.  A keyword may be heard early, and must be from its end on."""
        first, end = (start + sound.start) // FRAME, (start + sound.end) // FRAME
        label[first:] = NOTHING  # what was said before is over
        if sound.label == UNKNOWN:
            return
        number, must = self._numbers[sound.label], end + round(DELAY_S * FRAMES_HZ)
        label[first:must] = maybe(number)
        label[must : must + round(HELD_S * FRAMES_HZ)] = number


def maybe(keyword: int) -> int:
    """Label of a frame in which this keyword may be heard, or nothing."""
    return NOTHING - 1 - keyword
