"""Made-up recordings in the layout that Speech Commands and its companions are unpacked in."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from generated_words import SAMPLE_RATE_HZ, word

from training.speech_commands import CORE_WORDS, FOLDER

SPEAKERS = {  # by the official rule
    "training": ("012c8314", "21832144", "1746d7b6"),
    "validation": ("105e72bb", "44c201dd"),
    "testing": ("47d01978",),
}
WORDS = (*CORE_WORDS, "cat", "tree")


def make_published(root: Path) -> Path:
    """Speech Commands without lists of splits, sentences with word times, wake words, noise."""
    rng = np.random.default_rng(0)
    for n, name in enumerate(WORDS):
        for split in SPEAKERS:
            for speaker in SPEAKERS[split]:
                glide = (200 + 150 * n, 2_000 - 120 * n)
                x = word(*glide, rng)
                x = np.pad(x, (0, -len(x) % 4_000))  # few lengths, so that batches are large
                write(root / FOLDER / name / f"{speaker}_nohash_0.wav", x)
    for name in ("hum", "hiss"):
        write(root / FOLDER / "_background_noise_" / f"{name}.wav", noise(6, rng))
    rows = [("rain/1-A.wav", "training"), ("rain/5-A.wav", "validation")]
    for path, _ in rows:
        write(root / "noise" / path, noise(2, rng))
    write_table(root / "noise" / "splits.csv", ["path", "split"], rows)
    write(root / "words" / "view_glass" / "somebody.wav", word(500, 900, rng))
    sentences, times = [], []
    for path, split, said in [
        ("7-1.wav", "training", ("one", "no", "three", "know", "five")),
        ("8-1.wav", "training", ("one", "two", "three", "four", "five")),
        ("9-1.wav", "validation", ("one", "no", "three", "know", "five")),
    ]:
        write(root / "speech" / path, np.concatenate([word(300, 400, rng) for _ in said]))
        sentences.append((path, split, " ".join(said), ""))
        for n, spoken in enumerate(said):
            times.append((path, split, spoken, 0.75 * n + 0.2, 0.75 * n + 0.7, 0.1, 0.1, 0.9))
    header = ["path", "split", "transcript", "age"]
    write_table(root / "speech" / "transcripts.csv", header, sentences)
    pauses = ["pause_before_s", "pause_after_s"]
    header = ["path", "split", "word", "start_s", "end_s", *pauses, "score"]
    write_table(root / "speech" / "words.csv", header, times)
    return root


def noise(seconds: float, rng: np.random.Generator) -> np.ndarray:
    return (0.02 * rng.standard_normal(int(seconds * SAMPLE_RATE_HZ))).astype(np.float32)


def write(path: Path, x: np.ndarray, sample_rate_hz: int = SAMPLE_RATE_HZ) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, x, sample_rate_hz)
    return path


def write_table(path: Path, header: list[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="") as out:
        csv.writer(out).writerows([header, *rows])
