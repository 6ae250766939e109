"""S4D over long audio on a processor, one thread, beside the Fourier convolution that it needs.

    python tests/bench/s4d.py

(batch, H, N, L) = (4, 128, 64, 16000) in float32, forward, and with backward:

    convolution   the FFT convolution alone, with a kernel that is given: the floor
    output        `vandermonde` and `long_conv`: the kernel from its modes, and the output
    with_state    `diagonal_ssm`: the output from a first state, and the last state
    plain         the kernel by the paper's formula, with the table of all powers, and the
                  convolution (H, N and L numbers at once: 1 GB)

and the two forms of `diagonal_ssm`, the loop and the convolution, at several shapes, in processor
time of one over the other: this is where its choice between them comes from.  Medians of five
rounds in one run, in which the forms take turns (of two, for `plain` and the shapes).  Writes
s4d.json and its plot, and ends in the same as one line.
"""

from collections.abc import Callable

import torch
from measure import NOT_MEASURED, Call, bars, cpu_seconds, measured, write
from torch import Tensor

from sssm.ops import diagonal_ssm as operator
from sssm.ops.diagonal_ssm import diagonal_ssm
from sssm.ops.diagonal_ssm.parallel import diagonal_ssm_parallel
from sssm.ops.long_conv import long_conv
from sssm.ops.vandermonde import vandermonde

SHAPE = (4, 128, 64, 16_000)
SHAPES = [(4, 128, 16, 4_000), (4, 128, 32, 4_000), (4, 128, 64, 4_000), (4, 128, 64, 1_000)]
SHAPES += [(1, 128, 64, 4_000), (1, 128, 32, 16_000)]

Form = Callable[..., tuple[Tensor, ...]]


def operands(shape: tuple[int, int, int, int]) -> list[Tensor]:
    """x, dA, B, C, h0."""
    batch, H, N, length = shape
    g = torch.Generator().manual_seed(0)
    x = torch.randn(batch, length, H, generator=g)
    radius = 1 - 0.01 * torch.rand(H, N, generator=g)
    dA = torch.polar(radius, 3.1 * torch.rand(H, N, generator=g))
    B, C = torch.randn(2, H, N, generator=g, dtype=torch.complex64)
    return [x, dA, B, C, torch.randn(batch, H, N, generator=g, dtype=torch.complex64)]


def output(x: Tensor, dA: Tensor, B: Tensor, C: Tensor) -> tuple[Tensor]:
    return (long_conv(x, vandermonde(B * C, dA, x.shape[1])),)


def plain(x: Tensor, dA: Tensor, B: Tensor, C: Tensor) -> tuple[Tensor]:
    """K_l = 2 Re sum_n C_n dA_n^l dB_n, and y = K * x (arXiv:2206.11893, section 3.2)."""
    length = x.shape[1]
    powers = torch.exp(torch.log(dA)[..., None] * torch.arange(length))
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


def shapes(way: Callable[[Form, list[Tensor]], Call]) -> dict[str, float]:
    """Time of the loop over that of the convolution."""
    found = {}
    for shape in SHAPES:
        inputs = operands(shape)
        calls = {"loop": way(loop, inputs), "conv": way(diagonal_ssm_parallel, inputs)}
        times = cpu_seconds(calls, rounds=2)
        found[str(shape)] = times["loop"]["least_s"] / times["conv"]["least_s"]
    return found


def rows(way: Callable[[Form, list[Tensor]], Call]) -> dict:
    inputs = operands(SHAPE)
    K = torch.randn(SHAPE[1], SHAPE[3], generator=torch.Generator().manual_seed(1))
    calls = {
        "convolution": way(convolution, [inputs[0], K]),
        "output": way(output, inputs[:4]),
        "with_state": way(diagonal_ssm, inputs),
    }
    found = measured(calls) | measured({"plain": way(plain, inputs[:4])}, rounds=1)
    floor = found["convolution"]["median_s"]
    over = {f"{name}_over_convolution": row["median_s"] / floor for name, row in found.items()}
    return {**found, **over, "loop_over_convolution_at": shapes(way)}


def main() -> None:
    torch.set_num_threads(1)
    inputs = operands((1, 2, 4, 300))
    torch.testing.assert_close(output(*inputs[:4]), plain(*inputs[:4]), rtol=1e-3, atol=1e-3)
    found = {"forward": rows(forward), "forward_and_backward": rows(with_backward)}
    values = {
        f"{name}, {what.replace('_', ' ')}": 1e3 * row[name]["median_s"]
        for what, row in found.items()
        for name in ("convolution", "output", "with_state", "plain")
    }
    bars("s4d", f"S4D, (batch, H, N, L) = {SHAPE}", values, unit="ms of one thread")
    shape = dict(zip(("batch", "H", "N", "length"), SHAPE, strict=True))
    write("s4d", {"shape": shape, **found, "gpu": NOT_MEASURED})


if __name__ == "__main__":
    main()
