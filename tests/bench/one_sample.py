"""What one new sample costs: a recurrent step, or the convolution over everything heard so far.

    python tests/bench/one_sample.py [--gpu-only] [--out FOLDER]

The S4 paper's claim of 60 times faster generation: one S4 layer of H channels and N states, frozen,
with L elements heard, with batch 1 on one thread of this machine's processor, and with batch 1 and
64 on its GPU where there is one.  `step` moves the state by one element; `convolution` convolves
the L elements again, by FFT with a kernel that is kept.  On a GPU also each of them recorded once
as a CUDA graph, which leaves out the time to launch its kernels one by one.  The paper has whole
models and a GPU.  Writes one_sample.json and its plots, and ends in the same as one line.
"""

from pathlib import Path
from typing import Any

import torch
import typer
from measure import OUT, Call, GpuOnly, Out, bars, recorded, run, timed
from torch import Tensor

from sssm.layers.s4 import S4
from sssm.ops.long_conv import long_conv

CHANNELS, STATES = 128, 64
BATCHES = {"cpu": [1], "cuda": [1, 64]}
LENGTHS = [784, 1024, 4096, 16_000]
"""784: pixels of the paper's images, 28 by 28."""
STEPS, CONVOLUTIONS = 200, 5
"""Calls that are timed as one."""


def often(call: Call, times: int) -> Call:
    def calls() -> None:
        for _ in range(times):
            call()

    return calls


def compared(step: Call, convolution: Call, device: str) -> dict[str, float]:
    calls = {"step": often(step, STEPS), "convolution": often(convolution, CONVOLUTIONS)}
    times = timed(calls, device)
    one, whole = times["step"]["median_s"] / STEPS, times["convolution"]["median_s"] / CONVOLUTIONS
    return {"step_s": one, "convolution_s": whole, "times_faster": whole / one}


@torch.inference_mode()
def row(batch: int, length: int, device: str) -> dict[str, Any]:
    torch.manual_seed(0)
    layer = S4(channels=CHANNELS, state_size=STATES, sample_rate_hz=1.0).to(device).frozen()
    x = torch.randn(batch, length, CHANNELS).to(device)
    K = layer.kernel(length).float()
    _, state = layer(x)
    last = x[:, -1].clone()
    torch.testing.assert_close(
        (long_conv(x, K) + layer.D * x)[:, -1],
        layer.step(last, layer(x[:, :-1])[1])[0],
        rtol=1e-3,
        atol=1e-3,
    )

    def step() -> Tensor:
        return layer.step(last, state)[0]

    def convolution() -> Tensor:
        return long_conv(x, K)

    found: dict[str, Any] = {
        "length": length,
        "batch": batch,
        **compared(step, convolution, device),
    }
    if device == "cuda":
        found["graphs"] = compared(recorded(step), recorded(convolution), device)
    return found


def rows(device: str) -> dict[str, Any]:
    sizes = [(batch, length) for batch in BATCHES[device] for length in LENGTHS]
    return {
        "channels": CHANNELS,
        "state_size": STATES,
        "paper_times": 60,
        "rows": [row(batch, length, device) for batch, length in sizes],
    }


def draw(name: str, result: dict[str, Any], device: str, out: Path) -> None:
    ratios = {}
    for found in result["rows"]:
        label = f"{found['length']} heard, batch {found['batch']}"
        ratios[label] = found["times_faster"]
        if "graphs" in found:
            ratios[f"{label}, graphs"] = found["graphs"]["times_faster"]
    bars(name, "Convolution over one recurrent step", ratios, unit="times", out=out)


def main(gpu_only: GpuOnly = False, out: Out = OUT) -> None:
    """Time of one recurrent step of S4, and of the convolution that it spares."""
    run("one_sample", rows, draw, gpu_only=gpu_only, out=out)


if __name__ == "__main__":
    typer.run(main)
