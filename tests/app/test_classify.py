import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from forked import exit_code, start
from typer.testing import CliRunner, Result

from app.classify import MANY_FILES
from app.cli import cli
from app.terminal import bold


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "app.cli", *map(str, arguments)]


def sound(path: Path, seconds: float = 1.0, rate: int = 16_000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(path.name)).uniform(-0.1, 0.1, int(seconds * rate))
    soundfile.write(path, noise, rate)
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with four recordings below `in`."""
    monkeypatch.chdir(tmp_path)
    for name in ["in/b.wav", "in/a/z.FLAC", "in/a/y.ogg", "in/c.mp3"]:
        sound(tmp_path / name)
    (tmp_path / "in/notes.txt").write_text("no audio")
    return tmp_path


def test_json_is_one_object_a_line_and_nothing_else(folder, model_file):
    result = run("classify", "in", "./in/b.wav", "--model", model_file, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    paths = ["in/a/y.ogg", "in/a/z.FLAC", "in/b.wav", "in/c.mp3", "./in/b.wav"]
    assert [row["path"] for row in rows] == paths
    keys = ["path", "label", "score", "scores", "duration_s", "sample_rate_hz"]
    for row in rows:
        assert list(row) == keys
        assert row["score"] == row["scores"][row["label"]] == max(row["scores"].values())
        assert (row["duration_s"], row["sample_rate_hz"]) == (1.0, 16_000)
    assert rows[2]["scores"] == rows[4]["scores"]


@pytest.mark.parametrize("given", [".", "in/", "./in", "in/../in"])
def test_paths_are_as_the_user_wrote_them(folder, model_file, given):
    rows = run("classify", given, "--model", model_file, "--json").stdout.splitlines()
    first = "in/a/y.ogg" if given == "." else "a/y.ogg"
    assert json.loads(rows[0])["path"] == os.path.join(given, first)


def test_top_cuts_the_table_but_not_the_json(folder, model_file):
    best = json.loads(run("classify", "in/b.wav", "--model", model_file, "--json").stdout)
    ranked = sorted(best["scores"], key=best["scores"].get, reverse=True)
    row = run("classify", "in/b.wav", "--model", model_file).stdout.split()
    assert row == ["in/b.wav", best["label"], f"{best['score']:.3f}"]
    row = run("classify", "in/b.wav", "--model", model_file, "--top", 3).stdout.split()
    assert row[1::2] == ranked[:3]
    row = run("classify", "in/b.wav", "--model", model_file, "--top", 999).stdout.split()
    assert row[1::2] == ranked
    both = run("classify", "in/b.wav", "--model", model_file, "--top", 1, "--json").stdout
    assert json.loads(both) == best


def test_a_model_of_one_rate_answers_the_files_that_it_can(folder, fixed_rate_model):
    sound(folder / "in/a/slow.wav", rate=8_000)
    result = run("classify", "in", "--model", fixed_rate_model, "--json")
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 4
    said = f"in/a/slow.wav: recorded at 8000 Hz; {fixed_rate_model}: hears 16000 Hz alone"
    assert result.stderr.startswith(said)
    assert result.stderr.count("\n") == 1


def test_rows_are_aligned_and_plain(folder, model_file):
    lines = run("classify", "in", "--model", model_file).stdout.splitlines()
    assert len({line.rindex(" ") for line in lines}) == 1
    assert not any("\x1b" in line for line in lines)


def test_a_file_that_fails_costs_a_line_and_the_others_are_done(folder, model_file):
    (folder / "in/broken.wav").write_text("text")
    result = run("classify", "none.wav", "in", "--model", model_file, "--json")
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 4
    assert result.stderr.splitlines() == [
        "none.wav: no such file or directory",
        "in/broken.wav: not audio that can be read: format not recognised",
    ]


def test_a_file_cut_short_is_no_answer_and_1(folder, model_file):
    data = Path("in/b.wav").read_bytes()
    Path("cut.wav").write_bytes(data[: len(data) // 2])
    result = run("classify", "cut.wav", "--model", model_file)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "cut.wav: damaged after 0.50 s: the file is cut short\n"


def test_a_folder_without_audio_is_one_line(tmp_path, model_file):
    result = run("classify", tmp_path, "--model", model_file)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"{tmp_path}: no audio in this folder\n"


def test_a_folder_that_cannot_be_listed_is_one_line(folder, model_file, monkeypatch):
    def listing(folder, on_error):
        on_error(PermissionError(13, "Permission denied", "in/secret"))
        return ["b.wav"]

    monkeypatch.setattr("sssm.audio.find_recordings", listing)
    result = run("classify", "in", "--model", model_file)
    assert result.exit_code == 1
    assert result.stdout.startswith("in/b.wav ")
    assert result.stderr == "in/secret: permission denied\n"


def test_a_name_cannot_break_the_line_or_speak_to_the_terminal(folder, model_file):
    odd = "in/\x1b[31m[bold]\n" + os.fsdecode(b"\xff") + ".wav"
    os.rename("in/b.wav", odd)
    plain = run("classify", odd, odd + "none", "--model", model_file)
    assert plain.stdout.startswith(r"in/\x1b[31m[bold]\n\udcff.wav ")
    assert plain.stderr.startswith(r"in/\x1b[31m[bold]\n\udcff.wavnone: no such file")
    assert len(plain.stdout.splitlines()) == len(plain.stderr.splitlines()) == 1
    row = run("classify", odd, "--model", model_file, "--json").stdout
    assert json.loads(row)["path"] == odd


def test_long_files_are_said_once(folder, model_file):
    sound(folder / "long/a.wav", 2.5)
    sound(folder / "long/b.wav", 3.5)
    result = run("classify", "in", "long", "--model", model_file, "--json")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 6
    (line,) = result.stderr.splitlines()
    assert line.startswith("long/a.wav: 2.5 s")
    assert "`sssm scan`" in line


def test_samples_that_are_no_numbers_are_said(folder, model_file):
    x = np.zeros(16_000, np.float32)
    x[:7] = np.nan
    soundfile.write("nan.wav", x, 16_000, subtype="FLOAT")
    result = run("classify", "nan.wav", "--model", model_file)
    assert result.exit_code == 0
    assert result.stderr == "nan.wav: 7 samples taken as 0: NaN or infinite\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["in"], "no-such-model"),
        (["in", "--model", "in/notes.txt"], "in/notes.txt"),
        (["empty"], "no-such-model"),
    ],
)
def test_a_model_that_is_none_is_one_line_and_2(folder, arguments, said):
    if "--model" not in arguments:
        arguments = [*arguments, "--model", "no-such-model"]
    result = run("classify", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert said in line


@pytest.mark.parametrize("arguments", [[], ["in", "--top", "0"], ["in", "--nothing"]])
def test_wrong_usage_is_2(folder, arguments):
    result = run("classify", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Traceback" not in result.stderr


# From here on the real command, in a process of its own.


HOSTILE = {
    "empty.wav": b"",
    "text.wav": b"hello\n" * 100,
    "cut.flac": b"fLaC" + bytes(50),
    "noise.mp3": bytes(range(256)) * 40,
}


def test_hostile_inputs_with_every_socket_watched(folder, model_file):
    for name, data in HOSTILE.items():
        (folder / name).write_bytes(data)
    soundfile.write("1hz.wav", np.zeros(100), 1)
    soundfile.write("zero.wav", np.zeros(0), 16_000)
    soundfile.write("384khz.wav", np.zeros(38_400), 384_000)
    soundfile.write("eight.wav", np.zeros((1_600, 8)), 16_000)
    program = (
        "import sys\n"
        "sys.addaudithook(lambda event, _: event.startswith('socket.') and print(event))\n"
        "from app.cli import main; main()"
    )
    arguments = ["classify", *HOSTILE, ".", "--model", str(model_file), "--json"]
    program = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(program, capture_output=True, text=True, env=environment())
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]  # a socket would be no JSON
    answered = {"./384khz.wav", "./eight.wav", "./in/b.wav", "./in/c.mp3"}
    assert {row["path"] for row in rows} == answered | {"./in/a/y.ogg", "./in/a/z.FLAC"}
    failed = [line.split(":")[0] for line in done.stderr.splitlines()]
    below = sorted(f"./{name}" for name in [*HOSTILE, "1hz.wav", "zero.wav"])
    assert failed == [*HOSTILE, *below]


def environment() -> dict[str, str]:
    """The command sees this checkout from any folder."""
    return {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "OMP_NUM_THREADS": "1",
    }


def test_a_closed_pipe_ends_in_silence_with_0(folder, model_file):
    """Many files, so processes that must end too: they hold standard error open."""
    arguments = command("classify", *["in"] * 1_000, "--model", model_file, "--json")
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdout.readline().startswith('{"path": "in/a/y.ogg"')
        process.stdout.close()
        assert (process.wait(20), process.stderr.read()) == (0, "")


def test_a_name_that_the_screen_cannot_show_is_escaped(folder, model_file):
    os.rename("in/b.wav", "in/\u4e00.wav")
    process, rows = start("classify", "in/\u4e00.wav", "--model", model_file, stderr=2)
    with rows:
        assert rows.read().startswith(r"in/\u4e00.wav ")
    assert exit_code(process) == 0


def test_ctrl_c_is_130_and_no_traceback(folder, model_file):
    errors = os.open("errors", os.O_CREAT | os.O_RDWR)
    process, rows = start("classify", *["in"] * 24, "--model", model_file, stderr=errors)
    with rows:
        rows.readline()
        os.kill(process, signal.SIGINT)
        assert exit_code(process) == 130
        assert len(rows.readlines()) < 90
    assert Path("errors").read_text() == ""
    os.close(errors)


@pytest.mark.parametrize(
    ("term", "no_color", "is_bold"),
    [("xterm", "", True), ("xterm", "1", False), ("dumb", "", False)],
)
def test_an_answer_is_bold_where_a_terminal_shows_it(monkeypatch, term, no_color, is_bold):
    monkeypatch.setattr("app.terminal.is_screen", lambda _: True)
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("NO_COLOR", no_color)
    assert bold("yes") == ("\x1b[1myes\x1b[0m" if is_bold else "yes")


def test_an_answer_is_plain_on_a_console_of_windows_that_would_show_the_codes(monkeypatch):
    monkeypatch.setattr("app.terminal.is_screen", lambda _: True)
    monkeypatch.setattr("rich.console.detect_legacy_windows", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "")
    with monkeypatch.context() as windows:
        windows.setattr(os, "name", "nt")
        answer = bold("yes")
    assert answer == "yes"


def test_many_files_have_a_bar_when_the_answers_go_elsewhere(folder, model_file):
    """Standard error is a terminal, standard output is not."""
    screen, terminal = pty.openpty()
    process, rows = start(
        "classify", *["in"] * MANY_FILES, "none", "--model", model_file, stderr=terminal
    )
    with rows:
        assert len(rows.readlines()) == 4 * MANY_FILES
    assert exit_code(process) == 1
    shown = os.read(screen, 65_536)
    assert b"%" in shown
    assert b"none: no such file" in shown
    os.close(terminal)
    os.close(screen)


def test_many_files_go_to_processes_and_come_back_in_order(folder, model_file, monkeypatch):
    Path("in/broken.wav").write_text("text")
    arguments = ["classify", *["in"] * 4, "none.wav", "--model", model_file, "--json"]
    here = run(*arguments)
    monkeypatch.setattr("app.answers.FILES_A_PROCESS", 4)
    monkeypatch.setattr("app.answers.cores", lambda: 2)
    there = run(*arguments)
    assert (there.exit_code, there.stdout) == (here.exit_code, here.stdout)
    assert there.stderr == here.stderr
    assert there.stderr.count("in/broken.wav: ") == 4
