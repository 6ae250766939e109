"""Run by `torchrun` in `test_train.py`: trains, and writes down what this process saw and has."""

import os
import sys
from pathlib import Path

import torch

from training import loop
from training.train import app

folder, sys.argv[1:] = Path(sys.argv[1]), sys.argv[2:]
seen = []
step, fit = loop.Trainer.step, loop.Trainer.fit


def watched_step(trainer, number, batch):
    seen.append((batch.clips.samples, batch.stream.samples))
    return step(trainer, number, batch)


def watched_fit(trainer, *args):
    fit(trainer, *args)
    own = {
        "steps": len(seen),
        "objective": trainer.objective.state_dict(),
        "clips": torch.stack([clips for clips, _ in seen]),
        "streams": torch.stack([streams for _, streams in seen]),
    }
    torch.save(own, folder / f"rank{os.environ['RANK']}.pt")


loop.Trainer.step, loop.Trainer.fit = watched_step, watched_fit
app()
