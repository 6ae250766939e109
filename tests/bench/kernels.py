"""Kernels beside what plain PyTorch does without them: time and peak memory over length.

    python tests/bench/kernels.py [--gpu-only] [--out FOLDER]

Three tables, on one thread of this machine's processor, and on its GPU where there is one:

    selective_scan  the operator, and discretize, scan by doubling, project as PyTorch calls that
                    store (batch, length, D, N); on a GPU also the operator recorded as a CUDA
                    graph, all its launches without the time to make them, and the shares of the
                    memory's bandwidth and of the rate of exponentials that this reaches
    vandermonde     the operator, and the (H, N, L) table of powers summed over N
    cauchy          the operator, and the (H, N, L) table of quotients summed over N

Writes kernels.json and its plots, and ends in the same as one line.
"""

import subprocess
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
    recorded,
    run,
    timed,
)
from torch import Tensor

from sssm.ops.cauchy import cauchy
from sssm.ops.selective_scan import selective_scan
from sssm.ops.vandermonde import vandermonde

EXPONENTIALS_A_CLOCK = 16
"""Of one multiprocessor of an NVIDIA GPU, compute capability 8.0 and 9.0."""

SCAN_SHAPES = {
    "cpu": [(8, 512, 64), (4, 1024, 64), (2, 2048, 64), (1, 4096, 64)],
    "cuda": [
        *[(128, 512, 1024), (32, 2048, 1024), (8, 8192, 1024), (1, 65_536, 1024)],
        (64, 16_000, 256),
    ],
}
"""(batch, length, D): as many elements in fewer and longer sequences; then one second of audio."""
SCAN_STATES = 16
KERNEL_LENGTHS = {"cpu": [1000, 4000, 16_000], "cuda": [1000, 4000, 16_000, 64_000]}
KERNEL_SHAPE = {"cpu": (16, 32), "cuda": (128, 32)}  # H, N


def scan_operands(device: str, batch: int, length: int, D: int) -> list[Tensor]:
    N = SCAN_STATES
    g = torch.Generator(device).manual_seed(0)
    x, z = (torch.randn(batch, length, D, generator=g, device=device) for _ in range(2))
    dt = 0.001 + 0.1 * torch.rand(batch, length, D, generator=g, device=device)
    A = -torch.arange(1.0, N + 1, device=device).repeat(D, 1)
    B, C = (torch.randn(batch, length, N, generator=g, device=device) for _ in range(2))
    return [x, dt, A, B, C, torch.ones(D, device=device), z]


def unfused_scan(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor
) -> Tensor:
    """The selective scan as one PyTorch call after the other, the scan by doubling."""
    decay = torch.exp(dt[..., None] * A)
    h = (dt * x)[..., None] * B[:, :, None]
    reach = 1
    while reach < x.shape[1]:
        h = torch.cat([h[:, :reach], h[:, reach:] + decay[:, reach:] * h[:, :-reach]], dim=1)
        decay = torch.cat([decay[:, :reach], decay[:, reach:] * decay[:, :-reach]], dim=1)
        reach *= 2
    return ((h * C[:, :, None]).sum(dim=3) + D * x) * torch.nn.functional.silu(z)


def modes(device: str) -> tuple[Tensor, Tensor]:
    H, N = KERNEL_SHAPE[device]
    g = torch.Generator().manual_seed(0)
    radius = 1 - 0.01 * torch.rand(H, N, generator=g)
    poles = torch.polar(radius, 3.1 * torch.rand(H, N, generator=g))
    return torch.randn(H, N, generator=g, dtype=torch.complex64).to(device), poles.to(device)


def plain_vandermonde(C: Tensor, dA: Tensor, length: int) -> Tensor:
    powers = torch.exp(torch.log(dA)[..., None] * torch.arange(length, device=dA.device))
    return 2 * (C[..., None] * powers).sum(dim=1).real


def plain_cauchy(v: Tensor, z: Tensor, w: Tensor) -> Tensor:
    quotients = v[..., None] / (z - w[..., None])
    return (quotients + v.conj()[..., None] / (z - w.conj()[..., None])).sum(dim=2)


def gpu_limits() -> tuple[float, float]:
    """Bytes a second of a copy in its memory, measured, and exponentials a second, by its clock."""
    source = torch.empty(1 << 28, device="cuda")
    target = torch.empty_like(source)
    copy = timed({"copy": lambda: target.copy_(source)}, "cuda")["copy"]
    bandwidth = 2 * source.nbytes / copy["median_s"]
    query = ["nvidia-smi", "--id=0", "--query-gpu=clocks.max.sm", "--format=csv,noheader,nounits"]
    clock_mhz = float(subprocess.run(query, capture_output=True, text=True, check=True).stdout)
    count = torch.cuda.get_device_properties(0).multi_processor_count
    return bandwidth, count * EXPONENTIALS_A_CLOCK * clock_mhz * 1e6


def compared(ours: Call, plain: Call, device: str) -> dict[str, Any]:
    rows = measured({"ours": ours, "plain": plain}, device)
    return {
        **rows,
        "times_faster": over(rows["plain"], rows["ours"], "median_s"),
        "share_of_memory": over(rows["ours"], rows["plain"], "peak_bytes"),
    }


def scan_rows(device: str) -> list[dict[str, Any]]:
    limits = gpu_limits() if device == "cuda" else None
    rows = []
    for batch, length, D in SCAN_SHAPES[device]:
        inputs = scan_operands(device, batch, length, D)
        row: dict[str, Any] = {"batch": batch, "length": length, "D": D, "N": SCAN_STATES}
        row |= compared(
            lambda: selective_scan(*inputs),  # noqa: B023 -- called at once
            lambda: unfused_scan(*inputs),  # noqa: B023
            device,
        )
        if limits and "median_s" in row["ours"]:
            graph = recorded(lambda: selective_scan(*inputs))  # noqa: B023
            row |= timed({"ours_as_graph": graph}, device)
            seconds = row["ours_as_graph"]["median_s"]
            read_and_written = sum(t.nbytes for t in inputs) + inputs[0].nbytes
            exponentials = batch * length * D * (SCAN_STATES + 1)  # the gate is one more
            row["share_of_bandwidth"] = read_and_written / seconds / limits[0]
            row["share_of_exponentials"] = exponentials / seconds / limits[1]
        rows.append(row)
    return rows


def kernel_rows(device: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    v, poles = modes(device)
    H, N = v.shape
    powers, quotients = [], []
    for length in KERNEL_LENGTHS[device]:
        sizes = {"length": length, "H": H, "N": N}
        row = compared(
            lambda: vandermonde(v, poles, length),  # noqa: B023 -- called at once
            lambda: plain_vandermonde(v, poles, length),  # noqa: B023
            device,
        )
        powers.append({**sizes, **row, "output_bytes": 4 * H * length})
        angle = torch.arange(length, device=device) * (6.283185307179586 / length)
        z = torch.polar(torch.ones_like(angle), angle)
        row = compared(
            lambda: cauchy(v[None], z, poles),  # noqa: B023
            lambda: plain_cauchy(v[None], z, poles),  # noqa: B023
            device,
        )
        quotients.append({**sizes, **row, "output_bytes": 8 * H * length})
    return powers, quotients


@torch.inference_mode()
def rows(device: str) -> dict[str, Any]:
    powers, quotients = kernel_rows(device)
    return {"selective_scan": scan_rows(device), "vandermonde": powers, "cauchy": quotients}


def draw(name: str, result: dict[str, Any], device: str, out: Path) -> None:
    values = {
        f"{op}, {row['length']:,}{plain}": milliseconds(row["plain" if plain else "ours"])
        for op in ("selective_scan", "vandermonde", "cauchy")
        for row in result[op]
        for plain in ("", ", plain PyTorch")
    }
    for row in result["selective_scan"]:
        if "ours_as_graph" in row:
            label = f"selective_scan, {row['length']:,}, as a graph"
            values[label] = milliseconds(row["ours_as_graph"])
    bars(name, "Kernels beside plain PyTorch", values, unit=UNIT[device], out=out)


def main(gpu_only: GpuOnly = False, out: Out = OUT) -> None:
    """Time and peak memory of three operators beside plain PyTorch."""
    run("kernels", rows, draw, gpu_only=gpu_only, out=out)


if __name__ == "__main__":
    typer.run(main)
