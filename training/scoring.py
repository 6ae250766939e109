"""What a model says of clips whose class is known: the clips, and its answers."""

import hashlib
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sssm.model import KeywordModel
from training.corpus import BACKGROUND_HELD_OUT, SAMPLE_RATE_HZ, Corpus
from training.labels import SILENCE, UNKNOWN, LabelSet
from training.pools import as_float


class LabelledClip(NamedTuple):
    """One second of audio, and what it is."""

    samples: np.ndarray  # float32 at 16 kHz
    label: str
    speaker: str
    path: str


def labelled_clips(
    corpus: Corpus, labels: LabelSet, split: str, *, silence_is_zeros: bool
) -> list[LabelledClip]:
    """All clips of the keywords; as many of `_unknown_` and `_silence_` as of an average keyword.

    `_unknown_` clips are chosen by the hash of their path, `_silence_` ones at even spacing over the
    held out part of each background recording, or as the papers do, zeros.
    """
    numbers = corpus.where(source="commands", split=split)
    keywords = [n for n in numbers if corpus.entries[n].word in labels.keywords]
    clips = [_clip(corpus, n, corpus.entries[n].word) for n in keywords]
    average = round(len(keywords) / max(1, len(labels.keywords)))
    if labels.unknown:
        others = [n for n in numbers if corpus.entries[n].word not in labels.keywords]
        others = [n for n in others if corpus.entries[n].word != SILENCE]
        others.sort(key=lambda n: hashlib.sha256(corpus.entries[n].path.encode()).digest())
        clips += [_clip(corpus, n, UNKNOWN) for n in others[:average]]
    if labels.silence and silence_is_zeros:
        zeros = np.zeros(SAMPLE_RATE_HZ, np.float32)
        clips += [LabelledClip(zeros, SILENCE, f"zeros {n}", "zeros") for n in range(average)]
    elif labels.silence:
        clips += _silence(corpus, average)
    return clips


def _silence(corpus: Corpus, count: int) -> list[LabelledClip]:
    recordings = corpus.where(source="background", split="training")
    clips = []
    for place, n in enumerate(recordings):
        pieces = count // len(recordings) + (place < count % len(recordings))
        x = corpus[n]
        first = int(len(x) * (1 - BACKGROUND_HELD_OUT))
        for start in np.linspace(first, len(x) - SAMPLE_RATE_HZ, pieces).astype(int):
            piece = as_float(x[start : start + SAMPLE_RATE_HZ])
            path = corpus.entries[n].path
            clips.append(LabelledClip(piece, SILENCE, path, f"{path}@{start}"))
    return clips


def _clip(corpus: Corpus, n: int, label: str) -> LabelledClip:
    entry = corpus.entries[n]
    return LabelledClip(as_float(corpus[n]), label, entry.speaker, entry.path)


@torch.inference_mode()
def clip_scores(model: KeywordModel, clips: list[np.ndarray], batch: int = 64) -> np.ndarray:
    """(clips, classes) scores of whole clips; those of one length go through together."""
    scores = np.zeros((len(clips), len(model.config.labels)), np.float32)
    order = sorted(range(len(clips)), key=lambda n: len(clips[n]))
    while order:
        length = len(clips[order[0]])
        same = [n for n in order[:batch] if len(clips[n]) == length]
        order = order[len(same) :]
        x = torch.from_numpy(np.stack([clips[n] for n in same]))[..., None]
        scores[same] = clip_answers(model, x).numpy()
    return scores


def clip_answers(model: KeywordModel, x: Tensor) -> Tensor:
    """(batch, samples, 1) -> (batch, classes) scores; a clip is at least one hop long."""
    hop = model.config.sample_rate_hz // 100
    if x.shape[1] < hop:
        x = torch.nn.functional.pad(x, (0, 0, 0, hop - x.shape[1]))
    _, state = model(x)
    return torch.softmax(model.clip_logits(state), dim=1)
