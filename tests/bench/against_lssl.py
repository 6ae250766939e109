"""A training step of S4 beside one of LSSL: the S4 paper's table 2.

    python tests/bench/against_lssl.py [--dimension 128 --dimension 256 ...] [--gpu-only] [--out F]

N = H = dimension, one sequence of 1,024, forward and backward in float32: on one thread of this
machine's processor, and on its GPU where there is one.  LSSL is our own layer, which works in
blocks of 128 elements and so is smaller and faster than the paper's.  LSSL at 512 needs about 24 GB
and on a processor minutes: name it where they are.  Writes against_lssl.json and its plots, and
ends in the same as one line.
"""

from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from measure import GPU_ROUNDS, OUT, Call, GpuOnly, Out, bars, measured, over, run

from sssm.layers.lssl import LSSL
from sssm.layers.s4 import S4

LENGTH = 1024
DIMENSIONS = {"cpu": [128, 256], "cuda": [128, 256, 512]}
PAPER = {128: (1.9, 42), 256: (6.7, 133), 512: (29.6, 392)}
"""Times faster, and times less memory (arXiv:2111.00396, table 2, on a GPU)."""


def training_step(layer: S4 | LSSL, dimension: int) -> Call:
    x = torch.randn(1, LENGTH, dimension, generator=torch.Generator().manual_seed(0))
    x = x.to(layer.D.device).requires_grad_()

    def step() -> None:
        y, _ = layer(x)
        y.square().mean().backward()
        layer.zero_grad(set_to_none=True)
        x.grad = None

    return step


def row(dimension: int, device: str) -> dict[str, Any]:
    torch.manual_seed(0)
    sizes: Any = {"channels": dimension, "state_size": dimension, "dt_min": 1e-3, "dt_max": 1e-1}
    layers: dict[str, S4 | LSSL] = {"s4": S4(sample_rate_hz=1.0, **sizes), "lssl": LSSL(**sizes)}
    calls = {name: training_step(layer.to(device), dimension) for name, layer in layers.items()}
    rounds = 3 if dimension <= 128 else 1  # of a processor
    found = measured(calls, device, rounds=rounds)
    s4, lssl = found["s4"], found["lssl"]
    return {
        "dimension": dimension,
        "length": LENGTH,
        "rounds": GPU_ROUNDS if device == "cuda" else rounds,
        **found,
        "times_faster": over(lssl, s4, "median_s"),
        "times_less_memory": over(lssl, s4, "peak_bytes"),
        "paper": PAPER.get(dimension),
    }


def draw(name: str, result: dict[str, Any], device: str, out: Path) -> None:
    ratios = {
        f"{r['dimension']}, {what}": r[f"times_{what}"]
        for r in result["rows"]
        for what in ("faster", "less_memory")
    }
    bars(name, "LSSL over S4, one training step", ratios, unit="times", out=out)


def main(
    dimension: Annotated[list[int] | None, typer.Option(help="N and H; again for more.")] = None,
    gpu_only: GpuOnly = False,
    out: Out = OUT,
) -> None:
    """Time and peak memory of a training step of S4 and of LSSL."""

    def rows(device: str) -> dict[str, Any]:
        return {"rows": [row(size, device) for size in dimension or DIMENSIONS[device]]}

    run("against_lssl", rows, draw, gpu_only=gpu_only, out=out)


if __name__ == "__main__":
    typer.run(main)
