import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numerics import assert_as_good_as
from sounds import chirps

from sssm.config import ModelConfig
from sssm.engines import engine_for
from sssm.engines.compiled import CompiledEngine
from sssm.engines.engine import Engine
from sssm.engines.layers import LayerEngine
from sssm.engines.loops import linear
from sssm.model import KeywordModel

RATES = [8_000, 11_025, 16_000, 22_050, 44_100, 48_000]


def tiny(**settings) -> KeywordModel:
    config = {"labels": ("yes", "no", "_unknown_"), "bands": 8, "channels": 12, "depth": 2}
    torch.manual_seed(0)
    return KeywordModel(ModelConfig(**(config | {"state_size": 3} | settings))).eval()


MODELS = {
    "compiled": tiny(),
    "odd channels": tiny(channels=10),
    "odd bands": tiny(bands=7),
    "samples": tiny(front="samples", layer="s4d", depth=1, sample_rate_hz=8_000),
}


def sounds(rate, frames, rows=1):
    n = frames * rate // 100
    return np.stack([chirps(frames / 100 + 0.1, rate, seed)[:n] for seed in range(rows)])


@pytest.mark.parametrize("name", MODELS)
def test_each_model_has_its_engine(name):
    engine = engine_for(MODELS[name], 8_000)
    assert isinstance(engine, CompiledEngine if name == "compiled" else LayerEngine)


def test_mamba_is_run_by_its_layers():
    assert isinstance(engine_for(tiny(layer="mamba"), 8_000), LayerEngine)


@pytest.mark.parametrize("rate", RATES)
def test_compiled_numbers_are_the_layers(rate):
    """As near to float64 as the layers' own float32 is."""
    model, x = MODELS["compiled"].at_rate(rate), sounds(rate, 150)
    with torch.no_grad():
        reference, _ = model(torch.from_numpy(x)[..., None])
        truth, _ = tiny().double().at_rate(rate)(torch.from_numpy(x).double()[..., None])
    engine = engine_for(MODELS["compiled"], rate)
    _, logits, _ = engine.run(x, 0, engine.init_state(1))
    assert_as_good_as(torch.from_numpy(logits), reference, truth)


@pytest.mark.parametrize("name", MODELS)
def test_samples_may_be_read_only(name):
    """As those of `np.frombuffer` are; a warning is an error here."""
    engine, x = engine_for(MODELS[name], 16_000), sounds(16_000, 3)
    x.flags.writeable = False
    engine.run(x, 0, engine.init_state(1))


def test_no_kind_of_array_has_its_loops_compiled_anew():
    """That takes seconds: of read-only samples, and of those behind a packet's odd header."""
    engine, x = engine_for(MODELS["compiled"], 16_000), sounds(16_000, 3)
    wanted = engine.run(x, 0, engine.init_state(1)).scores
    compiled = len(linear.signatures)
    unaligned = np.frombuffer(b"0" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape)
    for samples in (unaligned, np.repeat(x, 2, axis=1)[:, ::2]):
        samples.flags.writeable = False
        assert np.array_equal(engine.run(samples, 0, engine.init_state(1)).scores, wanted)
    assert len(linear.signatures) == compiled


@pytest.mark.parametrize("name", MODELS)
@settings(deadline=None, max_examples=10)
@given(cuts=st.lists(st.integers(1, 40), min_size=1, max_size=6), rate=st.sampled_from(RATES))
def test_any_whole_frames_give_the_same_numbers(name, cuts, rate):
    engine, frames = engine_for(MODELS[name], rate), sum(cuts)
    x = sounds(rate, frames, rows=5)
    _, whole, last = engine.run(x, 0, engine.init_state(5))
    state, parts, at = engine.init_state(5), [], 0
    for cut in cuts:
        start, end = at * rate // 100, (at + cut) * rate // 100
        _, logits, state = engine.run(np.ascontiguousarray(x[:, start:end]), start, state)
        parts.append(logits)
        at += cut
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-5)
    for one, other in zip(state, last, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_a_state_is_a_value_and_rows_are_alone(name):
    engine: Engine = engine_for(MODELS[name], 16_000)
    x = sounds(16_000, 20, rows=6)
    state = engine.run(x, 0, engine.init_state(6)).state
    kept = [part.copy() for part in state]
    scores, first, after = engine.run(x, 3_200, state)
    softmax = torch.from_numpy(first).softmax(dim=-1)
    torch.testing.assert_close(torch.from_numpy(scores), softmax, rtol=0, atol=1e-6)
    assert all(map(np.array_equal, state, kept))
    again = engine.run(x, 3_200, state).logits
    np.testing.assert_array_equal(first, again)  # bit for bit
    for row in range(6):
        of_row = tuple(part[row : row + 1] for part in state)
        alone = engine.run(x[row : row + 1], 3_200, of_row).logits
        np.testing.assert_allclose(alone[0], first[row], atol=1e-6)
    changed = x.copy()
    changed[0] = 0.5
    np.testing.assert_array_equal(engine.run(changed, 3_200, state).logits[1:], first[1:])
    assert not all(map(np.array_equal, after, kept))


@pytest.mark.parametrize("name", MODELS)
def test_a_state_that_is_no_longer_needed_may_be_written_over(name):
    engine: Engine = engine_for(MODELS[name], 16_000)
    x = sounds(16_000, 20, rows=1)
    now, spare = engine.init_state(1), engine.init_state(1)
    for frame in range(20):
        at, piece = frame * 160, np.ascontiguousarray(x[:, frame * 160 :][:, :160])
        kept = [part.copy() for part in now]
        expected = engine.run(piece, at, now)
        heard = engine.run(piece, at, now, spare)
        assert all(map(np.array_equal, now, kept))
        np.testing.assert_array_equal(heard.logits, expected.logits)
        assert all(map(np.array_equal, heard.state, expected.state))
        now, spare = heard.state, now


def test_compiled_rows_are_bit_for_bit_those_alone():
    engine = engine_for(MODELS["compiled"], 16_000)
    x = sounds(16_000, 9, rows=7)
    together = engine.run(x, 0, engine.init_state(7)).logits
    for row in range(7):
        alone = engine.run(x[row : row + 1], 0, engine.init_state(1)).logits
        np.testing.assert_array_equal(alone[0], together[row])


def test_silence_decays_to_exact_zero():
    engine = engine_for(MODELS["compiled"], 16_000)
    state = engine.run(sounds(16_000, 50), 0, engine.init_state(1)).state
    for _ in range(60):
        state = engine.run(np.zeros((1, 16_000), np.float32), 0, state).state
    bank, gain, *_ = state
    assert not bank.any()
    assert not gain.any()


@pytest.mark.parametrize("rows", [1, 3, 4, 5, 11])
@pytest.mark.parametrize(("inputs", "outputs"), [(4, 1), (8, 12), (12, 37)])
def test_linear_is_a_matrix_product(rows, inputs, outputs):
    random = np.random.default_rng(0)
    x, W = random.standard_normal((rows, inputs)), random.standard_normal((inputs, outputs))
    b = random.standard_normal(outputs)
    y = np.full((rows, outputs), np.nan, np.float32)
    linear(*(part.astype(np.float32) for part in (x, W, b)), y)
    np.testing.assert_allclose(y, x @ W + b, atol=1e-5)
