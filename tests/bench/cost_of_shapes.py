"""What a frame of 10 ms costs, by shape of the model, on one thread: torch and onnxruntime.

    python tests/bench/cost_of_shapes.py DEPTHxCHANNELSxSTATES ...

Torch runs the frozen model as a stream does, 160 samples a call.  onnxruntime runs the same
arithmetic with real numbers, one call a frame, exported from `FrameStep` below.  One JSON line a
shape: microseconds a frame (the least of several rounds), parameters.

    pip install onnx onnxscript onnxruntime
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
from torch import Tensor, nn

from sssm.config import ModelConfig
from sssm.layers.block import normalize
from sssm.model import KeywordModel
from sssm.ops.filterbank import parallel

LABELS = tuple("abcdefghijkl")


class FrameStep(nn.Module):
    """A frame of a model in real arithmetic: (1, 160) samples and one line of states."""

    def __init__(self, model: KeywordModel):
        super().__init__()
        self.model = model
        a, b = model.front.discrete()
        self.register_buffer("taps", parallel.taps(a, b, 40))
        self.register_buffer("carry", parallel.carries(a, b, torch.tensor([40]))[0])
        ssms = [block.ssm.discrete() for block in model.blocks]
        for n, name in enumerate("ABC"):
            rows = [torch.stack([m[n].real.T, m[n].imag.T]) for m in ssms]
            self.register_buffer(name, torch.stack(rows))  # (depth, 2, N, H)

    def forward(
        self, audio: Tensor, bank: Tensor, gain: Tensor, h: Tensor, pool: Tensor
    ) -> tuple[Tensor, ...]:
        front = self.model.front
        u = (audio.view(4, 40) @ self.taps).view(4, 4, -1)
        ar, ai, gr, gi = self.carry
        energy = torch.zeros_like(gain)
        for m in range(4):
            r1, i1, r2, i2 = bank
            bank = u[m] + torch.stack(
                [
                    ar * r1 - ai * i1,
                    ar * i1 + ai * r1,
                    ar * r2 - ai * i2 + gr * r1 - gi * i1,
                    ar * i2 + ai * r2 + gr * i1 + gi * r1,
                ]
            )
            energy = energy + bank[2] ** 2 + bank[3] ** 2
        loud = torch.log1p(energy * (0.25e9))
        a = front.gain.decay()
        gain = a * gain + (1 - a) * loud
        share = torch.sigmoid(front.gain_share_logit)
        y = self.model.lift(front.scale * (loud - share * gain) + front.shift)
        states = []
        for n, block in enumerate(self.model.blocks):
            x = normalize(y)
            A, B, C = self.A[n], self.B[n], self.C[n]
            re = A[0] * h[n, 0] - A[1] * h[n, 1] + B[0] * x
            im = A[0] * h[n, 1] + A[1] * h[n, 0] + B[1] * x
            out = 2 * (C[0] * re - C[1] * im).sum(dim=0, keepdim=True) + block.ssm.D * x
            y = y + block._mix(out)
            states.append(torch.stack([re, im]))
        a = self.model.pool.decay()
        pool = a * pool + (1 - a) * normalize(y)
        return self.model.head(pool).softmax(dim=1), bank, gain, torch.stack(states), pool


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
    step = FrameStep(model).eval()
    c = model.config
    inputs = (
        torch.randn(1, 160),
        torch.zeros(4, c.bands),
        torch.zeros(1, c.bands),
        torch.zeros(c.depth, 2, c.state_size, c.channels),
        torch.zeros(1, c.channels),
    )
    path = folder / "step.onnx"
    names = ["audio", "bank", "gain", "h", "pool"]
    torch.onnx.export(step, inputs, path, input_names=names, dynamo=True, verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    feed = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
    with torch.no_grad():
        expected = step(*inputs)[0].numpy()
    np.testing.assert_allclose(session.run(None, feed)[0], expected, atol=1e-5)
    import onnx

    return least(lambda: session.run(None, feed)), len(onnx.load(path).graph.node)


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
