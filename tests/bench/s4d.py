"""S4D over long audio, beside the Fourier convolution that it needs.

    python tests/bench/s4d.py [--gpu-only] [--out FOLDER]

(batch, H, N, L) = (4, 128, 64, 16000) in float32, forward, and with backward, on one thread of this
machine's processor, and on its GPU where there is one:

    convolution   the FFT convolution alone, with a kernel that is given: the floor
    output        `vandermonde` and `long_conv`: the kernel from its modes, and the output
    with_state    `diagonal_ssm`: the output from a first state, and the last state
    plain         the kernel by the paper's formula, with the table of all powers, and the
                  convolution (H, N and L numbers at once: 1 GB)

and the two forms of `diagonal_ssm`, the loop and the convolution, at several shapes, in time of one
over the other: this is where its choice between them comes from.  Medians of five rounds in one
run, in which the forms take turns (of one and two, for `plain` and the shapes), and of more on a
GPU.  Writes s4d.json and its plots, and ends in the same as one line.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import typer
from measure import (
    OUT,
    UNIT,
    Call,
    GpuOnly,
    Out,
    bars,
    measured,
    milliseconds,
    over,
    run,
    timed,
)
from torch import Tensor

from sssm.ops import diagonal_ssm as operator
from sssm.ops.diagonal_ssm import diagonal_ssm
from sssm.ops.diagonal_ssm.parallel import diagonal_ssm_parallel
from sssm.ops.long_conv import long_conv
from sssm.ops.vandermonde import vandermonde

SHAPE = (4, 128, 64, 16_000)
SHAPES = [(4, 128, 16, 4_000), (4, 128, 32, 4_000), (4, 128, 64, 4_000), (4, 128, 64, 1_000)]
SHAPES += [(1, 128, 64, 4_000), (1, 128, 32, 16_000), (1, 128, 8, 4_000), (64, 128, 8, 200)]

WAYS = ("forward", "forward_and_backward")
FORMS = ("convolution", "output", "with_state", "plain")

Form = Callable[..., tuple[Tensor, ...]]


def operands(shape: tuple[int, int, int, int], device: str) -> list[Tensor]:
    """x, dA, B, C, h0."""
    batch, H, N, length = shape
    g = torch.Generator().manual_seed(0)
    x = torch.randn(batch, length, H, generator=g)
    radius = 1 - 0.01 * torch.rand(H, N, generator=g)
    dA = torch.polar(radius, 3.1 * torch.rand(H, N, generator=g))
    B, C = torch.randn(2, H, N, generator=g, dtype=torch.complex64)
    h0 = torch.randn(batch, H, N, generator=g, dtype=torch.complex64)
    return [operand.to(device) for operand in (x, dA, B, C, h0)]


def output(x: Tensor, dA: Tensor, B: Tensor, C: Tensor) -> tuple[Tensor]:
    return (long_conv(x, vandermonde(B * C, dA, x.shape[1])),)


def plain(x: Tensor, dA: Tensor, B: Tensor, C: Tensor) -> tuple[Tensor]:
    """K_l = 2 Re sum_n C_n dA_n^l dB_n, and y = K * x (arXiv:2206.11893, section 3.2)."""
    length = x.shape[1]
    powers = torch.exp(torch.log(dA)[..., None] * torch.arange(length, device=x.device))
    K = 2 * torch.einsum("hn,hnl->hl", B * C, powers).real
    return convolution(x, K)


def convolution(x: Tensor, K: Tensor) -> tuple[Tensor]:
    length = x.shape[1]
    spectrum = torch.fft.rfft(x, 2 * length, dim=1) * torch.fft.rfft(K.T, 2 * length, dim=0)
    return (torch.fft.irfft(spectrum, 2 * length, dim=1)[:, :length],)


def forward(form: Form, inputs: list[Tensor]) -> Call:
    def call() -> None:
        with torch.no_grad():
            form(*inputs)

    return call


def with_backward(form: Form, inputs: list[Tensor]) -> Call:
    leaves = [operand.clone().requires_grad_() for operand in inputs]

    def call() -> None:
        torch.stack([part.abs().square().sum() for part in form(*leaves)]).sum().backward()
        for leaf in leaves:
            leaf.grad = None

    return call


def loop(*inputs: Tensor) -> tuple[Tensor, Tensor]:
    return operator._scan(*inputs)


def shapes(way: Callable[[Form, list[Tensor]], Call], device: str) -> dict[str, float | None]:
    """Time of the loop over that of the convolution."""
    found = {}
    for shape in SHAPES:
        inputs = operands(shape, device)
        calls = {"loop": way(loop, inputs), "conv": way(diagonal_ssm_parallel, inputs)}
        times = timed(calls, device, rounds=2)
        found[str(shape)] = over(times["loop"], times["conv"], "least_s")
    return found


def forms(way: Callable[[Form, list[Tensor]], Call], device: str) -> dict[str, Any]:
    inputs = operands(SHAPE, device)
    K = torch.randn(SHAPE[1], SHAPE[3], generator=torch.Generator().manual_seed(1)).to(device)
    calls = {
        "convolution": way(convolution, [inputs[0], K]),
        "output": way(output, inputs[:4]),
        "with_state": way(diagonal_ssm, inputs),
    }
    found = measured(calls, device)
    found |= measured({"plain": way(plain, inputs[:4])}, device, rounds=1)
    floor = found["convolution"]
    ratios = {
        f"{name}_over_convolution": over(row, floor, "median_s") for name, row in found.items()
    }
    return {**found, **ratios, "loop_over_convolution_at": shapes(way, device)}


def rows(device: str) -> dict[str, Any]:
    inputs = operands((1, 2, 4, 300), device)
    torch.testing.assert_close(output(*inputs[:4]), plain(*inputs[:4]), rtol=1e-3, atol=1e-3)
    result: dict[str, Any] = {
        "shape": dict(zip(("batch", "H", "N", "length"), SHAPE, strict=True)),
    }
    for name, way in zip(WAYS, (forward, with_backward), strict=True):
        result[name] = forms(way, device)
    return result


def draw(name: str, result: dict[str, Any], device: str, out: Path) -> None:
    values = {
        f"{form}, {way.replace('_', ' ')}": milliseconds(result[way][form])
        for way in WAYS
        for form in FORMS
    }
    bars(name, f"S4D, (batch, H, N, L) = {SHAPE}", values, unit=UNIT[device], out=out)


def main(gpu_only: GpuOnly = False, out: Out = OUT) -> None:
    """Time and peak memory of S4D over a second of audio."""
    run("s4d", rows, draw, gpu_only=gpu_only, out=out)


if __name__ == "__main__":
    typer.run(main)
