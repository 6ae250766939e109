"""Times of the words of sentences that have none yet: speech becomes usable for training.

    python -m training.align --data DATA

reads DATA/speech/transcripts.csv (columns path, split and transcript at least) and adds the words
of every recording that DATA/speech/words.csv does not hold yet.  Training uses sentences whose
words have times, and no others.
"""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from training.console import failures_told, say, tell, track
from training.corpus import SAMPLE_RATE_HZ, Spoken, read_int16
from training.tables import extended, read_rows
from training.vocabulary import pronounced, words_of

COLUMNS = ("path", "split", "word", "start_s", "end_s")  # of a new table
FRAMES_HZ = 100  # of pocketsphinx
PAUSE_S = 0.1  # put after a recording: the last word needs somewhere to end

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def align(data: Annotated[Path, typer.Option(help="Folder that holds `speech`.")]) -> None:
    """Add the times of the words of sentences that have none."""
    with failures_told():
        aligned, missed = align_folder(data / "speech")
        for reason in missed:
            tell(reason)
        say(f"aligned {aligned}, failed {len(missed)}")
    if missed:
        raise typer.Exit(1)


def align_folder(speech: Path) -> tuple[int, list[str]]:
    """How many recordings' words were added to `speech/words.csv`; and why those of others weren't.

    Every recording's words are on the disk before the next is read, so that stopping loses nothing.

    Raises:
        ValueError: a table cannot be read.
        OSError: the table of words cannot be written.
    """
    rows = read_rows(speech / "transcripts.csv", (*COLUMNS[:2], "transcript"))
    aligner, aligned, missed = Aligner(), 0, []
    with extended(speech / "words.csv", COLUMNS) as (old, add):
        done = {row["path"] for row in old}
        for row in track([row for row in rows if row["path"] not in done], "aligning"):
            if row["path"] in done:  # listed twice
                continue
            try:
                found = _times(aligner, speech / row["path"], words_of(row["transcript"]))
            except ValueError as error:
                missed.append(str(error))
                continue
            add(row | _cells(spoken) for spoken in found)
            done.add(row["path"])
            aligned += 1
    return aligned, missed


def _cells(spoken: Spoken) -> dict[str, str]:
    start_s, end_s = (f"{sample / SAMPLE_RATE_HZ:.2f}" for sample in spoken[1:])
    return {"word": spoken.word, "start_s": start_s, "end_s": end_s}


def _times(aligner: "Aligner", path: Path, words: list[str]) -> list[Spoken]:
    """When each word of a recording is said.

    Raises:
        ValueError: the recording cannot be read, or its words not be found.
    """
    samples = read_int16(path)
    if not words:
        raise ValueError(f"{path}: its transcript is empty")
    for word in words:
        if not pronounced(word):
            raise ValueError(f"{path}: no word {word!r} in the dictionary")
    found = aligner.times(samples, words)
    if found is None:
        raise ValueError(f"{path}: it does not say its transcript")
    return found


class Aligner:
    """Forced alignment by pocketsphinx; holds its acoustic model."""

    def __init__(self) -> None:
        import pocketsphinx

        # Wide beams: a search that gives up loses the sentence.
        self._decoder: Any = pocketsphinx.Decoder(
            samprate=SAMPLE_RATE_HZ, loglevel="FATAL", beam=1e-80, wbeam=1e-60, pbeam=1e-80
        )

    def times(self, samples: np.ndarray, words: list[str]) -> list[Spoken] | None:
        """When each word is said, in int16 samples at 16 kHz.

        None where the search finds no way; other words than those said are often found too.
        """
        pause = np.zeros(round(PAUSE_S * SAMPLE_RATE_HZ), np.int16)
        try:
            self._decoder.set_align_text(" ".join(words))
            self._decoder.start_utt()
            self._decoder.process_raw(np.append(samples, pause).tobytes(), full_utt=True)
            self._decoder.end_utt()
            segments = list(self._decoder.seg() or ())
        except RuntimeError:
            return None
        hop = SAMPLE_RATE_HZ // FRAMES_HZ
        found = [
            Spoken(s.word.partition("(")[0], s.start_frame * hop, (s.end_frame + 1) * hop)
            for s in segments
            if s.word[0] not in "<["  # silence and noise
        ]
        return found if [spoken.word for spoken in found] == words else None


if __name__ == "__main__":
    app()
