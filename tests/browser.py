"""A real browser whose microphone is a file; a test that needs one is skipped where there is none.

Its module says `pytestmark = IN_A_BROWSER` and takes the fixture `playwright` from here.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
IN_A_BROWSER = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium"),
    # Of the browser's pipes, which playwright leaves to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def playwright() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        yield playwright


@contextmanager
def chromium(
    playwright: Any, microphone: Path | None = None, *, again: bool = False
) -> Iterator[Any]:
    """A browser; its microphone gives that file once and then silence, or again and again."""
    flags = [
        "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
        "--autoplay-policy=no-user-gesture-required",
    ]  # fmt: skip
    if microphone is not None:
        file = f"{microphone}{'' if again else '%noloop'}"
        flags.append(f"--use-file-for-fake-audio-capture={file}")
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
    try:
        yield browser
    finally:
        browser.close()
