"""What a model costs to run live: the size of its state, and its arithmetic.

Decided here: what counts as one multiply-accumulate.  A complex times a complex number is four, a
complex times a real number two, a square two where it is complex; exp, log, roots and additions
alone are not counted.
"""

from typing import Any

from torch import Tensor

from sssm.config import ModelConfig
from sssm.layers.filterbank import FRAMES_HZ, READINGS_HZ
from sssm.model import KeywordModel


def parameters(model: KeywordModel) -> int:
    """Numbers that were trained."""
    return sum(parameter.numel() for parameter in model.parameters())


def state_bytes(model: KeywordModel) -> int:
    """Bytes that one stream carries from one sample to the next."""
    return sum(tensor.nbytes for tensor in _leaves(model.init_state(1)))


def macs_per_s(model: KeywordModel) -> int:
    """Multiply-accumulates for one second of audio by the recurrence, one sample after the other.

    At the sample rate, for each of the K modes: a h1 (4), b x (1), a h2 (4), b h1 (2).
    At 400 Hz, for each mode: |h2|^2 (2).
    At 100 Hz, for each mode: running mean (2), gain (1), scale (1); then the product K x H; the
    blocks; norm (2 H), running mean (2 H) and the product H x classes.
    A block, for each of its H channels: norm (2), state-space model, activation (1), its 2 H
    products of the mix and the gate (1).
    """
    config = model.config
    K, H = config.bands, config.channels
    blocks = config.depth * H * (2 + _ssm_macs(config) + 1 + 2 * H + 1)
    head = 4 * H + H * len(config.labels)
    frame = 4 * K + K * H + blocks + head
    return config.sample_rate_hz * 11 * K + READINGS_HZ * 2 * K + FRAMES_HZ * frame


def _ssm_macs(config: ModelConfig) -> int:
    """One step of one channel: for each mode dA h (4), dB x (2) and Re C h (2), then D x (1)."""
    return 8 * config.state_size + 1


def _leaves(state: Any) -> list[Tensor]:
    if isinstance(state, Tensor):
        return [state]
    return [tensor for part in state for tensor in _leaves(part)]
