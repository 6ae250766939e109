"""A small model file for every test that needs one; Triton's interpreter where there is no GPU."""

import os
import signal
from pathlib import Path

import pytest
import torch

from sssm.config import ModelConfig
from sssm.model import KeywordModel
from sssm.weights import ModelCard, save_model

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # before anything imports triton, and for its whole life

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Of what a script starts with `&`.  What a test starts would not heed Ctrl-C either.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained, and small enough that a second of audio takes it some milliseconds."""
    labels = ("_silence_", "_unknown_", "yes", "no")
    config = ModelConfig(labels=labels, bands=8, channels=8, state_size=2, depth=2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = KeywordModel(config)
    card = ModelCard(
        config=config,
        training_data="none: random weights",
        licence="Apache-2.0",
        accuracy={"validation": 0.25},
    )
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_model(path, model, card)
    return path


@pytest.fixture
def few_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some are tried, and a curve goes through few, where what is asked is not how good they are.

    Each costs a look at everything that was heard.
    """
    monkeypatch.setattr("sssm.calibration.STEP", 1.0)
    monkeypatch.setattr("sssm.calibration.CURVE_STEP", 2.0)
