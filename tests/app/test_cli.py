import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import sssm
from app.cli import cli, main

ROOT = Path(__file__).parents[2]


def test_version_is_one_line():
    result = CliRunner().invoke(cli, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"sssm {sssm.__version__}\n")


def test_help_names_every_command_and_says_in_full_what_it_does():
    result = CliRunner().invoke(cli, ["--help"])
    assert result.exit_code == 0
    for command in ["bench", "calibrate", "classify", "info", "listen", "models", "record", "scan"]:
        assert f"\n  {command} " in result.stdout
    assert "..." not in result.stdout.split("Commands:")[1]


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["--nothing"], ["models", "extra"]])
def test_wrong_usage_is_2(arguments):
    assert CliRunner().invoke(cli, arguments).exit_code == 2


def test_ctrl_c_before_a_command_is_130(monkeypatch):
    def stopped():
        raise KeyboardInterrupt

    monkeypatch.setattr("app.cli.cli", stopped)
    with pytest.raises(SystemExit) as leaving:
        main()
    assert leaving.value.code == 130


@pytest.mark.parametrize("stdout", ["sys.stdout", None])
def test_a_folder_that_was_removed_is_not_called_standard_output(tmp_path, stdout):
    """Nor where there is none, as after `>&-`."""
    gone = tmp_path / "gone"
    gone.mkdir()
    program = (
        f"import os, sys; sys.stdout = {stdout}; os.rmdir({str(gone)!r});"
        "from app.cli import main; main()"
    )
    done = subprocess.run(
        [
            sys.executable, "-P", "-c", program,  # which looks for no module in this folder
            "calibrate", "--negatives", str(tmp_path), "--out", "t",
        ],
        cwd=gone, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "this folder: no such file or directory\n"


@pytest.mark.parametrize(
    "when", ["as the command line is loaded", "in a command", "as training is loaded"]
)
def test_ctrl_c_ends_an_import_at_once(tmp_path, when):
    """Such a module takes Ctrl-C for an error of its own."""
    (tmp_path / "greedy.py").write_text(
        "import os, signal\n"
        "try:\n    os.kill(os.getpid(), signal.SIGINT)\nexcept BaseException:\n    pass\n"
    )
    program = """
from app import cli
cli.cli = lambda: __import__("greedy") and print("went on")
cli.main()
"""
    if when == "as the command line is loaded":
        (tmp_path / "greedy.py").rename(tmp_path / "typer.py")
        program = "from app.start import main; main(); print('went on')"
    if when == "as training is loaded":
        program = "import training, greedy; print('went on')"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
