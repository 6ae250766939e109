"""Times of the words of sentences that have none yet: speech becomes usable for training.

    python -m training.align --data DATA

reads DATA/speech/transcripts.csv (columns path, split and transcript at least) and adds the words
of every recording that DATA/speech/words.csv does not hold.  Training uses aligned sentences alone.
"""

import csv
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from training.console import failures_told, say, tell, track
from training.corpus import SAMPLE_RATE_HZ, Spoken, read_int16, read_rows
from training.vocabulary import pronounced

COLUMNS = ("path", "split", "word", "start_s", "end_s")  # of a new table
FRAMES_HZ = 100
PAUSE_S = 0.1  # put after a recording: the last word needs somewhere to end

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def align(data: Annotated[Path, typer.Option(help="Folder of recordings.")]) -> None:
    """Add the times of the words of sentences that have none."""
    with failures_told():
        aligned, missed = align_folder(data / "speech")
    for path, reason in missed:
        tell(f"{path}: {reason}")
    say(f"{aligned} recordings aligned, {len(missed)} could not be")
    if missed:
        raise typer.Exit(1)


def align_folder(speech: Path) -> tuple[int, list[tuple[str, str]]]:
    """Recordings whose words were added to `speech/words.csv`; and the others, with the reason.

    Every recording's words are on the disk before the next is read, so that stopping loses nothing.

    Raises:
        ValueError: a table or a recording cannot be read.
        OSError: the table of words cannot be written.
    """
    table = speech / "words.csv"
    columns, have = _existing(table)
    rows = [row for row in read_rows(speech / "transcripts.csv") if row["path"] not in have]
    aligner, aligned, missed = Aligner(), 0, []
    with table.open("a", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, columns, restval="", extrasaction="ignore")
        if out.tell() == 0:
            writer.writeheader()
        for row in track(rows, "aligning"):
            words = row["transcript"].lower().split()
            unknown = [word for word in words if not pronounced(word)]
            found = aligner.times(read_int16(speech / row["path"]), words) if not unknown else None
            if found is None:
                reason = f"no word {unknown[0]!r} in the dictionary" if unknown else "does not fit"
                missed.append((row["path"], reason))
                continue
            for spoken in found:
                at = (f"{sample / SAMPLE_RATE_HZ:.2f}" for sample in spoken[1:])
                writer.writerow({**row, **dict(zip(COLUMNS[2:], (spoken.word, *at), strict=True))})
            out.flush()
            aligned += 1
    return aligned, missed


class Aligner:
    """Forced alignment by pocketsphinx; holds its acoustic model."""

    def __init__(self) -> None:
        import pocketsphinx

        # Wide beams: a search that gives up loses the sentence.
        self._decoder: Any = pocketsphinx.Decoder(
            samprate=SAMPLE_RATE_HZ, loglevel="FATAL", beam=1e-80, wbeam=1e-60, pbeam=1e-80
        )

    def times(self, samples: np.ndarray, words: list[str]) -> list[Spoken] | None:
        """When each word is said, in int16 samples at 16 kHz; None where they do not fit."""
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


def _existing(table: Path) -> tuple[tuple[str, ...], set[str]]:
    """Columns, and the recordings whose words a table holds."""
    if not table.is_file():
        return COLUMNS, set()
    rows = read_rows(table)
    with table.open(newline="", encoding="utf-8") as lines:
        columns = tuple(next(csv.reader(lines), COLUMNS))
    return columns, {row["path"] for row in rows}


if __name__ == "__main__":
    app()
