import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import numpy as np
import pytest
import soundfile
import soxr
from forked import all_of, become
from listening import Pieces, folder
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

import app.listener
from app.cli import cli
from app.devices import InputDevice
from sssm.spotter import KeywordSpotter

__all__ = ["folder", "virtual_microphone"]  # fixtures

ROOT = Path(__file__).parents[2]

DEMO = ROOT / "assets" / "demo.wav"


def run(model: Path, *arguments: object) -> Result:
    return CliRunner().invoke(cli, ["listen", "--model", str(model), *map(str, arguments)])


def events(lines: str) -> list[dict]:
    return [json.loads(line) for line in lines.splitlines()]


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
            stdout = os.open("out", os.O_WRONLY) if stdout is None else stdout
            stderr = os.open("errors", os.O_WRONLY) if stderr is None else stderr
            for other in set(range(3, 256)) - {stdout, stderr}:  # the other ends of pipes
                with contextlib.suppress(OSError):
                    os.close(other)
            become(["sssm", "listen", *arguments], stdout, stderr)
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
