import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner, Result

from app.cli import cli
from sssm.weights import load_model, save_model


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_info_says_all_of_a_model_in_json(model_file):
    result = run("info", model_file, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    facts = json.loads(result.stdout)
    assert list(facts) == [
        "name",
        "labels",
        "sample_rate_hz",
        "parameters",
        "state_bytes",
        "macs_per_s",
        "training_data",
        "accuracy",
        "licence",
    ]
    assert facts["name"] == "tiny"
    assert facts["labels"] == ["_silence_", "_unknown_", "yes", "no"]
    assert facts["sample_rate_hz"] == 16_000
    assert facts["accuracy"] == {"validation": 0.25}
    assert facts["training_data"] == "none: random weights"
    assert facts["licence"] == "Apache-2.0"


def test_an_exported_file_says_the_same(model_file, tmp_path):
    exported = tmp_path / "tiny.onnx"
    assert run("export", model_file, exported).exit_code == 0
    facts, wanted = (run("info", file, "--json").stdout for file in (exported, model_file))
    assert json.loads(facts) == json.loads(wanted)


def test_info_is_a_list_for_people(model_file):
    facts = json.loads(run("info", model_file, "--json").stdout)
    lines = run("info", model_file).stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(facts)
    assert "labels          _silence_ _unknown_ yes no" in lines
    assert f"parameters      {facts['parameters']:,}" in lines
    assert "accuracy        validation 0.25" in lines


def test_info_rounds_and_shows_no_codes_of_a_card(model_file, tmp_path):
    """A model file may come from anywhere: its words must not write to the terminal."""
    network, card = load_model(model_file)
    card = replace(card, accuracy={"validation": 0.97236}, training_data="mine\x1b]0;owned\x07\n")
    save_model(tmp_path / "codes.safetensors", network, card)
    lines = run("info", tmp_path / "codes.safetensors").stdout.splitlines()
    assert "accuracy        validation 0.9724" in lines
    assert r"training_data   mine\x1b]0;owned\x07\n" in lines
    facts = json.loads(run("info", model_file, "--json").stdout)
    assert f"macs_per_s      {facts['macs_per_s']:,}" in lines
    assert facts["macs_per_s"] > 999


@pytest.mark.parametrize("command", ["info", "classify"])
def test_what_is_no_model_is_one_line_and_2(tmp_path, model_file, command):
    data = model_file.read_bytes()
    middle = len(data) // 2
    damaged = {
        "empty": b"",
        "text": b"text" * 100,
        "cut": data[:-1],
        "cut.early": data[:20],
        "flipped": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "flipped.header": data[:40] + bytes([data[40] ^ 8]) + data[41:],
        "pickle": pickle.dumps({"weights": [0.0]}),
    }
    for name, content in damaged.items():
        (tmp_path / name).write_bytes(content)
    recording = tmp_path / "a.wav"
    soundfile.write(recording, np.zeros(160), 16_000)
    for model in ["no-such-model", tmp_path, *(tmp_path / name for name in damaged)]:
        options = [recording, "--model", model] if command == "classify" else [model]
        result = run(command, *options)
        assert (result.exit_code, result.stdout) == (2, ""), model
        (line,) = result.stderr.splitlines()
        assert str(model) in line


def test_models_lists_what_is_shipped(model_file, monkeypatch):
    shipped = {"tiny": model_file, "again": model_file}
    monkeypatch.setattr("sssm.live.live_models", lambda: shipped)
    rows = [json.loads(line) for line in run("models", "--json").stdout.splitlines()]
    assert [row["name"] for row in rows] == ["again", "tiny"]
    assert rows[1] == {
        "name": "tiny",
        "file": str(model_file),
        "bytes": model_file.stat().st_size,
        "labels": ["_silence_", "_unknown_", "yes", "no"],
    }
    lines = run("models").stdout.splitlines()
    size = f"{model_file.stat().st_size / 1000:.0f} kB"
    about = "4 labels: _silence_, _unknown_, yes, no"
    assert lines == [f"{name:5}  tiny.safetensors  {size}  {about}" for name in ["again", "tiny"]]


def test_models_says_when_a_shipped_one_is_damaged(tmp_path, monkeypatch):
    (tmp_path / "text.safetensors").write_text("text")
    shipped = {"text": tmp_path / "text.safetensors"}
    monkeypatch.setattr("sssm.live.live_models", lambda: shipped)
    result = run("models")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)


def test_models_says_when_there_are_none(monkeypatch):
    monkeypatch.setattr("sssm.live.live_models", dict)
    result = run("models")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "this installation came without models\n"


@pytest.mark.parametrize("command", ["models", "classify --help", "info --help", "--version"])
def test_what_needs_no_model_loads_no_torch(command):
    program = (
        "import sys\nfrom app.cli import main\ntry: main()\nexcept SystemExit as leaving:\n"
        "    assert not leaving.code\n    assert not {'torch', 'rich'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *command.split()],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout or command == "models"


@pytest.mark.parametrize("unbuffered", ["", "1"])  # Python takes an empty one for none
def test_an_output_that_takes_no_more_is_one_line_and_1(unbuffered):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "app.cli", "--version"],
            stdout=full,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
            text=True,
            cwd=Path(__file__).parents[2],
        )
    assert done.returncode == 1
    assert done.stderr == "standard output: no space left on device\n"
