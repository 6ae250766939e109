"""A model that hears words in chirps, and its spotter."""

from pathlib import Path

import pytest
import soundfile
from sounds import sensitive
from typer.testing import CliRunner

from app.cli import cli
from sssm.spotter import KeywordSpotter


@pytest.fixture(scope="module")
def model(model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sensitive(model_file, tmp_path_factory.mktemp("model"))


@pytest.fixture
def cut_word(tmp_path: Path) -> Path:
    """A recording that ends where its word, "left", is not yet sure."""
    x, rate = soundfile.read(Path(__file__).parents[1] / "clips" / "left.flac")
    soundfile.write(tmp_path / "cut-word.wav", x[: round(0.57 * rate)], rate)
    return tmp_path / "cut-word.wav"


@pytest.fixture(scope="session")
def fixed_rate_model(model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hears 16 kHz alone."""
    out = tmp_path_factory.mktemp("fixed") / "frame.onnx"
    arguments = ["export", str(model_file), str(out), "--unit", "frame"]
    assert CliRunner().invoke(cli, arguments).exit_code == 0
    return out


@pytest.fixture(scope="module")
def spotter(model: Path) -> KeywordSpotter:
    return KeywordSpotter.load(model)
