"""What a run trains on."""

from types import SimpleNamespace

import pytest
import torch

from training import devices


@pytest.mark.parametrize(
    ("has_gpu", "has_triton", "expected"),
    [(True, True, "cuda"), (True, False, "cpu"), (False, True, "cpu")],
)
def test_a_gpu_without_triton_is_left_alone(monkeypatch, has_gpu, has_triton, expected):
    """As on Windows, for which there is none."""
    chosen = {}

    def fabric(**options):
        chosen.update(options)
        return SimpleNamespace(launch=lambda: None)

    monkeypatch.setattr(devices, "Fabric", fabric)
    monkeypatch.setattr(devices, "find_spec", lambda name: name if has_triton else None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    devices.fabric_of("32-true")
    assert chosen["accelerator"] == expected
