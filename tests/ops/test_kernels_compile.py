"""Every Triton kernel becomes machine code for two GPUs, wherever the tests run."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CAPABILITIES = {80, 90}

SHARED_BYTES = {80: 163 << 10, 90: 227 << 10}
"""Of a program, at most; with more a launch fails."""

FEW_BYTES = 32
"""What a thread of a backward kernel may keep in memory: a few of its 168 or more registers."""


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = str(ROOT)
    script = ROOT / "tests/ops/compile_kernels.py"
    done = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_registers_and_spills(rows, capsys):
    """A kernel is bound by memory or by its exponentials, not by registers it has not got."""
    with capsys.disabled():
        print("\n  sm warps registers spilled  kernel, launched for")
        for row in rows:
            print(
                f"  {row['sm']} {row['warps']:5} {row['registers']:9} {row['spilled']:7}  "
                f"{row['kernel']}, {row['launched_for']}"
            )
    assert {row["sm"] for row in rows} == CAPABILITIES
    for row in rows:
        assert row["spilled"] <= (FEW_BYTES if "_backward_" in row["kernel"] else 0), row


def test_shared_memory_is_enough(rows):
    assert not [row for row in rows if row["shared"] > SHARED_BYTES[row["sm"]]]


def kernels(path: Path) -> set[str]:
    """Functions that a launcher launches: jitted, and named so."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    op = path.parent.name
    return {f"{op}.{f.name}" for f in functions if f.name.endswith("_kernel") and f.decorator_list}


def test_none_is_left_out(rows):
    ours = {name for path in ROOT.glob("sssm/ops/*/kernel.py") for name in kernels(path)}
    assert ours
    assert ours == {row["kernel"] for row in rows}


def test_no_number_arrives_in_float32(rows):
    """Too coarse for double operands: Triton takes every Python number so, memory as it is."""
    assert not [row for row in rows if row["floats"]]


def test_a_step_of_a_scan_does_not_wait_for_its_operands(rows):
    """Loops over time copy what they read some elements ahead."""
    scans = [row for row in rows if "scan_kernel" in row["kernel"]]
    assert scans
    assert all(row["copies_ahead"] for row in scans)
