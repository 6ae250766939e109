"""The model that a run starts from: random weights, or those of a trained one."""

from pathlib import Path

from sssm.config import ModelConfig
from sssm.model import KeywordModel
from sssm.weights import load_model
from training.labels import LabelSet
from training.recipe import Recipe

HEAD = ("head.", "clip.")  # what depends on the labels


def initial_model(recipe: Recipe, labels: LabelSet, start: Path | None) -> KeywordModel:
    """A model of the recipe's shape; with `start`, the weights are of that model's file.

    The head is new unless the labels are the same.

    Raises:
        ValueError: `start` is of another shape than the recipe's model.
    """
    config = ModelConfig(
        labels=labels.labels, front=recipe.front, layer=recipe.layer, bands=recipe.bands,
        channels=recipe.channels, state_size=recipe.state_size, depth=recipe.depth,
        dropout=recipe.dropout,
    )  # fmt: skip
    model = KeywordModel(config)
    if start is None:
        return model
    trained, card = load_model(start)
    own = recipe.like(card.config).to_dict()
    other = [f"{key} is {own[key]}" for key, value in recipe.to_dict().items() if own[key] != value]
    if other:
        raise ValueError(f"{start} is of another shape than the settings: {', '.join(other)}")
    weights = trained.state_dict()
    if card.labels != config.labels:
        weights = {name: value for name, value in weights.items() if not name.startswith(HEAD)}
    model.load_state_dict(weights, strict=False)
    return model
