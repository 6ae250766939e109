"""Rates, groups, and what of a step comes from its number."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from sssm.config import ModelConfig
from sssm.model import KeywordModel
from sssm.weights import load_model
from training.corpus import Entry, Spoken
from training.initial import initial_model
from training.labels import LabelSet
from training.loop import _digest
from training.optimizer import STATE_SPACE, optimizers_of, set_rates, share_of_rate
from training.recipe import Recipe

RECIPE = Recipe(lr=4e-3, matrix_lr=6e-3, ssm_lr=1e-3, weight_decay=0.02, warmup=10, steps=100)


def groups_of(optimizers):
    return [group for optimizer in optimizers for group in optimizer.param_groups]


def test_state_space_parameters_have_their_own_rate_and_no_decay():
    model = KeywordModel(ModelConfig(labels=("a", "b"), depth=2))
    optimizers = optimizers_of(model, RECIPE)
    groups = {id(p): group for group in groups_of(optimizers) for p in group["params"]}
    names = dict(model.named_parameters())
    assert len(groups) == len(names)  # each once
    set_rates(optimizers, 10, RECIPE)
    for name, parameter in names.items():
        own = name.rsplit(".", 1)[-1] in STATE_SPACE
        group = groups[id(parameter)]
        is_matrix = parameter.dim() == 2 and not own
        by_muon = is_matrix and name != "head.weight"
        rate = 1e-3 if own else 6e-3 if by_muon else 4e-3
        assert group["lr"] == rate * share_of_rate(10, RECIPE)
        assert group["weight_decay"] == (0.02 if is_matrix else 0)
    assert sum(name.endswith(("log_dt", "log_decay", "frequency")) for name in names) == 6


def test_without_a_rate_of_their_own_matrices_are_left_to_adamw():
    model = KeywordModel(ModelConfig(labels=("a", "b"), depth=2))
    (adamw,) = optimizers_of(model, replace(RECIPE, matrix_lr=0.0))
    assert isinstance(adamw, torch.optim.AdamW)
    learned = [p for group in adamw.param_groups for p in group["params"]]
    assert len(learned) == len(list(model.parameters()))


@pytest.mark.parametrize(
    ("shape", "own"),
    [
        ({}, "centre_logit width_log log_rate log_decay frequency log_dt"),
        ({"layer": "mamba"}, "centre_logit width_log log_rate log_decay"),
        ({"front": "samples", "layer": "s4"}, "log_rate log_decay frequency log_dt P B"),
    ],
)
def test_state_space_parameters_are_all_of_a_b_and_dt(shape, own):
    sizes = {"bands": 4, "channels": 4, "state_size": 2, "depth": 1}
    model = KeywordModel(ModelConfig(labels=("a", "b"), **sizes | shape))
    groups = groups_of(optimizers_of(model, RECIPE))
    (states,) = (group["params"] for group in groups if group["highest"] == RECIPE.ssm_lr)
    ids = {id(parameter) for parameter in states}
    named = {name.rsplit(".", 1)[-1] for name, p in model.named_parameters() if id(p) in ids}
    assert named == set(own.split())


def test_the_rate_rises_then_falls():
    shares = [share_of_rate(step, RECIPE) for step in range(100)]
    assert shares[0] == pytest.approx(0.1)
    assert shares[9] == max(shares)
    assert shares[-1] == pytest.approx(0.01, abs=1e-3)
    assert all(before > after for before, after in itertools.pairwise(shares[10:]))


def test_a_rate_without_warmup():
    assert share_of_rate(0, Recipe(warmup=0)) == 1


def test_the_model_is_what_the_recipe_says():
    recipe = Recipe(bands=16, channels=12, state_size=2, depth=3, slowest_s=0.3, dropout=0.2)
    model = initial_model(recipe, LabelSet(("a", "b"), True, False), None)
    assert model.config == ModelConfig(
        labels=("a", "b", "_unknown_"), bands=16, channels=12, state_size=2, depth=3,
        slowest_s=0.3, dropout=0.2,
    )  # fmt: skip


def test_a_model_of_another_shape_is_no_start(model_file):
    with pytest.raises(ValueError, match="of another shape"):
        initial_model(Recipe(channels=12), LabelSet(("a",), True, False), model_file)


@pytest.mark.parametrize("words", [("a",), ("yes", "no")])  # the latter in another order
def test_other_labels_get_a_head_that_asks_nothing_of_the_rest_at_first(model_file, words):
    recipe = Recipe().like(ModelConfig(labels=("a",), bands=8, channels=8, state_size=2, depth=2))
    trained, card = load_model(model_file)
    labels = LabelSet(words, True, True)
    assert labels.labels != card.labels
    model = initial_model(recipe, labels, model_file)
    weights = trained.state_dict()
    for name, value in model.state_dict().items():
        is_new = name in ("head.weight", "head.bias", "clip.offset")
        assert torch.equal(value, torch.zeros_like(value) if is_new else weights[name]), name
    model(torch.randn(2, 1_600, 1))[0].logsumexp(dim=2).sum().backward()
    assert model.head.bias.grad.abs().sum() > 0
    assert all(not p.grad.any() for p in (model.lift.weight, *model.blocks.parameters()))


def test_other_times_of_words_are_other_recordings():
    words = {"speech/a.opus": [Spoken("door", 0, 100)]}
    corpus = SimpleNamespace(entries=[], words=words)
    before = _digest(corpus)
    words["speech/b.opus"] = [Spoken("lamp", 0, 100)]
    assert _digest(corpus) != before


def test_recordings_are_known_by_names_that_are_no_utf_8_too():
    corpora = [
        SimpleNamespace(entries=[Entry(path, "commands", "training", "door", "ann")], words={})
        for path in ("door/caf\udce9.wav", "door/caf\udcea.wav")
    ]
    assert len(set(map(_digest, corpora))) == 2


def test_front_and_layer_are_what_the_recipe_says():
    recipe = Recipe(front="samples", layer="s4", channels=8, state_size=2, depth=1)
    config = initial_model(recipe, LabelSet(("a", "b"), True, False), None).config
    assert (config.front, config.layer) == ("samples", "s4")
