"""Time and memory of one layer over the length of its input, 2^10 to 2^20 elements.

    python tests/bench/lengths.py [--gpu-only] [--out FOLDER]

The papers' claim that both grow linearly: S4D, S4 (its parallel form) and Mamba, of H channels and
N states, and causal attention of torch, which mixes the input with itself and has no weights.
Attention's time grows quadratically, its memory does not: the (length, length) table is never
stored.  Batch 1, forward under inference_mode in float32, on one thread of this machine's
processor, and on its GPU where there is one; medians of three rounds, of one for long inputs, and
of more on a GPU.  A form stops where, by its last length, four times as much would exceed `MOST_S`
or `MOST_BYTES`, and attention after `ATTENTION_UNTIL` elements; its rows say so.  Slopes are of
log time and log memory over log length, fitted over a form's last three lengths: 1 is linear, 2
quadratic.  Writes lengths.json and its plots, and ends in the same as one line.
"""

import functools
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
import typer
from against_attention import HEADS, fused
from measure import NOT_MEASURED, OUT, UNIT, GpuOnly, Out, drawing, measured, run, save
from torch import Tensor, nn

from sssm.layers.mamba import Mamba
from sssm.layers.s4 import S4
from sssm.layers.s4d import S4D

CHANNELS, STATES = 16, 8
GROWTH = 4
LENGTHS = [1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20]
LONG, FITTED = 1 << 14, 3
"""From where one round is enough, and the lengths that a slope is fitted over."""
ATTENTION_UNTIL, MOST_S, MOST_BYTES = 1 << 14, 30, 4e9
FORMS = {"s4d": "S4D", "s4": "S4", "mamba": "Mamba", "attention": "attention"}


class Attention(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        heads = x.unflatten(2, (HEADS, -1)).transpose(1, 2)
        return fused(heads, heads, heads).transpose(1, 2).flatten(2)


def models() -> dict[str, nn.Module]:
    sizes = {"channels": CHANNELS, "sample_rate_hz": 1.0, "dt_min": 1e-3, "dt_max": 1e-1}
    return {
        "s4d": S4D(state_size=STATES // 2, **sizes),  # one of each conjugate pair
        "s4": S4(state_size=STATES, **sizes),
        "mamba": Mamba(channels=CHANNELS, state_size=STATES),
        "attention": Attention(),
    }


def too_long(name: str, length: int, before: dict[str, Any] | None) -> str | None:
    """Why a form is not measured at a length, `before` being its row of the last one."""
    if name == "attention" and length > ATTENTION_UNTIL:
        return f"{NOT_MEASURED}: longer than {ATTENTION_UNTIL}"
    if before is None:
        return None
    if "median_s" not in before:
        return f"{NOT_MEASURED}: nor was a shorter one"
    seconds, size = GROWTH * before["median_s"], GROWTH * before["peak_bytes"]
    if seconds > MOST_S or size > MOST_BYTES:
        return f"{NOT_MEASURED}: {seconds:.0f} s and {size / 1e9:.1f} GB by the last length"
    return None


@torch.inference_mode()
def rows(device: str) -> dict[str, Any]:
    torch.manual_seed(0)
    layers = {name: model.to(device) for name, model in models().items()}
    found: list[dict[str, Any]] = []
    for length in LENGTHS:
        x = torch.randn(1, length, CHANNELS).to(device)
        before = found[-1] if found else {}
        reasons = {name: too_long(name, length, before.get(name)) for name in layers}
        calls = {
            name: functools.partial(layer, x)
            for name, layer in layers.items()
            if reasons[name] is None
        }
        row = measured(calls, device, rounds=1 if length > LONG else 3)
        absent = {name: {"reason": reason} for name, reason in reasons.items() if reason}
        found.append({"length": length, **row, **absent})
    return {
        "channels": CHANNELS,
        "state_size": STATES,
        "slopes": {name: slopes(found, name) for name in layers},
        "rows": found,
    }


def line(found: list[dict[str, Any]], name: str, key: str) -> tuple[list[int], list[float]]:
    """Lengths at which a form was measured, and what was."""
    known = [row for row in found if key in row[name]]
    return [row["length"] for row in known], [row[name][key] for row in known]


def slopes(found: list[dict[str, Any]], name: str) -> dict[str, float]:
    def slope(key: str) -> float:
        lengths, values = (np.log(part[-FITTED:]) for part in line(found, name, key))
        return float(np.polyfit(lengths, values, 1)[0])

    return {"time": slope("median_s"), "memory": slope("peak_bytes")}


def draw(name: str, result: dict[str, Any], device: str, out: Path) -> None:
    figure, (both,) = drawing(10, 4.2, panels=2)
    panels = [
        ("time", "median_s", 1e3, UNIT[device]),
        ("memory", "peak_bytes", 1e-6, "MB at most"),
    ]
    for axes, (what, key, scale, unit) in zip(both, panels, strict=True):
        for form, label in FORMS.items():
            lengths, values = line(result["rows"], form, key)
            label = f"{label}, slope {result['slopes'][form][what]:.2f}"
            axes.plot(lengths, [scale * value for value in values], "o-", label=label)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(LENGTHS, [f"$2^{{{math.log2(length):.0f}}}$" for length in LENGTHS])
        axes.set_xlabel("elements")
        axes.set_ylabel(unit)
        axes.set_title(f"{what.capitalize()} of one layer, {CHANNELS} channels", fontsize=10)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=9)
    save(figure, name, out)


def main(gpu_only: GpuOnly = False, out: Out = OUT) -> None:
    """Time and peak memory of S4D, S4, Mamba and attention over length."""
    run("lengths", rows, draw, gpu_only=gpu_only, out=out)


if __name__ == "__main__":
    typer.run(main)
