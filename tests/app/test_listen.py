import errno
import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Self

import numpy as np
import pytest
import soundfile
import soxr
from forked import all_of
from sounds import chirps
from typer.testing import CliRunner, Result
from virtual_microphone import (
    LIMIT_S,
    RATE_HZ,
    VirtualMicrophone,
    after_silence,
    virtual_microphone,
    wait_for,
)

import app.hooks
import app.listener
import app.sources
from app.cli import cli, main
from app.clips import Clips, write_new
from app.devices import InputDevice
from app.display import Lines, Picture, Reading
from app.hooks import Hook
from app.listener import Listener
from app.sources import NOTHING, SILENT, Piece, RecordingSource
from sssm.detector import Detection
from sssm.spotter import KeywordSpotter

__all__ = ["virtual_microphone"]  # a fixture
ROOT = Path(__file__).parents[2]
DEMO = ROOT / "assets" / "demo.wav"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a recording."""
    monkeypatch.chdir(tmp_path)
    soundfile.write("chirps.wav", chirps(3.0, 16_000), 16_000, subtype="FLOAT")
    return tmp_path


def run(model: Path, *arguments: object) -> Result:
    return CliRunner().invoke(cli, ["listen", "--model", str(model), *map(str, arguments)])


def events(lines: str) -> list[dict]:
    return [json.loads(line) for line in lines.splitlines()]


class Pieces:
    """A source that gives what a test made."""

    name, live = "a test", True

    def __init__(self, pieces: list[Piece], rate: int = 16_000, next_rate: int = 0):
        self.sample_rate_hz, self._next_rate = rate, next_rate
        self._pieces: Iterator[Piece] = iter(pieces)
        self._given = 0

    def start(self):
        pass

    def read(self):
        piece = next(self._pieces, None)
        if piece is not None and piece.fresh and self._given and self._next_rate:
            self.sample_rate_hz = self._next_rate
        self._given += 1
        return piece

    def close(self):
        pass


class Screen(Lines):
    def __init__(self):
        self.events: list[str] = []
        self.notes: list[str] = []

    def event(self, line):
        self.events.append(line)

    def note(self, line):
        self.notes.append(line)


def listener(spotter, pieces: list[Piece] | Pieces, **options) -> tuple[Listener, Screen]:
    screen = Screen()
    source = pieces if isinstance(pieces, Pieces) else Pieces(pieces)
    listening = Listener(source, spotter, screen, as_json=True, **options)
    listening.run(lambda: False, lambda: False)
    listening.close()
    return listening, screen


def cut(x: np.ndarray, length: int = 160) -> list[Piece]:
    return [Piece(x[at : at + length]) for at in range(0, len(x), length)]


def test_a_recording_gives_what_the_stream_gives(folder, model, spotter):
    result = run(model, "--input", "chirps.wav", "--json")
    assert result.exit_code == 0
    x, rate = soundfile.read("chirps.wav", dtype="float32")
    expected = spotter.stream(rate).push(x)
    assert len(expected) > 3
    found = events(result.stdout)
    assert list(found[0]) == ["keyword", "start_s", "time_s", "score", "at"]
    assert [event["keyword"] for event in found] == [d.keyword for d in expected]
    for name in ("score", "start_s", "time_s"):
        values = [getattr(detection, name) for detection in expected]
        assert [event[name] for event in found] == pytest.approx(values, abs=1e-4)
    (summary,) = result.stderr.splitlines()
    assert summary.startswith(f"heard 3.0 s; {len(expected)} detections (")
    assert "; 0 overflows; real-time factor " in summary


def test_a_word_at_the_very_end_is_heard_and_kept_without_the_silence(folder, cut_word):
    for more in ([], ["--real-time"]):
        result = run(Path("s4"), "--input", cut_word, "--json", "--save-detections", "kept", *more)
        (event,) = events(result.stdout)
        assert (event["keyword"], event["time_s"]) == ("left", 0.57)
        assert result.stderr.splitlines()[-1].startswith("heard 0.6 s; 1 detection")
    x, _ = soundfile.read(cut_word, dtype="int16")
    kept, _ = soundfile.read(next(Path("kept").iterdir()), dtype="int16")
    np.testing.assert_array_equal(kept, x[-len(kept) :])


def test_a_model_of_one_rate_is_one_line(folder, fixed_rate_model, monkeypatch):
    soundfile.write("slow.wav", chirps(1.0, 8_000), 8_000)
    said = f"recorded at 8000 Hz; {fixed_rate_model}: hears 16000 Hz alone"
    result = run(fixed_rate_model, "--input", "slow.wav")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith(f"slow.wav: {said}")
    monkeypatch.setattr("app.microphone.Microphone", lambda _: Pieces([], rate=8_000))
    result = run(fixed_rate_model)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert result.stderr.startswith(f"a test: {said}")


def test_a_recording_without_sound_or_cut_short_is_1(folder, model):
    soundfile.write("zero.wav", np.zeros(0), 16_000)
    soundfile.write("nan.wav", np.full(9_000, np.nan), 16_000, subtype="FLOAT")
    Path("cut.wav").write_bytes(Path("chirps.wav").read_bytes()[:-6_400])
    for name, said in (
        ("zero.wav", "holds no samples"),
        ("nan.wav", "every sample is NaN or infinite"),
        ("cut.wav", "damaged after 2.90 s: the file is cut short"),
    ):
        result = run(model, "--input", name)
        assert result.exit_code == 1
        assert f"{name}: {said}" in result.stderr.splitlines()
        assert ("heard" in result.stderr) == (name != "zero.wav")


def test_lines_are_for_people(folder, model):
    result = run(model, "--input", "chirps.wav")
    lines = result.stdout.splitlines()
    first = lines[0].split()
    assert len({line.rindex(" ") for line in lines}) == 1  # yes and no have one width
    assert first[1] == "s"
    assert first[2] in ("yes", "no")
    assert 0 < float(first[0]) < 3
    assert 0 < float(first[3]) <= 1


def test_in_real_time_it_lasts_as_long_and_says_the_same(folder, model):
    soundfile.write("short.wav", chirps(1.0, 16_000), 16_000)
    start_s = time.monotonic()
    slow = run(model, "--input", "short.wav", "--json", "--real-time")
    assert time.monotonic() - start_s > 1
    fast = run(model, "--input", "short.wav", "--json")
    assert [e["time_s"] for e in events(slow.stdout)] == [e["time_s"] for e in events(fast.stdout)]
    assert slow.stderr.startswith("listening to short.wav at 16000 Hz")


def test_in_real_time_a_piece_comes_when_it_is_due_and_the_end_is_not_waited_for(
    folder, monkeypatch
):
    clock = SimpleNamespace(now_s=100.0)

    def sleep(seconds):
        clock.now_s += seconds

    still = SimpleNamespace(monotonic=lambda: clock.now_s, sleep=sleep)
    monkeypatch.setattr(app.sources, "time", still)
    soundfile.write("short.wav", np.ones(4_410) / 2, 44_100)
    source = RecordingSource("short.wav", real_time=True)
    clock.now_s = 200.0
    source.start()
    came = [(len(p.samples), p.is_after, clock.now_s) for p in iter(source.read, None)]
    source.close()
    sound = [(length, now_s) for length, is_after, now_s in came if not is_after]
    assert [length for length, _ in sound] == [441] * 10
    assert [now_s for _, now_s in sound] == pytest.approx([200 + n / 100 for n in range(1, 11)])
    assert {now_s for _, _, now_s in came[10:]} == {sound[-1][1]}
    assert sum(length for length, _, _ in came[10:]) == round(0.75 * 44_100)


def test_who_is_late_in_real_time_does_not_wait(folder, monkeypatch):
    clock = SimpleNamespace(now_s=100.0, slept=[])
    still = SimpleNamespace(monotonic=lambda: clock.now_s, sleep=clock.slept.append)
    monkeypatch.setattr(app.sources, "time", still)
    source = RecordingSource("chirps.wav", real_time=True)
    source.start()
    clock.now_s += 0.015  # what the first piece took
    source.read()
    source.read()
    source.close()
    assert clock.slept == pytest.approx([0.0, 0.005])


def test_options_of_the_detector_are_heeded(folder, model):
    whole = events(run(model, "--input", "chirps.wav", "--json").stdout)
    assert {event["keyword"] for event in whole} == {"yes", "no"}
    one = run(model, "--input", "chirps.wav", "--json", "--threshold", "yes=1")
    assert {event["keyword"] for event in events(one.stdout)} == {"no"}
    none = run(model, "--input", "chirps.wav", "--json", "--threshold", "1")
    assert (none.exit_code, none.stdout) == (0, "")
    slow = run(model, "--input", "chirps.wav", "--json", "--refractory-ms", "5000")
    assert len(events(slow.stdout)) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--real-time"], "--real-time is for --input"),
        (["--input", "chirps.wav", "--device", "0"], "--device and --input"),
        (["--input", "chirps.wav", "--threshold", "loud"], "'loud' is no number"),
        (["--input", "chirps.wav", "--on-detection", "say 'it"], "no closing quotation"),
        (["--input", "chirps.wav", "--on-detection", " "], "an empty command"),
        (["--input", "chirps.wav", "--on-detection", "/no/such it"], "/no/such: no such command"),
        (["--input", "chirps.wav", "--on-detection", "./chirps.wav"], "not a program: chmod +x"),
        (["--input", "chirps.wav", "--model", "none"], "none"),
        (["--input", "chirps.wav", "--thresholds", "none.json"], "none.json: no such file"),
    ],
)
def test_wrong_usage_is_one_line_and_2(folder, model, arguments, said):
    result = run(model, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert said in line


def test_a_recording_that_is_none_is_one_line_and_1(folder, model):
    Path("text.wav").write_text("text")
    for name, said in [("none.wav", "no such file"), ("text.wav", "not audio that can be read")]:
        result = run(model, "--input", name)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith(f"{name}: {said}")
        assert len(result.stderr.splitlines()) == 1


def test_a_recording_that_ends_in_damage_gives_what_came_before(folder, model):
    x = chirps(20.0, 16_000)
    soundfile.write("whole.flac", x, 16_000)
    data = bytearray(Path("whole.flac").read_bytes())
    data[len(data) * 3 // 4 :] = bytes(len(data) - len(data) * 3 // 4)
    Path("damaged.flac").write_bytes(data)
    result = run(model, "--input", "damaged.flac", "--json")
    assert result.exit_code == 1
    assert events(result.stdout)
    said, summary = result.stderr.splitlines()
    assert said.startswith("damaged.flac: damaged after ")
    assert summary.startswith("heard ")


def test_samples_that_are_no_numbers_are_said_once(folder, model):
    x = chirps(9.0, 16_000)
    x[[100, 100_000]] = np.nan
    soundfile.write("nan.wav", x, 16_000, subtype="FLOAT")
    result = run(model, "--input", "nan.wav", "--json")
    assert result.exit_code == 0
    assert events(result.stdout)
    first, _ = result.stderr.splitlines()
    assert first == "nan.wav: some samples taken as 0: NaN or infinite"


@pytest.mark.parametrize("arguments", [["--json"], ["--list-devices"]])
def test_without_portaudio_it_says_what_to_install(model, monkeypatch, arguments):
    monkeypatch.setitem(sys.modules, "sounddevice", None)  # makes its import an ImportError
    result = run(model, *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "the microphone needs a package: pip install sounddevice\n"


def test_detections_are_kept_as_sound_and_never_overwritten(folder, model, spotter, monkeypatch):
    class Still(app.listener.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 1, 2, 3, 4, 5, 67_890)

    monkeypatch.setattr(app.listener, "datetime", Still)
    found = events(run(model, "--input", "chirps.wav", "--json", "--save-detections", "a/b").stdout)
    names = sorted(os.listdir("a/b"))
    assert len(names) == len(found)
    assert "20260102-030405.067_yes.wav" in names
    x, rate = soundfile.read("chirps.wav", dtype="float32")
    said = [event for event in found if event["keyword"] == "yes"]
    assert said[-1]["start_s"] > 1 > said[0]["start_s"]
    for event, number in zip(said, ["", *(f"-{n}" for n in range(2, 99))], strict=False):
        clip, clip_rate = soundfile.read(f"a/b/20260102-030405.067_yes{number}.wav", dtype="int16")
        start, end = round((event["start_s"] - 0.7) * rate), round((event["time_s"] + 0.3) * rate)
        assert clip_rate == rate
        np.testing.assert_array_equal(clip, np.rint(x[max(0, start) : end] * 32_768))
    run(model, "--input", "chirps.wav", "--save-detections", "a/b")
    assert len(os.listdir("a/b")) == 2 * len(found)


def test_a_folder_that_cannot_be_made_is_one_line_and_1(folder, model):
    result = run(model, "--input", "chirps.wav", "--save-detections", "chirps.wav/in")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "chirps.wav/in: not a directory\n"


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


def test_what_could_not_be_written_whole_is_not_left(folder, monkeypatch):
    monkeypatch.setattr("app.clips._wav", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        write_new(folder / "clips", "a", np.zeros(9, np.float32), 16_000)
    assert os.listdir("clips") == []


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


def test_who_hears_nothing_says_so(model, monkeypatch):
    """And listens to the microphone that was asked for."""
    asked = []
    monkeypatch.setattr(
        "app.microphone.Microphone", lambda wanted: asked.append(wanted) or Pieces([])
    )
    for arguments in ([], ["--device", "USB"]):
        result = run(model, *arguments)
        assert (result.exit_code, result.stdout) == (0, "")
        assert result.stderr.splitlines()[-1] == "heard 0.0 s; 0 detections; 0 overflows"
    assert asked == [None, "USB"]


def test_what_a_command_did_is_told_when_it_ends(spotter):
    """Not at the next detection, which may be hours later."""
    screen = Screen()
    hook = Hook("false", screen.note)
    hook.run(EVENT)
    hook._running[0].wait()
    Listener(Pieces([NOTHING]), spotter, screen, hook=hook).run(lambda: False, lambda: False)
    assert ["ended with 1" in note for note in screen.notes] == [False, True]


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


EVENT = {"keyword": "yes", "score": 0.9, "start_s": 0.5, "time_s": 1.25, "at": "now"}


def test_a_command_gets_the_event_and_its_output_is_not_ours(folder, capfd):
    program = (
        "import os, sys; print('heard', os.environ['SSSM_KEYWORD'], os.environ['SSSM_TIME_S'], "
        "os.environ['SSSM_SCORE'], os.environ['SSSM_START_S'], os.environ['SSSM_AT']); "
        "open('event', 'w').write(sys.stdin.read())"
    )
    notes: list[str] = []
    hook = Hook(f'{sys.executable} -c "{program}"', notes.append)
    hook.run(EVENT)
    hook.close()
    assert (notes, hook.failures) == ([], 0)
    assert json.loads(Path("event").read_text()) == EVENT
    assert capfd.readouterr().out == ""


def test_a_command_has_a_session_of_its_own_and_our_standard_error(folder, monkeypatch, capfd):
    monkeypatch.setenv("ROOM", "kitchen")
    program = "import os; print(os.getsid(0) == os.getpid(), os.environ['ROOM'])"
    hook = Hook(f'{sys.executable} -c "{program}"', pytest.fail)
    hook.run(EVENT)
    hook.close()
    assert capfd.readouterr() == ("", "True kitchen\n")


def test_a_command_need_not_read(monkeypatch):
    ours, theirs = os.pipe()
    os.close(ours)
    process = SimpleNamespace(stdin=os.fdopen(theirs, "wb"), poll=lambda: 0, returncode=0)
    monkeypatch.setattr(app.hooks.subprocess, "Popen", lambda *_, **__: process)
    hook = Hook("true", pytest.fail)
    hook.run(EVENT)
    hook.close()
    assert hook.failures == 0


def test_commands_that_have_ended_make_room(monkeypatch):
    monkeypatch.setattr(app.hooks, "MOST_AT_ONCE", 1)
    hook = Hook("true", pytest.fail)
    for _ in range(2):
        hook.run(EVENT)
        hook._running[0].wait()
    hook.close()
    assert hook.failures == 0


def test_no_shell_reads_the_command(folder):
    hook = Hook("touch '$HOME' ; touch b", lambda _: None)
    hook.run(EVENT)
    hook.close()
    assert {"$HOME", ";", "b"} <= set(os.listdir())


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("./gone", "cannot be started: no such file or directory"),
        ("false", "ended with 1"),
        ("sh -c 'kill -9 $$'", "was ended by signal 9"),
    ],
)
def test_a_command_that_fails_is_said_once(folder, command, said):
    notes: list[str] = []
    Path("gone").touch(0o755)
    hook = Hook(command, notes.append)
    Path("gone").unlink()
    for _ in range(3):
        hook.run(EVENT)
    hook.close()
    assert hook.failures == 3
    (note,) = notes
    assert said in note


def test_commands_that_never_end_are_few_and_are_left_alone(folder, monkeypatch):
    monkeypatch.setattr(app.hooks, "MOST_AT_ONCE", 2)
    monkeypatch.setattr(app.hooks, "PATIENCE_S", 0.05)
    notes: list[str] = []
    hook = Hook(f"{sys.executable} -c 'import time; time.sleep(600)'", notes.append)
    start_s = time.monotonic()
    for _ in range(3):
        hook.run(EVENT)
    processes = [process.pid for process in hook._running]
    hook.close()
    try:
        assert time.monotonic() - start_s < LIMIT_S
        assert [("2 still run" in note) for note in notes] == [True, True]
    finally:
        for process in processes:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)


def test_a_failed_command_is_exit_code_1(folder, model):
    result = run(model, "--input", "chirps.wav", "--on-detection", "false", "--json")
    assert result.exit_code == 1
    assert events(result.stdout)
    assert result.stderr.count("ended with 1") == 1


# From here on the real command, in a process of its own.


class Command:
    """The command in the background, its output in files."""

    def __init__(self, folder: Path, process: int):
        self._out, self._errors, self._process = folder / "out", folder / "errors", process
        self.code: int | None = None

    @classmethod
    def start(cls, folder: Path, environment: dict[str, str], *arguments: object) -> Self:
        """As a user does."""
        with open(folder / "out", "wb") as out, open(folder / "errors", "wb") as errors:
            process = os.posix_spawn(
                sys.executable, [sys.executable, "-m", "app.cli", "listen", *map(str, arguments)],
                {**environment, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
                file_actions=[(os.POSIX_SPAWN_DUP2, out.fileno(), 1),
                              (os.POSIX_SPAWN_DUP2, errors.fileno(), 2)],
            )  # fmt: skip
        return cls(folder, process)

    @classmethod
    def fork(cls, *arguments: object, stdout: int | None = None, stderr: int | None = None) -> Self:
        """In a fork, which need not load torch again."""
        for name in ("out", "errors"):
            Path(name).touch()
        process = os.fork()
        if process == 0:
            try:
                os.dup2(os.open("out", os.O_WRONLY) if stdout is None else stdout, 1)
                os.dup2(os.open("errors", os.O_WRONLY) if stderr is None else stderr, 2)
                os.closerange(3, 256)  # the other ends of pipes
                sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
                sys.argv = ["sssm", "listen", *map(str, arguments)]
                main()
            except SystemExit as leaving:
                os._exit(int(leaving.code or 0))
            finally:
                os._exit(99)
        return cls(Path(), process)

    @property
    def events(self) -> list[dict]:
        lines = self._out.read_text()
        return events(lines[: lines.rfind("\n") + 1])

    @property
    def errors(self) -> str:
        return self._errors.read_text()

    def wait_for(self, note: str) -> None:
        wait_for(lambda: note in self.errors or self._has_ended(), f"{note!r}")
        assert note in self.errors, self.errors

    def end(self, number: int = 0) -> int:
        """Exit code, after this signal; 0 is none."""
        os.kill(self._process, number)
        wait_for(self._has_ended, "the end")
        return self.code

    def _has_ended(self) -> bool:
        if self.code is None:
            process, status = os.waitpid(self._process, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if process else None
        return self.code is not None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if not self._has_ended():
            self.end(signal.SIGKILL)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_signals_end_it_with_a_summary(folder, model, number, code):
    soundfile.write("long.wav", chirps(60.0, 16_000), 16_000)
    arguments = ["--input", "long.wav", "--real-time", "--json", "--model", model]
    with Command.fork(*arguments) as command:
        wait_for(lambda: command.events, "a detection")
        assert command.end(number) == code
        first, summary = command.errors.splitlines()
        assert first.startswith("listening to long.wav")
        assert summary.startswith("heard ")


def test_a_closed_pipe_ends_in_silence_with_0(folder, model):
    """Also where there is nothing more to write."""
    x = np.concatenate([chirps(2.0, 16_000), np.full(120 * 16_000, 1e-3, np.float32)])
    soundfile.write("long.wav", x, 16_000)
    ours, theirs = os.pipe()
    arguments = ["--input", "long.wav", "--real-time", "--json", "--model", model]
    with Command.fork(*arguments, stdout=theirs) as command:
        os.close(theirs)
        with open(ours) as rows:
            assert rows.readline().startswith('{"keyword"')
        assert command.end() == 0
        assert len(command.errors.splitlines()) == 1  # that it listens


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


def test_a_terminal_shows_level_scores_and_thresholds(folder, model, monkeypatch):
    """Standard error is a terminal: the picture is there, the events are elsewhere."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    screen, terminal = pty.openpty()
    arguments = ["--input", "chirps.wav", "--real-time", "--json", "--model", model]
    with Command.fork(*arguments, stderr=terminal) as command:
        os.close(terminal)
        shown = all_of(screen)
        assert command.end() == 0
        assert command.events
    for part in ["level", "yes", "no", "┃", "━", " dB", "heard 3.0 s", "listening to chirps.wav"]:
        assert part in shown


def test_a_dumb_terminal_gets_lines(monkeypatch):
    from rich.console import Console

    from app import display

    for dumb, kind in [(True, Lines), (False, Picture)]:
        console = Console(force_terminal=True, _environ={"TERM": "dumb" if dumb else "xterm"})
        monkeypatch.setattr(display, "Console", lambda console=console, **_: console)
        assert type(display.display(as_json=False)) is kind


@pytest.mark.parametrize("columns", [200, 40, 24, 9])
def test_the_picture_fits_the_terminal(columns):
    from rich.console import Console

    console = Console(file=io.StringIO(), force_terminal=True, width=columns, height=40)
    scores = [("yes", 0.9, 0.7), ("a long keyword", 0.2, 0.5)]
    with Picture(console) as picture:
        picture.show(Reading("a microphone with a long name, 48000 Hz, 12 s", -20.0, scores))
        lines = console.render_lines(picture._live.renderable, pad=False)
    assert len(lines) == 4
    assert ("┃" in "".join(segment.text for segment in lines[3])) == (columns >= 24)


# And with a microphone.


def test_the_whole_loop_on_a_virtual_microphone(
    virtual_microphone: VirtualMicrophone, tmp_path: Path
):
    """Hears, loses its device, waits, hears again, and ends with a summary."""
    demo, rate = soundfile.read(DEMO, dtype="float32")
    pause = np.zeros(RATE_HZ // 2, np.float32)
    said = after_silence(soxr.resample(demo, rate, RATE_HZ))
    x = np.round(np.concatenate([said, pause, said, pause]) * 32_767).astype(np.int16)
    soundfile.write(tmp_path / "said.wav", x, RATE_HZ)
    offline = KeywordSpotter.load("s4", {"yes": 0.5}).stream(RATE_HZ).push(x)
    words = [detection.keyword for detection in offline]
    assert words == ["yes", "yes"]

    arguments = ["--json", "--threshold", "yes=0.5", "--save-detections", tmp_path / "clips"]
    with Command.start(tmp_path, virtual_microphone.environment, *arguments) as command:
        command.wait_for("listening to default at 44100 Hz")
        virtual_microphone.play(tmp_path / "said.wav")
        wait_for(lambda: len(command.events) == 2, "two words")
        virtual_microphone.unplug()
        command.wait_for("default is gone: waiting for it")
        virtual_microphone.plug_in()
        command.wait_for("listening again to default")
        virtual_microphone.play(tmp_path / "said.wav")
        wait_for(lambda: len(command.events) == 4, "two more words")
        assert command.end(signal.SIGINT) == 130
        lines, found = command.errors.splitlines(), command.events
    assert lines[-1].startswith("heard ")
    assert "; 4 detections (yes 4); " in lines[-1]
    known = ("listening", "default is gone", "default gives only zeros", "heard", "1 over")
    assert all(line.startswith(known) for line in lines)  # and nothing of PortAudio's
    assert [event["keyword"] for event in found] == 2 * words
    for first, second in (found[:2], found[2:]):
        gap_s = offline[1].time_s - offline[0].time_s
        assert second["time_s"] - first["time_s"] == pytest.approx(gap_s, abs=0.05)
        scores = [first["score"], second["score"]]
        assert scores == pytest.approx([d.score for d in offline], abs=0.15)

    clips = sorted((tmp_path / "clips").iterdir())
    assert len(clips) == 4
    for clip in clips:
        heard, rate = soundfile.read(clip, dtype="int16")
        assert rate == RATE_HZ
        assert heard.tobytes() in np.concatenate([pause.astype(np.int16), x]).tobytes()


def test_devices_are_listed(virtual_microphone: VirtualMicrophone):
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", "listen", "--list-devices", "--json"],
        env={**virtual_microphone.environment, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=LIMIT_S,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    devices = events(done.stdout)
    assert [device["name"] for device in devices if device["is_default"]] == ["default"]
    assert devices[0]["sample_rate_hz"] == RATE_HZ


def test_devices_are_lines_for_people(model, monkeypatch):
    devices = [
        InputDevice(0, "in", "ALSA", 2, 44_100, False),
        InputDevice(12, "a\x1b[2J microphone", "Core Audio", 1, 192_000, True),
    ]
    monkeypatch.setattr("app.devices.input_devices", lambda: devices)
    result = run(model, "--list-devices")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        r"0    in                   44100 Hz   ALSA",
        r"12   a\x1b[2J microphone  192000 Hz  Core Audio    default",
    ]
    monkeypatch.setattr("app.devices.input_devices", list)
    result = run(model, "--list-devices")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "this machine has no input device\n"
