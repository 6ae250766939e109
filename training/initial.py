"""The model that a run starts from: random weights, or those of a trained one."""

from pathlib import Path

import torch

from sssm.config import ModelConfig
from sssm.model import KeywordModel
from sssm.weights import load_model
from training.labels import LabelSet
from training.recipe import Recipe

HEAD = ("head.", "clip.")  # what depends on the labels


def initial_model(recipe: Recipe, labels: LabelSet, start: Path | None) -> KeywordModel:
    """A model of the recipe's shape; with `start`, its weights are those of that file.

    Where the labels differ from the file's, the head is new, and of zeros: the layers below get no
    gradient before it has learned from what they know, so that less of that is lost (Kumar et al.
    2022, arXiv:2202.10054, section 3, whose head learns alone at first).

    Raises:
        ValueError: `start` is of another shape than the recipe's model.
    """
    config = ModelConfig(
        labels=labels.labels, front=recipe.front, layer=recipe.layer, bands=recipe.bands,
        channels=recipe.channels, state_size=recipe.state_size, depth=recipe.depth,
        slowest_s=recipe.slowest_s, dropout=recipe.dropout,
    )  # fmt: skip
    model = KeywordModel(config)
    if start is None:
        return model
    trained, card = load_model(start)
    its = recipe.like(card.config).to_dict()
    other = [f"{key} is {its[key]}" for key, value in recipe.to_dict().items() if its[key] != value]
    if other:
        raise ValueError(f"{start} is of another shape than the settings: {', '.join(other)}")
    weights = trained.state_dict()
    if card.labels != config.labels:
        own = model.state_dict()
        weights |= {name: torch.zeros_like(own[name]) for name in own if name.startswith(HEAD)}
    model.load_state_dict(weights)
    return model
