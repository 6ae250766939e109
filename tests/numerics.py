"""How near two tensors are, and how near they ought to be: tolerances are derived, not tuned."""

import torch
from torch import Tensor

NEGLIGIBLE = 1e-17  # below it a state counts as silence: layers flush such values to exact zero


def relative_rms(candidate: Tensor, truth: Tensor) -> float:
    """RMS of the difference over RMS of the truth; a difference that is negligible counts as 0."""
    if not truth.numel():
        return 0.0
    error = (candidate - truth).abs().double().square().mean().sqrt().item()
    scale = truth.abs().double().square().mean().sqrt().item()
    return 0.0 if error <= NEGLIGIBLE else error / max(scale, NEGLIGIBLE)


def assert_near(candidate: Tensor, truth: Tensor, tolerance: float, what: str) -> None:
    """Same shape and dtype, and a relative RMS difference of at most `tolerance`."""
    assert candidate.shape == truth.shape, (
        f"{what}: shape {tuple(candidate.shape)}, not {tuple(truth.shape)}"
    )
    assert candidate.dtype == truth.dtype, f"{what}: {candidate.dtype}, not {truth.dtype}"
    error = relative_rms(candidate, truth)
    assert error <= tolerance, f"{what}: relative RMS {error:.2e} > {tolerance:.0e}"


def assert_as_good_as(
    candidate: Tensor, reference: Tensor, truth: Tensor, *, slack: float = 4.0
) -> None:
    """The candidate may be off the float64 truth by `slack` times the reference's own error.

    One epsilon of the scale is added, for a reference that happens to be exact.
    """
    assert candidate.shape == truth.shape
    assert candidate.dtype == reference.dtype
    if not truth.numel():
        return
    floor = torch.finfo(reference.dtype).eps * truth.abs().max()
    allowed = slack * (reference.to(truth) - truth).abs().max() + floor
    error = (candidate.to(truth) - truth).abs().max()
    assert error <= allowed, f"error {error:.2e} > allowed {allowed:.2e}"
