"""Which recordings the arguments of a command name."""

import os

from app.terminal import counted
from sssm.reason import reason_of


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
