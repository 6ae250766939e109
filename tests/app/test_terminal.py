"""What is said on a screen, and what of one that takes no more."""

import errno
import os
import sys
from types import SimpleNamespace

import nervous
import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from app.cli import cli
from app.terminal import say


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Whose words would clear the screen."""
    labels = ("yes\x1b[2J", "no\x1b[2J", "_unknown_")
    return nervous.nervous_model(tmp_path_factory.mktemp("model"), labels, seed=3)


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("classify", ["--top", "3"]),
        ("scan", ["--threshold", "0.01"]),
        ("listen", ["--threshold", "0.01"]),
        ("calibrate", ["--out", "t\x1b[2J.json"]),
    ],
)
def test_no_word_of_a_model_is_a_code_of_the_screen(
    model, tmp_path, monkeypatch, command, arguments
):
    monkeypatch.chdir(tmp_path)
    name = {"listen": ["--input"], "calibrate": ["--negatives"]}.get(command, [])
    noise = np.random.default_rng(0).standard_normal(32_000) / 10
    soundfile.write("noise\x1b[2J.wav", noise, 16_000)
    arguments = [command, "--model", str(model), *arguments, *name, "noise\x1b[2J.wav"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0
    assert r"yes\x1b[2J" in result.stdout
    assert "\x1b" not in result.output


@pytest.mark.parametrize(
    ("system", "number", "expected", "message"),
    [
        ("posix", errno.EPIPE, BrokenPipeError, "Broken pipe"),
        ("nt", errno.EINVAL, BrokenPipeError, "Broken pipe"),
        ("posix", errno.EINVAL, OSError, "Invalid argument"),
        ("nt", errno.ENOSPC, OSError, "No space left"),
    ],
)
def test_a_reader_who_left_is_a_broken_pipe_whatever_windows_calls_it(
    monkeypatch, system, number, expected, message
):
    def write(_):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as there:
        there.setattr(sys, "stdout", SimpleNamespace(write=write, flush=lambda: None))
        there.setattr(os, "name", system)
        with pytest.raises(expected, match=message):
            say("yes")
