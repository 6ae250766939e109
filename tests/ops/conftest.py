"""How a kernel is made to show its faults on small operands."""

from collections.abc import Iterator

import pytest
import torch

SHORT_CHUNK = 16
"""Steps after which a tested kernel cuts a sequence; Triton's interpreter takes 0.3 ms a step."""


@pytest.fixture
def nan_memory() -> Iterator[None]:
    """Whatever PyTorch allocates without values is full of NaN."""
    before = torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    assert torch.empty(1).isnan()
    yield
    torch.use_deterministic_algorithms(before)


@pytest.fixture
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> int:
    """Sequences of some dozen elements are cut into chunks."""
    from sssm.ops import kernels

    monkeypatch.setattr(kernels, "SHORTEST", SHORT_CHUNK)
    return SHORT_CHUNK
