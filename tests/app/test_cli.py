import pytest
from typer.testing import CliRunner

import sssm
from app.cli import cli


def test_version_is_one_line():
    result = CliRunner().invoke(cli, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"sssm {sssm.__version__}\n")


def test_help_names_every_command():
    result = CliRunner().invoke(cli, ["--help"])
    assert result.exit_code == 0
    for command in ["bench", "calibrate", "classify", "info", "listen", "models", "record", "scan"]:
        assert f"\n  {command} " in result.stdout


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["--nothing"], ["models", "extra"]])
def test_wrong_usage_is_2(arguments):
    assert CliRunner().invoke(cli, arguments).exit_code == 2
