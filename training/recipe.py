"""Every number of a training run, by preset, each to be overridden by KEY=VALUE."""

import difflib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from sssm.config import ModelConfig

LABELS = ("sc12", "sc10", "sc35", "folder")
PRECISIONS = ("32-true", "bf16-mixed")
AT_LEAST_ONE = (
    "bands", "channels", "state_size", "depth", "steps", "batch", "loaders", "save_every",
    "validate_every", "log_every",
)  # fmt: skip
ABOVE_ZERO = ("stream_s", "session_s", "clip_norm", "lr", "ssm_lr")
BELOW_ONE = ("dropout", "ema", "unknown_share", "silence_share")
SHARES = (
    "sentence_share", "phrase_share", "speed", "pitch", "noise", "babble", "room", "low_pass",
    "notch", "tilt", "time_mask",
)  # fmt: skip
RANGES = {
    "seed": (0, 2**31 - 1), "clip_s": (0.1, 60), "balance": (0, 2), "shift_s": (0, 10),
    "speed_range": (0, 0.5), "snr_low_db": (-120, 120), "snr_high_db": (-120, 120),
    "gain_low_db": (-120, 120), "gain_high_db": (-120, 120), "weight_decay": (0, 100),
    "word_weight": (0, 1000), "phone_weight": (0, 1000), "stream_weight": (0, 1000),
    "slowest_s": (0.01, 10), "matrix_lr": (0, 1000),
}  # fmt: skip
LOW_TO_HIGH = (("snr_low_db", "snr_high_db"), ("gain_low_db", "gain_high_db"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """What to train, on what, for how long.

    Attributes:
        labels: `sc12`, `sc10`, `sc35`, or `folder` for one's own words.
        front, layer, bands, channels, state_size, depth, slowest_s, dropout: of
            `sssm.config.ModelConfig`.
        steps: batches until the end of the cosine.
        batch: clips a step and device.
        clip_s: seconds of a clip.
        lr: of AdamW at its highest.
        matrix_lr: of Muon, which learns the layers' matrices; 0 leaves them to AdamW, which is no
            worse where a model is trained on from another one.
        ssm_lr: of AdamW for A, B and dt of S4 and S4D, A of Mamba, the bank's modes and the leaky
            means' rates, which have no weight decay either.
        weight_decay: of the other matrices.
        warmup: steps in which the rates rise.
        clip_norm: largest norm of a gradient.
        ema: decay of the moving average of the weights, which is what is saved.
        seed: batch k is a function of it and of k.
        balance: exponent of a word's count in how often it is drawn: 0 all alike, 1 as they come.
        unknown_share, silence_share: of the clips of a batch.
        sentence_share, phrase_share: of the `_unknown_` clips, those cut from sentences or other
            running speech, and those of wake words.
        vocabulary: words of the word head.
        word_weight, phone_weight: of the two auxiliary losses; 0 leaves the head out.
        speed, pitch: probability of changing it, by at most `speed_range`.
        noise: probability of background noise, `snr_low_db` to `snr_high_db` below the clip.
        babble: probability that noise is people who talk at once, where there are sentences and
            other noise.
        room, low_pass, notch, tilt, time_mask: probability of each.
        shift_s: the word moves by at most this; a clip shorter than `clip_s` goes anywhere.
        gain_low_db, gain_high_db: range of the gain.
        stream_rows: rows of continuous streams beside the clips of every step; 0 for none.
        stream_s: seconds of a stream in each step.
        session_s: seconds after which a stream is made anew and the model's state in it is reset.
        stream_weight: of the streams' loss.
        loaders: processes that make the steps in turn, each with rows of streams of its own: one
            keeps up with a processor; a GPU wants one for each core beside it.
        precision: `32-true`, or `bf16-mixed`: matrix products in bfloat16, weights and states not.
        save_every, validate_every, log_every: steps.
    """

    labels: str = "sc12"
    front: str = "filterbank"
    layer: str = "s4d"
    bands: int = 64
    channels: int = 128
    state_size: int = 8
    depth: int = 5
    slowest_s: float = 0.2
    dropout: float = 0.05
    steps: int = 8_000
    batch: int = 64
    clip_s: float = 1.0
    lr: float = 4e-3
    matrix_lr: float = 4e-3
    ssm_lr: float = 1e-3
    weight_decay: float = 0.02
    warmup: int = 300
    clip_norm: float = 1.0
    ema: float = 0.999
    seed: int = 0
    balance: float = 0.35
    unknown_share: float = 0.25
    silence_share: float = 0.05
    sentence_share: float = 0.45
    phrase_share: float = 0.08
    vocabulary: int = 400
    word_weight: float = 0.4
    phone_weight: float = 0.2
    speed: float = 0.5
    pitch: float = 0.15
    speed_range: float = 0.12
    noise: float = 0.5
    babble: float = 0.0
    snr_low_db: float = 5.0
    snr_high_db: float = 30.0
    room: float = 0.15
    low_pass: float = 0.25
    notch: float = 0.2
    tilt: float = 0.3
    time_mask: float = 0.3
    shift_s: float = 0.1
    gain_low_db: float = -15.0
    gain_high_db: float = 6.0
    stream_rows: int = 0
    stream_s: float = 2.0
    session_s: float = 24.0
    stream_weight: float = 0.5
    loaders: int = 1
    precision: str = "32-true"
    save_every: int = 200
    validate_every: int = 1_000
    log_every: int = 50

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{field.name} must be a finite number, got {value}")
            if field.name in AT_LEAST_ONE and value < 1:
                raise ValueError(f"{field.name} must be at least 1, got {value}")
            if field.name in ABOVE_ZERO and value <= 0:
                raise ValueError(f"{field.name} must be above 0, got {value}")
            if field.name in BELOW_ONE and not 0 <= value < 1:
                raise ValueError(f"{field.name} must be in [0, 1), got {value}")
            if field.name in SHARES and not 0 <= value <= 1:
                raise ValueError(f"{field.name} must be in [0, 1], got {value}")
            least, most = RANGES.get(field.name, (-math.inf, math.inf))
            if field.name in RANGES and not least <= value <= most:
                raise ValueError(f"{field.name} must be in [{least}, {most}], got {value}")
            if isinstance(value, int) and value < 0:
                raise ValueError(f"{field.name} must not be below 0, got {value}")
        for low, high in LOW_TO_HIGH:
            if getattr(self, low) > getattr(self, high):
                least, most = getattr(self, low), getattr(self, high)
                raise ValueError(f"{low} must not be above {high}, got {least} and {most}")
        for name, known in (("labels", LABELS), ("precision", PRECISIONS)):
            if getattr(self, name) not in known:
                got = getattr(self, name)
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {got!r}")

    def like(self, config: ModelConfig) -> "Recipe":
        """A copy whose model has the shape of another one."""
        return replace(
            self, front=config.front, layer=config.layer, bands=config.bands,
            channels=config.channels, state_size=config.state_size, depth=config.depth,
            slowest_s=config.slowest_s,
        )  # fmt: skip

    def override(self, settings: Sequence[str]) -> "Recipe":
        """A copy with KEY=VALUE settings.

        Raises:
            ValueError: an unknown key (its near ones are listed), or a value of another kind.
        """
        known = {field.name: type(getattr(self, field.name)) for field in fields(self)}
        changed: dict[str, Any] = {}
        for setting in settings:
            key, equals, value = setting.partition("=")
            if key not in known or not equals:
                near = difflib.get_close_matches(key, known, n=3, cutoff=0.4)
                hint = f"; did you mean {', '.join(near)}?" if near else ""
                raise ValueError(f"{setting!r} is no KEY=VALUE setting{hint}")
            try:
                changed[key] = known[key](value)
            except ValueError:
                raise ValueError(f"{setting}: {key} is {known[key].__name__}") from None
        return replace(self, **changed)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a file."""
        return asdict(self)


PRESETS = {
    "kws12-s4": Recipe(babble=0.2),
    "kws12-mamba": Recipe(
        layer="mamba", channels=96, state_size=8, depth=3, slowest_s=0.24, babble=0.2
    ),
    "kws35-s4": Recipe(labels="sc35", sentence_share=0.0, unknown_share=0.0, silence_share=0.0),
    "s4-paper": Recipe(
        labels="sc35", front="samples", layer="s4", state_size=32, depth=6, batch=16,
        unknown_share=0.0, silence_share=0.0, word_weight=0.0, phone_weight=0.0, vocabulary=0,
    ),
    "own-words": Recipe(
        labels="folder", steps=500, batch=32, stream_rows=16, vocabulary=0, word_weight=0.0,
        phone_weight=0.0, lr=2e-3, matrix_lr=0.0, ssm_lr=5e-4, warmup=50, ema=0.99,
        validate_every=100, pitch=0.3, speed_range=0.2,
    ),
    "smoke": Recipe(
        labels="folder", bands=16, channels=16, state_size=4, depth=2, steps=60, batch=16,
        warmup=10, vocabulary=0, word_weight=0.0, phone_weight=0.0, ema=0.9, save_every=20,
        validate_every=60, log_every=10,
    ),
}  # fmt: skip


def preset(name: str) -> Recipe:
    """Recipe of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in PRESETS:
        raise ValueError(f"no preset {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]
