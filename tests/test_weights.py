import json
import math
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from sssm import weights
from sssm.config import ModelConfig
from sssm.live import find_live, load_live
from sssm.model import KeywordModel
from sssm.weights import ModelCard, ModelFileError, find_model, load_model, read_card, save_model


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = ModelConfig(labels=("yes", "no"), bands=8, channels=8, state_size=2, depth=2)
    return KeywordModel(config).eval()


@pytest.fixture
def card(model):
    return ModelCard(
        config=model.config,
        training_data="none",
        licence="Apache-2.0",
        accuracy={"validation": 0.5},
        thresholds={"yes": 0.8},
    )


@pytest.fixture
def file(tmp_path, model, card):
    path = tmp_path / "model.safetensors"
    save_model(path, model, card)
    return path


def rewrite(path, change):
    """Write the file again with other metadata and weights, its checksum made right."""
    arrays, metadata = load_file(path), weights._header_metadata(path)
    change(arrays, metadata)
    if "checksum" in metadata:
        metadata["checksum"] = json.dumps(weights._checksum(metadata, arrays))
    save_file(arrays, path, metadata)


def assert_refused(path, words):
    with pytest.raises(ModelFileError, match=words) as refused:
        load_model(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_small_model_without_a_bank_comes_back(tmp_path, card):
    config = ModelConfig(
        labels=("yes", "no"), front="samples", bands=1024, channels=16, depth=1, state_size=4
    )
    save_model(tmp_path / "a.safetensors", KeywordModel(config), replace(card, config=config))
    assert load_model(tmp_path / "a.safetensors")[1].config == config


def test_a_card_of_what_is_no_number_is_refused(tmp_path, model, card):
    with pytest.raises(ValueError, match="JSON"):
        save_model(tmp_path / "a.safetensors", model, replace(card, accuracy={"a": math.nan}))
    assert not list(tmp_path.iterdir())


def test_a_model_comes_back_bit_for_bit(file, model, card):
    loaded, its_card = load_model(file)
    assert its_card == card == read_card(file)
    assert not loaded.training
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)


def test_a_model_is_in_float32_whatever_torch_makes_by_itself(file):
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        model, _ = load_model(file)
        logits, _ = model(torch.zeros(1, 800, 1))
    finally:
        torch.set_default_dtype(usual)
    assert {value.dtype for value in (logits, *model.parameters())} == {torch.float32}


def test_a_card_is_read_without_torch(file):
    code = (
        "import sys; from sssm.weights import read_card;"
        f"print(read_card({str(file)!r}).labels, 'torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "('yes', 'no') False"


@pytest.mark.parametrize("length", [0, 1, 8, 9, 100, 3_000, -1])
def test_a_file_cut_short_is_refused(file, length):
    file.write_bytes(file.read_bytes()[:length])
    assert_refused(file, "not a whole safetensors file")


def test_an_exported_file_is_told_from_a_damaged_one(file):
    assert_refused(file.rename(file.with_suffix(".onnx")), "exported; .* needed here are weights")


def test_every_flipped_bit_is_refused(file):
    whole = file.read_bytes()
    rng = np.random.default_rng(0)
    for place in [*rng.integers(0, 3_000, 60), *rng.integers(0, len(whole), 60)]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.integers(8)
        file.write_bytes(damaged)
        assert_refused(file, ".")


def test_a_pickle_is_refused_and_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "boom"), "w"))

    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    assert_refused(path, "not a whole safetensors file")
    assert not (tmp_path / "boom").exists()


def drop_weight(arrays, metadata):
    del arrays["head.bias"]


def add_weight(arrays, metadata):
    arrays["head.more"] = np.zeros(3, np.float32)


def reshape(arrays, metadata):
    arrays["head.bias"] = np.zeros(3, np.float32)


def not_a_number(arrays, metadata):
    arrays["head.bias"][0] = np.nan


def another_type(arrays, metadata):
    arrays["head.bias"] = arrays["head.bias"].astype(np.float64)


def newer(arrays, metadata):
    metadata |= {"format_version": "2", "newkey": "1"}


def unknown_setting(arrays, metadata):
    metadata["config"] = json.dumps(json.loads(metadata["config"]) | {"chanels": 1})


def no_config(arrays, metadata):
    metadata["config"] = "[]"


def no_accuracy(arrays, metadata):
    metadata["accuracy"] = "3"


def endless(arrays, metadata):
    metadata["config"] = json.dumps(json.loads(metadata["config"]) | {"channels": 10**9})


def other_labels(arrays, metadata):
    metadata["labels"] = '["no", "yes"]'


def unknown_metadata(arrays, metadata):
    metadata["author"] = '"x"'


def too_deep(arrays, metadata):
    metadata["accuracy"] = "[" * 100_000


def no_number(arrays, metadata):
    metadata["accuracy"] = '{"validation": NaN}'


def huge(arrays, metadata):
    shape = {"channels": 4_096, "depth": 64, "state_size": 1_024}
    metadata["config"] = json.dumps(json.loads(metadata["config"]) | shape)


def no_json(arrays, metadata):
    metadata["licence"] = "{"


def no_card(arrays, metadata):
    metadata.clear()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (drop_weight, "weight head.bias is missing"),
        (add_weight, "unknown weight 'head.more'"),
        (reshape, r"weight head.bias has shape \(3,\), expected \(2,\)"),
        (not_a_number, "weight head.bias holds what is not a number"),
        (another_type, "weight head.bias is float64"),
        (newer, "format version 2"),
        (unknown_setting, r"unknown settings \['chanels'\]"),
        (no_config, "its card is damaged"),
        (no_accuracy, "its card is damaged"),
        (endless, "channels must be a whole number from 1 to"),
        (other_labels, "labels or rate are not those of its config"),
        (unknown_metadata, "unknown metadata 'author'"),
        (too_deep, "metadata accuracy is not JSON"),
        (no_number, "metadata accuracy is not JSON"),
        (huge, "its config asks for .* weights, it holds"),
        (no_json, "metadata licence is not JSON"),
        (no_card, "not a model of sssm, format_version is missing"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_does_not_fit_is_named(file, change, words):
    rewrite(file, change)
    assert_refused(file, words)


def test_a_broken_model_is_not_saved(tmp_path, model, card):
    broken = KeywordModel(model.config)
    torch.nn.init.constant_(broken.head.bias, float("inf"))
    with pytest.raises(ValueError, match=r"head\.bias is not a number"):
        save_model(tmp_path / "model.safetensors", broken, card)
    assert not list(tmp_path.iterdir())


def test_the_fingerprint_names_weights_not_thresholds(file, model, card, tmp_path):
    other = tmp_path / "other.safetensors"
    save_model(other, model, ModelCard(**card.__dict__ | {"thresholds": {"yes": 0.1}}))
    assert weights.fingerprint(other) == weights.fingerprint(file)
    changed = KeywordModel(model.config)
    save_model(other, changed, card)
    assert weights.fingerprint(other) != weights.fingerprint(file)


def test_a_shipped_model_has_a_short_name_and_a_full_one():
    assert find_model("kws12-s4") == find_model("s4")
    assert find_live("kws12-mamba") == find_live("mamba")


def test_an_unknown_name_lists_what_is_shipped():
    with pytest.raises(ModelFileError, match="s5: no such model file"):
        find_model("s5")


@pytest.mark.parametrize("read", [find_model, find_live, load_live, load_model])
def test_a_name_that_no_file_can_have_is_no_file(read):
    """As is one in a folder that this user may not enter."""
    with pytest.raises(ModelFileError, match="x: no such model file"):
        read("+".join(["x" * 300] * 2))
