"""Sentences that nobody recorded, each in a voice of its own, added to those that training hears.

    python -m training.sound_alikes yes no --texts BOOK.txt > LINES.txt
    python -m training.synthesize_sentences LINES.txt --data DATA --model KOKORO.onnx --voices DIR
    python -m training.align --data DATA

They go to DATA/speech; the last command finds their words.  Each goes on where it was stopped.  Who
speaks is Kokoro-82M (Apache-2.0), exported to ONNX, with its folder of voices, `af_heart.bin` and
so on.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from training.console import INPUT_FAILED, failures_told, tell, track
from training.tables import extended
from training.texts import read_text
from training.vocabulary import words_of
from training.voices import Kokoro, Speaker, write

FOLDER = "synthesized"  # in DATA/speech
COLUMNS = ("path", "split", "transcript")  # of a new table

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def synthesize_sentences(
    lines: Annotated[Path, typer.Argument(help="Text, a sentence a line.")],
    data: Annotated[Path, typer.Option(help="Folder that training reads.")],
    model: Annotated[Path, typer.Option(help="Kokoro-82M as ONNX.")],
    voices: Annotated[Path, typer.Option(help="Folder of its voices, NAME.bin each.")],
    seed: Annotated[int, typer.Option(min=0, help="Of the voices.")] = 0,
) -> None:
    """Record sentences for training."""
    with failures_told():
        texts = read_text(lines).splitlines()
        left_out = record(texts, lines.stem, data / "speech", Kokoro(model, voices), seed=seed)
    for reason in left_out:
        tell(reason)
    if left_out:
        raise typer.Exit(INPUT_FAILED)


def record(texts: list[str], name: str, speech: Path, speaker: Speaker, *, seed: int) -> list[str]:
    """Write recordings, and for each, once it is whole, its row in `transcripts.csv`.

    Returns why some were left out.

    Raises:
        ValueError: the table cannot be read.
        OSError: something cannot be written.
    """
    (speech / FOLDER).mkdir(parents=True, exist_ok=True)
    left_out = []
    with extended(speech / "transcripts.csv", COLUMNS) as (old, add):
        done = {row["path"] for row in old}
        for n in track(range(len(texts)), f"saying {name}"):
            path, said = f"{FOLDER}/{name}-{seed}-{n:05d}.wav", words_of(texts[n])
            if path in done or not said:
                continue
            try:
                x = speaker.say(texts[n], np.random.default_rng([seed, n]))
            except ValueError as error:
                left_out.append(f"line {n + 1}: {error}")
                continue
            write(speech / path, x)
            add([{"path": path, "split": "training", "transcript": " ".join(said)}])
    return left_out


if __name__ == "__main__":
    app()
