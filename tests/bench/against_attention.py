"""A training step of S4, Mamba, a Transformer and linear attention: the S4 paper's table 3.

    python tests/bench/against_attention.py [--gpu-only] [--out FOLDER]

One layer of each with its residual, of H channels and about as many parameters, forward and
backward in float32, at lengths 1,024 and 4,096: time and peak memory, with batch 1 on one thread of
this machine's processor, and with batch 1 and 8 on its GPU where there is one.  The Transformer's
attention is causal, that of torch (`scaled_dot_product_attention`, which does not store the
(length, length) table) and the paper's, which does.  Linear attention is causal, in chunks, with
elu + 1 (arXiv:2006.16236).  The paper has whole models on a GPU.  Writes against_attention.json and
its plots, and ends in the same as one line.
"""

import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import typer
from measure import OUT, UNIT, Call, GpuOnly, Out, bars, measured, milliseconds, over, run
from torch import Tensor, nn

from sssm.layers.block import Block, normalize
from sssm.layers.contract import StreamingLayer
from sssm.layers.mamba import Mamba, MambaBlock
from sssm.layers.s4 import S4
from sssm.layers.s4d import S4D

CHANNELS, HEADS, STATES, CHUNK = 128, 4, 64, 128
LENGTHS = [1024, 4096]
BATCHES = {"cpu": [1], "cuda": [1, 8]}
PAPER = {1024: (1.58, 0.43), 4096: (5.19, 0.091)}
"""S4's speed, and share of the memory, beside a Transformer (arXiv:2111.00396, table 3)."""


class Attention(nn.Module):
    """x + W_out(mix(q, k, v)), then x + mlp(x): a block of a Transformer, however it mixes."""

    def __init__(self, mix):
        super().__init__()
        self.mix = mix
        self.qkv = nn.Linear(CHANNELS, 3 * CHANNELS)
        self.leave = nn.Linear(CHANNELS, CHANNELS)
        self.mlp = nn.Sequential(
            nn.Linear(CHANNELS, 2 * CHANNELS), nn.GELU(), nn.Linear(2 * CHANNELS, CHANNELS)
        )

    def forward(self, x: Tensor) -> Tensor:
        parts = self.qkv(normalize(x)).unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        x = x + self.leave(self.mix(*parts).transpose(1, 2).flatten(2))
        return x + self.mlp(normalize(x))


def fused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def stored(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """With the table of all pairs in memory, as the paper's Transformer has it."""
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    future = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool, device=q.device).triu(1)
    return scores.masked_fill(future, -math.inf).softmax(dim=-1) @ v


def linear(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """y_t = phi(q_t) sum_(s <= t) phi(k_s) v_s^T, over the same without v, phi = elu + 1."""
    v = torch.cat([v, torch.ones_like(v[..., :1])], dim=-1)  # the last column sums the weights
    q, k, v = (part.unflatten(2, (-1, CHUNK)) for part in (F.elu(q) + 1, F.elu(k) + 1, v))
    before = F.pad((k.mT @ v).cumsum(dim=2)[:, :, :-1], (0, 0, 0, 0, 1, 0))
    y = ((q @ k.mT).tril() @ v + q @ before).flatten(2, 3)
    return y[..., :-1] / y[..., -1:]


def models() -> dict[str, nn.Module]:
    sizes = {"channels": CHANNELS, "state_size": STATES, "dt_min": 1e-3, "dt_max": 1e-1}
    modes = {**sizes, "state_size": STATES // 2}  # one of each conjugate pair
    return {
        "s4": Block(S4(sample_rate_hz=1.0, **sizes), channels=CHANNELS, dropout=0.0),
        "s4d": Block(S4D(sample_rate_hz=1.0, **modes), channels=CHANNELS, dropout=0.0),
        "mamba": MambaBlock(Mamba(channels=CHANNELS, state_size=16), dropout=0.0),
        "transformer": Attention(stored),
        "transformer_fused": Attention(fused),
        "linear_attention": Attention(linear),
    }


def training_step(model: nn.Module, x: Tensor) -> Call:
    def step() -> None:
        y = model(x)[0] if isinstance(model, StreamingLayer) else model(x)
        y.square().mean().backward()
        model.zero_grad(set_to_none=True)

    return step


def row(batch: int, length: int, device: str) -> dict[str, Any]:
    torch.manual_seed(0)
    x = torch.randn(batch, length, CHANNELS, generator=torch.Generator().manual_seed(0)).to(device)
    calls = {name: training_step(model.to(device), x) for name, model in models().items()}
    found = measured(calls, device)
    s4, attention = found["s4"], found["transformer"]
    return {
        "length": length,
        "batch": batch,
        **found,
        "s4_times_faster": over(attention, s4, "median_s"),
        "s4_share_of_memory": over(s4, attention, "peak_bytes"),
        "paper": PAPER[length],
    }


def rows(device: str) -> dict[str, Any]:
    q, k, v = torch.randn(3, 1, HEADS, 2 * CHUNK, CHANNELS // HEADS)
    torch.testing.assert_close(stored(q, k, v), fused(q, k, v), rtol=1e-4, atol=1e-4)
    parameters = {name: sum(p.numel() for p in m.parameters()) for name, m in models().items()}
    sizes = [(batch, length) for batch in BATCHES[device] for length in LENGTHS]
    return {
        "channels": CHANNELS,
        "parameters": parameters,
        "rows": [row(batch, length, device) for batch, length in sizes],
    }


def draw(name: str, result: dict[str, Any], device: str, out: Path) -> None:
    values = {
        f"{model}, {row['batch']} x {row['length']}": milliseconds(row[model])
        for row in result["rows"]
        for model in result["parameters"]
    }
    bars(name, "One layer, one training step", values, unit=UNIT[device], out=out)


def main(gpu_only: GpuOnly = False, out: Out = OUT) -> None:
    """Time and peak memory of a training step of S4, Mamba and two kinds of attention."""
    run("against_attention", rows, draw, gpu_only=gpu_only, out=out)


if __name__ == "__main__":
    typer.run(main)
