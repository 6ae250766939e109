import csv
import json
import os
import pty
import re
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
from forked import all_of, exit_code, start
from sounds import chirps
from typer.testing import CliRunner, Result
from written_events import KEYS, read

import app.pool
import app.scan
from app.cli import cli
from app.events import Heard, events
from sssm import KeywordSpotter
from sssm.audio import AudioError
from sssm.thresholds import write_thresholds

ROOT = Path(__file__).parents[2]

SILENT = ["--threshold", "1"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with three recordings of several seconds below `in`."""
    monkeypatch.chdir(tmp_path)
    Path("in/a").mkdir(parents=True)
    soundfile.write("in/b.wav", chirps(9.0, 16_000), 16_000, subtype="FLOAT")
    soundfile.write("in/a/z.flac", chirps(6.0, 22_050, seed=1), 22_050)
    soundfile.write("in/c.wav", chirps(3.0, 48_000, seed=2), 48_000)
    Path("in/notes.txt").write_text("no audio")
    return tmp_path


def scan(model: Path, *arguments: object) -> Result:
    return CliRunner().invoke(cli, ["scan", "--model", str(model), *map(str, arguments)])


def rows(result: Result) -> list[dict]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_the_events_are_those_of_a_live_stream(folder, model, spotter):
    result = scan(model, "in/b.wav", "--json")
    assert result.exit_code == 0
    stream = spotter.stream(16_000)
    x, _ = soundfile.read("in/b.wav", dtype="float32")
    live = [event for piece in np.split(x, range(512, len(x), 512)) for event in stream.push(piece)]
    found = rows(result)
    assert len(found) == len(live) > 3
    for row, event in zip(found, live, strict=True):
        assert list(row) == KEYS
        assert row["path"] == "in/b.wav"
        assert row["score"] == pytest.approx(event.score, abs=1e-4)
        got = (row["keyword"], row["start_s"], row["time_s"])
        assert got == (event.keyword, event.start_s, event.time_s)


def test_files_come_in_order_and_stderr_says_how_much_was_heard(folder, model):
    result = scan(model, "in", "./in/c.wav", "--json")
    assert result.exit_code == 0
    paths = [row["path"] for row in rows(result)]
    assert list(dict.fromkeys(paths)) == ["in/a/z.flac", "in/b.wav", "in/c.wav", "./in/c.wav"]
    said = f"heard 21.0 s of 4 recordings: {len(paths)} events\n"
    assert result.stderr == said


def test_rows_are_aligned_and_plain(folder, model):
    lines = scan(model, "in").stdout.splitlines()
    assert len({len(line) for line in lines}) == 1
    assert not any("\x1b" in line for line in lines)
    path, keyword, start, _, end, unit, score = lines[0].split()
    assert (path, keyword in ("yes", "no"), unit) == ("in/a/z.flac", True, "s")
    assert float(start) < float(end)
    assert 0 < float(score) <= 1


@pytest.mark.parametrize("name", ["events.csv", "events.json", "events.jsonl", "EVENTS.JSON"])
def test_the_file_holds_what_is_printed(folder, model, name):
    Path(name).write_text("what was there before, and longer than what comes\n" * 1_000)
    result = scan(model, "in", "--json", "--out", name)
    assert result.exit_code == 0
    assert read(name) == rows(result) != []


@pytest.mark.parametrize("name", ["events.csv", "events.json", "events.jsonl"])
def test_nothing_found_is_a_whole_file_and_0(folder, model, name):
    result = scan(model, "in", *SILENT, "--out", name)
    assert (result.exit_code, result.stdout) == (0, "")
    assert read(name) == []
    assert Path(name).read_text().startswith({"csv": ",".join(KEYS), "json": "["}.get(name[7:], ""))


def test_thresholds_and_refractory_time_are_those_of_listen(folder, model, spotter):
    every = rows(scan(model, "in", "--json"))
    of_yes = rows(scan(model, "in", "--json", "--threshold", "no=1"))
    assert {row["keyword"] for row in every} == {"yes", "no"}
    assert {row["keyword"] for row in of_yes} == {"yes"}
    write_thresholds("t.json", {"yes": 1.0}, fingerprint=spotter.fingerprint)
    from_file = rows(scan(model, "in", "--json", "--thresholds", "t.json"))
    assert {row["keyword"] for row in from_file} == {"no"}
    rare = rows(scan(model, "in/b.wav", "--json", "--refractory-ms", 60_000))
    assert len(rare) == 1


def test_bad_files_are_listed_at_the_end_with_1(folder, model):
    Path("in/broken.wav").write_text("text")
    Path("in/empty.wav").touch()
    soundfile.write("in/zero.wav", np.zeros(0), 16_000)
    soundfile.write("in/nan.wav", np.full(9_000, np.nan), 16_000, subtype="FLOAT")
    Path("nothing").mkdir()
    os.mkfifo("in/pipe.wav")
    good = scan(model, "in/a/z.flac", "in/b.wav", "in/c.wav", "--json")
    result = scan(model, "none.wav", "in", "nothing", "--json")
    assert result.exit_code == 1
    assert result.stdout == good.stdout
    assert result.stderr.splitlines() == [
        "nothing: no audio in this folder",
        "none.wav: no such file or directory",
        "in/broken.wav: not audio that can be read: format not recognised",
        "in/empty.wav: empty file",
        "in/nan.wav: every sample is NaN or infinite",
        "in/pipe.wav: not a file",
        "in/zero.wav: holds no samples",
        f"heard 18.6 s of 9 recordings: {len(rows(good))} events; 7 failures",
    ]


@pytest.mark.parametrize("name", ["in/b.wav", "in/a/z.flac", "long.ogg", "in/b.opus"])
def test_a_file_cut_short_keeps_what_comes_before_and_is_listed(folder, model, name):
    if name.endswith(("ogg", "opus")):
        kind = {"subtype": "OPUS" if name.endswith("opus") else "VORBIS", "format": "OGG"}
        soundfile.write(name, chirps(9.0, 16_000), 16_000, **kind)
    whole = rows(scan(model, name, "--json"))
    data = Path(name).read_bytes()
    Path(name).write_bytes(data[: len(data) * 3 // 4])
    result = scan(model, name, "--json")
    assert result.exit_code == 1
    found = rows(result)
    assert 0 < len(found) < len(whole)
    # The last may differ, where a decoder makes up the end.
    assert found[:-1] == whole[: len(found) - 1]
    damage, _ = result.stderr.splitlines()
    assert damage.startswith(f"{name}: damaged after ")


def test_a_word_at_the_very_end_is_heard_and_no_later_than_that(cut_word):
    assert not KeywordSpotter.load("s4").stream(16_000).push(soundfile.read(cut_word)[0])
    result = scan(Path("s4"), cut_word, "--json")
    (row,) = rows(result)
    assert (row["keyword"], row["time_s"]) == ("left", 0.57)
    assert result.stderr.startswith("heard 0.6 s")


def test_damage_takes_nothing_that_comes_before_it(folder, model):
    soundfile.write("a.flac", chirps(9.0, 16_000), 16_000)
    whole = rows(scan(model, "a.flac", "--json"))
    data = bytearray(Path("a.flac").read_bytes())
    middle = len(data) * 5 // 8
    data[middle:] = bytes(len(data) - middle)
    Path("a.flac").write_bytes(data)
    result = scan(model, "a.flac", "--json")
    damaged_s = float(result.stderr.split(" s: ")[0].split()[-1])
    assert 4.5 < damaged_s < 6.5
    before = [row for row in whole if row["time_s"] < damaged_s]
    assert any(row["time_s"] > 4 for row in before)
    assert rows(result)[: len(before)] == before


def test_a_model_of_one_rate_costs_a_line_for_each_file_of_another(folder, fixed_rate_model):
    result = scan(fixed_rate_model, "in", "--threshold", "1")
    assert result.exit_code == 1
    first, second, summary = result.stderr.splitlines()
    said = f"recorded at 22050 Hz; {fixed_rate_model}: hears 16000 Hz alone"
    assert first.startswith(f"in/a/z.flac: {said}")
    assert second.startswith("in/c.wav: recorded at 48000 Hz; ")
    assert summary == "heard 9.0 s of 3 recordings: 0 events; 2 failures"


def test_without_a_standard_error_nothing_is_lost(folder, model):
    command = f"exec '{sys.executable}' -m app.cli scan in --model '{model}' --out o.jsonl 2>&-"
    whole = scan(model, "in", "--json")
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert Path("o.jsonl").read_text().splitlines() == whole.stdout.splitlines() != []


def test_on_a_screen_rows_stand_above_the_bar(folder, model):
    screen, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "app.cli", "scan", "in", "--model", model],
        stdout=terminal, stderr=terminal, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    os.close(terminal)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", all_of(screen))
    assert process.wait() == 0
    found = [line for line in re.split(r"[\r\n]+", plain) if re.match(r"in/\S+  +(yes|no)", line)]
    assert len(found) == len(scan(model, "in", "--json").stdout.splitlines()) > 0
    assert not any("%" in line for line in found)


def test_json_on_a_narrow_screen_is_one_object_a_line(folder, model):
    screen, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "app.cli", "scan", "in", "--json", "--model", model],
        stdout=terminal, stderr=terminal,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "40"},
    )  # fmt: skip
    os.close(terminal)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", all_of(screen))
    assert process.wait() == 0
    found = [json.loads(line) for line in re.split(r"[\r\n]+", plain) if line.startswith("{")]
    assert found == rows(scan(model, "in", "--json"))


@pytest.mark.parametrize("promised", [0x7FFF_FFFF, 0xFFFF_FFFF])
def test_a_wav_that_never_knew_its_length_is_whole(folder, model, promised):
    data = bytearray(Path("in/c.wav").read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = promised.to_bytes(4, "little")
    Path("stream.wav").write_bytes(data)
    before = rows(scan(model, "in/c.wav", "--json"))
    result = scan(model, "stream.wav", "--json")
    assert result.exit_code == 0
    assert [row["time_s"] for row in rows(result)] == [row["time_s"] for row in before]


def test_samples_that_are_no_numbers_are_said(folder, model):
    x = chirps(1.0, 16_000)
    x[:7] = np.nan
    soundfile.write("nan.wav", x, 16_000, subtype="FLOAT")
    result = scan(model, "nan.wav")
    assert result.exit_code == 0
    assert "nan.wav: 7 samples taken as 0: NaN or infinite\n" in result.stderr


def test_names_cannot_break_a_line_or_a_file(folder, model):
    odd = 'in/\x1b[31m[bold]\n,"' + os.fsdecode(b"\xff") + ".wav"
    os.rename("in/b.wav", odd)
    shown = r"in/\x1b[31m[bold]\n," + '"' + r"\udcff.wav "
    assert all(row.startswith(shown) for row in scan(model, odd).stdout.splitlines())
    for name in ("odd.json", "odd.jsonl", "odd.csv"):
        found = rows(scan(model, odd, "--json", "--out", name))
        assert {row["path"] for row in found} == {odd}
        if name != "odd.csv":
            assert read(name) == found
    with open("odd.csv", encoding="utf-8", newline="") as file:
        paths = {row["path"] for row in csv.DictReader(file)}
    assert paths == {odd.encode("utf-8", "backslashreplace").decode()}


def test_what_is_read_is_not_written_over(folder, model, spotter):
    write_thresholds("t.json", {"yes": 0.9}, fingerprint=spotter.fingerprint)
    before = Path("t.json").read_bytes()
    result = scan(model, "in", "--thresholds", "t.json", "--out", "t.json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "t.json: is read here too, and would be written over\n"
    assert Path("t.json").read_bytes() == before
    Path("mine.safetensors").write_bytes(model.read_bytes())
    os.symlink("mine.safetensors", "model.json")
    result = scan(Path("mine.safetensors"), "in", "--out", "model.json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "model.json: is read here too, and would be written over\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "no-such-model"], "no-such-model"),
        (["--model", "in/notes.txt"], "in/notes.txt"),
        (["--threshold", "maybe=0.5"], "maybe"),
        (["--threshold", "x"], "x"),
        (["--thresholds", "none.json"], "none.json"),
        (["--out", "events.txt"], "--out events.txt: a file of events ends in .csv, .json, .jsonl"),
        (["--out", "events"], "--out events: "),
        (["--jobs", "0"], "--jobs"),
    ],
)
def test_wrong_usage_is_2_and_touches_nothing(folder, model, arguments, said):
    Path("kept.csv").write_text("mine")
    if "--out" not in arguments:
        arguments = [*arguments, "--out", "kept.csv"]
    result = scan(model, "in", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert Path("kept.csv").read_text() == "mine"


def test_a_file_that_cannot_be_opened_ends_it_before_the_work(folder, model):
    result = scan(model, "in", "--out", "no/such/folder/events.csv")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "--out no/such/folder/events.csv: no such file or directory\n"


@pytest.mark.parametrize("name", ["full.csv", "full.json", "full.jsonl"])
def test_a_full_disk_is_one_line_and_nothing_is_lost(folder, model, name):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no disk that is always full")
    os.symlink("/dev/full", name)
    result = scan(model, "in", "--json", "--out", name)
    assert result.exit_code == 1
    assert rows(result) == rows(scan(model, "in", "--json"))
    line, _ = result.stderr.splitlines()
    assert line == f"--out {name}: no space left on device; it ends here, the scan goes on"
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


def test_progress_and_detections_of_one_file(folder, spotter):
    """What the page shows too."""
    found = list(events(spotter.stream, "in/b.wav"))
    heard = [item.heard_s for item in found if isinstance(item, Heard)]
    assert heard == [4.0, 8.0, 9.0, 9.0]  # the last is silence after it
    times = [item.time_s for item in found if not isinstance(item, Heard)]
    assert times == sorted(times)
    assert isinstance(found[-1], Heard)
    with pytest.raises(AudioError, match="no such file"):
        list(events(spotter.stream, "none.wav"))


def test_each_event_is_printed_and_in_the_file_before_the_next_piece_is_heard(
    folder, model, monkeypatch
):
    seen = []
    original = KeywordSpotter.stream

    def stream(self, rate):
        inner = original(self, rate)
        push = inner.push

        def watched(piece):
            seen.append(len(read("out.json")))
            return push(piece)

        inner.push = watched
        return inner

    monkeypatch.setattr(KeywordSpotter, "stream", stream)
    result = scan(model, "in/b.wav", "--out", "out.json")
    assert result.exit_code == 0
    assert len(seen) == 4  # with the silence after it
    assert 0 == seen[0] < seen[1] < seen[2] <= seen[3]


def interrupted_after(pieces: int, monkeypatch) -> None:
    """Ctrl-C while the piece with this number is heard."""
    original, count = KeywordSpotter.stream, 0

    def stream(self, rate):
        inner = original(self, rate)
        push = inner.push

        def pressed(piece):
            nonlocal count
            count += 1
            if count == pieces:
                os.kill(os.getpid(), signal.SIGINT)
            return push(piece)

        inner.push = pressed
        return inner

    monkeypatch.setattr(KeywordSpotter, "stream", stream)


@pytest.mark.parametrize("name", ["events.csv", "events.json", "events.jsonl"])
def test_ctrl_c_keeps_what_was_found_and_is_130(folder, model, monkeypatch, name):
    whole = rows(scan(model, "in/b.wav", "--json"))
    handler = signal.getsignal(signal.SIGINT)
    interrupted_after(2, monkeypatch)
    result = scan(model, "none.wav", "in/b.wav", "in/c.wav", "--json", "--out", name)
    assert result.exit_code == 130
    found = rows(result)
    assert found == [row for row in whole if row["time_s"] <= 8.0]
    assert read(name) == found
    assert result.stderr.splitlines() == [
        "none.wav: no such file or directory",
        f"stopped after 8.0 s of 3 recordings: {len(found)} events; 1 failure",
    ]
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_process_that_died_is_a_failure(folder, model, monkeypatch):
    def arrivals(work, files, *_):
        yield from ((0, message) for message in work(files[0]))
        raise BrokenExecutor

    monkeypatch.setattr(app.scan, "arrivals", arrivals)
    result = scan(model, "in/c.wav", "in/b.wav", "--json")
    assert result.exit_code == 1
    assert {row["path"] for row in rows(result)} == {"in/c.wav"}
    said, _ = result.stderr.splitlines()
    assert said == "a process that heard files has died: out of memory?"


# From here on processes of their own.


def test_the_same_whatever_jobs_is(folder, model, spotter):
    """Twelve files, more than processes; the long ones first, so that others must wait."""
    Path("in/broken.wav").write_text("text")
    soundfile.write("long.wav", chirps(40.0, 16_000, seed=3), 16_000)
    write_thresholds("t.json", {"yes": 0.6}, fingerprint=spotter.fingerprint)
    arguments = ["--threshold", "no=0.6", "--thresholds", "t.json", "--refractory-ms", 50]
    arguments += ["long.wav", "in", "in", "none.wav", "in", "--json", "--out"]
    one = scan(model, *arguments, "1.csv", "--jobs", 1)
    assert len(rows(one)) > 30
    two = scan(model, *arguments, "2.csv", "--jobs", 2)
    assert (two.exit_code, two.stdout, two.stderr) == (1, one.stdout, one.stderr)
    assert Path("2.csv").read_text() == Path("1.csv").read_text()


def environment() -> dict[str, str]:
    """The command sees this checkout from any folder."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}


def test_a_closed_pipe_ends_in_silence_with_0_and_ends_its_processes(folder, model):
    arguments = ["scan", *["in"] * 200, "--model", str(model), "--jobs", "2"]
    with subprocess.Popen(
        [sys.executable, "-m", "app.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        assert process.stdout.readline().startswith("in/a/z.flac ")
        process.stdout.close()
        # The processes hold standard error open: it ends when they have.
        assert (process.stderr.read(), process.wait()) == ("", 0)


@pytest.mark.parametrize("place", ["a closed pipe", "/dev/full"])
def test_the_scan_goes_on_into_the_file_when_nobody_takes_the_rows(folder, model, place):
    if place == "/dev/full" and not Path(place).exists():
        pytest.skip("this system has no disk that is always full")
    whole = rows(scan(model, "in", "--json"))
    if place == "/dev/full":
        out = os.open(place, os.O_WRONLY)
    else:
        reader, out = os.pipe()
        os.close(reader)
    arguments = ["scan", "in", "--model", str(model), "--out", "out.json"]
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments], stdout=out, stderr=subprocess.PIPE,
        text=True, env=environment(),
    )  # fmt: skip
    os.close(out)
    assert read("out.json") == whole
    *lines, summary = done.stderr.splitlines()
    assert summary.startswith("heard 18.0 s of 3 recordings")
    full = "standard output: no space left on device; the scan goes on into out.json"
    assert (done.returncode, lines) == ((1, [full]) if place == "/dev/full" else (0, []))


@pytest.mark.parametrize("place", ["a closed pipe", "/dev/full"])
@pytest.mark.parametrize("command", ["scan", "classify"])
def test_notes_that_nobody_takes_cost_no_answer(folder, model, command, place):
    if place == "/dev/full" and not Path(place).exists():
        pytest.skip("this system has no disk that is always full")
    for name in ("in/a/broken.wav", "in/a/text.wav"):
        Path(name).write_text("no audio")
    arguments = [command, "in", "--model", str(model), "--json"]
    whole = CliRunner().invoke(cli, arguments)
    if place == "/dev/full":
        out = os.open(place, os.O_WRONLY)
    else:
        reader, out = os.pipe()
        os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments], stdout=subprocess.PIPE, stderr=out,
        text=True, env=environment(),
    )  # fmt: skip
    os.close(out)
    assert (done.returncode, done.stdout) == (1, whole.stdout)


def test_ctrl_c_with_several_processes(folder, model):
    """As from a terminal, which sends it to all of them."""
    with open("errors", "w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "scan", *["in"] * 500, "--model", str(model),
             "--jobs", "2", "--json", "--out", "out.json"],
            stdout=subprocess.PIPE, stderr=errors, text=True, env=environment(),
            start_new_session=True,
        )  # fmt: skip
        first = process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        rest = process.stdout.readlines()
        assert process.wait() == 130
    process.stdout.close()
    found = [json.loads(line) for line in [first, *rest]]
    assert read("out.json") == found
    (line,) = Path("errors").read_text().splitlines()
    assert line.startswith("stopped after ")


def test_a_terminal_sees_a_bar_and_a_pipe_does_not_know(folder, model):
    """Standard error is a terminal, standard output is not."""
    screen, terminal = pty.openpty()
    process, output = start("scan", "in", "none.wav", "--json", "--model", model, stderr=terminal)
    with output:
        assert all(list(json.loads(line)) == KEYS for line in output)
    assert exit_code(process) == 1
    shown = b""
    os.set_blocking(screen, False)
    for _ in range(100):
        try:
            shown += os.read(screen, 65_536)
        except BlockingIOError:
            if b"heard 18.0 s" in shown:
                break
            time.sleep(0.05)
    assert b"%" in shown
    assert b"of 18 s" in shown
    assert b"none.wav: no such file" in shown
    os.close(terminal)
    os.close(screen)
