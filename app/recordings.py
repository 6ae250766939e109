"""Which recordings the arguments of a command name."""

import os
from typing import Annotated

import typer

from app.terminal import counted, shown
from sssm.reason import reason_of

Paths = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH", help="Recordings, or folders to search for WAV, FLAC, OGG, OPUS, MP3."
    ),
]
WIDEST = 60  # of a column of paths, out of which longer ones stick


def width_of(paths: list[str]) -> int:
    """Of a column of these."""
    return min(WIDEST, max((len(shown(path)) for path in paths), default=0))


def replaced(path: str, samples: int) -> str:
    """What to tell of a recording in which so many samples are no numbers."""
    return f"{path}: {counted(samples, 'sample')} taken as 0: NaN or infinite"


def listed(paths: list[str]) -> tuple[list[str], list[str]]:
    """Files in the order of the arguments, folders replaced by what they hold; and the failures.

    A failure is one line: a folder that cannot be listed, or that holds no audio.
    """
    from sssm.audio import find_recordings

    files: list[str] = []
    failures: list[str] = []

    def unlistable(error: OSError) -> None:
        failures.append(f"{error.filename}: {reason_of(error)}")

    for path in paths:
        if not os.path.isdir(path):
            files.append(path)
            continue
        before = len(failures)
        found = find_recordings(path, unlistable)
        files.extend(os.path.join(path, name) for name in found)
        if not found and len(failures) == before:
            failures.append(f"{path}: no audio in this folder")
    return files, failures
