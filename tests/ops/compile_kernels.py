"""Compiles every Triton kernel for GPUs that are not here, as its launcher would launch it.

    python tests/ops/compile_kernels.py

A launch is caught, compiled with the types and alignments of its operands, and not run; operands of
real sizes are on the meta device and take no memory.  One JSON line a kernel: what it was launched
for, compute capability, warps, registers a thread, bytes spilled (0 is right), bytes of shared
memory, copies that run ahead of the loop, and the arguments that are passed as a float32.
Not under TRITON_INTERPRET, so in a process of its own.
"""

import json
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import triton.backends.nvidia
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from sssm.ops.cauchy.kernel import cauchy_backward_triton, cauchy_triton
from sssm.ops.causal_conv.kernel import causal_conv_backward_triton, causal_conv_triton
from sssm.ops.diagonal_ssm.kernel import diagonal_ssm_backward_triton, diagonal_ssm_triton
from sssm.ops.filterbank.kernel import scan_backward_triton, scan_triton
from sssm.ops.linear_scan.kernel import linear_scan_triton
from sssm.ops.selective_scan.kernel import (
    selective_scan_backward_triton,
    selective_scan_triton,
)
from sssm.ops.state_update.kernel import state_update_backward_triton, state_update_triton
from sssm.ops.vandermonde.kernel import vandermonde_backward_triton, vandermonde_triton

CUOBJDUMP = Path(triton.backends.nvidia.__file__).parent / "bin/cuobjdump"


class AbsentGpu:
    """What Triton asks of a driver before it compiles."""

    def __init__(self, capability: int):
        self.capability = capability

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", self.capability, 32)

    def get_current_device(self) -> int:
        return self.capability  # one cache of compiled kernels each

    def get_current_stream(self, device: int) -> int:
        return 0


def operand(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def selective_operands(dtype: torch.dtype, N: int, *, gate: bool, batch: int = 8) -> list[Any]:
    x, B = operand(batch, 1000, 192, dtype=dtype), operand(batch, 1000, N, dtype=dtype)
    return [x, x, operand(192, N), B, B, operand(192), x if gate else None, operand(batch, 192, N)]


def selective_forward(*inputs: Any) -> Tensor:
    """The marks."""
    selective_scan_triton(*inputs, 0.01, 16, False)
    return selective_scan_triton(*inputs, 0.01, 16, True)[2]


def selective(dtype: torch.dtype, N: int, *, gate: bool) -> None:
    *inputs, h0 = selective_operands(dtype, N, gate=gate)
    marks = selective_forward(*inputs, h0)
    selective_scan_backward_triton(*inputs, 0.01, 16, marks, inputs[0], h0)


def many_rows(N: int) -> None:
    selective_forward(*selective_operands(torch.float32, N, gate=True, batch=256))


def diagonal(dtype: torch.dtype, N: int) -> None:
    x, A = operand(256, 200, 128, dtype=dtype), operand(128, N, dtype=dtype.to_complex())
    y, h = diagonal_ssm_triton(x, A, A, A, operand(256, 128, N, dtype=A.dtype))
    diagonal_ssm_backward_triton(x, A, A, A, h, y, h)


def linear(dtype: torch.dtype) -> None:
    a = operand(2, 1000, 100, dtype=dtype)
    linear_scan_triton(a, a, operand(2, 100, dtype=dtype))


def vandermonde() -> None:
    C = operand(128, 32, dtype=torch.complex64)
    vandermonde_backward_triton(C, C, vandermonde_triton(C, C, 16_000))


def cauchy(dtype: torch.dtype) -> None:
    v, w = operand(4, 128, 32, dtype=dtype), operand(128, 32, dtype=dtype)
    z = operand(8001, dtype=dtype)
    cauchy_backward_triton(v, z, w, cauchy_triton(v, z, w))


def filterbank() -> None:
    carry, start = operand(401, 4, 64), operand(8, 4, 64)
    energy, h = scan_triton(operand(8, 401, 256), carry, start)
    scan_backward_triton(h, carry, start, energy, h)


def causal_conv(dtype: torch.dtype) -> None:
    x, weight = operand(8, 1000, 192, dtype=dtype), operand(192, 4)
    y, tail = causal_conv_triton(x, weight, operand(192), operand(8, 3, 192, dtype=dtype))
    causal_conv_backward_triton(x, weight, tail, y, tail)


def state_update() -> None:
    x, A, B, h = operand(64, 192), operand(192, 16), operand(64, 16), operand(64, 192, 16)
    D = operand(192)
    y, h = state_update_triton(x, x, A, B, B, D, x, h, 0.01)
    state_update_backward_triton(x, x, A, B, B, D, x, h, 0.01, y, h)


LAUNCHES: dict[str, Callable[[], object]] = {
    "selective_scan float32, gate": lambda: selective(torch.float32, 16, gate=True),
    "selective_scan bfloat16, gate": lambda: selective(torch.bfloat16, 16, gate=True),
    "selective_scan float32, N = 64": lambda: selective(torch.float32, 64, gate=False),
    "selective_scan float32, N = 256": lambda: selective(torch.float32, 256, gate=True),
    "selective_scan float32, gate, many rows": lambda: many_rows(16),
    "selective_scan float32, N = 32, many rows": lambda: many_rows(32),
    "selective_scan float32, N = 64, many rows": lambda: many_rows(64),
    "selective_scan float32, N = 1000": lambda: selective_forward(
        *selective_operands(torch.float32, 1000, gate=True)
    ),
    "diagonal_ssm float32, N = 8": lambda: diagonal(torch.float32, 8),
    "diagonal_ssm float32, N = 1": lambda: diagonal(torch.float32, 1),
    "diagonal_ssm float32, N = 32": lambda: diagonal(torch.float32, 32),
    "diagonal_ssm float32, N = 64": lambda: diagonal(torch.float32, 64),
    "diagonal_ssm float64, N = 32": lambda: diagonal(torch.float64, 32),
    "linear_scan float32": lambda: linear(torch.float32),
    "linear_scan complex64": lambda: linear(torch.complex64),
    "vandermonde": vandermonde,
    "cauchy complex64": lambda: cauchy(torch.complex64),
    "cauchy complex128": lambda: cauchy(torch.complex128),
    "filterbank": filterbank,
    "causal_conv float32": lambda: causal_conv(torch.float32),
    "causal_conv bfloat16": lambda: causal_conv(torch.bfloat16),
    "state_update": state_update,
}


def usage(cubin: bytes) -> dict[str, int]:
    """Registers a thread, and bytes of it that live in memory because registers ran out."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kernel.cubin")
        path.write_bytes(cubin)
        command = [str(CUOBJDUMP), "--dump-resource-usage", str(path)]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = dict(re.findall(r"(REG|STACK|LOCAL):(\d+)", text))
    return {"registers": int(found["REG"]), "spilled": int(found["STACK"]) + int(found["LOCAL"])}


def rows(capability: int) -> Iterator[dict[str, object]]:
    compiled = []

    def instead_of_launching(kernel: JITFunction, grid: tuple[int, ...]) -> Callable[..., None]:
        def launch(*args, **kwargs) -> None:
            op = kernel.__module__.split(".")[-2]
            compiled.append((op, kernel.run(*args, grid=grid, warmup=True, **kwargs)))

        return launch

    JITFunction.__getitem__ = instead_of_launching  # type: ignore[method-assign]
    driver.set_active(AbsentGpu(capability))  # type: ignore[arg-type]
    seen = set()
    for name, launch in LAUNCHES.items():
        compiled.clear()
        launch()
        for op, kernel in compiled:
            if kernel.hash not in seen:
                seen.add(kernel.hash)
                yield {
                    "kernel": f"{op}.{kernel.metadata.name}",
                    "launched_for": name,
                    "sm": capability,
                    "warps": kernel.metadata.num_warps,
                    **usage(kernel.asm["cubin"]),
                    "shared": kernel.metadata.shared,
                    "copies_ahead": kernel.asm["ptx"].count("cp.async.c"),
                    "floats": [k for k, v in kernel.src.signature.items() if v == "fp32"],
                }


def main() -> None:
    for capability in (80, 90):
        for row in rows(capability):
            print(json.dumps(row))


if __name__ == "__main__":
    main()
