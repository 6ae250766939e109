"""The page in this process, so that a test can look behind it; and a browser with a microphone."""

import asyncio
import gc
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
import soxr

from app.page.limits import Limits
from app.page.server import Page, Server, bind, build
from app.page.shelf import Shelf

CLIPS = Path(__file__).parent / "clips"
LIMITS = Limits(max_visitors=16, max_upload_mb=64, max_minutes=60)
PATIENCE_S = 120.0  # for what takes a second on a quiet machine


class Served(NamedTuple):
    url: str
    page: Page

    @property
    def socket(self) -> str:
        return self.url.replace("http", "ws") + "/listen"


@contextmanager
def serving(
    model: str = "s4", *, limits: Limits = LIMITS, accounts: Mapping[str, str] | None = None
) -> Iterator[Served]:
    """The page at a free port, until the end of the block."""
    with gradios_leaks():
        page = build(Shelf(model), limits, accounts=accounts or {}, local_only=True)
    server = Server(page)
    with bind("127.0.0.1", 0) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            wait_for(lambda: server.started)
            yield Served(f"http://127.0.0.1:{listening.getsockname()[1]}", page)
        finally:
            server.should_exit = True
            with gradios_leaks():
                thread.join()


@contextmanager
def gradios_leaks() -> Iterator[None]:
    """Collect the event loops that Gradio leaves open here, not in another's test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
        asyncio.set_event_loop(None)  # of this thread, which would keep one of them until then
        gc.collect()


def wait_for(condition: Any) -> None:
    """Until it holds; a busy machine is no failure."""
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s, "it never came true"
        time.sleep(0.02)


def clip(word: str) -> np.ndarray:
    """(16000,) float32, one second at 16 kHz."""
    samples, rate = soundfile.read(CLIPS / f"{word}.flac", dtype="float32")
    assert rate == 16_000
    return samples


def clip_path(word: str) -> str:
    return str(CLIPS / f"{word}.flac")


def stream_of(words: Iterable[str], rate: int = 16_000, lead_s: float = 1.0) -> np.ndarray:
    """The words, one every 1.6 s after some quiet, as int16 in very soft noise."""
    rng = np.random.default_rng(0)
    pause = np.zeros(int(0.6 * 16_000), np.float32)
    parts = [np.zeros(int(lead_s * 16_000), np.float32)]
    for word in words:
        parts += [clip(word), pause]
    x = np.concatenate(parts)
    x = x + 1e-4 * rng.standard_normal(len(x)).astype(np.float32)
    if rate != 16_000:
        x = soxr.resample(x, 16_000, rate)
    return (np.clip(x, -1, 1) * 32_767).astype(np.int16)


def opened(browser: Any, url: str, **options: Any) -> Any:
    """The page, ready."""
    page = browser.new_page(**options)
    page.set_default_timeout(PATIENCE_S * 1000)
    page.goto(url, wait_until="load")
    page.locator("sssm-live .sssm-button").wait_for()
    return page
