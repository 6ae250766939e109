"""The selective scan on a processor, one thread, beside a loop over time in Python and mambapy.

    python tests/bench/scans.py

(batch, length, D, N) = (8, 1000, 192, 16) in float32, without gate.  Forward under no_grad, and
forward with backward of every operand.  mambapy (`pip install --no-deps mambapy`) is not among the
packages of the project: where it is absent its row says "not measured".  Medians of five rounds in
one run, in which the forms take turns.  Writes scans.json and its plot, and ends in the same as one
line.
"""

import torch
from measure import NOT_MEASURED, Call, bars, measured, write
from torch import Tensor

from sssm.ops.selective_scan import selective_scan

BATCH, LENGTH, D, N = 8, 1000, 192, 16

try:
    from mambapy.pscan import pscan
except ImportError:
    pscan = None
    print("mambapy is not installed: its rows are not measured")


def operands() -> list[Tensor]:
    """x, dt, A, B, C, D."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(BATCH, LENGTH, D, generator=g)
    dt = 0.001 + 0.1 * torch.rand(BATCH, LENGTH, D, generator=g)
    A = -torch.arange(1.0, N + 1).repeat(D, 1)
    B, C = torch.randn(2, BATCH, LENGTH, N, generator=g)
    return [x, dt, A, B, C, torch.ones(D)]


def fused(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, skip: Tensor) -> Tensor:
    return selective_scan(x, dt, A, B, C, skip)[0]


def loop(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, skip: Tensor) -> Tensor:
    """Discretize at once, then one element after the other, as a reader of the paper writes it."""
    decay = torch.exp(dt[..., None] * A)
    driven = (dt * x)[..., None] * B[:, :, None]
    h, ys = torch.zeros_like(driven[:, 0]), []
    for a, b, c in zip(decay.unbind(1), driven.unbind(1), C.unbind(1), strict=True):
        h = a * h + b
        ys.append((h * c[:, None]).sum(dim=2))
    return torch.stack(ys, dim=1) + skip * x


def mambapy(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, skip: Tensor) -> Tensor:
    """The same around mambapy's scan, as its own layer calls it."""
    h = pscan(torch.exp(dt[..., None] * A), (dt[..., None] * B[:, :, None]) * x[..., None])
    return (h @ C[..., None])[..., 0] + skip * x


FORMS = {"sssm": fused, "loop": loop} | ({"mambapy": mambapy} if pscan else {})


def forward(form, inputs: list[Tensor]) -> Call:
    def call() -> None:
        with torch.no_grad():
            form(*inputs)

    return call


def with_backward(form, inputs: list[Tensor]) -> Call:
    def call() -> None:
        form(*inputs).square().sum().backward()
        for operand in inputs:
            operand.grad = None

    return call


def ratios(rows: dict) -> dict:
    """What the loop takes, over what ours takes."""
    return {
        "loop_over_sssm_time": rows["loop"]["median_s"] / rows["sssm"]["median_s"],
        "sssm_over_loop_peak": rows["sssm"]["peak_bytes"] / rows["loop"]["peak_bytes"],
    }


def main() -> None:
    torch.set_num_threads(1)
    inputs = operands()
    expected = loop(*inputs)
    for name, form in FORMS.items():
        torch.testing.assert_close(form(*inputs), expected, rtol=1e-3, atol=1e-3, msg=name)
    plain = measured({name: forward(form, inputs) for name, form in FORMS.items()})
    for operand in inputs:
        operand.requires_grad_()
    trained = measured({name: with_backward(form, inputs) for name, form in FORMS.items()})
    values = {
        f"{name}, {what}": 1e3 * rows[name]["median_s"]
        for what, rows in (("forward", plain), ("with backward", trained))
        for name in FORMS
    }
    bars("scans", "Selective scan (8, 1000, 192, 16)", values, unit="ms of one thread")
    absent = {} if pscan else {"mambapy": NOT_MEASURED}
    result = {
        "shape": {"batch": BATCH, "length": LENGTH, "D": D, "N": N},
        "forward": {**plain, **absent, **ratios(plain)},
        "forward_and_backward": {**trained, **absent, **ratios(trained)},
        "gpu": NOT_MEASURED,
    }
    write("scans", result)


if __name__ == "__main__":
    main()
