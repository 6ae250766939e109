import dataclasses

import pytest
import torch
from streaming import check_cuts, check_steps, check_value, leaves

from sssm.config import ModelConfig
from sssm.layers.block import Block
from sssm.layers.leaky import LeakyMean
from sssm.layers.lssl import LSSL
from sssm.layers.mamba import Mamba, MambaBlock
from sssm.layers.s4 import S4
from sssm.layers.s4d import S4D
from sssm.model import KeywordModel


def model(**changes):
    torch.manual_seed(0)
    sizes = {"bands": 4, "channels": 6, "state_size": 2, "depth": 2}
    return KeywordModel(ModelConfig(labels=("yes", "no"), **sizes | changes)).eval()


LAYERS = {
    "model": lambda: model(),
    "model of mamba": lambda: model(layer="mamba"),
    "model at 8 kHz": lambda: model().at_rate(8_000),
    "blocks on the samples": lambda: model(front="samples", layer="s4", sample_rate_hz=1_000),
    "s4d": lambda: S4D(channels=3, state_size=2, sample_rate_hz=100, dt_min=1e-2, dt_max=1e-1),
    "s4": lambda: S4(channels=3, state_size=4, sample_rate_hz=100),
    "lssl": lambda: LSSL(channels=3, state_size=4, dt_min=1e-2, dt_max=1e-1),
    "leaky": lambda: LeakyMean(channels=3, sample_rate_hz=100, start_s=0.1),
    "mamba": lambda: Mamba(channels=3, state_size=4),
    "block": lambda: Block(LAYERS["s4"](), channels=3, dropout=0.0),
    "block of mamba": lambda: MambaBlock(LAYERS["mamba"](), dropout=0.0),
}


def sound(layer, length):
    columns = 1 if isinstance(layer, KeywordModel) else 3
    return 0.1 * torch.randn(2, length, columns, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
@pytest.mark.parametrize("name", LAYERS)
def test_a_frozen_layer_is_the_layer_bit_for_bit(name):
    layer = LAYERS[name]()
    frozen, state = layer.frozen(), layer.init_state(2)
    for length in (1, 0, 159, 160, 700):
        x = sound(layer, length)
        y, after = layer(x, state)
        for _ in range(2):  # what is kept serves the second call
            y_frozen, after_frozen = frozen(x, state)
            assert torch.equal(y_frozen, y)
            assert all(map(torch.equal, leaves(after_frozen), leaves(after)))
        state = after
    x_t = sound(layer, 1)[:, 0]
    assert torch.equal(frozen.step(x_t, state)[0], layer.step(x_t, state)[0])


@pytest.mark.parametrize("shape", [(1, 3), (2, 1), (3, 3), (2, 3, 1)])
@pytest.mark.parametrize("name", ["s4d", "s4", "lssl", "leaky", "block"])
def test_a_step_takes_one_element_of_every_row_and_channel(name, shape):
    layer = LAYERS[name]()
    with pytest.raises(ValueError, match=r"need x \(batch, H\), \(2, 3\) here; got"):
        layer.step(torch.ones(shape), layer.init_state(2))


@torch.no_grad()
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_in_the_precision_that_torch_makes_by_itself(name):
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        layer = LAYERS[name]()
    finally:
        torch.set_default_dtype(usual)
    assert {value.dtype for value in layer.parameters()} == {torch.float64}
    y, state = layer(sound(layer, 700))
    assert y.dtype == torch.float64
    assert {leaf.dtype for leaf in leaves(state)} <= {torch.float64, torch.complex128, torch.int64}


@torch.no_grad()
@pytest.mark.parametrize("name", LAYERS)
def test_a_batch_may_have_no_rows(name):
    layer = LAYERS[name]()
    x = sound(layer, 700)
    y, _ = layer(x)
    nothing, state = layer(x[:0])
    assert nothing.shape == y[:0].shape
    assert [t.shape for t in leaves(state)] == [t.shape for t in leaves(layer.init_state(0))]


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", LAYERS)
def test_another_precision_is_heard_in_the_layers_own(name, dtype):
    layer = LAYERS[name]()
    x, state = sound(layer, 330).to(dtype), layer.init_state(2)
    for run, heard in ((layer, x), (layer, x[:, :0]), (layer.step, x[:, 0])):
        y, after = run(heard, state)
        expected, kept = run(heard.float(), state)
        found = zip([y, *leaves(after)], [expected, *leaves(kept)], strict=True)
        assert all(f.dtype == e.dtype and torch.equal(f, e) for f, e in found)


@torch.no_grad()
def test_a_frozen_layer_keeps_the_contract():
    frozen = model().frozen()
    x = sound(frozen, 330)
    check_value(frozen, x)
    check_cuts(frozen, x)
    check_steps(frozen, x)


@torch.no_grad()
def test_a_frozen_model_drops_nothing_though_its_model_is_in_training():
    trained = KeywordModel(dataclasses.replace(model().config, dropout=0.5))
    x = sound(trained, 900)
    y, _ = trained.train().frozen()(x)
    assert trained.training
    assert torch.equal(y, trained.eval()(x)[0])


@torch.no_grad()
def test_a_frozen_layer_works_out_its_matrices_once(monkeypatch):
    layer = S4(channels=3, state_size=4, sample_rate_hz=100)
    frozen, calls = layer.frozen(), []
    monkeypatch.setattr("sssm.layers.s4.bilinear_dplr", lambda *_: calls.append(1) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        frozen(sound(layer, 5))
    monkeypatch.undo()
    frozen(sound(layer, 5))
    monkeypatch.setattr("sssm.layers.s4.bilinear_dplr", lambda *_: calls.append(2))
    frozen(sound(layer, 9))
    assert calls == [1]
    assert layer._kept is None


@torch.no_grad()
def test_a_frozen_model_follows_another_rate():
    frozen = model().frozen()
    x = sound(frozen, 900)
    frozen(x)
    assert torch.equal(frozen.at_rate(48_000)(x)[0], model().at_rate(48_000)(x)[0])


def test_what_inference_mode_kept_serves_outside_of_it():
    layer = model()
    frozen, x = layer.frozen(), sound(layer, 330)
    with torch.inference_mode():
        frozen(x)
    x.requires_grad_()
    frozen(x)[0].sum().backward()
    assert x.grad.any()


def test_what_mixed_precision_kept_serves_outside_of_it():
    layer = LAYERS["model of mamba"]()
    frozen, x = layer.frozen(), sound(layer, 330)
    with torch.no_grad():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            frozen(x)
        assert torch.equal(frozen(x)[0], layer(x)[0])


def test_a_frozen_model_shares_the_weights():
    layer = model()
    kept = [p.data_ptr() for p in layer.frozen().parameters()]
    assert kept == [p.data_ptr() for p in layer.parameters()]
    layer(sound(layer, 330))[0].sum().backward()
    assert all(p.grad is not None for n, p in layer.named_parameters() if "clip" not in n)
