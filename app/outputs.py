"""What is written is not what is read."""

import contextlib
import os
from collections.abc import Iterable

from app.terminal import refuse


def keep_inputs(out: str | os.PathLike[str], inputs: Iterable[str | None]) -> None:
    """To be called before anything is written to `out`.

    Args:
        out: path of a file, which may be there.
        inputs: paths of what is read; None and what does not exist are none.

    Raises:
        typer.Exit: it would replace one of the inputs, which one line has said.
    """
    if not os.path.exists(out):
        return
    for path in inputs:
        with contextlib.suppress(OSError, ValueError):
            if path is not None and os.path.samefile(out, path):
                refuse(f"{os.fspath(out)}: is read here too, and would be written over")
