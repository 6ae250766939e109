"""Long recordings to try a spotter on: keywords in noise, and hours without one.

Session n is a function of the seed and n.  For split `validation` all voices and noises are held
out.  For `calibration`, which has no clips and half an hour of two readers, what training heard is
there too: half an hour places ten thresholds by luck (`training/LOG.md`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from sssm.int16 import as_float, as_int16
from training import augment
from training.corpus import BACKGROUND_HELD_OUT, SAMPLE_RATE_HZ, Corpus
from training.tables import read_rows
from training.vocabulary import words_of
from training.word_end import word_span

GAP_S = (0.1, 3.0)  # between two words
READING_GAP_S = (0.1, 0.5)  # between two sentences of a reader
LEVEL_DB = (-35.0, -20.0)  # of the words of a session to full scale
SEGMENT_S = (3.0, 12.0)  # of one recording of noise
OTHERS_SHARE = 0.25  # of the words that are no keyword
SOUNDS_A_SESSION = 100
WORD_S = 0.5  # a word is about so long, to know how many there are in a minute
EDGE = SAMPLE_RATE_HZ // 100  # of every cut, faded


class Said(NamedTuple):
    """A word, from its first sample to the one after its last."""

    word: str
    start: int
    end: int
    speaker: str = ""  # of a recording of one word


class Utterance(NamedTuple):
    """A sentence in a session."""

    start: int
    end: int
    words: frozenset[str]  # of its transcript
    timed: bool  # whether each of them is `Said` as well


class Session(NamedTuple):
    """One recording, and all that is said in it."""

    name: str
    samples: np.ndarray  # int16 at 16 kHz
    said: list[Said]
    utterances: list[Utterance]


class Sessions(Protocol):
    """Sessions that are made when they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, n: int) -> Session: ...


class KeywordSessions:
    """Recordings of keywords, equally many of each, and of other words, in noise.

    A word that has too few recordings comes again, elsewhere in other noise.

    Args:
        corpus: recordings.
        keywords: words to find.
        split: `validation` or `calibration`.
        minutes: of all sessions together, about.
        snr_db: of words to noise, the mean of stretches of it; None for no noise.
        seed: of everything that is drawn.

    Raises:
        ValueError: a keyword has no recording in this split.
    """

    def __init__(
        self, corpus: Corpus, keywords: Sequence[str], split: str, *, minutes: float,
        snr_db: float | None, seed: int,
    ):  # fmt: skip
        self._corpus, self._snr_db, self._seed = corpus, snr_db, seed
        self._noise = noise_of(corpus, split)
        clips: dict[str, list[int]] = {}
        for n in _recordings_of(corpus, "commands", split):
            clips.setdefault(corpus.entries[n].word, []).append(n)
        missing = sorted(set(keywords) - clips.keys())
        if missing:
            raise ValueError(f"no recording of {missing[0]!r} in split {split}")
        rng = np.random.default_rng(seed)
        sounds = minutes * 60 / (sum(GAP_S) / 2 + WORD_S)
        others = sorted(clips.keys() - set(keywords))
        share = OTHERS_SHARE if others else 0.0
        each = max(1, round(sounds * (1 - share) / len(keywords)))
        drawn = [n for word in keywords for n in _cycled(clips[word], each, rng)]
        others_each = -(-round(sounds * share) // max(1, len(others)))
        drawn += [n for word in others for n in _cycled(clips[word], others_each, rng)]
        self._clips = rng.permutation(drawn)

    def __len__(self) -> int:
        return -(-len(self._clips) // SOUNDS_A_SESSION)

    def __getitem__(self, n: int) -> Session:
        rng = np.random.default_rng([self._seed, n])
        clips = self._clips[n * SOUNDS_A_SESSION : (n + 1) * SOUNDS_A_SESSION].tolist()
        gaps = (rng.uniform(*GAP_S, size=len(clips) + 1) * SAMPLE_RATE_HZ).astype(int)
        gaps[-1] = SAMPLE_RATE_HZ  # so that the last word can be heard out
        level_db = rng.uniform(*LEVEL_DB)
        pieces, said, end = [], [], 0
        for clip, before, after in zip(clips, gaps[:-1], gaps[1:], strict=True):
            x = as_float(self._corpus[clip])
            first, last = word_span(x)
            x = augment.at_level(x, x[first:last], level_db)
            # A part of what stands around it in its recording, as far as the gaps have room.
            left, right = min(first, before // 2), min(len(x) - last, after // 2)
            start = end + before
            pieces.append((start - left, augment.fade(x[first - left : last + right], EDGE)))
            end = start + last - first
            entry = self._corpus.entries[clip]
            said.append(Said(entry.word, int(start), int(end), entry.speaker))
        sound = np.zeros(end + gaps[-1], np.float32)
        if self._snr_db is not None:
            sound += self._background(len(sound), level_db - self._snr_db, rng)
        for start, x in pieces:
            sound[start : start + len(x)] += x
        return Session(f"keywords-{n}", as_int16(sound), said, [])

    def _background(self, length: int, level_db: float, rng: np.random.Generator) -> np.ndarray:
        """One recording of noise after the other, each at the level."""
        pieces, have = [np.zeros(0, np.float32)], 0
        while self._noise and have < length:
            size = min(length - have, int(rng.uniform(*SEGMENT_S) * SAMPLE_RATE_HZ))
            x = self._noise[rng.integers(len(self._noise))]
            start = rng.integers(max(1, len(x) - size))
            noise = as_float(np.resize(x[start : start + size], size))
            pieces.append(augment.at_level(noise, noise, level_db))
            have += size
        return np.resize(np.concatenate(pieces), length)


class NegativeSessions:
    """Sentences of each reader one after the other, wake words that are no keyword, and noise.

    Args:
        corpus: recordings.
        transcripts: path -> words of every sentence.
        keywords: words to find; what is called so is left out of the wake words.
        split: `validation` or `calibration`.
        seed: of the gaps.

    Raises:
        ValueError: there is no such recording.
    """

    def __init__(
        self, corpus: Corpus, transcripts: dict[str, list[str]], keywords: Sequence[str],
        split: str, *, seed: int,
    ):  # fmt: skip
        self._corpus, self._transcripts, self._seed = corpus, transcripts, seed
        readers: dict[str, list[int]] = {}
        for n in _recordings_of(corpus, "speech", split):
            readers.setdefault(corpus.entries[n].speaker, []).append(n)
        phrases = [
            n
            for n in _recordings_of(corpus, "phrases", split)
            if not set(corpus.entries[n].word.split()) & set(keywords)
        ]
        # Long ones first, so that those that are heard together end at about the same time.
        ordered = sorted(readers.items(), key=lambda reader: (-self._length(reader[1]), reader[0]))
        self._readers = [*ordered, *([("phrases", phrases)] if phrases else [])]
        self._noise = noise_of(corpus, split)
        if not len(self):
            raise ValueError(f"no sentence and no noise in split {split}")

    def __len__(self) -> int:
        return len(self._readers) + bool(self._noise)

    def __getitem__(self, n: int) -> Session:
        if n == len(self._readers):
            return Session("noise", np.concatenate(self._noise), [], [])
        name, numbers = self._readers[n]
        rng = np.random.default_rng([self._seed, n])
        pieces, said, utterances, have = [], [], [], 0
        for number in numbers:
            gap = np.zeros(int(rng.uniform(*READING_GAP_S) * SAMPLE_RATE_HZ), np.int16)
            have += len(gap)
            x, path = self._corpus[number], self._corpus.entries[number].path
            words = self._corpus.words.get(path, [])
            said += [Said(w.word, have + w.start, have + w.end) for w in words]
            transcript = self._transcripts.get(path) or self._corpus.entries[number].word.split()
            spoken = frozenset(transcript)
            utterances.append(Utterance(have, have + len(x), spoken, bool(words)))
            pieces += [gap, x]
            have += len(x)
        return Session(name, np.concatenate(pieces), said, utterances)

    def _length(self, numbers: list[int]) -> int:
        return sum(self._corpus.entries[n].length for n in numbers)


def noise_of(corpus: Corpus, split: str) -> list[np.ndarray]:
    """Recordings of noise that go with a split: of `validation` none that training reads."""
    held_out = split != "calibration"
    recordings = [corpus[n] for n in _recordings_of(corpus, "noise", split)]
    for n in corpus.where(source="background", split="training"):
        x = corpus[n]
        border = int(len(x) * (1 - BACKGROUND_HELD_OUT))
        recordings.append(x[border:] if held_out else x[:border])
    return [x for x in recordings if len(x)]


def _recordings_of(corpus: Corpus, source: str, split: str) -> list[int]:
    """Recordings that go with a split: with `calibration`, those of training too."""
    splits = ("calibration", "training") if split == "calibration" else (split,)
    return [n for each in splits for n in corpus.where(source=source, split=each)]


def read_transcripts(root: Path) -> dict[str, list[str]]:
    """Words of every sentence of a data folder, by the path that it has in the corpus.

    Raises:
        ValueError: the table is there, and cannot be read.
    """
    path = root / "speech" / "transcripts.csv"
    if not path.is_file():
        return {}
    rows = read_rows(path, ("path", "transcript"))
    return {f"speech/{row['path']}": words_of(row["transcript"]) for row in rows}


def _cycled(numbers: list[int], count: int, rng: np.random.Generator) -> list[int]:
    """So many of them in random order, all as often as the others to within one."""
    rounds = -(-count // len(numbers))
    order = [n for _ in range(rounds) for n in rng.permutation(numbers).tolist()]
    return order[:count]
