"""What a model costs to run live: the size of its state, and its arithmetic.

Decided here: what counts as one multiply-accumulate.  A complex times a complex number is four, a
complex times a real number two, a square two where it is complex; exp, log, roots and additions
alone are not counted.
"""

from sssm.config import ModelConfig
from sssm.layers.contract import FRAMES_HZ, leaves
from sssm.layers.filterbank import READINGS_HZ
from sssm.model import KeywordModel


def parameters(model: KeywordModel) -> int:
    """Numbers that were trained."""
    return sum(parameter.numel() for parameter in model.parameters())


def state_bytes(model: KeywordModel) -> int:
    """Bytes that one stream carries from one sample to the next."""
    return sum(tensor.nbytes for tensor in leaves(model.init_state(1)))


def macs_per_s(model: KeywordModel) -> int:
    """Multiply-accumulates for one second of audio by the recurrence, one sample after the other.

    A filterbank, for each of its K modes: a h1 (4), b x (1), a h2 (4), b h1 (2) a sample; |h2|^2
    (2) a reading, 400 times a second; running mean (2), gain (1) and scale (1) a frame, 100 times a
    second; then the product K x H.  Blocks at the rate of the samples: H to lift a sample instead.

    A block, for each of its H channels: norm (2), state-space model, activation (1), its 2 H
    products of the mix and the gate (1).  What reads a frame: norm (2 H), running mean (2 H), and
    the product H x classes.
    """
    config = model.config
    K, H = config.bands, config.channels
    blocks = config.depth * H * (2 + _ssm_macs(config) + 1 + 2 * H + 1)
    read = 4 * H + H * len(config.labels)
    if config.front == "samples":
        return config.sample_rate_hz * (H + blocks) + FRAMES_HZ * read
    bank = config.sample_rate_hz * 11 * K + READINGS_HZ * 2 * K
    return bank + FRAMES_HZ * (4 * K + K * H + blocks + read)


def _ssm_macs(config: ModelConfig) -> int:
    """One step of one channel: D x (1), and what each of its N modes costs.

    S4D: dA h (4), dB x (2), Re C h (2).  S4, by theorem 2 of arXiv:2111.00396: Re R h (2) and
    Q times their sum (2) besides.
    """
    return 1 + config.state_size * {"s4d": 8, "s4": 12}[config.layer]
