"""The validation clips pushed in random pieces must give the scores of the clips heard whole.

    python tests/bench/streamed_equals_whole.py --data ROOT --model NAME|FILE

Clips of one length go through together, each batch cut in its own way: long and short pieces,
single samples, nothing at all.  The last line is JSON; exit code 1 where a score differs by more
than 1e-4.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.progress import track

from sssm.int16 import as_float
from sssm.model import KeywordModel
from sssm.weights import find_model, load_model
from training.corpus import open_corpus
from training.labels import labels_of
from training.scoring import clip_answers, labelled_clips, same_length

LIMIT = 1e-4


def cuts(length: int, rng: np.random.Generator) -> Iterator[slice]:
    """Pieces that make up the whole: five of any size, one sample, a hop or so, nothing."""
    ends = rng.integers(length + 1, size=5).tolist()
    ends += [ends[0], ends[1] + 1, ends[2] + int(rng.integers(150, 170)), length]
    start = 0
    for end in sorted(min(end, length) for end in ends):
        yield slice(start, end)
        start = end


@torch.inference_mode()
def streamed_answers(
    model: KeywordModel, x: torch.Tensor, rng: np.random.Generator
) -> torch.Tensor:
    """(batch, samples, 1) -> (batch, classes) scores, with the state carried between pieces."""
    state = model.init_state(x.shape[0])
    for piece in cuts(x.shape[1], rng):
        _, state = model(x[:, piece], state)
    return torch.softmax(model.clip_logits(state), dim=1)


def main(
    data: Annotated[Path, typer.Option(help="Folder that training reads.")],
    model: Annotated[str, typer.Option(metavar="NAME|FILE")] = "s4",
) -> None:
    """Largest difference between a clip's scores, heard whole and heard in pieces."""
    whole, _ = load_model(find_model(model))
    labels = labels_of(whole.config.labels)
    corpus = open_corpus(data, own_words=False)
    clips = labelled_clips(corpus, labels, "validation", silence_is_zeros=False)
    clips += labelled_clips(corpus, labels, "validation", silence_is_zeros=True)[-1:]
    rng = np.random.default_rng(0)
    largest, changed = 0.0, 0
    batches = same_length([clip.samples for clip in clips], 256)
    for numbers in track(batches, f"{len(clips)} clips", console=Console(stderr=True)):
        x = torch.from_numpy(as_float(np.stack([clips[n].samples for n in numbers])))[..., None]
        once = clip_answers(whole, x, whole.config.sample_rate_hz)
        pieces = streamed_answers(whole, x, rng)
        largest = max(largest, float((once - pieces).abs().max()))
        changed += int((once.argmax(dim=1) != pieces.argmax(dim=1)).sum())
    print(
        json.dumps(
            {
                "largest_difference": largest,
                "limit": LIMIT,
                "answers_changed": changed,
                "clips": len(clips),
                "model": model,
            }
        )
    )
    if not largest <= LIMIT:  # also where it is no number
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
