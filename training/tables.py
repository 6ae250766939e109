"""Tables with a header and commas: what is said of recordings, and where."""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sssm.reason import reason_of


def read_rows(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """Rows of a table with a header, each with a value in these columns and maybe in others.

    Raises:
        ValueError: the table cannot be read, or a row lacks a value or has one too many.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.DictReader(lines))
    except OSError as error:
        raise ValueError(f"{path}: {reason_of(error)}") from None
    except (UnicodeDecodeError, csv.Error):
        raise ValueError(f"{path}: not a table in UTF-8, with commas") from None
    for number, row in enumerate(rows, start=1):
        if None in row:  # where a text has a comma, the rest of it would be lost
            raise ValueError(f"{path}: row {number} has a comma too many; quote what holds one")
        for column in columns:
            if row.get(column) is None:
                raise ValueError(f"{path}: row {number} has no {column!r}")
    return rows


@contextmanager
def extended(
    path: Path, columns: tuple[str, ...]
) -> Iterator[tuple[list[dict[str, str]], Callable[[Iterable[Mapping[str, str]]], None]]]:
    """Rows of a table, none where it is not there, and what adds rows to it.

    Added rows are on the disk at once.  A table that has rows keeps its own columns, a new one has
    those given; what a row lacks of them is empty, and what it has besides is left out.

    Raises:
        ValueError: the table cannot be read.
        OSError: it cannot be written.
    """
    old = read_rows(path, columns) if path.is_file() else []
    with path.open("a" if old else "w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(
            out, tuple(old[0]) if old else columns,
            restval="", extrasaction="ignore", lineterminator="\n",
        )  # fmt: skip
        if not old:
            writer.writeheader()
        elif not path.read_bytes().endswith(b"\n"):
            out.write("\n")

        def add(rows: Iterable[Mapping[str, str]]) -> None:
            writer.writerows(rows)
            out.flush()

        yield old, add
