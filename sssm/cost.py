"""What a model costs to run live: the size of its state, and its arithmetic.

Decided here: what counts as one multiply-accumulate.  A complex times a complex number is four, a
complex times a real number two, a square two where it is complex; exp, log, roots and additions
alone are not counted.
"""

from typing import NamedTuple

from sssm.config import ModelConfig
from sssm.layers.contract import leaves
from sssm.layers.mamba import EXPAND, WIDTH, rank_of
from sssm.model import KeywordModel
from sssm.timing import FRAMES_HZ, READINGS_HZ


class Cost(NamedTuple):
    """Of one model, and of one stream that it listens to."""

    parameters: int
    state_bytes: int
    macs_per_s: int


def cost(model: KeywordModel) -> Cost:
    """All that is known here of a model."""
    return Cost(parameters(model), state_bytes(model), macs_per_s(model))


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

    A block, for each of its H channels: norm (2), and what `_block_macs` says.  What reads a frame:
    norm (2 H), running mean (2 H), and the product H x classes.
    """
    config = model.config
    K, H = config.bands, config.channels
    blocks = config.depth * (2 * H + _block_macs(config))
    read = 4 * H + H * len(config.labels)
    if config.front == "samples":
        return config.sample_rate_hz * (H + blocks) + FRAMES_HZ * read
    bank = config.sample_rate_hz * 11 * K + READINGS_HZ * 2 * K
    return bank + FRAMES_HZ * (4 * K + K * H + blocks + read)


def _block_macs(config: ModelConfig) -> int:
    """One step of a block after its norm.

    S4 and S4D, for each of H channels: state-space model, activation (1), 2 H products of the mix,
    gate (1); the model has D x (1), and for each of its N modes dA h (4), dB x (2), Re C h (2), in
    S4 by theorem 2 of arXiv:2111.00396 also Re R h (2) and Q times their sum (2).

    Mamba, for each of its inner channels: H products for each of x, z and the output, convolution,
    activation and gate (3), the products that select dt, B and C, D x and dt x (2), and for each of
    its N states dt A, dA h, B dt x and C h (4).
    """
    H, N = config.channels, config.state_size
    if config.layer == "mamba":
        rank = rank_of(H)
        return EXPAND * H * (3 * H + WIDTH + 3 + (rank + 2 * N) + rank + 2 + 4 * N)
    mode = {"s4d": 8, "s4": 12}[config.layer]
    return H * (1 + N * mode + 1 + 2 * H + 1)
