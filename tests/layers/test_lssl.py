import numpy as np
import pytest
import torch
from streaming import check_steps, check_streaming

from sssm.layers import blockwise
from sssm.layers.lssl import LSSL


def lssl(channels=3, state_size=5):
    torch.manual_seed(0)
    return LSSL(channels=channels, state_size=state_size, dt_min=1e-2, dt_max=0.5)


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("length", [2, 8, 21])
def test_the_streaming_contract(monkeypatch, length):
    monkeypatch.setattr(blockwise, "BLOCK", 8)
    check_streaming(lssl(), noise(2, length, 3))


@torch.no_grad()
def test_step_equals_forward_over_16000_elements_in_float32(monkeypatch):
    layer = lssl(channels=2, state_size=16)
    system = layer.discrete()
    monkeypatch.setattr(layer, "discrete", lambda: system)  # once, not at every step
    check_steps(layer, noise(1, 16_000, 2))


def test_the_kernel_is_the_recurrence_written_out_in_numpy():
    layer = lssl(channels=1).double()
    A, B, C = (part.detach().numpy() for part in (layer.A, layer.B, layer.C[0]))
    dt = layer.log_dt.exp().item()
    inverse = np.linalg.inv(np.eye(5) - dt / 2 * A)
    dA, h = inverse @ (np.eye(5) + dt / 2 * A), inverse @ B * dt
    for k in layer.kernel(20)[0].tolist():
        assert k == pytest.approx(C @ h, rel=1e-10, abs=1e-12)
        h = dA @ h


def test_kernel_and_output_agree():
    """An impulse gives the kernel, and D beside it."""
    layer = lssl().double()
    impulse = torch.zeros(1, 300, 3, dtype=torch.float64)
    impulse[:, 0] = 1
    K = layer.kernel(300).T
    K[0] += layer.D
    torch.testing.assert_close(layer(impulse)[0][0], K, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("batch", "rows"), [(3, 1), (1, 3)])
def test_a_state_of_other_rows_is_refused(batch, rows):
    layer = lssl()
    with pytest.raises(ValueError, match=rf"need h0 \(batch, H, N\); got \({rows}, 3, 5\)"):
        layer(noise(batch, 9, 3), layer.init_state(rows))
