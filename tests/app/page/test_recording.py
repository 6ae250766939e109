"""A recording that a visitor has sent."""

import json

import numpy as np
import pytest
import soundfile
from page_parts import shelf
from page_server import clip_path

from app.events import read_header
from app.page.recording import heard_recording
from app.page.shelf import Shelf

__all__ = ["shelf"]  # a fixture


def ignore(heard_s, promised_s):
    pass


def test_a_clip_is_ranked(shelf):
    heard = heard_recording(shelf, "s4", 0.0, clip_path("left"), 60, ignore)
    assert [event.keyword for event in heard.events] == ["left"]
    assert heard.ranked[0][0] == "left"
    assert heard.ranked[0][1] > 0.5
    assert len(heard.ranked) == 12
    assert heard.peaks.max() == pytest.approx(np.abs(soundfile.read(clip_path("left"))[0]).max())


def test_the_curve_shows_both_sides_of_a_sound(shelf, tmp_path):
    x = np.zeros(32_000, np.int16)
    x[100], x[20_000] = 16_384, -8_192
    soundfile.write(tmp_path / "a.wav", x, 16_000)
    shares = []
    heard = heard_recording(
        shelf, "s4", 0.0, str(tmp_path / "a.wav"), 2, lambda *seconds: shares.append(seconds)
    )
    assert heard.peaks.max(axis=0).tolist() == [0.5, 0.25]
    assert heard.ranked  # two seconds are still a clip
    assert (heard.message, heard.duration_s) == ("", 2)
    assert heard.score_s == heard.duration_s / len(heard.scores)
    assert set(shares) == {(2.0, 2.0)}


def test_curves_end_where_the_recording_does(shelf, cut_word):
    heard = heard_recording(shelf, "s4", 0.0, str(cut_word), 60, ignore)
    assert [(event.keyword, event.time_s) for event in heard.events] == [("left", 0.57)]
    assert (heard.duration_s, len(heard.scores), heard.score_s) == (0.57, 57, 0.01)
    assert 0.57 <= len(heard.peaks) * heard.peak_s < 0.58


def test_a_model_of_one_rate_on_the_page(fixed_rate_model, tmp_path):
    shelf = Shelf(str(fixed_rate_model))
    shelf.warm_up()
    soundfile.write(tmp_path / "a.wav", np.zeros(8_000), 8_000)
    heard = heard_recording(shelf, "frame", 0.0, str(tmp_path / "a.wav"), 60, ignore)
    assert heard.message.startswith(f"recorded at 8000 Hz; {fixed_rate_model}: hears 16000 Hz")


def test_files_that_cannot_be_heard(shelf, tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "words.txt").write_text("not audio")
    soundfile.write(tmp_path / "long.flac", np.zeros(8_000 * 70, np.int16), 8_000)
    messages = {
        name: heard_recording(shelf, "s4", 0.0, str(tmp_path / name), 60, ignore).message
        for name in ("empty.wav", "words.txt", "long.flac")
    }
    assert messages == {
        "empty.wav": "empty file",
        "words.txt": "not audio that can be read: format not recognised",
        "long.flac": "1.2 min long: this page hears 1.0 min of a file; `sssm scan` has no limit",
    }


def test_a_header_that_lies_does_not_help(shelf, tmp_path):
    """MP3 has no length to trust: what is heard has a bound all the same."""
    soundfile.write(tmp_path / "long.mp3", np.zeros(16_000 * 9, np.float32), 16_000)
    heard = heard_recording(shelf, "s4", 0.0, str(tmp_path / "long.mp3"), 5, ignore)
    assert heard.message.startswith("heard up to 0.1 min: this page hears 0.1 min")
    assert 5 < heard.duration_s < 9
    assert not read_header(tmp_path / "long.mp3").is_longer(5)


def test_events_are_json(shelf):
    heard = heard_recording(shelf, "s4", 0.0, clip_path("stop"), 60, ignore)
    assert json.loads(heard.events[0].as_json())["path"] == "stop.flac"
