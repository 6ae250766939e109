"""Where an operator meets its kernel: what CUDA would run, without CUDA, beside the CPU's body."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch
from kernels import DEVICE

ROOT = Path(__file__).parents[2]
G = torch.Generator().manual_seed(0)


def real(*shape):
    return torch.randn(shape, generator=G)


def pair(*shape):
    return torch.complex(real(*shape), real(*shape))


def inner(*shape):
    """Inside the unit circle."""
    return torch.polar(torch.rand(shape, generator=G), real(*shape))


STEPS = 0.1 + torch.rand(2, 6, 3, generator=G)
RATES = -torch.arange(1.0, 5).repeat(3, 1)

# Folder, operator, operands of its forward and of its backward where that is an operator too.
SEAMS = {
    "vandermonde": (
        "vandermonde",
        (pair(2, 3), inner(2, 3), 7),
        (pair(2, 3), inner(2, 3), real(2, 7)),
    ),
    "cauchy": (
        "cauchy",
        (pair(2, 2, 3), inner(5) + 2, inner(2, 3)),
        (pair(2, 2, 3), inner(5) + 2, inner(2, 3), pair(2, 2, 5)),
    ),
    "linear_scan": ("linear_scan", (inner(2, 6, 3), pair(2, 6, 3), pair(2, 3)), None),
    "filterbank": (
        "filterbank_scan",
        (real(2, 4, 12), real(4, 4, 3), real(2, 4, 3)),
        (real(2, 4, 12), real(4, 4, 3), real(2, 4, 3), real(2, 3, 3), real(2, 4, 12)),
    ),
    "selective_scan": (
        "selective_scan",
        (
            real(2, 6, 3), STEPS, RATES, real(2, 6, 4), real(2, 6, 4), real(3), real(2, 6, 3),
            real(2, 3, 4), 0.01, True,
        ),
        (
            real(2, 6, 3), STEPS, RATES, real(2, 6, 4), real(2, 6, 4), real(3), None, 0.01,
            real(2, 1, 4, 3), real(2, 6, 3), real(2, 3, 4),
        ),
    ),
    "diagonal_ssm": (
        "diagonal_ssm",
        (real(2, 6, 3), inner(3, 4), pair(3, 4), pair(3, 4), pair(2, 3, 4)),
        (
            real(2, 6, 3), inner(3, 4), pair(3, 4), pair(3, 4), pair(2, 3, 4), real(2, 6, 3),
            pair(2, 3, 4),
        ),
    ),
    "causal_conv": (
        "causal_conv",
        (real(2, 6, 3), real(3, 4), real(3), real(2, 3, 3)),
        (real(2, 6, 3), real(3, 4), real(2, 3, 3), real(2, 6, 3), real(2, 3, 3)),
    ),
    "state_update": (
        "state_update",
        (
            real(2, 3), STEPS[:, 0], RATES, real(2, 4), real(2, 4), None, real(2, 3),
            real(2, 3, 4), 0.01,
        ),
        (
            real(2, 3), STEPS[:, 0], RATES, real(2, 4), real(2, 4), None, None, real(2, 3, 4), 0.01,
            real(2, 3), real(2, 3, 4),
        ),
    ),
}  # fmt: skip
BODIES = [
    (folder, name, body, operands)
    for folder, (op, *both) in SEAMS.items()
    for name, body, operands in zip(
        (op, f"{op}_backward"), ("_cuda", "_cuda_backward"), both, strict=True
    )
    if operands
]
every_body = pytest.mark.parametrize(
    ("folder", "name", "body", "operands"), BODIES, ids=[name for _, name, _, _ in BODIES]
)


@every_body
def test_the_kernel_gives_what_the_cpu_does(folder, name, body, operands):
    """Same operands in the same order, same shapes, types and strides, nearly the same numbers."""
    kernel = getattr(import_module(f"sssm.ops.{folder}"), body)
    there = (t.to(DEVICE) if isinstance(t, torch.Tensor) else t for t in operands)
    found, expected = kernel(*there), getattr(torch.ops.sssm, name)(*operands)
    torch.testing.assert_close(
        found, expected, rtol=1e-4, atol=1e-5, check_stride=True, check_device=False
    )


@every_body
def test_it_is_registered_for_cuda(folder, name, body, operands):
    assert torch._C._dispatch_has_kernel_for_dispatch_key(f"sssm::{name}", "CUDA")


def test_no_operator_is_left_out():
    assert {path.parent.name for path in ROOT.glob("sssm/ops/*/kernel.py")} == set(SEAMS)


def test_kernels_are_imported_when_a_cuda_tensor_arrives_and_never_before():
    script = f"""
import json, sys
import torch
for op in {list(SEAMS)}:
    __import__(f"sssm.ops.{{op}}")
C = torch.ones(1, 1, dtype=torch.complex64, requires_grad=True)
torch.ops.sssm.vandermonde(C, C / 2, 3).sum().backward()
print(json.dumps(list(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = json.loads(done.stdout)
    ours = [name for name in loaded if name.startswith("sssm.") and "kernel" in name.split(".")[-1]]
    assert not ours
    assert "triton" not in loaded
