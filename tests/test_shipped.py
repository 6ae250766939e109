"""What the shipped models promise."""

import json
from pathlib import Path

import pytest
import soundfile
import soxr
import torch

from sssm.classifier import Classifier
from sssm.cost import parameters
from sssm.detector import DEFAULT_THRESHOLD
from sssm.live import live_models
from sssm.model import KeywordModel, ModelState
from sssm.onnx.engine import FRAMES, OnnxModel
from sssm.spotter import KeywordSpotter
from sssm.weights import load_model, shipped_models

RATE_HZ = 16_000
DEMO = Path(__file__).parents[1] / "assets" / "demo.wav"


@pytest.fixture(scope="module", params=sorted(shipped_models()))
def name(request):
    return request.param


@pytest.fixture(scope="module")
def path(name):
    return shipped_models()[name]


@pytest.fixture(scope="module")
def model(path):
    return load_model(path)[0]


def demo(rate_hz: int = RATE_HZ) -> torch.Tensor:
    samples, _ = soundfile.read(DEMO, dtype="float32", always_2d=True)
    return torch.from_numpy(soxr.resample(samples, RATE_HZ, rate_hz))[None]


def what_came_before() -> dict[str, torch.Tensor]:
    """Twenty seconds of each, at full scale or near; at a lower rate they last longer."""
    generator = torch.Generator().manual_seed(0)
    n = torch.arange(20 * RATE_HZ)
    said = demo().repeat(1, 20, 1)
    return {
        "noise": 0.3 * torch.randn(1, len(n), 1, generator=generator),
        "full scale": torch.randn(1, len(n), 1, generator=generator).clamp(-1, 1),
        "square wave": torch.sign(torch.sin(0.05 * n))[None, :, None],
        "speech": said / said.abs().max(),
        "hiss": 1e-3 * torch.randn(1, len(n), 1, generator=generator),
    }


@torch.inference_mode()
def scores_of_demo(model: KeywordModel, state: ModelState) -> torch.Tensor:
    return model(demo(model.front.sample_rate_hz), state)[0].softmax(dim=-1)


def heard(model: KeywordModel, *sounds: torch.Tensor) -> ModelState:
    with torch.inference_mode():
        state = model.init_state(1)
        for sound in sounds:
            _, state = model(sound, state)
    return state


def test_a_shipped_model_is_small(path, model):
    assert path.stat().st_size < 1_000_000
    assert parameters(model) < 300_000


def test_a_shipped_model_says_what_it_is(path):
    _, card = load_model(path)
    assert card.licence
    assert card.training_data
    assert card.accuracy["accuracy"] > 0.96
    assert path.with_suffix(".md").is_file() or not DEMO.parent.samefile(path.parent)
    json.dumps(dict(card.accuracy), allow_nan=False)


def test_what_listens_was_exported_from_the_weights(name, path):
    listens = live_models()[name]
    assert listens.suffix == ".onnx"
    exported, weights = KeywordSpotter.load(name), KeywordSpotter.load(path)
    assert exported.fingerprint == weights.fingerprint, f"sssm export {name} {listens} --unit chunk"
    assert exported.labels == weights.labels
    beside = listens.with_suffix(FRAMES)
    assert OnnxModel(listens).frames is not None, f"sssm export {name} {beside} --unit frame"
    assert exported.detector.thresholds == {
        word: weights.detector.thresholds.get(word, DEFAULT_THRESHOLD) for word in weights.keywords
    }
    assert dict(exported.card.accuracy) == dict(weights.card.accuracy)


def test_the_demo_is_heard(name, path):
    for model in (name, path):
        answer = Classifier.load(model).classify(DEMO)
        assert answer.label == "yes"
        assert answer.score > 0.9


@pytest.mark.parametrize("rate_hz", [8_000, RATE_HZ])
@pytest.mark.parametrize("before", what_came_before())
def test_two_seconds_of_silence_forget_what_came_before(model, before, rate_hz):
    model, silence = model.at_rate(rate_hz), torch.zeros(1, 2 * rate_hz, 1)
    fresh = scores_of_demo(model, heard(model, silence))
    later = scores_of_demo(model, heard(model, what_came_before()[before], silence))
    assert (later - fresh).abs().max() < 0.02


@pytest.mark.parametrize("before", what_came_before())
def test_only_the_last_ten_seconds_matter(model, before):
    sound = what_came_before()[before]
    last = scores_of_demo(model, heard(model, sound[:, -10 * RATE_HZ :]))
    all_of_it = scores_of_demo(model, heard(model, sound))
    assert (all_of_it - last).abs().max() < 0.02
