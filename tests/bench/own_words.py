"""Two words of one's own from a few takes, with and without some minutes of other people's talk.

    python tests/bench/own_words.py --data ROOT [--minutes 10] [--words computer jarvis]

Of two phrases of ROOT/words ten recordings each, thirty of other words and six of noise are what
somebody records; talk is the calibration readers.  README's command trains on them.  Then
the other recordings of the two words, the other phrases of ROOT/words, and the validation readers,
each in one stream, are heard as `sssm listen` hears them.  (The model that training starts from has
heard these phrases, as no keyword.)

The last line is JSON, with figures by threshold.
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
from sssm.int16 import as_float
from sssm.labels import UNKNOWN
from sssm.traces import Traces
from training.corpus import SAMPLE_RATE_HZ, Corpus, open_corpus
from training.stream_trials import read_transcripts

TAKES, OTHERS, NOISES = 10, 30, 6
PAUSE = np.zeros(int(0.3 * SAMPLE_RATE_HZ), np.int16)  # between two sentences
SILENCE = np.zeros(SAMPLE_RATE_HZ, np.int16)  # after a recording: its last word is heard
THRESHOLDS = (0.8, 0.85, 0.9, 0.95)
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


def record(corpus: Corpus, takes: dict[str, list[int]], folder: Path, minutes: float) -> None:
    """What somebody has after an evening with `sssm record`."""
    for word, numbers in takes.items():
        for n in numbers:
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


def heard(spotter: KeywordSpotter, recordings: Iterable[Iterable[np.ndarray]]) -> Traces:
    """What fires in recordings, each given in pieces."""
    traces = Traces(spotter.detector, min(THRESHOLDS))
    for pieces in recordings:
        trace, stream = traces.begin(), spotter.stream(SAMPLE_RATE_HZ)
        for piece in pieces:
            trace.push(stream.push_scores(as_float(piece)))
    return traces


def main(
    data: Annotated[Path, typer.Option(help="Folder that training reads.")],
    minutes: Annotated[float, typer.Option(min=0, max=25, help="Of talk.")] = 10.0,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    words: Annotated[tuple[str, str], typer.Option(help="Two of the phrases.")] = (
        "computer",
        "jarvis",
    ),
) -> None:
    """Train on what somebody records in an evening, and hear what that is worth."""
    corpus = open_corpus(data, own_words=False)
    phrases: dict[str, list[int]] = {}
    for n in shuffled(corpus, corpus.where(source="phrases", split="training")):
        phrases.setdefault(corpus.entries[n].word, []).append(n)
    if unknown := {*words} - {*phrases}:
        raise typer.BadParameter(f"no phrase {', '.join(sorted(unknown))} in {data}")
    with tempfile.TemporaryDirectory() as folder:
        takes = {word: phrases[word][:TAKES] for word in words}
        record(corpus, takes, Path(folder, "words"), minutes)
        train = [sys.executable, "-m", "training.train", "--preset", "own-words", f"seed={seed}"]
        start = ["--init", str(ASSETS / "kws12-s4.safetensors")]
        places = ["--data", f"{folder}/words", "--out", f"{folder}/run"]
        if subprocess.run([*train, *start, *places], check=False).returncode:
            raise typer.Exit(1)  # it said why
        spotter = KeywordSpotter.load(Path(folder, "run", "model.safetensors"))
    said = [(n, word) for word in words for n in phrases[word][TAKES:]]
    others = [n for word, numbers in phrases.items() if word not in words for n in numbers]
    transcripts = read_transcripts(data)
    talk: dict[str, list[int]] = {}
    for n in corpus.where(source="speech", split="validation"):
        if not {*words} & {*transcripts[corpus.entries[n].path]}:
            talk.setdefault(corpus.entries[n].speaker, []).append(n)
    console = Console(stderr=True)
    positives, phrase, negatives = (
        heard(spotter, track(recordings, what, console=console))
        for what, recordings in (
            ("words", [(corpus[n], SILENCE) for n, _ in said]),
            ("other phrases", [(corpus[n], SILENCE) for n in others]),
            ("talk", [[x for n in one for x in (corpus[n], PAUSE)] for one in talk.values()]),
        )
    )
    by_threshold = {}
    for threshold in THRESHOLDS:
        alike = dict.fromkeys(words, threshold)
        found = {(event.recording, event.keyword) for event in positives.fired(alike)}
        fired = {event.recording for event in phrase.fired(alike)}
        false = len(negatives.fired(alike))
        by_threshold[threshold] = {
            "missed": sum((k, word) not in found for k, (_, word) in enumerate(said)) / len(said),
            "other_phrases": len(fired) / len(others),
            "false": false,
            "false_per_hour": false / negatives.hours,
        }
    result = {
        "minutes_of_talk": minutes,
        "recordings": len(said),
        "phrases": len(others),
        "hours": negatives.hours,
        "by_threshold": by_threshold,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    typer.run(main)
