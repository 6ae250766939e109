"""Pictures of a model's weights, as SVG that takes its colours from the page around it."""

import io
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from sssm.layers.filterbank import Filterbank
from sssm.layers.s4d import S4D
from sssm.model import KeywordModel
from sssm.ops.vandermonde import vandermonde

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

INK = "#123456"  # becomes the text colour of the page, light or dark
ACCENT = "#0d9488"
TICKS_HZ = (0, 250, 500, 1_000, 2_000, 4_000, 8_000)
TICKS_WIDE_HZ = (20, 50, 100, 200, 500, 1_000)
LOWEST_DB = -40.0
KERNEL_FRAMES = 100


def responses(model: KeywordModel) -> str | None:
    """How strongly each mode of the filterbank hears a tone; None without such a bank.

    A stage has the response b / (1 - a e^-iw), and there are two.
    """
    bank = model.front
    if not isinstance(bank, Filterbank):
        return None
    with torch.no_grad():
        a, b = (part.numpy() for part in bank.discrete())
    mel = np.linspace(0, _mel(8_000), 600)
    hz = 700 * np.expm1(mel / 1127)
    turn = np.exp(-2j * np.pi * hz / bank.sample_rate_hz)
    decibels = 40 * np.log10(np.abs(b[:, None] / (1 - a[:, None] * turn)))
    decibels[decibels < LOWEST_DB] = np.nan
    figure, axes = _figure(3.2)
    order = np.argsort(bank.centre_hz.detach().numpy())
    for place, k in enumerate(order):
        axes.plot(mel, decibels[k], linewidth=0.8, color=_shade(place / len(order)))
    _mel_axis(axes)
    axes.set_ylabel("response, dB")
    axes.set_ylim(LOWEST_DB, 3)
    return _svg(figure)


def bands(model: KeywordModel) -> str | None:
    """Centre and width of each mode before and after training; None without such a bank."""
    bank = model.front
    if not isinstance(bank, Filterbank):
        return None
    fresh = Filterbank(bands=len(bank.scale), sample_rate_hz=bank.sample_rate_hz)
    with torch.no_grad():
        x0, y0 = _mel(fresh.centre_hz.numpy()), fresh.width_hz.numpy()
        x1, y1 = _mel(bank.centre_hz.numpy()), bank.width_hz.numpy()
    figure, axes = _figure(3.2)
    axes.plot([x0, x1], [y0, y1], color=INK, linewidth=0.6, alpha=0.5)
    axes.plot(x0, y0, "o", markersize=5, fillstyle="none", color=INK, label="before training")
    axes.plot(x1, y1, "D", markersize=4, color=ACCENT, label="after")
    _mel_axis(axes)
    axes.set_yscale("log")
    axes.set_yticks(TICKS_WIDE_HZ, [f"{hz:,}" for hz in TICKS_WIDE_HZ])
    axes.set_yticks([], minor=True)
    axes.set_ylabel("bandwidth, Hz")
    axes.legend(frameon=False, labelcolor=INK)
    return _svg(figure)


def kernels(model: KeywordModel) -> str | None:
    """Convolution kernels of the first and the last layer; None where they are not S4D.

    Each row is a channel, scaled to its largest value; rows are sorted by how long they remember.
    """
    layers = [ssm for block in model.blocks if isinstance(ssm := getattr(block, "ssm", None), S4D)]
    if not layers:
        return None
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    both: Any = figure.subplots(1, 2, sharey=True)
    for axes, layer, name in zip(both, (layers[0], layers[-1]), ("first", "last"), strict=True):
        picture = _kernel(layer)
        axes.imshow(
            picture, aspect="auto", cmap="PuOr", vmin=-1, vmax=1, interpolation="nearest",
            extent=(0, KERNEL_FRAMES / layer.sample_rate_hz, len(picture), 0),
        )  # fmt: skip
        axes.set_title(f"{name} layer", color=INK, fontsize=10)
        axes.set_xlabel("time ago, s")
        _ink(axes)
    both[0].set_ylabel("channel")
    return _svg(figure)


def _kernel(layer: S4D) -> "NDArray[np.float64]":
    """(H, KERNEL_FRAMES), rows scaled and sorted."""
    with torch.no_grad():
        dA, dB, C = (part.to(torch.complex128) for part in layer.discrete())
        K = vandermonde(C * dB, dA, KERNEL_FRAMES).numpy()
    K /= np.abs(K).max(axis=1, keepdims=True) + 1e-12
    energy = K**2
    middle = (energy * np.arange(KERNEL_FRAMES)).sum(axis=1) / energy.sum(axis=1)
    return K[np.argsort(middle)]


def _figure(height: float) -> "tuple[Figure, Axes]":
    figure = Figure(figsize=(7.2, height), layout="constrained")
    axes = figure.add_subplot()
    _ink(axes)
    return figure, axes


def _ink(axes: "Axes") -> None:
    axes.patch.set_alpha(0)
    axes.tick_params(which="both", colors=INK, labelsize=9)
    for part in (axes.xaxis.label, axes.yaxis.label):
        part.set_color(INK)
    for side in axes.spines.values():
        side.set_color(INK)


def _mel_axis(axes: "Axes") -> None:
    axes.set_xticks([float(_mel(hz)) for hz in TICKS_HZ], [f"{hz:,}" for hz in TICKS_HZ])
    axes.set_xlim(0, _mel(8_000))
    axes.set_xlabel("frequency, Hz (mel scale)")


def _mel(hz: Any) -> Any:
    return 1127 * np.log1p(np.asarray(hz) / 700)


def _shade(share: float) -> tuple[float, float, float]:
    """From teal to violet: neighbours can be told apart on light and dark ground."""
    return (0.05 + 0.55 * share, 0.58 - 0.25 * share, 0.53 + 0.4 * share)


def _svg(figure: Figure) -> str:
    figure.patch.set_alpha(0)
    text = io.StringIO()
    FigureCanvasSVG(figure).print_svg(text)
    drawing = text.getvalue()
    drawing = drawing[drawing.index("<svg") :].replace(INK, "currentColor")
    # As wide as its place; several drawings on a page must not share the names of their parts.
    drawing = re.sub(r'(<svg[^>]*?) width="[^"]*pt"', r"\1", drawing, count=1)
    drawing = re.sub(r'(<svg[^>]*?) height="[^"]*pt"', r'\1 width="100%"', drawing, count=1)
    names = set(re.findall(r'\bid="([^"]+)"', drawing))
    mark = f"f{abs(hash(drawing)):x}-"
    return re.sub(
        r'(\bid="|href="#|url\(#)([^")]+)',
        lambda found: found[1] + (mark if found[2] in names else "") + found[2],
        drawing,
    )
