"""The server: Gradio's page, our websocket and scripts, and the gate in front of all of it."""

import asyncio
import contextlib
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
import uvicorn
from fastapi import FastAPI, WebSocket
from starlette.staticfiles import StaticFiles

from app.page.files import Files
from app.page.gate import LOOPBACK, Gate
from app.page.inbox import MOST_BYTES
from app.page.limits import Limits
from app.page.live import live_tab
from app.page.model import model_tab
from app.page.shelf import MOST_SENSITIVE, Shelf
from app.page.socket import Visitors, converse
from app.page.uploads import Uploads, keep_apart
from app.pool import cores

STATIC = Path(__file__).parent / "static"
# Relative, so that the page may be anywhere below a proxy.
HEAD = """<link rel="stylesheet" href="sssm/page.css">
<script type="module" src="sssm/live.js"></script>
<script type="module" src="sssm/files.js"></script>"""
ABOUT = "# sssm\nWords as they are said: a state-space model on raw samples decides every 10 ms."
OLD_S = 3_600  # files that nobody removed


@dataclass(frozen=True)
class Page:
    """What a server serves, and who is there."""

    app: Gate
    visitors: Visitors
    uploads: Uploads
    farewell: asyncio.Event  # Gradio keeps a request open for each visitor until this


def build(shelf: Shelf, limits: Limits, *, accounts: Mapping[str, str], local_only: bool) -> Page:
    """The page, ready to be served.

    Args:
        shelf: of models.
        limits: for visitors.
        accounts: name -> password; nobody is asked where there are none.
        local_only: it is served to this machine alone.
    """
    visitors, uploads = Visitors(limits.max_visitors), Uploads()
    pool = ThreadPoolExecutor(cores(), "hearing")
    temporary = tempfile.TemporaryDirectory(prefix="sssm-page-", ignore_cleanup_errors=True)
    os.environ["GRADIO_TEMP_DIR"] = temporary.name  # read when a component is made
    keep_apart()

    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        warm = asyncio.get_running_loop().run_in_executor(pool, shelf.warm_up)
        yield
        await warm
        pool.shutdown(cancel_futures=True)
        temporary.cleanup()

    app = FastAPI(lifespan=life, openapi_url=None)

    @app.websocket("/listen")
    async def listen(visitor: WebSocket) -> None:
        await converse(visitor, shelf, visitors, pool)

    app.mount("/sssm", StaticFiles(directory=STATIC))
    page = _blocks(shelf, limits, uploads)
    page.queue(max_size=64)
    app = gr.mount_gradio_app(
        app, page, path="/", head=HEAD, theme=_theme(), ssr_mode=False, footer_links=["api"],
        max_file_size=limits.max_upload_mb * 2**20, show_error=True,
        favicon_path=str(STATIC / "icon.svg"),
    )  # fmt: skip
    gate = Gate(app, accounts=accounts, local_only=local_only)
    return Page(gate, visitors, uploads, app.routes[-1].app.stop_event)


class Server(uvicorn.Server):
    """uvicorn serving a page: `run(sockets=[bind(...)])`, until Ctrl-C.

    Before it shuts down, requests that Gradio keeps open are told to end, and files are no longer
    heard: it would wait for their end.
    """

    def __init__(self, page: Page):
        self._page = page
        super().__init__(
            uvicorn.Config(
                page.app,
                log_level="warning",
                ws="websockets-sansio",
                ws_max_size=4 * MOST_BYTES,
                # An answer to a ping waits behind the sound that was sent before it, which may be
                # minutes of it.  Who is gone, or does not read, is found by a visit.
                ws_ping_interval=None,
                ws_per_message_deflate=False,
                timeout_graceful_shutdown=3,
            )
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._page.farewell.set()
        self._page.uploads.close()
        await super().shutdown(sockets)


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens at the address; port 0 is any that is free.

    Raises:
        OSError: the address cannot be had.
    """
    if not host:  # which a socket takes for every address of this machine
        raise OSError("no name of a host")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name != "nt":  # there it would share a port that is in use
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(64)
    except OSError:
        bound.close()
        raise
    except TypeError:  # which `bind` calls a name that IDNA cannot encode
        bound.close()
        raise OSError("no name of a host") from None
    return bound


def is_local(host: str) -> bool:
    """Whether an address is of this machine alone."""
    return host in LOOPBACK


def _theme() -> gr.themes.Base:
    return gr.themes.Default(
        primary_hue="teal",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(body_text_color_subdued="*neutral_500", block_info_text_color="*neutral_500")


def _within(slider: gr.Slider) -> gr.Slider:
    """What is typed beside it, or nothing on the way to that, is taken as the nearest it has."""

    def preprocess(typed: float | None) -> float:
        return min(max(slider.minimum, typed or 0.0), slider.maximum)

    slider.preprocess = preprocess  # type: ignore[assignment, method-assign]
    return slider


def _blocks(shelf: Shelf, limits: Limits, uploads: Uploads) -> gr.Blocks:
    files = Files(shelf, limits, uploads)
    with gr.Blocks(
        title="sssm", analytics_enabled=False, delete_cache=(OLD_S, OLD_S), fill_width=False
    ) as page:
        gr.Markdown(ABOUT)
        with gr.Row():
            model = gr.Dropdown(shelf.names, value=shelf.names[0], label="Model", min_width=200)
            sensitivity = _within(gr.Slider(
                -MOST_SENSITIVE, MOST_SENSITIVE, 0.0, step=0.5, label="Sensitivity",
                info="Higher hears more, and more that was not said; 0 is the model's own.",
                scale=2, min_width=300,
            ))  # fmt: skip
        with gr.Tab("Live"):
            live_tab(model, sensitivity)
        with gr.Tab("Files"):
            files.tab(model, sensitivity)
        with gr.Tab("Model") as about:
            model_tab(about, shelf, model)
        files.endpoints()

        def leave(request: gr.Request) -> None:
            uploads.leave(str(request.session_hash))

        page.unload(leave)
    # Gradio opens any file that a visitor names until a page has been launched, and one that is
    # mounted never is.
    page.has_launched = True
    return page
