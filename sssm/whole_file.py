"""A file in one move: whoever reads sees the old one or the new one, never a part."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Path to write to, which becomes `path` at the end; after an error it is gone.

    A link stays one: what it points to is written.  What is no file, as a pipe, is written as it
    is.

    Raises:
        OSError: it cannot be written; the error names `path`.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        yield Path(path)  # not resolved: a link to a pipe leads to no name
        return
    target = Path(os.path.realpath(path))  # `resolve` fails at a link that leads to itself
    # A name that nobody has: neither what somebody keeps beside it nor who else writes it is hurt.
    unfinished = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
    try:
        yield unfinished
        os.replace(unfinished, target)
    except OSError as error:
        nameless = error.filename is None and error.errno is not None  # as of a disk that is full
        if nameless or str(error.filename) == str(unfinished):
            error.filename = os.fspath(path)
        raise
    finally:
        with suppress(OSError):  # what could not be made is not there
            unfinished.unlink()
