"""Texts that a user wrote: what is to be said, what a model's card says."""

from pathlib import Path

from sssm.reason import reason_of


def read_text(path: Path) -> str:
    """A whole text.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"{path}: {reason_of(error)}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not a text in UTF-8") from None
