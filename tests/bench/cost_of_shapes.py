"""What a frame of 10 ms costs, by shape of the model, on one thread: torch and onnxruntime.

    python tests/bench/cost_of_shapes.py DEPTHxCHANNELSxSTATES ...

Torch runs the frozen model's layers, 160 samples a call; onnxruntime what `sssm export` makes of
it, one call a frame.  One JSON line a shape: microseconds a frame (the least of several rounds),
parameters.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from sssm.config import ModelConfig
from sssm.model import KeywordModel
from sssm.onnx.export import Export, export_model
from sssm.weights import ModelCard

LABELS = tuple("abcdefghijkl")


def least(call: Callable[[], object], rounds: int = 15, calls: int = 100) -> float:
    """Microseconds a call, the least of several rounds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        times.append((time.perf_counter() - start) / calls)
    return 1e6 * min(times)


@torch.inference_mode()
def torch_us(model: KeywordModel) -> float:
    frozen = model.frozen()
    x = 0.1 * torch.randn(1, 160, 1)
    _, state = frozen(x)
    return least(lambda: frozen(x, state))


def onnxruntime_us(model: KeywordModel, folder: Path) -> tuple[float, int]:
    """Microseconds a frame, and the number of operations."""
    card = ModelCard(config=model.config, training_data="", licence="", accuracy={})
    path = folder / "frame.onnx"
    exported = export_model(model, card, "", path, Export(unit="frame"))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    sizes = {tensor.name: tensor.shape for tensor in session.get_inputs()}
    feed = {
        name: np.zeros([1 if size == "batch" else size for size in shape], np.float32)
        for name, shape in sizes.items()
    }
    feed["audio"] = 0.1 * np.random.default_rng(0).standard_normal((1, 160)).astype(np.float32)
    return least(lambda: session.run(None, feed)), exported.nodes


def main() -> None:
    torch.set_num_threads(1)
    for shape in sys.argv[1:]:
        depth, channels, states = map(int, shape.split("x"))
        config = ModelConfig(labels=LABELS, depth=depth, channels=channels, state_size=states)
        model = KeywordModel(config).eval()
        with tempfile.TemporaryDirectory() as folder:
            onnx_us, nodes = onnxruntime_us(model, Path(folder))
        row = {
            "shape": shape,
            "parameters": sum(p.numel() for p in model.parameters()),
            "torch_us": round(torch_us(model)),
            "onnxruntime_us": round(onnx_us),
            "nodes": nodes,
            "realtime_share": round(onnx_us / 10_000, 4),
        }
        print(json.dumps(row))


if __name__ == "__main__":
    main()
