"""`sssm export`, and the example that runs what it wrote."""

import dataclasses
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import soundfile
import torch
from page_server import stream_of
from sounds import chirps
from typer.testing import CliRunner

from app.cli import cli
from sssm.model import KeywordModel
from sssm.spotter import KeywordSpotter
from sssm.weights import find_model, load_model, save_model

ROOT = Path(__file__).parents[2]


def sssm(*arguments):
    return CliRunner().invoke(cli, ["export", *map(str, arguments)])


def test_says_what_it_wrote(model_file, tmp_path):
    out = tmp_path / "tiny.onnx"
    result = sssm(model_file, out, "--unit", "chunk", "--chunk-ms", 80)
    assert result.exit_code == 0, result.output
    assert "chunk of 80 ms at 16000 Hz" in result.stdout
    assert "nodes" in result.stdout
    assert out.is_file()


def test_the_model_is_not_written_over(model_file, tmp_path):
    weights = tmp_path / "mine.safetensors"
    weights.write_bytes(model_file.read_bytes())
    link = tmp_path / "mine.onnx"
    link.symlink_to(weights)
    for out in (weights, link):
        result = sssm(weights, out)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == f"{out}: is read here too, and would be written over\n"
    assert weights.read_bytes() == model_file.read_bytes()


def test_a_damaged_recording_does_not_hide_what_was_written(model_file, tmp_path):
    (tmp_path / "data" / "yes").mkdir(parents=True)
    (tmp_path / "data" / "yes" / "1.wav").write_bytes(b"no audio")
    out = tmp_path / "tiny.onnx"
    result = sssm(model_file, out, "--quantize", "--data", tmp_path / "data")
    assert result.exit_code == 1
    assert result.stdout.startswith(f"{out}: ")
    assert out.is_file()
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"{tmp_path / 'data' / 'yes' / '1.wav'}: ")
    assert line.endswith("so what 8 bits cost is not known")


def test_eight_bits_say_what_they_cost(model_file, tmp_path):
    for word in ("yes", "house"):
        (tmp_path / "data" / word).mkdir(parents=True)
        soundfile.write(tmp_path / "data" / word / "a.wav", chirps(0.5, 16_000), 16_000)
    result = sssm(model_file, tmp_path / "a.onnx", "--quantize")
    assert result.exit_code == 0, result.output
    assert "% of decisions on test sounds stay the same" in result.stdout
    result = sssm(model_file, tmp_path / "a.onnx", "--quantize", "--data", tmp_path / "data")
    assert result.exit_code == 0, result.output
    assert "with float32" in result.stdout


def test_the_cost_of_eight_bits_is_told_by_the_labels_of_training(model_file, tmp_path):
    """Noise is `_silence_`; a folder for which the model has no label is left out."""
    model, card = load_model(model_file)
    with torch.no_grad():  # it answers `_silence_`, whatever it hears
        model.clip.offset[card.labels.index("_silence_")] = 100
    save_model(tmp_path / "deaf.safetensors", model, card)
    for folder in ("yes", "_background_noise_", "_silence_"):
        (tmp_path / "data" / folder).mkdir(parents=True)
        soundfile.write(tmp_path / "data" / folder / "a.wav", chirps(0.5, 16_000), 16_000)
    options = tmp_path / "a.onnx", "--quantize", "--data", tmp_path / "data"
    result = sssm(tmp_path / "deaf.safetensors", *options)
    assert "accuracy 66.67% with float32, 66.67% with 8 bits" in result.stdout
    config = dataclasses.replace(model.config, labels=("_silence_", "lamp", "house", "no"))
    other = KeywordModel(config).eval()
    other.load_state_dict(model.state_dict())
    card = dataclasses.replace(card, config=config)
    save_model(tmp_path / "other.safetensors", other, card)
    result = sssm(tmp_path / "other.safetensors", *options)
    assert "accuracy 100.00% with float32" in result.stdout
    assert "what has none of the model's labels is left out, 1 of 3" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--unit", "word"], "unit must be one of"),
        (["--chunk-ms", "80"], "that is for the unit chunk"),
        (["--unit", "chunk", "--chunk-ms", "15"], "multiple of 10"),
        (["--sample-rate", "22050"], "sample"),
        (["--sample-rate", "4000"], "8000 to 48000"),
        (["--opset", "11"], "opset must be"),
        (["--data", "."], "--data is for --quantize"),
        (["--quantize", "--data", "/none/such"], "/none/such: no such folder"),
    ],
)
def test_wrong_usage_is_one_line(model_file, tmp_path, options, message):
    result = sssm(model_file, tmp_path / "out.onnx", *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_unknown_model_and_folder(model_file, tmp_path):
    assert sssm("nothing", tmp_path / "out.onnx").exit_code == 2
    result = sssm(model_file, tmp_path / "nowhere" / "out.onnx")
    assert (result.exit_code, "no such folder" in result.stderr) == (2, True)


def test_the_name_of_a_file_says_what_it_is(model_file, tmp_path):
    result = sssm(model_file, tmp_path / "step.bin")
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line == f"{tmp_path / 'step.bin'}: its name must end with .onnx, by which it is known"


def test_a_folder_without_recordings_is_seen_before_the_work(model_file, tmp_path):
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out.onnx"
    result = sssm(model_file, out, "--quantize", "--data", tmp_path / "empty")
    assert (result.exit_code, result.stderr) == (2, f"{tmp_path / 'empty'}: no recordings\n")
    assert not out.exists()


def test_a_file_that_differs_is_a_failure(model_file, tmp_path, monkeypatch):
    monkeypatch.setattr("sssm.onnx.verify.TOLERANCE", 0.0)
    result = sssm(model_file, tmp_path / "out.onnx")
    assert result.exit_code == 1
    assert "not written" in result.stderr
    assert not list(tmp_path.iterdir())


def test_where_no_file_can_be_written(model_file, tmp_path, monkeypatch):
    (tmp_path / "a.onnx").mkdir()
    result = sssm(model_file, tmp_path / "a.onnx")
    assert (result.exit_code, result.stderr) == (
        2,
        f"{tmp_path / 'a.onnx'}: not a file\n",
    )

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    result = sssm(model_file, tmp_path / "b.onnx")
    said = f"{tmp_path / 'b.onnx'}: not written, no space left on device\n"
    assert (result.exit_code, result.stderr) == (1, said)


def test_the_spotter_loads_it(model_file, tmp_path):
    assert sssm(model_file, tmp_path / "a.onnx", "--unit", "chunk").exit_code == 0
    assert KeywordSpotter.load(tmp_path / "a.onnx").keywords == ("yes", "no")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--unit", "chunk", "--chunk-ms", "100"], "a.onnx: does not hear 160 samples a call"),
        (["--unit", "sample"], "a.onnx: does not hear 160 samples a call"),
        (["--sample-rate", "8000"], "demo.wav: 16000 Hz; the model hears 8000 Hz"),
    ],
)
def test_the_example_says_what_it_cannot_hear(model_file, tmp_path, options, said):
    assert sssm(model_file, tmp_path / "a.onnx", *options).exit_code == 0
    command = [ROOT / "assets/examples/spot.py", ROOT / "assets/demo.wav", tmp_path / "a.onnx"]
    run = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout) == (1, "")
    assert said in run.stderr.splitlines()[-1]


@pytest.mark.parametrize("settings", [{}, {"min_frames": 4, "refractory": 0, "release": 0.95}])
def test_the_example_is_the_detector(tmp_path, settings):
    """Word by word and frame by frame, whatever the file's detector is."""
    model, card = load_model(find_model("s4"))
    mine = dataclasses.replace(card, detector={**card.detector, **settings})
    save_model(tmp_path / "s4.safetensors", model, mine)
    assert sssm(tmp_path / "s4.safetensors", tmp_path / "s4.onnx").exit_code == 0
    x = stream_of(["yes", "left", "left", "go", "stop", "down", "no"])
    soundfile.write(tmp_path / "words.wav", x, 16_000)
    run = subprocess.run(
        [sys.executable, ROOT / "assets/examples/spot.py", "words.wav", "s4.onnx"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    heard = KeywordSpotter.load(tmp_path / "s4.onnx").stream(16_000).push(x)
    assert len(heard) >= 6
    assert run.stdout.splitlines() == [
        f"{one.time_s:.2f} s  {one.keyword}  {one.score:.2f}" for one in heard
    ]


def test_the_example_hears_the_demo(tmp_path):
    """In an interpreter that sees numpy, onnxruntime and soundfile, and none of ours."""
    assert sssm("s4", tmp_path / "s4.onnx").exit_code == 0
    site = Path(sysconfig.get_path("purelib"))
    needs = ("numpy*", "onnxruntime*", "_soundfile*", "soundfile*", "cffi*", "_cffi*", "pycparser*")
    needs += ("flatbuffers*", "google", "protobuf*", "packaging*", "typing_extensions*")
    for pattern in needs:
        for path in site.glob(pattern):
            (tmp_path / "site" / path.name).parent.mkdir(exist_ok=True)
            (tmp_path / "site" / path.name).symlink_to(path)
    shutil.copy(ROOT / "assets" / "examples" / "spot.py", tmp_path)
    code = f"import sys, runpy; sys.path.insert(0, {str(tmp_path / 'site')!r})\n" + (
        "sys.argv = ['spot.py', sys.argv[1], 's4.onnx']; runpy.run_path('spot.py')\n"
        "assert not {'sssm', 'torch', 'onnx'} & set(sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-S", "-I", "-c", code, str(ROOT / "assets" / "demo.wav")],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert "yes" in run.stdout
