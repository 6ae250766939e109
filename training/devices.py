"""The engine: Fabric, which puts PyTorch's own distributed package and autocast behind one object.

Fabric and not Lightning's own trainer: the loop stays ours, in plain sight, and with it what makes
a resumed run exact.  Accelerate does as much, but wraps the loader too, whose position is ours.
`torchrun` starts the processes and says through the environment who they are.
"""

import os
from importlib.util import find_spec
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision


def fabric_of(precision: str) -> Fabric:
    """Fabric for this process: alone, or one of those that `torchrun` has started.

    On CUDA devices where there are any and Triton for their kernels, which Windows lacks; else on
    the CPU.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    has_kernels = find_spec("triton") is not None
    accelerator = "cuda" if torch.cuda.is_available() and has_kernels else "cpu"
    fabric = Fabric(
        accelerator=accelerator,
        strategy="ddp" if world > 1 else "auto",
        devices=here,
        num_nodes=world // here,
        plugins=[] if precision == "32-true" else [_Mixed(precision, accelerator)],  # type: ignore[arg-type]
    )
    fabric.launch()
    return fabric


class _Mixed(MixedPrecision):
    """Mixed precision in the products alone: samples and carried states come in as they are."""

    def convert_input(self, data: Any) -> Any:
        return data

    def convert_output(self, data: Any) -> Any:
        return data
