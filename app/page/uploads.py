"""Whose files lie on this machine: removed when the last visitor who uploaded them is gone."""

import contextlib
import os
import threading
from collections.abc import Iterable
from pathlib import Path

import gradio as gr


def uploads_only(file: gr.File) -> gr.File:
    """It takes what a visitor sends, never an address, which the server would ask for a file."""
    move = file.async_move_resource_to_block_cache

    async def move_upload(path: str | Path | None) -> str | None:
        if "://" in str(path):
            raise gr.Error("an address is no file: upload one")
        moved: str | None = await move(path)
        return moved

    file.async_move_resource_to_block_cache = move_upload  # type: ignore[assignment, method-assign]
    return file


class Uploads:
    """Which visitor has which files; a file is removed when nobody has it any more.

    Two visitors who upload the same bytes share one file, because Gradio names it by its bytes.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: dict[str, set[str]] = {}  # visitor -> paths

    def replace(self, visitor: str, paths: Iterable[str]) -> None:
        """These are the visitor's files now; earlier ones are removed."""
        with self._lock:
            before = self._of.get(visitor, set())
            self._of[visitor] = set(paths)
            self._remove(before)

    def leave(self, visitor: str) -> None:
        """The visitor is gone."""
        with self._lock:
            self._remove(self._of.pop(visitor, set()))

    def is_here(self, visitor: str) -> bool:
        """Whether the visitor has come, with files or without, and not left."""
        return visitor in self._of

    def _remove(self, paths: set[str]) -> None:
        kept = set().union(*self._of.values())
        for path in paths - kept:
            with contextlib.suppress(OSError):
                os.remove(path)
                os.rmdir(os.path.dirname(path))  # Gradio makes a folder for each
