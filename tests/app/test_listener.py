"""The loop that listens: what it tells, keeps and forgets."""

import errno
import json
import os
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from listening import Pieces, Screen, cut, folder, listener
from sounds import chirps

import app.listener
from app.clips import Clips
from app.display import Reading
from app.hooks import Hook
from app.listener import Listener
from app.sources import SILENT, Piece
from sssm.detector import Detection

__all__ = ["folder"]  # a fixture


def test_a_full_disk_costs_a_note_and_no_detection(folder, spotter, monkeypatch):
    def full(self, *_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Clips, "_write", full)
    x, _ = soundfile.read("chirps.wav", dtype="float32")
    # A command that does not fail makes nothing good.
    options = {"clips": Clips("clips"), "hook": Hook("true", pytest.fail)}
    listening, screen = listener(spotter, cut(x), **options)
    assert len(screen.events) > 3
    assert listening.failed
    notes = [note for note in screen.notes if "not saved" in note]
    assert notes == ["clips: a detection was not saved: no space left on device"]
    assert listening.summary.endswith(f"; {len(screen.events)} detections not saved")


def test_a_new_beginning_forgets_the_sound_before_but_not_the_time(spotter):
    x = chirps(2.0, 16_000)
    again = chirps(2.0, 44_100)
    pieces = [*cut(x), Piece(again[:441], fresh=True), *cut(again[441:], 441)]
    _, screen = listener(spotter, Pieces(pieces, next_rate=44_100))
    found = [json.loads(line) for line in screen.events]
    expected = [d.time_s for d in spotter.stream(16_000).push(x)]
    expected += [2 + d.time_s for d in spotter.stream(44_100).push(again)]
    assert [event["time_s"] for event in found] == pytest.approx(expected, abs=1e-5)


def test_time_goes_on_over_every_new_beginning(spotter):
    quiet = np.full(16_000, 0.01, np.float32)
    listening, _ = listener(spotter, [Piece(quiet, fresh=True)] * 3)
    assert listening.heard_s == pytest.approx(3)
    assert listening.summary.startswith("heard 3.0 s; 0 detections; ")


def test_what_waits_at_a_new_beginning_is_kept_with_the_sound_there_is(folder, spotter):
    x, quiet = chirps(2.0, 16_000), np.full(4_410, 0.01, np.float32)
    first = spotter.stream(16_000).push(x)[0]
    x = x[: round((first.time_s + 0.02) * 16_000)]
    again = chirps(2.0, 44_100)
    pieces = [*cut(x), Piece(quiet, fresh=True), *cut(again, 441)]
    listener(spotter, Pieces(pieces, next_rate=44_100), clips=Clips("clips"))
    kept, *others = [
        soundfile.read(path, dtype="int16") for path in sorted(Path("clips").iterdir())
    ]
    start = max(0, round((first.start_s - 0.7) * 16_000))
    np.testing.assert_array_equal(kept[0], np.rint(x[start:] * 32_768))
    assert [kept[1], *{rate for _, rate in others}] == [16_000, 44_100]
    new = np.rint(np.concatenate([quiet, again]) * 32_768).astype(np.int16)
    wanted = [  # its time starts at 0
        new[max(0, round((d.start_s - 0.7) * 44_100)) : round((d.time_s + 0.3) * 44_100)]
        for d in spotter.stream(44_100).push(np.concatenate([quiet, again]))
    ]
    assert {part.tobytes() for part in wanted} == {sound.tobytes() for sound, _ in others}


def test_a_keyword_need_not_be_a_name_of_a_file(folder, spotter):
    screen = Screen()
    listening = Listener(Pieces([]), spotter, screen, clips=Clips("clips"))
    listening._say(Detection("../on off_1\x1b", 0.9, 0.1, 0.5))
    listening.close()
    (name,) = os.listdir("clips")
    assert name.endswith("_---on-off_1-.wav")
    assert all(line.isprintable() for line in [*screen.events, listening.summary])


def test_a_reading_is_of_the_sound_since_the_last(spotter):
    readings: list[Reading] = []
    screen = Screen()
    screen.wants_readings, screen.show = True, readings.append
    pieces = [Piece(np.float32([0.1, -0.5, 0.2])), Piece(np.float32([0.05])), Piece(SILENT)]
    Listener(Pieces(pieces), spotter, screen).run(lambda: False, lambda: False)
    assert [reading.level_db for reading in readings] == pytest.approx([-6.02, -26.02, -60], 1e-3)
    assert {reading.heading for reading in readings} == {"a test, 16000 Hz, 0 s, 0 overflows"}
    for reading in readings:
        assert {word: least for word, _, least in reading.scores} == spotter.thresholds


def test_a_reading_has_the_scores_that_detections_come_from(spotter):
    readings: list[Reading] = []
    screen, x, stream = Screen(), chirps(1.0, 16_000), spotter.stream(16_000)
    screen.wants_readings, screen.show = True, readings.append
    Listener(Pieces(cut(x)), spotter, screen).run(lambda: False, lambda: False)
    for reading, piece in zip(readings, cut(x), strict=True):
        stream.push(piece.samples)
        assert [score for _, score, _ in reading.scores] == stream.smoothed.tolist()
    assert not np.allclose(stream.smoothed, stream.scores[2:])


def test_the_real_time_factor_is_the_share_of_time_that_was_worked(spotter, monkeypatch):
    clock = iter(np.arange(0, 99, 0.25))
    still = SimpleNamespace(monotonic=time.monotonic, perf_counter=lambda: float(next(clock)))
    monkeypatch.setattr(app.listener, "time", still)
    listening, _ = listener(spotter, [Piece(np.full(16_000, 0.01, np.float32))] * 3)
    assert listening.summary == ("heard 3.0 s; 0 detections; 0 overflows; real-time factor 0.250")


def test_a_clip_is_a_file_as_soon_as_it_is_heard(folder, spotter):
    """A listener may run for days, and keeps only seconds."""
    x = np.concatenate([chirps(1.0, 16_000), np.full(8_000, 0.01, np.float32)])
    listening = Listener(Pieces(cut(x)), spotter, screen := Screen(), clips=Clips("clips"))
    listening.run(lambda: False, lambda: False)
    assert len(os.listdir("clips")) == len(screen.events) > 0
    listening.close()


def test_a_problem_that_stays_is_said_again_after_a_while(spotter, monkeypatch):
    clock = SimpleNamespace(now_s=0.0)
    still = SimpleNamespace(monotonic=lambda: clock.now_s, perf_counter=lambda: 0.0)
    monkeypatch.setattr(app.listener, "time", still)

    def pieces():
        for clock.now_s in (5.0, 14.9, 15.0, 24.9, 25.0):
            yield Piece(np.ones(3, np.float32), overflows=1)

    _, screen = listener(spotter, Pieces(pieces()))
    overflows = [note for note in screen.notes if "overflow" in note]
    assert overflows == [f"{many} so far" for many in ("1 overflow", "3 overflows", "5 overflows")]
    assert sum("clipping" in note for note in screen.notes) == 3


def test_problems_are_counted_and_not_said_all_the_time(spotter):
    quiet = np.full(160, 0.01, np.float32)
    pieces = [Piece(quiet, overflows=2, lost_s=0.25), Piece(quiet, notes=("a note",))] * 4
    listening, screen = listener(spotter, pieces)
    overflows = [note for note in screen.notes if "overflow" in note]
    assert overflows == ["2 overflows so far, 0.25 s of sound lost"]
    assert screen.notes.count("a note") == 4
    assert "8 overflows" in listening.summary
    assert "1.0 s of sound lost" in listening.summary


def test_only_zeros_are_said_once_a_time(spotter):
    zeros, noise = np.zeros(16_000, np.float32), chirps(0.1, 16_000)
    pieces = [Piece(x) for x in [zeros] * 6 + [noise] + [zeros] * 3 + [noise] + [zeros] * 5]
    _, screen = listener(spotter, pieces)
    assert screen.notes[1:] == ["a test gives only zeros: muted?"] * 2


def test_zeros_before_a_new_beginning_are_over(spotter):
    zeros = np.zeros(16_000, np.float32)
    pieces = [Piece(zeros, fresh=n == 2) for n in range(5)]
    _, screen = listener(spotter, pieces)
    assert screen.notes[1:] == []


def test_a_click_and_a_recording_that_clips_are_only_counted(spotter):
    for clipped, live in ((2, True), (9, False)):
        source = Pieces([Piece(np.float32([0.1] * 99 + [1.0] * clipped))])
        source.live = live
        listening, screen = listener(spotter, source)
        assert not any("clipping" in note for note in screen.notes)
        assert f"; {clipped} clipped samples" in listening.summary


def test_clipping_is_said(spotter):
    loud = np.sign(np.cos(np.arange(1_600) / 9)).astype(np.float32)
    listening, screen = listener(spotter, cut(np.tile(loud, 4)))
    assert screen.notes[1:] == ["clipping: a test is too loud; lower its level"]
    assert "6,400 clipped samples" in listening.summary


def test_two_channels_are_averaged(spotter):
    x = chirps(2.0, 16_000)
    both = np.stack([1.5 * x, 0.5 * x], axis=1)
    _, screen = listener(spotter, [Piece(both[at : at + 160]) for at in range(0, len(x), 160)])
    assert len(screen.events) == len(spotter.stream(16_000).push(x))


class FullScreen(Screen):
    """Whose standard output takes nothing."""

    def __init__(self, error: int):
        super().__init__()
        self._error = error

    def event(self, line):
        raise OSError(self._error, os.strerror(self._error))


def test_where_standard_output_is_full_clips_and_commands_go_on(folder, spotter, monkeypatch):
    forgotten = []
    monkeypatch.setattr(app.listener, "forget_output", lambda: forgotten.append(True))
    screen = FullScreen(errno.ENOSPC)
    clips, hook = Clips("kept"), Hook("touch ran", screen.note, screen.relay)
    source = Pieces(cut(chirps(2.0, 16_000)))
    listening = Listener(source, spotter, screen, clips=clips, hook=hook)
    listening.run(lambda: False, lambda: False)
    listening.close()
    assert len(os.listdir("kept")) > 0
    assert os.path.exists("ran")
    assert listening.failed
    note = "standard output: no space left on device; the listening goes on"
    assert set(screen.notes[1:]) == {note}
    assert forgotten


@pytest.mark.parametrize(("error", "keeps"), [(errno.ENOSPC, False), (errno.EPIPE, True)])
def test_where_nobody_takes_what_is_heard_it_ends(folder, spotter, error, keeps):
    """Of what else is done, nothing is lost to a reader who leaves."""
    clips = Clips("kept") if keeps else None
    listening = Listener(Pieces(cut(chirps(2.0, 16_000))), spotter, FullScreen(error), clips=clips)
    with pytest.raises(OSError, match=os.strerror(error)):
        listening.run(lambda: False, lambda: False)
    listening.close()
    if keeps:
        assert len(os.listdir("kept")) == 1
