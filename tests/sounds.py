"""Sounds to push, and a spotter that hears words in them though it never learned any."""

import dataclasses
from pathlib import Path

import numpy as np
import torch

from sssm.detector import Detector
from sssm.spotter import KeywordSpotter
from sssm.weights import load_model, save_model


def chirps(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Tones that come, rise and go, in a little noise; the same sound at every rate."""
    t = np.arange(int(seconds * rate)) / rate
    random = np.random.default_rng(seed)
    phase, first = 2 * np.pi * random.random(), 300 * (1 + random.random())
    tone = np.sin(2 * np.pi * (first * t + 900 * (t % 0.5) ** 2) + phase) * np.sin(4 * np.pi * t)
    return (0.3 * tone + 1e-3 * random.standard_normal(len(t))).astype(np.float32)


def sensitive(path: Path, folder: Path) -> Path:
    """The model file again with a head whose scores come and go, and a detector to match."""
    model, card = load_model(path)
    with torch.no_grad():
        x = torch.from_numpy(chirps(4.0, 16_000))[None, :, None]
        model.head.weight *= 4 / model(x)[0].std(dim=1).T
        model.head.bias -= model(x)[0].mean(dim=(0, 1))
    card = dataclasses.replace(
        card,
        thresholds={"yes": 0.55, "no": 0.5},
        detector={"smoothing": 0.5, "min_frames": 2, "refractory": 10, "release": 0.8},
    )
    save_model(folder / "sensitive.safetensors", model, card)
    return folder / "sensitive.safetensors"


def pieces(x: np.ndarray, cuts: list[int]) -> list[np.ndarray]:
    return np.split(x, sorted(cut % (len(x) + 1) for cut in cuts))


def fake_detections(spotter: KeywordSpotter, scores: np.ndarray, rate: int) -> list:
    """What the spotter's detector says to scores (frames, labels)."""
    detector: Detector = dataclasses.replace(spotter.detector, sample_rate_hz=rate)
    return [event for _, event in detector.run(scores[None], detector.init_state(1))[0]]
