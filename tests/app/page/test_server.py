"""The server of a page, before it serves."""

import gradio as gr
import pytest
from typer.testing import CliRunner

from app.cli import cli
from app.page.server import _within


@pytest.mark.parametrize(("typed", "taken"), [(None, 0), (5, 3), (-9, -3), (0.5, 0.5)])
def test_what_is_typed_for_the_sensitivity_is_no_error(typed, taken):
    assert _within(gr.Slider(-3, 3, 0)).preprocess(typed) == taken


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["--model", "nothing"], 2, "nothing: no such model file (shipped models: s4"),
        (["--auth", "nowhere"], 2, "--auth nowhere: no such file or directory"),
        (["--host", "256.1.1.1"], 1, "256.1.1.1:0: "),
    ],
)
def test_a_server_that_cannot_start_says_so_in_a_line(arguments, code, line):
    result = CliRunner().invoke(cli, ["demo", "--port", "0", *arguments])
    assert result.exit_code == code
    assert result.stderr.startswith(line)
    assert result.stderr.count("\n") == 1
