"""The page in the browser says what Python says: of samples, and of a microphone."""

import functools
import http.server
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from browser import IN_A_BROWSER, chromium, playwright

from sssm.onnx.export import Export, export_model
from sssm.spotter import KeywordSpotter
from sssm.weights import find_model, fingerprint, load_model

ROOT = Path(__file__).parents[2]
__all__ = ["playwright"]  # a fixture
pytestmark = [*IN_A_BROWSER, pytest.mark.skipif(not shutil.which("npm"), reason="needs npm")]


@pytest.fixture(scope="module")
def model():
    return find_model("s4")


@pytest.fixture(scope="module")
def site(model, tmp_path_factory):
    """Address of the built page."""
    folder = tmp_path_factory.mktemp("web")
    shutil.copytree(ROOT / "assets" / "examples" / "web", folder, dirs_exist_ok=True)
    network, card = load_model(model)
    export_model(network, card, fingerprint(model), folder / "model.onnx", Export())
    for command in (["npm", "install", "--no-audit", "--no-fund"], ["npm", "run", "build"]):
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=300)
    handler = functools.partial(_Quiet, directory=folder / "dist")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def sound():
    """Three words, two seconds apart, at 16 kHz."""
    said, _ = soundfile.read(ROOT / "assets" / "demo.wav", dtype="float32")
    quiet = 1e-4 * np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    return np.concatenate([quiet, said, quiet, said, quiet, said, quiet])


@pytest.fixture(scope="module")
def page(playwright, site, sound, tmp_path_factory):
    file = tmp_path_factory.mktemp("microphone") / "said.wav"
    soundfile.write(file, soxr.resample(sound, 16_000, 48_000), 48_000)
    with chromium(playwright, file, again=True) as browser:
        page = browser.new_page()
        page.goto(site)
        page.locator("#listen:enabled").wait_for(timeout=60_000)
        yield page


def test_samples_give_pythons_detections(page, model, sound):
    wanted = KeywordSpotter.load(model).stream().push(sound)
    assert [event.keyword for event in wanted] == ["yes"] * 3
    heard = page.evaluate(
        """async (samples) => {
            const { Spotter } = await import("./spotter.js");
            const spotter = await Spotter.load("./model.onnx");
            const heard = [];
            for (let at = 0; at < samples.length; at += 128)
                heard.push(...await spotter.push(Float32Array.from(samples.slice(at, at + 128))));
            return heard;
        }""",
        sound.tolist(),
    )
    assert [h["keyword"] for h in heard] == [w.keyword for w in wanted]
    for h, w in zip(heard, wanted, strict=True):
        assert h["time_s"] == pytest.approx(w.time_s, abs=1e-9)
        assert h["score"] == pytest.approx(w.score, abs=1e-4)


def test_a_microphone_is_heard(page):
    page.locator("#listen").click()
    page.locator("#heard li[data-keyword=yes]").nth(1).wait_for(timeout=60_000)
    assert page.locator("#status").text_content() == "listening"
