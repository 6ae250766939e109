"""What runs a model live: samples in, logits out, NumPy arrays on both sides.

An engine has weights and no state; its state is a value, handed in and out.  `layers` runs any
model by its own layers; `compiled` does the same arithmetic for the shipped kind of model in a few
compiled loops, ten times as fast; `sssm.onnx.engine` runs an exported file without torch, so what
needs torch is imported only for such a model.  Streams know none of them.
"""

from typing import TYPE_CHECKING

from sssm.engines.engine import Engine

if TYPE_CHECKING:
    from sssm.model import KeywordModel


def engine_for(model: "KeywordModel", sample_rate_hz: int) -> Engine:
    """The fastest engine that runs this model, at this rate of 8 to 48 kHz."""
    from sssm.engines.compiled import CompiledEngine
    from sssm.engines.layers import LayerEngine

    engine = CompiledEngine if CompiledEngine.runs(model.config) else LayerEngine
    return engine(model.at_rate(sample_rate_hz).frozen())
