"""What one new sample costs: a recurrent step, or the convolution over everything heard so far.

    python tests/bench/one_sample.py

The S4 paper's claim of 60 times faster generation, on a processor with one thread: one S4 layer of
H channels and N states, batch 1, frozen, with L elements heard.  `step` moves the state by one
element; `convolution` convolves the L elements again, by FFT with a kernel that is kept.  The paper
has whole models and a GPU.  Writes one_sample.json and its plot, and ends in the same as one line.
"""

import torch
from measure import NOT_MEASURED, Call, bars, cpu_seconds, write

from sssm.layers.s4 import S4
from sssm.ops.long_conv import long_conv

CHANNELS, STATES = 128, 64
LENGTHS = [784, 1024, 4096, 16_000]
"""784: pixels of the paper's images, 28 by 28."""


def often(call: Call, times: int) -> Call:
    def calls() -> None:
        for _ in range(times):
            call()

    return calls


@torch.inference_mode()
def row(length: int) -> dict:
    torch.manual_seed(0)
    layer = S4(channels=CHANNELS, state_size=STATES, sample_rate_hz=1.0).frozen()
    x = torch.randn(1, length, CHANNELS)
    K = layer.kernel(length).float()
    _, state = layer(x)
    last = x[:, -1]
    torch.testing.assert_close(
        (long_conv(x, K) + layer.D * x)[:, -1],
        layer.step(last, layer(x[:, :-1])[1])[0],
        rtol=1e-3,
        atol=1e-3,
    )
    steps, convolutions = 200, 5
    times = cpu_seconds(
        {
            "step": often(lambda: layer.step(last, state), steps),
            "convolution": often(lambda: long_conv(x, K), convolutions),
        }
    )
    step, whole = times["step"]["median_s"] / steps, times["convolution"]["median_s"] / convolutions
    return {"length": length, "step_s": step, "convolution_s": whole, "times_faster": whole / step}


def main() -> None:
    torch.set_num_threads(1)
    rows = [row(length) for length in LENGTHS]
    ratios = {f"{row['length']} heard": row["times_faster"] for row in rows}
    bars("one_sample", "Convolution over one recurrent step", ratios, unit="times")
    sizes = {"channels": CHANNELS, "state_size": STATES, "batch": 1, "paper_times": 60}
    write("one_sample", {**sizes, "rows": rows, "gpu": NOT_MEASURED})


if __name__ == "__main__":
    main()
