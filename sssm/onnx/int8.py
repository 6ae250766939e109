"""What 8 bits keep of a model: the large matrices of its blocks, a scale for each output."""

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from sssm.layers.mamba import MambaBlock
from sssm.model import KeywordModel
from sssm.onnx.graph import quantized
from sssm.onnx.verify import sounds


@torch.no_grad()
def as_int8(model: KeywordModel) -> KeywordModel:
    """The model with the numbers that an exported file with 8 bits stands for."""
    model = copy.deepcopy(model)
    for weight in _kept(model):
        whole, scale = quantized(weight.numpy().T)
        weight.copy_(torch.from_numpy((whole * scale).T))
    return model


@torch.inference_mode()
def agreement(model: KeywordModel) -> float:
    """Share of decisions on noise and speech whose best label stays the same with 8 bits."""
    x = torch.from_numpy(sounds(model.config.sample_rate_hz))[..., None]
    full, rough = (of(x)[0].argmax(dim=-1) for of in (model, as_int8(model)))
    return (full == rough).float().mean().item()


def _kept(model: KeywordModel) -> Iterator[Tensor]:
    """(out, in) weights that `Graph.weight` is given."""
    blocks: list[Any] = [*model.blocks, *getattr(model.front, "blocks", ())]
    for block in blocks:
        if isinstance(block, MambaBlock):
            yield from (block.mamba.enter.weight, block.mamba.leave.weight)
        else:
            yield block.mix.weight
