"""Models that listen as one keep the contract, and are the mean of what they say."""

import dataclasses

import numpy as np
import pytest
import soundfile
from sounds import chirps

from sssm.classifier import Classifier
from sssm.engines import engine_for
from sssm.engines.engine import softmax
from sssm.engines.mean import MeanEngine
from sssm.live import load_live, members_of
from sssm.model import KeywordModel
from sssm.spotter import KeywordSpotter
from sssm.weights import ModelFileError, load_model, save_model


@pytest.fixture(scope="module")
def files(model_file, tmp_path_factory):
    """Two models of other layers, with the same labels; thresholds differ."""
    folder = tmp_path_factory.mktemp("models")
    _, card = load_model(model_file)
    paths = []
    for layer, threshold in (("s4d", 0.4), ("mamba", 0.6)):
        config = dataclasses.replace(card.config, layer=layer)
        thresholds = {"yes": threshold, "no": 0.5}
        paths.append(folder / f"{layer}.safetensors")
        card = dataclasses.replace(card, config=config, thresholds=thresholds)
        save_model(paths[-1], KeywordModel(config), card)
    return paths


@pytest.fixture(scope="module")
def joined(files):
    return "+".join(map(str, files))


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_logits_are_the_mean_and_the_state_is_both(files, rate):
    engines = [engine_for(load_model(path)[0], rate) for path in files]
    together, x = MeanEngine(engines), chirps(0.5, rate)[None]
    states = [engine.init_state(1) for engine in engines]
    runs = [engine.run(x, 0, state) for engine, state in zip(engines, states, strict=True)]
    found = together.run(x, 0, together.init_state(1))
    expected = (runs[0].logits + runs[1].logits) / 2
    np.testing.assert_allclose(found.logits, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found.scores, softmax(expected), rtol=1e-5)
    for part, own in zip(found.state, [*runs[0].state, *runs[1].state], strict=True):
        np.testing.assert_array_equal(part, own)


@pytest.mark.parametrize("rate", [16_000, 22_050])
def test_any_chunking_rows_and_snapshots_give_the_same(joined, rate):
    spotter, x = KeywordSpotter.load(joined), chirps(1.0, rate)
    whole = spotter.stream(rate).push_scores(x)
    stream, rows, found = spotter.stream(rate), spotter.batch(2, rate), []
    for piece in np.split(x, [1, 8, 168, 700, 9_000]):
        found.append(stream.push_scores(piece))
        stream = spotter.restore(stream.snapshot())
        rows.push(np.stack([piece, piece]))
    np.testing.assert_allclose(np.concatenate(found), whole, atol=1e-5)
    of_row = spotter.restore(rows.snapshot(1))
    np.testing.assert_allclose(of_row.push_scores(x), stream.push_scores(x), atol=1e-5)
    with pytest.raises(ValueError, match="another model"):
        KeywordSpotter.load(joined.split("+")[0]).restore(stream.snapshot())


def test_thresholds_are_the_means_in_logit(joined):
    assert KeywordSpotter.load(joined).thresholds == pytest.approx({"yes": 0.5, "no": 0.5})


def test_the_shipped_models_hear_the_demo_together(tmp_path):
    x, rate = soundfile.read("assets/demo.wav", dtype="float32")
    (detection,) = KeywordSpotter.load("s4+mamba").stream(rate).push(np.pad(x, (0, 8_000)))
    assert detection.keyword == "yes"
    assert Classifier.load("s4+mamba").classify("assets/demo.wav").label == "yes"


def test_models_that_cannot_listen_as_one_are_one_line(files, tmp_path):
    model, card = load_model(files[0])
    config = dataclasses.replace(card.config, labels=("_silence_", "_unknown_", "no", "yes"))
    other = tmp_path / "other.safetensors"
    save_model(other, KeywordModel(config), dataclasses.replace(card, config=config))
    with pytest.raises(ModelFileError, match="other labels"):
        load_live(f"{files[0]}+{other}")
    save_model(other, model, dataclasses.replace(card, detector={"refractory": 9}))
    with pytest.raises(ModelFileError, match="other detector"):
        load_live(f"{files[0]}+{other}")
    with pytest.raises(ModelFileError, match="nothing: no such model file"):
        load_live(f"{files[0]}+nothing")


def test_a_file_may_have_the_sign_in_its_name(files, tmp_path):
    path = tmp_path / "a+b.safetensors"
    path.write_bytes(files[0].read_bytes())
    assert members_of(path) == [str(path)]
    assert load_live(path).fingerprint == load_live(files[0]).fingerprint
