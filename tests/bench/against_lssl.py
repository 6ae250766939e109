"""A training step of S4 beside one of LSSL: the S4 paper's table 2, on this machine's processor.

    python tests/bench/against_lssl.py [--dimension 128 --dimension 256 ...]

N = H = dimension, one sequence of 1,024, forward and backward in float32, one thread.  LSSL is our
own layer, which works in blocks of 128 elements and so is smaller and faster than the paper's.
LSSL at 512 needs about 24 GB and minutes: name it where they are.  Writes against_lssl.json and
its plot, and ends in the same as one line.
"""

from typing import Annotated

import torch
import typer
from measure import NOT_MEASURED, Call, bars, measured, write

from sssm.layers.lssl import LSSL
from sssm.layers.s4 import S4

LENGTH = 1024
PAPER = {128: (1.9, 42), 256: (6.7, 133), 512: (29.6, 392)}
"""Times faster, and times less memory (arXiv:2111.00396, table 2, on a GPU)."""


def training_step(layer: S4 | LSSL, dimension: int) -> Call:
    x = torch.randn(1, LENGTH, dimension, generator=torch.Generator().manual_seed(0))
    x.requires_grad_()

    def step() -> None:
        y, _ = layer(x)
        y.square().mean().backward()
        layer.zero_grad(set_to_none=True)
        x.grad = None

    return step


def row(dimension: int) -> dict:
    torch.manual_seed(0)
    sizes = {"channels": dimension, "state_size": dimension, "dt_min": 1e-3, "dt_max": 1e-1}
    layers = {"s4": S4(sample_rate_hz=1.0, **sizes), "lssl": LSSL(**sizes)}
    rounds = 3 if dimension <= 128 else 1
    found = measured(
        {name: training_step(layer, dimension) for name, layer in layers.items()}, rounds=rounds
    )
    s4, lssl = found["s4"], found["lssl"]
    return {
        "dimension": dimension,
        "length": LENGTH,
        "rounds": rounds,
        **found,
        "times_faster": lssl["median_s"] / s4["median_s"],
        "times_less_memory": lssl["peak_bytes"] / s4["peak_bytes"],
        "paper": PAPER.get(dimension),
    }


def main(
    dimension: Annotated[list[int] | None, typer.Option(help="N and H; again for more.")] = None,
) -> None:
    """Time and peak memory of a training step of S4 and of LSSL."""
    torch.set_num_threads(1)
    rows = [row(size) for size in dimension or [128, 256]]
    ratios = {
        f"{r['dimension']}, {what}": r[f"times_{what}"]
        for r in rows
        for what in ("faster", "less_memory")
    }
    bars("against_lssl", "LSSL over S4, one training step", ratios, unit="times")
    write("against_lssl", {"rows": rows, "gpu": NOT_MEASURED})


if __name__ == "__main__":
    typer.run(main)
