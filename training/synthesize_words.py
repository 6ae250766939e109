"""Recordings of a word that nobody recorded, each in a voice of its own.

    python -m training.synthesize_words lamp --out MY_WORDS --model KOKORO.onnx --voices VOICES

They go to a folder a word, as those of `sssm record` do; with `--unknown` all go to `_unknown_`.
The same command goes on where it was stopped.  Who speaks is Kokoro-82M (Apache-2.0), exported to
ONNX, with its folder of voices, `af_heart.bin` and so on.
"""

import zlib
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from sssm.labels import UNKNOWN
from training.align import Aligner
from training.console import failures_told, tell, track
from training.vocabulary import require_pronounced
from training.voices import Kokoro, Speaker, WordFinder, alone, write

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def synthesize_words(
    words: Annotated[list[str], typer.Argument(metavar="WORD...")],
    out: Annotated[Path, typer.Option(help="Folder in which every word has its own.")],
    model: Annotated[Path, typer.Option(help="Kokoro-82M as ONNX.")],
    voices: Annotated[Path, typer.Option(help="Folder of its voices, NAME.bin each.")],
    count: Annotated[int, typer.Option(min=1, help="Recordings of each word.")] = 300,
    unknown: Annotated[bool, typer.Option("--unknown", help="All go to `_unknown_`.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the voices.")] = 0,
) -> None:
    """Record words said alone."""
    with failures_told():
        require_pronounced(words)
        speaker, aligner, left_out = Kokoro(model, voices), Aligner(), 0
        for word in words:
            folder = out / (UNKNOWN if unknown else word)
            left_out += record(word, folder, speaker, aligner, count=count, seed=seed)
        if left_out:
            tell(f"left out {left_out} of {count * len(words)}: the word was not found in them")


def record(
    word: str, folder: Path, speaker: Speaker, aligner: WordFinder, *, count: int, seed: int
) -> int:
    """Write what is not there yet of so many recordings; how many did not say the word.

    Each is named as a speaker of its own, so that validation holds out voices.
    """
    folder.mkdir(parents=True, exist_ok=True)
    left_out = 0
    for n in track(range(count), f"saying {word}"):
        path = folder / f"{word.replace(' ', '_')}-{seed}-{n:05d}_nohash_0.wav"
        if path.exists():
            continue
        rng = np.random.default_rng([seed, n, zlib.crc32(word.encode())])  # no voice says two words
        x = alone(word, speaker, aligner, rng)
        if x is None:
            left_out += 1
        else:
            write(path, x)
    return left_out


if __name__ == "__main__":
    app()
