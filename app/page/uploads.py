"""Whose files lie on this machine: removed when the last visitor who uploaded them is gone."""

import contextlib
import os
import secrets
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gradio as gr
import gradio.route_utils


class _OwnUpload(gradio.route_utils.GradioUploadFile):
    """What Gradio would put in a folder named by its bytes alone, here in a folder of its own.

    Else of two programs that send the same recording the first to be answered takes it from the
    other, whose call still waits for its turn.
    """

    def __init__(self, *arguments: Any, **names: Any):
        super().__init__(*arguments, **names)
        self.sha.update(secrets.token_bytes())


def keep_apart() -> None:
    """Let no two uploads be one file."""
    gradio.route_utils.GradioUploadFile = _OwnUpload  # type: ignore[misc]


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
    """Which visitor has which files; a file is removed when nobody has it any more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: dict[str, set[str]] = {}  # visitor -> paths
        self._is_open = True

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

    def close(self) -> None:
        """The page closes: nobody is here any more, whoever comes."""
        self._is_open = False

    def is_here(self, visitor: str) -> bool:
        """Whether the visitor has come, with files or without, and not left."""
        return self._is_open and visitor in self._of

    def check_here(self, visitor: str) -> None:
        """To be called while a file is heard.

        Raises:
            gr.Error: the visitor is not here: nobody waits for its end.
        """
        if not self.is_here(visitor):
            raise gr.Error("the visitor has left, or the page closes", print_exception=False)

    def _remove(self, paths: set[str]) -> None:
        kept = set().union(*self._of.values())
        for path in paths - kept:
            with contextlib.suppress(OSError):
                os.remove(path)
                os.rmdir(os.path.dirname(path))  # Gradio makes a folder for each
