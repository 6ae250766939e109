"""Other programs that listen, for `sssm bench --against`, each as its package is used.

Decided here: all of them get the same sound in the same pieces, and what they say is not asked.
"""

import importlib
import importlib.util
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sssm.audio import Samples

RATE_HZ = 16_000

Call = Callable[["Samples"], object]


class Peer(StrEnum):
    """A program that listens too."""

    SILERO = "silero"
    PYMICRO = "pymicro"
    POCKETSPHINX = "pocketsphinx"


PACKAGES = {
    Peer.SILERO: ("silero-vad", "onnxruntime"),
    Peer.PYMICRO: ("pymicro-wakeword",),
    Peer.POCKETSPHINX: ("pocketsphinx",),
}


def packages_missing(peer: Peer) -> bool:
    """Whether something is not installed that this program needs."""
    modules = [name.replace("-", "_") for name in PACKAGES[peer]]
    return not all(map(importlib.util.find_spec, modules))


def call_of(peer: Peer) -> Call:
    """What hears the next (n,) samples in [-1, 1] at 16 kHz, on one thread."""
    return {
        Peer.SILERO: _silero, Peer.PYMICRO: _pymicro, Peer.POCKETSPHINX: _pocketsphinx,
    }[peer]()  # fmt: skip


def _silero() -> Call:
    """Whether somebody speaks."""
    torch = importlib.import_module("torch")  # what this program needs, ours may not
    model = importlib.import_module("silero_vad").load_silero_vad(onnx=True)
    return lambda piece: model(torch.from_numpy(piece), RATE_HZ)


def _pymicro() -> Call:
    """One phrase, "okay nabu"."""
    package = importlib.import_module("pymicro_wakeword")
    model = package.MicroWakeWord.from_builtin(package.Model.OKAY_NABU)
    features = package.MicroWakeWordFeatures()

    def hear(piece: "Samples") -> None:
        for of_10_ms in features.process_streaming(_int16(piece)):
            model.process_streaming(of_10_ms)

    return hear


def _pocketsphinx() -> Call:
    """One phrase, "computer"."""
    package = importlib.import_module("pocketsphinx")
    decoder = package.Decoder(keyphrase="computer", kws_threshold=1e-20)
    decoder.start_utt()

    def hear(piece: "Samples") -> Any:
        decoder.process_raw(_int16(piece))
        return decoder.hyp()

    return hear


def _int16(piece: "Samples") -> bytes:
    import numpy as np

    return np.round(piece * 32_767).astype(np.int16).tobytes()
