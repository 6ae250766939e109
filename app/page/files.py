"""The tab of files, and the endpoints `/classify` and `/scan` for programs."""

import base64
import contextlib
import html
import json
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from app.event_file import Event, EventFile
from app.events import read_header
from app.page.limits import Limits
from app.page.recording import Recording, heard_recording
from app.page.shelf import Shelf
from app.page.uploads import Uploads, uploads_only
from app.terminal import counted
from sssm.audio import AudioError

MOST_FILES = 50
SHOW_S = 1.0  # between two updates of the page
HINT = '<p class="sssm-hint">Events, waveform and scores appear here.</p>'


class Files:
    """What is done with files, for visitors and for programs."""

    def __init__(self, shelf: Shelf, limits: Limits, uploads: Uploads):
        self._shelf, self._limits, self._uploads = shelf, limits, uploads

    def tab(self, model: gr.Dropdown, sensitivity: gr.Slider) -> None:
        """Lay out the tab, inside of a `gr.Tab`."""
        limits = self._limits
        dropped = uploads_only(gr.File(
            file_count="multiple", type="filepath", height=160, elem_id="sssm-dropped",
            label=f"Audio: {limits.max_upload_mb} MB, {limits.max_minutes} min each",
        ))  # fmt: skip
        shown = gr.HTML(HINT, elem_id="sssm-heard")
        gr.on(
            [dropped.change, model.change, sensitivity.change], self.hear,
            [dropped, model, sensitivity], shown,
            show_progress_on=shown, trigger_mode="always_last", concurrency_limit=2,
            concurrency_id="files", api_visibility="private",
        )  # fmt: skip

    def endpoints(self) -> None:
        """What programs call; invisible on the page."""
        for work, name, inputs in (
            (self.classify, "classify", []),
            (self.scan, "scan", [gr.Number(0.0, label="sensitivity", visible=False)]),
        ):
            file = uploads_only(gr.File(type="filepath", label="file", visible=False))
            model = gr.Textbox(self._shelf.names[0], label="model", visible=False)
            answer = gr.JSON(label=name, visible=False)
            gr.Button(visible=False).click(
                work, [file, model, *inputs], answer, api_name=name, concurrency_limit=2,
                concurrency_id="files",
            )  # fmt: skip

    def hear(
        self, paths: list[str] | None, model: str, sensitivity: float, request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (Gradio finds it by its default)
    ) -> Iterator[str]:  # fmt: skip
        """What the page shows of these files, again and again while it grows."""
        visitor, paths = str(request.session_hash), list(paths or [])
        self._uploads.replace(visitor, paths)
        recordings: list[Recording] = []
        shown_s = time.monotonic()
        if len(paths) > MOST_FILES:
            gr.Warning(f"{len(paths)} files: this page hears the first {MOST_FILES} of them")
        for path in paths[:MOST_FILES]:
            on_heard = _Progress(self._uploads, visitor, progress, os.path.basename(path))
            try:
                recordings.append(
                    heard_recording(
                        self._shelf, model, sensitivity, path, self._limits.most_s, on_heard
                    )
                )
            except ValueError as error:
                raise gr.Error(str(error), print_exception=False) from None
            if time.monotonic() - shown_s > SHOW_S:
                shown_s = time.monotonic()
                yield page_of(recordings)
        yield page_of(recordings)

    def classify(self, file: str | None, model: str) -> dict[str, Any]:
        """Name the word in a recording: label, score, scores of all labels, duration_s."""
        most_s = self._limits.most_s
        with self._program(file) as (path, check_here):
            too_long = AudioError(path, f"longer than {most_s:.0f} s")

            def on_heard(heard_s: float) -> None:
                check_here()
                if heard_s > most_s:
                    raise too_long

            if read_header(path).is_longer(most_s):
                raise too_long
            answer = self._shelf.classifier(model).classify(path, on_heard)
        return {
            "label": answer.label, "score": answer.score, "scores": answer.scores,
            "duration_s": answer.duration_s, "sample_rate_hz": answer.sample_rate_hz,
        }  # fmt: skip

    def scan(self, file: str | None, model: str, sensitivity: float) -> dict[str, Any]:
        """Find keywords in a recording: events (keyword, start_s, time_s, score), duration_s.

        message says what is wrong with a file that was heard in part.
        """
        with self._program(file) as (path, check_here):
            heard = heard_recording(
                self._shelf, model, sensitivity, path, self._limits.most_s, lambda *_: check_here()
            )
            if not heard.duration_s:
                raise ValueError(f"{heard.name}: {heard.message}")
        found = [event._asdict() for event in heard.events]
        for event in found:
            del event["path"]  # a name that the caller has
        return {"events": found, "duration_s": heard.duration_s, "message": heard.message}

    @contextlib.contextmanager
    def _program(self, file: str | None) -> Iterator[tuple[str, Callable[[], None]]]:
        """A program's file, which is removed, and a check that it still waits for its answer.

        What is wrong with the file becomes the answer.
        """
        if file is None:
            raise gr.Error("no file", print_exception=False)
        caller = secrets.token_hex()
        self._uploads.replace(caller, [file])
        try:
            yield file, partial(self._uploads.check_here, caller)
        except AudioError as error:
            line = f"{os.path.basename(file)}: {error.args[1]}"
            raise gr.Error(line, print_exception=False) from None
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from None
        finally:
            self._uploads.leave(caller)


class _Progress:
    """Tells the visitor how far it is, and ends the work when there is no visitor any more."""

    def __init__(self, uploads: Uploads, visitor: str, progress: gr.Progress, name: str):
        self._uploads, self._visitor = uploads, visitor
        self._progress, self._name = progress, name

    def __call__(self, heard_s: float, promised_s: float) -> None:
        self._uploads.check_here(self._visitor)
        all_s = max(heard_s, promised_s)
        share = heard_s / all_s if all_s else 0.0
        self._progress(share, desc=f"{self._name}: {heard_s:.0f} of {all_s:.0f} s")


def page_of(recordings: Sequence[Recording]) -> str:
    """HTML: downloads of all events, then an element for each file, which files.js draws."""
    if not recordings:
        return HINT
    found = [event for recording in recordings for event in recording.events]
    parts = [_downloads(found)] if found else []
    for recording in recordings:
        data = html.escape(json.dumps(_facts(recording)), quote=True)
        parts.append(f'<sssm-recording data-facts="{data}"></sssm-recording>')
    return "\n".join(parts)


def _downloads(found: Sequence[Event]) -> str:
    """Links to the files that `sssm scan --out` would write."""
    links = []
    for suffix, kind in ((".csv", "text/csv"), (".json", "application/json")):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, f"events{suffix}")
            with contextlib.closing(EventFile(path)) as file:
                file.start()
                for event in found:
                    file.write(event)
            with open(path, "rb") as written:
                data = base64.b64encode(written.read()).decode()
        links.append(
            f'<a class="sssm-download" download="events{suffix}" '
            f'href="data:{kind};base64,{data}">{suffix[1:].upper()}</a>'
        )
    count = counted(len(found), "event")
    return f'<p class="sssm-downloads"><strong>{count}</strong> {" ".join(links)}</p>'


def _facts(recording: Recording) -> dict[str, Any]:
    """What files.js draws; curves as base64 of bytes, which is a tenth of JSON's numbers."""
    facts: dict[str, Any] = {
        "name": recording.name, "message": recording.message, "duration_s": recording.duration_s,
    }  # fmt: skip
    if recording.peaks is None or recording.scores is None:
        return facts
    peaks = np.clip(recording.peaks, -1, 1) * np.array([1, -1])  # highest, lowest
    return facts | {
        "url": "gradio_api/file=" + quote(recording.path),
        "peaks": _base64((127 * peaks).round().astype(np.int8)), "peak_s": recording.peak_s,
        "scores": _base64((255 * recording.scores).round().astype(np.uint8)),
        "score_s": recording.score_s, "thresholds": recording.thresholds,
        "ranked": recording.ranked,
        "events": [event._asdict() for event in recording.events],
    }  # fmt: skip


def _base64(values: NDArray[Any]) -> str:
    return base64.b64encode(values.tobytes()).decode()
