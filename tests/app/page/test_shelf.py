"""The models that a page offers."""

import dataclasses

import pytest
from page_parts import shelf

from app.page.shelf import MOST_SENSITIVE, Shelf
from sssm.spotter import KeywordSpotter
from sssm.thresholds import write_thresholds
from sssm.weights import load_model, save_model

__all__ = ["shelf"]  # a fixture


def test_a_visitor_names_models_not_files(shelf, model_file):
    with pytest.raises(ValueError, match=r"no model .* here \(models: s4"):
        shelf.spotter(str(model_file))
    own = Shelf(str(model_file))
    assert own.names[0] == "tiny"
    assert own.spotter("tiny").keywords == ("yes", "no")
    assert "s4" in own.names


def test_models_that_listen_as_one_are_one_of_the_shelf():
    shelf = Shelf("s4+mamba")
    assert shelf.names == ["s4+mamba", "s4", "mamba"]
    assert [path.stem for path in shelf.files("s4+mamba")] == ["kws12-s4", "kws12-mamba"]
    assert shelf.spotter("s4+mamba").fingerprint == KeywordSpotter.load("s4+mamba").fingerprint


def test_thresholds_from_a_file_are_those_of_the_model_met_first(tmp_path):
    own, file = KeywordSpotter.load("s4"), tmp_path / "mine.json"
    mine = dict.fromkeys(own.keywords, 0.75)
    write_thresholds(file, mine, fingerprint=own.fingerprint)
    shelf = Shelf("s4", str(file))
    assert shelf.spotter("s4").thresholds == mine
    assert shelf.spotter("s4", 1.0).thresholds["yes"] < 0.75
    assert shelf.spotter("mamba").thresholds == KeywordSpotter.load("mamba").thresholds
    with pytest.raises(ValueError, match="thresholds of another model"):
        Shelf("mamba", str(file))


def test_a_threshold_of_1_stays_at_any_sensitivity(model_file, tmp_path):
    model, card = load_model(model_file)
    path = tmp_path / "never.safetensors"
    save_model(path, model, dataclasses.replace(card, thresholds={"yes": 1.0, "no": 0.5}))
    shelf = Shelf(str(path))
    for sensitivity in (-MOST_SENSITIVE, MOST_SENSITIVE):
        assert shelf.spotter("never", sensitivity).thresholds["yes"] == 1
