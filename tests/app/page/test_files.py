"""What programs get of their files, and when a file is given up."""

from functools import partial

import gradio as gr
import numpy as np
import pytest
import soundfile
from page_parts import shelf
from page_server import LIMITS

from app.page.files import Files
from app.page.uploads import Uploads

__all__ = ["shelf"]  # a fixture


def test_a_file_may_be_as_long_as_allowed(shelf, tmp_path):
    """An MP3 tells its length when it was heard."""
    files = Files(shelf, LIMITS._replace(max_minutes=1), Uploads())
    for seconds, name in ((60, "a.wav"), (61, "b.mp3"), (61, "c.wav")):
        soundfile.write(tmp_path / name, np.zeros(8_000 * seconds), 8_000)
    assert files.classify(str(tmp_path / "a.wav"), "s4")["duration_s"] == 60
    for name in ("b.mp3", "c.wav"):
        with pytest.raises(gr.Error, match=f"{name}: longer than 60 s"):
            files.classify(str(tmp_path / name), "s4")


@pytest.mark.parametrize("kind", ["classify", "scan"])
def test_a_page_that_closes_hears_no_file_to_its_end(shelf, tmp_path, kind):
    soundfile.write(tmp_path / "a.wav", np.zeros(16_000), 16_000)
    uploads = Uploads()
    files = Files(shelf, LIMITS, uploads)
    work = files.classify if kind == "classify" else partial(files.scan, sensitivity=0.0)
    uploads.close()
    with pytest.raises(gr.Error, match="the page closes"):
        work(str(tmp_path / "a.wav"), "s4")
    assert not (tmp_path / "a.wav").exists()
