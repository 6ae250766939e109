"""Kernels beside what plain PyTorch does without them: time and peak memory over length.

    python tests/bench/kernels.py [--out assets/bench]

Three tables, on this machine's processor with one thread, and on its GPU where there is one:

    selective_scan  the operator, and discretize, scan by doubling, project as PyTorch calls that
                    store (batch, length, D, N); on a GPU also the share of the memory's bandwidth
                    and of the rate of exponentials that the operator reaches
    vandermonde     the operator, and the (H, N, L) table of powers summed over N
    cauchy          the operator, and the (H, N, L) table of quotients summed over N

Times are the median of several calls; peak bytes are what PyTorch allocates above the start.  Where
there is no GPU its rows say "not measured".  Writes kernels.json, and ends in the same as one line.
"""

import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import measure
import torch
import typer
from torch import Tensor

from sssm.ops.cauchy import cauchy
from sssm.ops.selective_scan import selective_scan
from sssm.ops.vandermonde import vandermonde

ROOT = Path(__file__).parents[2]
REPEATS = 5
EXPONENTIALS_A_CLOCK = 16
"""Of one multiprocessor of an NVIDIA GPU, compute capability 8.0 and 9.0."""

SCAN_LENGTHS = {"cpu": [512, 1024, 2048, 4096], "cuda": [2**k for k in range(9, 17)]}
SCAN_SHAPE = {"cpu": (1, 64, 16), "cuda": (8, 256, 16)}  # batch, D, N
KERNEL_LENGTHS = {"cpu": [1000, 4000, 16_000], "cuda": [1000, 4000, 16_000, 64_000]}
KERNEL_SHAPE = {"cpu": (16, 32), "cuda": (128, 32)}  # H, N


def scan_operands(device: str, length: int) -> list[Tensor]:
    batch, D, N = SCAN_SHAPE[device]
    g = torch.Generator().manual_seed(0)
    x, z = (torch.randn(batch, length, D, generator=g) for _ in range(2))
    dt = 0.001 + 0.1 * torch.rand(batch, length, D, generator=g)
    A = -torch.arange(1.0, N + 1).repeat(D, 1)
    B, C = (torch.randn(batch, length, N, generator=g) for _ in range(2))
    return [t.to(device) for t in (x, dt, A, B, C, torch.ones(D), z)]


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


def seconds(call: Callable[[], object], device: str) -> float:
    def once() -> float:
        start = time.perf_counter()
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    once()
    return statistics.median(once() for _ in range(REPEATS))


def peak_bytes(call: Callable[[], object], device: str) -> int:
    """Most that PyTorch held at once during the call, above what it held before."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return torch.cuda.max_memory_allocated() - before
    return measure.peak_bytes(call)


def gpu_limits() -> tuple[float, float]:
    """Bytes a second of a copy in its memory, measured, and exponentials a second, by its clock."""
    source = torch.empty(1 << 28, device="cuda")
    target = torch.empty_like(source)
    bandwidth = 2 * source.nbytes / seconds(lambda: target.copy_(source), "cuda")
    query = ["nvidia-smi", "--query-gpu=clocks.max.sm", "--format=csv,noheader,nounits"]
    clock_mhz = float(subprocess.run(query, capture_output=True, text=True, check=True).stdout)
    count = torch.cuda.get_device_properties(0).multi_processor_count
    return bandwidth, count * EXPONENTIALS_A_CLOCK * clock_mhz * 1e6


def compared(
    ours: Callable[[], object], plain: Callable[[], object], device: str
) -> dict[str, float]:
    return {
        "seconds": seconds(ours, device),
        "plain_seconds": seconds(plain, device),
        "peak_bytes": peak_bytes(ours, device),
        "plain_peak_bytes": peak_bytes(plain, device),
    }


def scan_rows(device: str) -> list[dict[str, Any]]:
    limits = gpu_limits() if device == "cuda" else None
    batch, D, N = SCAN_SHAPE[device]
    rows = []
    for length in SCAN_LENGTHS[device]:
        inputs = scan_operands(device, length)
        row: dict[str, Any] = {"batch": batch, "length": length, "D": D, "N": N}
        row |= compared(
            lambda: selective_scan(*inputs),  # noqa: B023 -- called at once
            lambda: unfused_scan(*inputs),  # noqa: B023
            device,
        )
        if limits:
            read_and_written = sum(t.nbytes for t in inputs) + inputs[0].nbytes
            exponentials = batch * length * D * (N + 1)  # the gate is one more
            row["share_of_bandwidth"] = read_and_written / row["seconds"] / limits[0]
            row["share_of_exponentials"] = exponentials / row["seconds"] / limits[1]
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
def measured(device: str) -> dict[str, Any]:
    powers, quotients = kernel_rows(device)
    return {"selective_scan": scan_rows(device), "vandermonde": powers, "cauchy": quotients}


def main(out: Annotated[Path, typer.Option(help="Folder of the result.")] = ROOT / "assets/bench"):
    """Time and peak memory of three operators beside plain PyTorch."""
    torch.set_num_threads(1)
    head = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(head, capture_output=True, text=True, check=False).stdout.strip()
    gpu: Any = "not measured"
    if torch.cuda.is_available():
        gpu = {"machine": torch.cuda.get_device_name(), **measured("cuda")}
    result = {
        "command": "python tests/bench/kernels.py",
        "commit": commit,
        "torch": torch.__version__,
        "cpu": {"machine": platform.machine(), "threads": 1, **measured("cpu")},
        "gpu": gpu,
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "kernels.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    typer.run(main)
