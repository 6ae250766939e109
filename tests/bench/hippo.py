"""What HiPPO is worth: the S4 paper's section 4.4 on spoken words.

    python tests/bench/hippo.py --data DATA [--steps 600]

Ten words of Speech Commands, raw samples at 2 kHz, two blocks, the same for every model but for
where A and B start:

- dense A and B (LSSL, one of each for all channels of a layer), from HiPPO or at random, as they
  are or trained (figure 3);
- diagonal plus low rank (S4), from HiPPO or at random, all trained, with and without dropout
  (figure 4).

A random dense A is Gaussian of about unit spectral radius less the identity, so that it is stable;
random numbers of S4 are Gaussian.  Accuracy is that of 2,000 clips of split `training` and of those
of `validation`, whose speakers are others; chance is 10%.  One seed.

Writes hippo.json and its plot, and ends in the same as one line.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import soxr
import torch
import torch.nn.functional as F
import typer
from fitting import fit
from measure import OUT, drawing, save, write
from torch import Tensor, nn

from sssm.layers.block import Block, normalize
from sssm.layers.contract import StreamingLayer
from sssm.layers.lssl import LSSL
from sssm.layers.s4 import S4
from training.corpus import SAMPLE_RATE_HZ, Corpus, open_corpus
from training.labels import label_set
from training.optimizer import STATE_SPACE

RATE_HZ = 2_000
CHANNELS, STATES, DEPTH, BATCH = 32, 32, 2, 32
MOST_OF_A_WORD = 1_500  # clips of split `training`: some words have twice as many
MEASURED = 2_000
LR, SSM_LR, DROPOUT = 4e-3, 1e-3, 0.1
DT = {"dt_min": 1e-3, "dt_max": 1e-1}
SEED = 0

Clips = tuple[Tensor, Tensor]  # (clips, RATE_HZ, 1) of about unit power, and their words' numbers


class Dense(LSSL):
    """LSSL whose A and B start at random, are trained, or both."""

    def __init__(self, *, hippo: bool, trained: bool):
        super().__init__(channels=CHANNELS, state_size=STATES, **DT)
        A, B = self.A, self.B
        if not hippo:
            A = torch.randn(STATES, STATES) / math.sqrt(STATES) - torch.eye(STATES)
            B = torch.randn(STATES)
        del self.A, self.B
        self.A, self.B = (nn.Parameter(part, requires_grad=trained) for part in (A, B))


def nplr(*, hippo: bool) -> S4:
    layer = S4(channels=CHANNELS, state_size=STATES, sample_rate_hz=1.0, **DT)
    if not hippo:
        with torch.no_grad():
            for parameter in (layer.log_decay, layer.frequency, layer.P, layer.B):
                parameter.copy_(torch.randn_like(parameter))
    return layer


class Model(nn.Module):
    """Blocks on the samples, their mean over time, and the scores of the words."""

    def __init__(self, make: Callable[[], StreamingLayer], dropout: float):
        super().__init__()
        self.lift = nn.Linear(1, CHANNELS)
        blocks = (Block(make(), channels=CHANNELS, dropout=dropout) for _ in range(DEPTH))
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Linear(CHANNELS, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = self.lift(x)
        for block in self.blocks:
            y, _ = block(y)
        return self.head(normalize(y).mean(dim=1))


MODELS: dict[str, tuple[Callable[[], StreamingLayer], float]] = {
    "dense, HiPPO, frozen": (lambda: Dense(hippo=True, trained=False), 0.0),
    "dense, random, frozen": (lambda: Dense(hippo=False, trained=False), 0.0),
    "dense, HiPPO, trained": (lambda: Dense(hippo=True, trained=True), 0.0),
    "dense, random, trained": (lambda: Dense(hippo=False, trained=True), 0.0),
    "S4, HiPPO": (lambda: nplr(hippo=True), 0.0),
    "S4, random": (lambda: nplr(hippo=False), 0.0),
    "S4, HiPPO, dropout": (lambda: nplr(hippo=True), DROPOUT),
    "S4, random, dropout": (lambda: nplr(hippo=False), DROPOUT),
}


def clips(corpus: Corpus, split: str, most: int) -> Clips:
    """At most so many of every word, in random order."""
    rng, found = np.random.default_rng(SEED), []
    keywords = label_set("sc12", corpus).keywords
    of_split = corpus.where(source="commands", split=split)
    for label, word in enumerate(keywords):
        numbers = [n for n in of_split if corpus.entries[n].word == word]
        found += [(n, label) for n in rng.permutation(numbers)[:most]]
    order = rng.permutation(len(found))
    x = np.zeros((len(found), RATE_HZ), np.float32)
    for row, at in enumerate(order):
        low = soxr.resample(corpus[found[at][0]].astype(np.float32), SAMPLE_RATE_HZ, RATE_HZ)
        x[row, : len(low)] = low[:RATE_HZ] / (low.std() + 1.0)
    labels = np.array([found[at][1] for at in order])
    return torch.from_numpy(x)[..., None], torch.from_numpy(labels)


@torch.no_grad()
def accuracy(model: Model, of: Clips) -> float:
    model.eval()
    right = [
        (model(x).argmax(dim=1) == label).sum().item()
        for x, label in zip(of[0].split(100), of[1].split(100), strict=True)
    ]
    model.train()
    return sum(right) / len(of[1])


def train(
    name: str, model: Model, training: Clips, validation: Clips, steps: int
) -> dict[str, Any]:
    of_ssm, others = [], []
    for full_name, parameter in model.named_parameters():
        is_ssm = full_name.rsplit(".", 1)[-1] in ("A", *STATE_SPACE)
        (of_ssm if is_ssm else others).append(parameter)
    g, start = torch.Generator().manual_seed(SEED), time.process_time()

    def loss() -> Tensor:
        rows = torch.randint(len(training[1]), (BATCH,), generator=g)
        return F.cross_entropy(model(training[0][rows]), training[1][rows])

    for step, value in fit(model, {LR: others, SSM_LR: of_ssm}, loss, steps):
        if step % 50 == 0:
            spent = time.process_time() - start
            print(f"{name:24} step {step:4} loss {value:.3f} ({spent:.0f} s)", flush=True)
    seen = training[0][:MEASURED], training[1][:MEASURED]
    return {
        "training": round(accuracy(model, seen), 4),
        "validation": round(accuracy(model, validation), 4),
        "cpu_s": round(time.process_time() - start),
    }


def draw(rows: dict[str, dict[str, Any]]) -> None:
    figure, ((axes,),) = drawing(6.5, 1 + 0.45 * len(rows))
    places = np.arange(len(rows))
    for split, shift, color in (("training", -0.2, "#9db8d2"), ("validation", 0.2, "#336699")):
        shares = [100 * row[split] for row in rows.values()]
        drawn = axes.barh(places + shift, shares, 0.38, color=color, label=split)
        axes.bar_label(drawn, fmt="%.1f", padding=3)
    axes.set_yticks(places, list(rows))
    axes.margins(x=0.15)
    axes.invert_yaxis()
    axes.set_title("Ten words at 2 kHz, by where A starts", fontsize=10)
    axes.set_xlabel("right, %")
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    save(figure, "hippo", OUT)


def main(
    data: Annotated[Path, typer.Option(help="Folder of recordings, as training reads it.")],
    steps: Annotated[int, typer.Option(help="Of training, for each model.")] = 600,
) -> None:
    """Train each model, and tell how many words it knows."""
    torch.set_num_threads(1)
    corpus = open_corpus(data, own_words=False)
    training = clips(corpus, "training", MOST_OF_A_WORD)
    validation = clips(corpus, "validation", MOST_OF_A_WORD)
    rows = {}
    for name, (make, dropout) in MODELS.items():
        torch.manual_seed(SEED)
        rows[name] = train(name, Model(make, dropout), training, validation, steps)
    draw(rows)
    sizes = {"rate_hz": RATE_HZ, "channels": CHANNELS, "states": STATES, "depth": DEPTH}
    counts = {"clips": len(training[1]), "validation_clips": len(validation[1])}
    write("hippo", {**sizes, **counts, "batch": BATCH, "steps": steps, "models": rows})


if __name__ == "__main__":
    typer.run(main)
