"""`sssm record`: takes of one's own words, a folder a word, as training reads them."""

import math
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from app.ending import asked_to_end, native_messages_hidden
from app.listen import Device, Input, open_source
from app.terminal import INPUT_FAILED, refuse, tell
from sssm.labels import BACKGROUND, UNKNOWN, WORDLESS

TAKES = 10  # unless told


def record(
    word: Annotated[
        str,
        typer.Argument(
            metavar="WORD",
            help="What is said; _unknown_ for other words, _background_noise_ for no word.",
        ),
    ],
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Takes go to DIR/WORD/0001.wav on.")],
    takes: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="How many; 10 without --minutes.")
    ] = None,
    minutes: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="M", help="So much talk into _unknown_, or noise, in pieces of 10 s."
        ),
    ] = None,
    device: Device = None,
    input_file: Input = None,
) -> None:
    """Record takes of a word, trimmed and checked, to train a model."""
    from app.display import display
    from app.recorder import PIECE_S, Recorder

    if fault := _not_a_name(word) or _not_of_minutes(word, takes, minutes):
        refuse(f"{word!r} {fault}")
    is_talk = minutes is not None and word == UNKNOWN
    if minutes is not None:
        takes = math.ceil(60 * minutes / PIECE_S)
    with native_messages_hidden():
        source = open_source(device, input_file, real_time=False)
        with closing(source), asked_to_end() as ending:
            with display(as_json=False) as screen:
                recorder = Recorder(source, screen, word, Path(folder), takes or TAKES, is_talk)
                failed = recorder.failed_after(ending)
            tell(recorder.summary)
    if ending.code:
        raise typer.Exit(ending.code)
    if failed:
        raise typer.Exit(INPUT_FAILED)


def _not_a_name(word: str) -> str:
    """Why a word cannot be a folder's name on every system; nothing where it can."""
    if word.startswith("_") and word not in (*WORDLESS, UNKNOWN):
        return f"is no word: of the names with _ there are {', '.join((UNKNOWN, *WORDLESS))}"
    if not word or word != word.strip() or word.startswith(".") or word.endswith("."):
        return "is no word: an empty name, or one with a space or a point at its edge"
    if any(c in '/\\<>:"|?*' or not c.isprintable() for c in word):
        return "is no word: it has a character that a folder's name cannot have"
    return ""


def _not_of_minutes(word: str, takes: int | None, minutes: int | None) -> str:
    """Why it cannot be recorded for so long; nothing where it can, or no minutes are given."""
    if minutes is None:
        return ""
    if word not in (UNKNOWN, *WORDLESS):
        return f"is recorded in takes: --minutes is for {UNKNOWN} and {BACKGROUND}"
    return "" if takes is None else "is recorded for --minutes or in --takes, not both"
