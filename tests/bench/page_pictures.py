"""Screenshots of the page's tabs: desktop and phone width, light and dark.

python tests/bench/page_pictures.py OUT
"""

import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import soundfile
import typer
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))  # of the tests' own helpers

WORDS = ("yes", "left", "stop", "up", "down")
SIZES = {"desktop": (1180, 900), "phone": (390, 844)}


def main(out: Annotated[Path, typer.Argument(help="Folder for the pictures.")]) -> None:
    """Make a picture of every tab, size and colour scheme."""
    from browser import chromium
    from page_server import opened, serving, stream_of
    from playwright.sync_api import sync_playwright

    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        microphone, long = Path(folder) / "microphone.wav", Path(folder) / "some-words.wav"
        soundfile.write(microphone, stream_of(WORDS, 48_000), 48_000)
        soundfile.write(long, stream_of((*WORDS, "go", "right", "off")), 16_000)
        short = Path(__file__).parents[2] / "assets/demo.wav"
        with serving() as served, chromium(playwright, microphone) as browser:
            for scheme in ("light", "dark"):
                for size, (width, height) in SIZES.items():
                    page = opened(
                        browser, f"{served.url}/?__theme={scheme}", color_scheme=scheme,
                        viewport={"width": width, "height": height},
                    )  # fmt: skip
                    _take(page, out, f"{size}-{scheme}", [str(short), str(long)])
                    page.close()


def _take(page: Any, out: Path, name: str, files: list[str]) -> None:
    from page_server import wait_for

    page.locator(".sssm-button").click()
    page.locator(".sssm-list li").nth(len(WORDS) - 2).wait_for()
    page.mouse.move(0, 0)
    _picture(page, out / f"live-{name}.png")
    page.locator(".sssm-button").click()
    page.get_by_role("tab", name="Files").click()
    page.locator("input[type=file]").first.set_input_files(files)
    page.locator("sssm-recording .sssm-lanes").nth(1).wait_for()
    wave = page.locator("sssm-recording .sssm-wave").nth(1)
    wait_for(lambda: wave.evaluate("canvas => canvas.width > 300"))
    page.wait_for_timeout(300)  # for the animation of Gradio's own progress to fade
    _picture(page, out / f"files-{name}.png")
    page.get_by_role("tab", name="Model").click()
    page.locator(".sssm-figure svg").first.wait_for()
    _picture(page, out / f"model-{name}.png")


def _picture(page: Any, path: Path) -> None:
    """The whole page in 256 colours, in a third of the space."""
    page.screenshot(path=path, full_page=True)
    with Image.open(path) as image:
        image.convert("RGB").quantize(256).save(path, optimize=True)


if __name__ == "__main__":
    typer.run(main)
