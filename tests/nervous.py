"""A model that hears words all the time."""

from pathlib import Path

import torch

from sssm.config import ModelConfig
from sssm.model import KeywordModel
from sssm.weights import ModelCard, save_model


def nervous_model(folder: Path, labels: tuple[str, ...], *, seed: int) -> Path:
    """The file of an untrained model with a head that is sure of something all the time."""
    config = ModelConfig(labels=labels, bands=8, channels=8, state_size=2, depth=1)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = KeywordModel(config)
        torch.nn.init.normal_(network.head.weight, std=1.5)
    path = folder / "nervous.safetensors"
    card = ModelCard(config=config, training_data="none", licence="none", accuracy={})
    save_model(path, network, card)
    return path
