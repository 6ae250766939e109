"""Pictures of what S4 learned to hear: the convolution kernels of a trained model's layers.

    python tests/bench/kernel_pictures.py [--model s4]

After figure 6 of the S4 paper, first layer against last: each row is the kernel of one channel,
scaled to its own largest number, over the time that has passed since a sample; channels stand in
the order of how long their kernels last, from short to long.  The number of a layer is the median
over its channels of the time in which nine tenths of a kernel's energy have passed.

Writes kernel_pictures.json and its plot, and ends in the same as one line.
"""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from measure import OUT, drawing, save, write
from numpy.typing import NDArray

from sssm.layers.block import Block
from sssm.layers.s4d import S4D
from sssm.timing import FRAMES_HZ
from sssm.weights import find_model, load_model

LENGTH = 100  # elements, one second
ENERGY = 0.9


@torch.inference_mode()
def kernels(block: Block[Any]) -> NDArray[np.float64]:
    """(H, LENGTH) what a layer answers to a single one, its skip left out."""
    layer = block.ssm
    if not isinstance(layer, S4D):
        raise typer.BadParameter(f"a model of S4D, not of {type(layer).__name__}")
    x = torch.zeros(1, LENGTH, len(layer.D))
    silence = layer.init_state(1)
    heard, _ = layer(x.index_fill(1, torch.tensor([0]), 1.0), silence)
    unheard, _ = layer(x, silence)
    K: NDArray[np.float64] = (heard - unheard)[0].T.double().numpy()
    K[:, 0] -= layer.D.double().numpy()
    return K


def lasting(K: NDArray[np.float64]) -> NDArray[np.float64]:
    """(H,) seconds in which `ENERGY` of each kernel's energy have passed."""
    passed = np.cumsum(K**2, axis=1)
    return (passed < ENERGY * passed[:, -1:]).sum(axis=1) / FRAMES_HZ


def draw(of_layers: dict[str, NDArray[np.float64]], times: dict[str, float]) -> None:
    figure, (panels,) = drawing(4.2 * len(of_layers), 4.2, len(of_layers))
    for axes, (name, K) in zip(panels, of_layers.items(), strict=True):
        rows = K[np.argsort(lasting(K), kind="stable")]
        scaled = rows / np.abs(rows).max(axis=1, keepdims=True)
        extent = (0, 1e3 * LENGTH / FRAMES_HZ, len(K), 0)
        axes.imshow(scaled, aspect="auto", cmap="RdBu_r", vmin=-1, vmax=1, extent=extent,
                    interpolation="nearest")  # fmt: skip
        axes.set_title(f"{name}: {1e3 * times[name]:.0f} ms", fontsize=10)
        axes.set_xlabel("ms since a sample")
    panels[0].set_ylabel("channel, from short to long")
    save(figure, "kernel_pictures", OUT)


def main(
    model: Annotated[str, typer.Option(help="A shipped model of S4D, or a file.")] = "s4",
) -> None:
    """Draw the kernels of the first and of the last layer."""
    path: Path = find_model(model)
    blocks = load_model(path)[0].blocks
    of_layers = {"first layer": kernels(blocks[0]), "last layer": kernels(blocks[-1])}
    times = {name: float(np.median(lasting(K))) for name, K in of_layers.items()}
    draw(of_layers, times)
    every = [round(float(np.median(lasting(kernels(block)))), 3) for block in blocks]
    write("kernel_pictures", {"model": model, "energy": ENERGY, "lasts_s": every})


if __name__ == "__main__":
    typer.run(main)
