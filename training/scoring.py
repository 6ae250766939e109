"""Clips whose class is known, a model's scores for them, and what the scores amount to."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import soxr
import torch
from torch import Tensor

from sssm.int16 import as_float
from sssm.labels import SILENCE, UNKNOWN
from sssm.model import KeywordModel
from sssm.timing import FRAMES_HZ
from sssm.weights import ModelFileError
from training.corpus import BACKGROUND_HELD_OUT, SAMPLE_RATE_HZ, Corpus
from training.labels import LabelSet
from training.own_words import as_bytes
from training.speech_commands import CORE_WORDS

RESAMPLES = 2_000


class LabelledClip(NamedTuple):
    """One clip, and what it is."""

    samples: np.ndarray  # int16 at 16 kHz
    label: str
    speaker: str
    path: str


def labelled_clips(
    corpus: Corpus, labels: LabelSet, split: str, *, silence_is_zeros: bool
) -> list[LabelledClip]:
    """All clips of the keywords, and the `_unknown_` and `_silence_` ones that go with them.

    As many one-second pieces of `_silence_` as an average keyword has clips, at even spacing over
    the held out part of each background recording, or as the papers do, zeros.  For the ten core
    words of Speech Commands as many of `_unknown_`, chosen by the hash of their paths; for other
    keywords, and where no clip is of a keyword, all of them.
    """
    numbers = corpus.where(source="commands", split=split)
    keywords = [n for n in numbers if corpus.entries[n].word in labels.keywords]
    clips = [_clip(corpus, n, corpus.entries[n].word) for n in keywords]
    average = round(len(keywords) / max(1, len(labels.keywords)))
    if labels.unknown:
        others = [n for n in numbers if corpus.entries[n].word not in labels.keywords]
        if keywords and set(labels.keywords) == set(CORE_WORDS):
            others.sort(key=lambda n: hashlib.sha256(as_bytes(corpus.entries[n].path)).digest())
            others = others[:average]
        clips += [_clip(corpus, n, UNKNOWN) for n in others]
    if labels.silence and silence_is_zeros:
        zeros = np.zeros(SAMPLE_RATE_HZ, np.int16)
        clips += [LabelledClip(zeros, SILENCE, f"zeros {n}", "zeros") for n in range(average)]
    elif labels.silence:
        clips += _silence(corpus, average)
    return clips


def held_out_of_each(clips: Sequence[LabelledClip]) -> str:
    """What there is to validate on, in a line."""
    if not clips:
        return "no recording is held out: there is nothing to validate on"
    counts = Counter(clip.label for clip in clips)
    return "held out: " + ", ".join(f"{count} of {label}" for label, count in counts.items())


def _silence(corpus: Corpus, count: int) -> list[LabelledClip]:
    recordings = corpus.where(source="background", split="training")
    clips = []
    for place, n in enumerate(recordings):
        pieces = count // len(recordings) + (place < count % len(recordings))
        x, path = corpus[n], corpus.entries[n].path
        first = int(len(x) * (1 - BACKGROUND_HELD_OUT))
        last = max(first, len(x) - SAMPLE_RATE_HZ)  # a short one is held out in less than a second
        for start in np.linspace(first, last, pieces).astype(int):
            piece = x[start : start + SAMPLE_RATE_HZ]
            clips.append(LabelledClip(piece, SILENCE, path, f"{path}@{start}"))
    return clips


def _clip(corpus: Corpus, n: int, label: str) -> LabelledClip:
    entry = corpus.entries[n]
    return LabelledClip(corpus[n], label, entry.speaker, entry.path)


def same_length(clips: Sequence[np.ndarray], batch: int) -> list[list[int]]:
    """Numbers of the clips in batches of one length."""
    by_length: dict[int, list[int]] = {}
    for n, x in enumerate(clips):
        by_length.setdefault(len(x), []).append(n)
    return [
        numbers[first : first + batch]
        for _, numbers in sorted(by_length.items())
        for first in range(0, len(numbers), batch)
    ]


def clip_scores(
    model: KeywordModel,
    clips: Sequence[np.ndarray],
    *,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
    batch: int = 64,
    watch: Callable[[list[list[int]]], Iterable[list[int]]] = iter,
) -> np.ndarray:
    """(clips, classes) scores of whole clips, int16 at 16 kHz.

    Args:
        model: made for any rate.
        clips: those of one length go through together.
        sample_rate_hz: the clips are resampled to it, and the model listens at it.
        batch: most clips that go through together.
        watch: is given the batches and gives them back, so that it can tell how far they are.

    Raises:
        ModelFileError: a score is not a number.
    """
    scores = np.zeros((len(clips), len(model.config.labels)), np.float32)
    model = model.at_rate(sample_rate_hz)
    for numbers in watch(same_length(clips, batch)):
        x = as_float(np.stack([clips[n] for n in numbers], axis=1))
        if sample_rate_hz != SAMPLE_RATE_HZ:
            x = soxr.resample(x, SAMPLE_RATE_HZ, sample_rate_hz)
        rows = torch.from_numpy(np.ascontiguousarray(x.T))[..., None]
        scores[numbers] = clip_answers(model, rows, sample_rate_hz).numpy()
    if not np.isfinite(scores).all():
        raise ModelFileError("the model's answer is no number: its weights are damaged")
    return scores


@torch.inference_mode()
def clip_answers(model: KeywordModel, x: Tensor, sample_rate_hz: int) -> Tensor:
    """(batch, samples, 1) -> (batch, classes) scores; a clip is padded to one frame of 10 ms."""
    missing = max(0, sample_rate_hz // FRAMES_HZ - x.shape[1])
    x = torch.nn.functional.pad(x, (0, 0, 0, missing)).to(model.head.weight.device)
    _, state = model(x)
    return torch.softmax(model.clip_logits(state), dim=1).cpu()


class Figures(NamedTuple):
    """What a model's answers amount to.  Labels that no clip has are left out."""

    accuracy: float
    ci95: tuple[float, float]  # 95% interval of it, by speaker
    mean_over_classes: float
    per_class: dict[str, float]  # share of its clips that were heard as such
    confusions: list[tuple[str, str, int]]  # said, heard, clips; the most frequent first
    matrix: np.ndarray  # (said, heard) clips, in the order of the labels


def figures(
    labels: Sequence[str], said: Sequence[str], heard: np.ndarray, speakers: Sequence[str]
) -> Figures:
    """Figures of clips: what was said in each, the number of the label heard, and who spoke."""
    truth = np.array([labels.index(label) for label in said])
    matrix = np.zeros((len(labels), len(labels)), int)
    np.add.at(matrix, (truth, heard), 1)
    counts, right = matrix.sum(axis=1), matrix.diagonal()
    per_class = {labels[n]: float(right[n] / counts[n]) for n in range(len(labels)) if counts[n]}
    pairs = zip(said, (labels[n] for n in heard.tolist()), strict=True)
    wrong = Counter(pair for pair in pairs if pair[0] != pair[1])
    return Figures(
        accuracy=float(right.sum() / counts.sum()),
        ci95=interval_by_speaker(truth == heard, speakers),
        mean_over_classes=float(np.mean(list(per_class.values()))),
        per_class=per_class,
        confusions=[(*pair, clips) for pair, clips in wrong.most_common()],
        matrix=matrix,
    )


def interval_by_speaker(correct: np.ndarray, speakers: Sequence[str]) -> tuple[float, float]:
    """95% interval of the share that is correct, by drawing whole speakers again and again.

    Source: percentile bootstrap over clusters (Efron and Tibshirani 1993, chapters 8 and 13).
    """
    _, who = np.unique(np.asarray(speakers), return_inverse=True)
    right, clips = np.bincount(who, weights=correct), np.bincount(who)
    rng = np.random.default_rng(0)
    draws = (rng.integers(len(clips), size=len(clips)) for _ in range(RESAMPLES))
    shares = [right[drawn].sum() / clips[drawn].sum() for drawn in draws]
    low, high = np.percentile(shares, [2.5, 97.5])
    return float(low), float(high)
