"""Selective copying: Mamba remembers the tokens that matter, S4 those that come at known times.

    python tests/bench/copying.py [--steps 2500]

The Mamba paper's section 4.1.1, made small: 8 tokens out of 16 lie scattered among 88 blanks; then
8 times a question is heard, and the tokens are to be told in their order.  Where they lie changes
from sequence to sequence, so that no fixed convolution finds them.  Both models have two blocks
with the same states, about as many parameters, and see the same sequences, for the same number of
steps.  Accuracy is that of tokens of sequences never trained on; chance is 6%.

Writes copying.json and its plot, and ends in the same as one line.
"""

import time
from collections.abc import Callable
from typing import Annotated

import torch
import torch.nn.functional as F
import typer
from fitting import fit
from measure import bars, write
from torch import Tensor, nn

from sssm.layers.block import Block, normalize
from sssm.layers.contract import StreamingLayer
from sssm.layers.mamba import Mamba, MambaBlock
from sssm.layers.s4d import S4D

TOKENS, MEMORIZED, LENGTH = 16, 8, 96
BLANK, QUESTION = TOKENS, TOKENS + 1
DEPTH, STATES, BATCH = 2, 16, 32
MAMBA_CHANNELS, S4_CHANNELS = 48, 84
SEED = 0

Task = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]
"""Batch -> sequences (batch, length) of tokens, and answers (batch, asked) to the last of them."""


class Model(nn.Module):
    """Embedding, blocks, and the scores of every token."""

    def __init__(self, blocks: list[StreamingLayer], channels: int):
        super().__init__()
        self.embed = nn.Embedding(TOKENS + 2, channels)
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Linear(channels, TOKENS)

    def forward(self, sequence: Tensor, asked: int) -> Tensor:
        """(batch, length) -> scores (batch, asked, TOKENS) of the answers to the last of them."""
        x = self.embed(sequence)
        for block in self.blocks:
            x, _ = block(x)
        return self.head(normalize(x[:, -asked:]))


def mamba() -> Model:
    layers = [Mamba(channels=MAMBA_CHANNELS, state_size=STATES) for _ in range(DEPTH)]
    return Model([MambaBlock(layer, dropout=0.0) for layer in layers], MAMBA_CHANNELS)


def s4() -> Model:
    sizes = {"channels": S4_CHANNELS, "state_size": STATES, "dt_min": 1e-3, "dt_max": 1e-1}
    layers = [S4D(sample_rate_hz=1.0, **sizes) for _ in range(DEPTH)]
    blocks = [Block(layer, channels=S4_CHANNELS, dropout=0.0) for layer in layers]
    return Model(blocks, S4_CHANNELS)


def sequences(batch: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """(batch, LENGTH + MEMORIZED) of tokens, blanks and questions; (batch, MEMORIZED) answers."""
    answers = torch.randint(TOKENS, (batch, MEMORIZED), generator=g)
    places = torch.rand(batch, LENGTH, generator=g).argsort(dim=1)[:, :MEMORIZED].sort(dim=1)
    heard = torch.full((batch, LENGTH), BLANK).scatter(1, places.values, answers)
    return torch.cat([heard, torch.full((batch, MEMORIZED), QUESTION)], dim=1), answers


@torch.no_grad()
def accuracy(model: Model, task: Task) -> float:
    """Share of tokens told rightly, of 512 sequences."""
    heard, answers = task(512, torch.Generator().manual_seed(SEED + 1))
    told = [model(some, answers.shape[1]).argmax(dim=2) for some in heard.split(64)]
    return (torch.cat(told) == answers).double().mean().item()


def train(name: str, model: Model, task: Task, steps: int) -> dict:
    g = torch.Generator().manual_seed(SEED)

    def loss() -> Tensor:
        heard, answers = task(BATCH, g)
        return F.cross_entropy(model(heard, answers.shape[1]).flatten(0, 1), answers.flatten())

    start, curve = time.process_time(), []
    for step, _ in fit(model, {4e-3: model.parameters()}, loss, steps):
        if step % 100 == 0 or step == steps:
            curve.append([step, round(accuracy(model, task), 4)])
            spent = time.process_time() - start
            print(f"{name:6} step {step:5} accuracy {curve[-1][1]:.1%} ({spent:.0f} s)", flush=True)
    return {
        "accuracy": curve[-1][1],
        "parameters": sum(p.numel() for p in model.parameters()),
        "cpu_s": round(time.process_time() - start),
        "curve": curve,
    }


def tell(name: str, title: str, rows: dict[str, dict], steps: int) -> None:
    """Draw and write what `train` gave for each model."""
    shares = {model: 100 * row["accuracy"] for model, row in rows.items()}
    bars(name, title, shares, unit="%", log=False)
    sizes = {"tokens": TOKENS, "memorized": MEMORIZED, "length": LENGTH, "chance": 1 / TOKENS}
    write(name, {**sizes, "states": STATES, "depth": DEPTH, "steps": steps, **rows})


def main(steps: Annotated[int, typer.Option(help="Of training, for each model.")] = 2500) -> None:
    """Train both models on selective copying, and tell how many tokens each gets right."""
    torch.set_num_threads(1)
    rows = {}
    for name, build in (("mamba", mamba), ("s4", s4)):
        torch.manual_seed(SEED)
        rows[name] = train(name, build(), sequences, steps)
    tell("copying", "Selective copying, tokens right", rows, steps)


if __name__ == "__main__":
    typer.run(main)
