"""Two words of one's own from a few takes, with and without some minutes of other people's talk.

    python tests/bench/own_words.py --data ROOT [--minutes 10]

"computer" and "jarvis" of ROOT/words, ten recordings each, thirty of other words and six of noise
are what somebody records; talk is the calibration readers.  README's command trains on them.  Then
the other recordings of the two words, the other phrases of ROOT/words, and the sentences of the
validation readers are heard as `sssm scan` hears them, at the thresholds that the model has.

The last line is JSON.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import numpy as np
import soundfile
import typer
from rich.console import Console
from rich.progress import track

from sssm import KeywordSpotter
from sssm.detector import UNKNOWN
from training.corpus import SAMPLE_RATE_HZ, Corpus, open_corpus
from training.pools import as_float
from training.stream_trials import read_transcripts

WORDS = ("computer", "jarvis")
TAKES, OTHERS, NOISES = 10, 30, 6
PAUSE = np.zeros(int(0.3 * SAMPLE_RATE_HZ), np.int16)  # between two sentences of talk
SILENCE = np.zeros(SAMPLE_RATE_HZ, np.float32)  # after a recording: its last word is heard
ASSETS = Path(__file__).parents[2] / "assets"


def shuffled(corpus: Corpus, numbers: Iterable[int]) -> list[int]:
    """In an order that does not hang on the folder's."""
    return sorted(numbers, key=lambda n: hashlib.sha1(corpus.entries[n].path.encode()).digest())


def write(folder: Path, name: str, samples: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / f"{name}.wav", samples, SAMPLE_RATE_HZ)


def joined(corpus: Corpus, numbers: list[int], seconds: float) -> np.ndarray:
    parts, left = [], int(seconds * SAMPLE_RATE_HZ)
    for n in numbers:
        parts += [corpus[n], PAUSE]
        left -= len(corpus[n]) + len(PAUSE)
        if left <= 0:
            break
    return np.concatenate(parts)[: int(seconds * SAMPLE_RATE_HZ)]


def record(corpus: Corpus, phrases: dict[str, list[int]], folder: Path, minutes: float) -> None:
    """What somebody has after an evening with `sssm record`."""
    for word in WORDS:
        for n in phrases[word][:TAKES]:
            write(folder / word, Path(corpus.entries[n].path).stem, corpus[n])
    said = shuffled(corpus, corpus.where(source="commands", split="training"))
    for n in said[:OTHERS]:
        write(folder / UNKNOWN, f"{corpus.entries[n].word}{n}", corpus[n])
    noises = shuffled(corpus, corpus.where(source="noise", split="training"))
    for n in noises[:NOISES]:
        write(folder / "_background_noise_", str(n), corpus[n])
    if minutes:
        talk = shuffled(corpus, corpus.where(source="speech", split="calibration"))
        write(folder / UNKNOWN, "talk", joined(corpus, talk, 60 * minutes))


def heard(spotter: KeywordSpotter, samples: np.ndarray) -> list[str]:
    stream = spotter.stream(SAMPLE_RATE_HZ)
    return [d.keyword for d in stream.push(as_float(samples)) + stream.push(SILENCE)]


def main(
    data: Annotated[Path, typer.Option(help="Folder that training reads.")],
    minutes: Annotated[float, typer.Option(min=0, max=25, help="Of talk.")] = 10.0,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Train on what somebody records in an evening, and hear what that is worth."""
    corpus = open_corpus(data, own_words=False)
    phrases: dict[str, list[int]] = {}
    for n in shuffled(corpus, corpus.where(source="phrases", split="training")):
        phrases.setdefault(corpus.entries[n].word, []).append(n)
    with tempfile.TemporaryDirectory() as folder:
        record(corpus, phrases, Path(folder, "words"), minutes)
        train = [sys.executable, "-m", "training.train", "--preset", "own-words", f"seed={seed}"]
        start = ["--init", str(ASSETS / "kws12-s4.safetensors")]
        places = ["--data", f"{folder}/words", "--out", f"{folder}/run"]
        subprocess.run([*train, *start, *places], check=True)
        spotter = KeywordSpotter.load(Path(folder, "run", "model.safetensors"))
    console = Console(stderr=True)

    def each(numbers: list[int], what: str) -> Iterable[list[str]]:
        return (heard(spotter, corpus[n]) for n in track(numbers, what, console=console))

    missed = total = 0
    for word in WORDS:
        missed += sum(word not in found for found in each(phrases[word][TAKES:], word))
        total += len(phrases[word][TAKES:])
    others = [n for word, numbers in phrases.items() if word not in WORDS for n in numbers]
    fired = sum(bool(found) for found in each(others, "other phrases"))
    transcripts = read_transcripts(data)
    sentences = [
        n
        for n in corpus.where(source="speech", split="validation")
        if not {*WORDS} & {*transcripts[corpus.entries[n].path]}
    ]
    false = sum(len(found) for found in each(sentences, "sentences"))
    hours = sum(corpus.entries[n].length for n in sentences) / SAMPLE_RATE_HZ / 3_600
    result = {
        "minutes_of_talk": minutes,
        "missed": missed / total,
        "recordings": total,
        "other_phrases_taken_for_one": fired / len(others),
        "other_phrases": len(others),
        "false_detections": false,
        "hours_of_sentences": round(hours, 3),
        "false_detections_per_hour": false / hours,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    typer.run(main)
