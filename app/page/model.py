"""The tab of the model: its card, and pictures made from its file."""

import base64
import functools
import glob
import html
import re
from pathlib import Path

import gradio as gr

from app.page.shelf import Shelf
from sssm.live import describe
from sssm.weights import WEIGHTS, load_model, missing_packages

KINDS = {".png": "image/png", ".svg": "image/svg+xml"}
SEPARATORS = "-_."  # between a model's name and what its picture shows
HINT = "Pictures of its weights need more packages: pip install 'sssm[torch]'"
CAPTIONS = {
    "responses": "Learned filterbank: how strongly each mode hears a tone. Every curve is one "
    "complex resonator on the raw samples, in two stages.",
    "bands": "Centre and bandwidth of each mode, before and after training.",
    "kernels": "Kernels of the first and of the last state-space layer: each row is a channel's "
    "answer to an impulse, from now (left) to one second ago, scaled to its largest value.",
    "confusion": "Validation clips: what was said, and what was heard.",
    "det": "Words missed in validation streams, and what it costs: the fewer are to be missed, the "
    "more often something else fires.",
}


def model_tab(tab: gr.Tab, shelf: Shelf, model: gr.Dropdown) -> None:
    """Lay out the tab, inside of it; the pictures are made when it is first opened."""
    shown = gr.HTML('<p class="sssm-hint">One moment: the pictures are being made.</p>')
    card = gr.Markdown(elem_classes="sssm-card")

    def show(name: str) -> tuple[str, str]:
        try:
            drawn, words = zip(*map(about, shelf.files(name)), strict=True)
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from None
        return "".join(drawn), "\n\n".join(words)

    gr.on(
        [tab.select, model.change], show, model, [shown, card], show_progress="hidden",
        api_visibility="private",
    )  # fmt: skip


@functools.lru_cache(maxsize=8)
def about(file: Path) -> tuple[str, str]:
    """Pictures as HTML, and the card as Markdown, which Gradio cleans of HTML.

    Raises:
        ModelFileError: it is damaged.
    """
    card, _ = describe(file)
    parts = _drawings(file.with_suffix(WEIGHTS))
    for picture in sorted(file.parent.glob(f"{glob.escape(file.stem)}*")):
        what = picture.stem.removeprefix(file.stem)
        if picture.suffix in KINDS and what[:1] in ("", *SEPARATORS):
            data = base64.b64encode(picture.read_bytes()).decode()
            what = what.strip(SEPARATORS)
            caption = CAPTIONS.get(what) or (what.replace("-", " ") or picture.stem).capitalize()
            image = f'<img src="data:{KINDS[picture.suffix]};base64,{data}" alt="">'
            parts.append(_figure(caption, image))
    words = _card(file, card.training_data, card.licence, dict(card.accuracy))
    return f'<div class="sssm-model">{"".join(parts)}</div>', words


def _drawings(weights: Path) -> list[str]:
    """What torch can draw of the weights that lie beside a file, and otherwise what it would take.

    Raises:
        ModelFileError: they are damaged.
    """
    if not weights.is_file():
        return []
    if missing_packages():
        return [f'<p class="sssm-hint">{HINT}</p>']
    from app.page import pictures

    model, _ = load_model(weights)
    drawn = {
        "responses": pictures.responses(model),
        "bands": pictures.bands(model),
        "kernels": pictures.kernels(model),
    }
    return [_figure(CAPTIONS[name], drawing) for name, drawing in drawn.items() if drawing]


def _card(file: Path, training_data: str, licence: str, accuracy: dict[str, object]) -> str:
    """The card beside the file where it has one, which is made of the same facts."""
    beside = file.with_suffix(".md")
    if beside.is_file():  # below the page's own heading
        return re.sub(r"(?m)^(?=#+ )", "#", beside.read_text(encoding="utf-8"))
    facts = {"learned from": training_data, "licence": licence} | accuracy
    rows = [f"| {name.replace('_', ' ')} | {value} |" for name, value in facts.items()]
    return "\n".join([f"## {file.stem}", "", "| what | |", "| --- | --- |", *rows])


def _figure(caption: str, drawing: str) -> str:
    words = html.escape(caption, quote=True)
    return (
        f'<figure class="sssm-figure"><div role="img" aria-label="{words}">{drawing}</div>'
        f"<figcaption>{words}</figcaption></figure>"
    )
