"""Models that listen as one keep the contract, and are the mean of what they say."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from sounds import chirps

from sssm.classifier import Classifier
from sssm.detector import DEFAULT_THRESHOLD
from sssm.engines import engine_for
from sssm.engines.engine import softmax
from sssm.engines.mean import MeanEngine
from sssm.live import load_live, members_of
from sssm.model import KeywordModel
from sssm.spotter import KeywordSpotter
from sssm.weights import ModelFileError, load_model, save_model

DEMO = Path(__file__).parents[2] / "assets" / "demo.wav"


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
        with torch.random.fork_rng():
            torch.manual_seed(0)
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


def test_each_of_three_has_its_own_state(files):
    engines = [engine_for(load_model(files[n])[0], 16_000) for n in (0, 1, 0)]
    together, x = MeanEngine(engines), chirps(0.5, 16_000)[None]
    states = [engine.init_state(1) for engine in engines]
    state = together.init_state(1)
    for before in (0, 4_000):
        piece = x[:, before : before + 4_000]
        runs = [e.run(piece, before, own) for e, own in zip(engines, states, strict=True)]
        states = [run.state for run in runs]
        found = together.run(piece, before, state)
        state = found.state
        expected = np.mean([run.logits for run in runs], axis=0)
        np.testing.assert_allclose(found.logits, expected, rtol=1e-6, atol=1e-6)


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


def test_offsets_are_the_means(files, tmp_path):
    paths = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for path, offset in zip(paths, (1.0, 4.0), strict=True):
        model, card = load_model(files[0])
        model.clip.offset.data[:] = torch.tensor([0, offset, 0, -offset])
        save_model(path, model, card)
    assert load_live("+".join(map(str, paths))).model.clip_offset == (0, 2.5, 0, -2.5)


def test_others_together_are_another_model(files):
    a, b = map(str, files)
    prints = {load_live(names).fingerprint for names in (a, b, f"{a}+{a}", f"{a}+{b}", f"{b}+{b}")}
    assert len(prints) == 5


def test_in_another_order_they_are_the_same_model(files):
    a, b = map(str, files)
    one, other = KeywordSpotter.load(f"{a}+{b}"), KeywordSpotter.load(f"{b}+{a}")
    x = chirps(1.0, 16_000)
    assert (one.fingerprint, one.card) == (other.fingerprint, other.card)
    stream = one.stream(16_000)
    stream.push(x)
    followed = other.restore(stream.snapshot())
    np.testing.assert_array_equal(followed.push_scores(x), stream.push_scores(x))


def test_files_in_a_list_are_those_that_a_plus_joins(files):
    joined, listed = load_live("+".join(map(str, files))), load_live(files)
    assert (listed.fingerprint, listed.card) == (joined.fingerprint, joined.card)
    assert members_of(files) == list(map(str, files))
    assert load_live(files[:1]).fingerprint == load_live(files[0]).fingerprint
    with pytest.raises(ModelFileError, match="no model is named"):
        KeywordSpotter.load([])


def test_the_shipped_models_hear_the_demo_together():
    x, rate = soundfile.read(DEMO, dtype="float32")
    (detection,) = KeywordSpotter.load("s4+mamba").stream(rate).push(np.pad(x, (0, 8_000)))
    assert detection.keyword == "yes"
    assert Classifier.load("s4+mamba").classify(DEMO).label == "yes"


def test_models_that_cannot_listen_as_one_are_one_line(files, tmp_path):
    model, card = load_model(files[0])
    config = dataclasses.replace(card.config, labels=("_silence_", "_unknown_", "no", "yes"))
    other = tmp_path / "other.safetensors"
    save_model(other, KeywordModel(config), dataclasses.replace(card, config=config))
    for names in (f"{files[0]}+{other}", f"{files[0]}+{files[0]}+{other}"):
        with pytest.raises(ModelFileError, match="other labels"):
            load_live(names)
    save_model(other, model, dataclasses.replace(card, detector={"refractory": 9}))
    with pytest.raises(ModelFileError, match="other detector"):
        load_live(f"{files[0]}+{other}")
    with pytest.raises(ModelFileError, match="nothing: no such model file"):
        load_live(f"{files[0]}+nothing")


@pytest.mark.parametrize("names", ["s4+", "+s4", "s4++mamba"])
def test_a_name_that_is_missing_is_told(names):
    with pytest.raises(ModelFileError, match="a model is missing beside"):
        members_of(names)


@pytest.mark.parametrize("threshold", [0.0, 1.5, "high"])
def test_a_damaged_card_is_one_line_in_company_too(files, tmp_path, threshold):
    model, card = load_model(files[0])
    damaged = tmp_path / "damaged.safetensors"
    save_model(damaged, model, dataclasses.replace(card, thresholds={"yes": threshold}))
    with pytest.raises(ModelFileError, match="its detector is damaged"):
        KeywordSpotter.load(f"{damaged}+{files[1]}")


def test_a_keyword_that_one_card_lacks_has_its_default(files, tmp_path):
    model, card = load_model(files[0])
    sparse = tmp_path / "sparse.safetensors"
    save_model(sparse, model, dataclasses.replace(card, thresholds={"no": 1.0}))
    found = KeywordSpotter.load(f"{sparse}+{sparse}").thresholds
    assert found == pytest.approx({"yes": DEFAULT_THRESHOLD, "no": 1.0})


def test_a_file_may_have_the_sign_in_its_name(files, tmp_path):
    path = tmp_path / "a+b.safetensors"
    path.write_bytes(files[0].read_bytes())
    assert members_of(path) == [str(path)]
    assert members_of(f"s4+{path}+{path}") == ["s4", str(path), str(path)]
    assert members_of([path, files[0]]) == [str(path), str(files[0])]
    assert load_live(path).fingerprint == load_live(files[0]).fingerprint
