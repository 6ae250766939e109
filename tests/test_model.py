import math
import operator

import pytest
import torch
from streaming import check_streaming, leaves, row_of

from sssm.config import ModelConfig
from sssm.layers.leaky import SLOWEST_S
from sssm.model import KeywordModel

RATES = [8_000, 11_025, 22_050, 44_100, 48_000]
LABELS = ("_silence_", "_unknown_", "yes", "no")


def tiny(**changes):
    torch.manual_seed(0)
    sizes = {"bands": 4, "channels": 6, "state_size": 2, "depth": 1}
    return KeywordModel(ModelConfig(labels=LABELS, **sizes | changes)).eval()


def noise(*shape):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("layer", ["s4d", "mamba"])
def test_the_streaming_contract(layer):
    check_streaming(tiny(depth=2, layer=layer), noise(2, 330, 1))


@pytest.mark.parametrize("rate", RATES)
def test_the_streaming_contract_at_another_rate(rate):
    check_streaming(tiny().at_rate(rate), noise(2, rate // 100 + 2, 1))


@pytest.mark.parametrize("layer", ["s4d", "s4"])
def test_the_streaming_contract_of_blocks_on_the_samples(layer):
    """At 1 kHz, so that a frame is ten samples."""
    model = tiny(front="samples", layer=layer, sample_rate_hz=1_000)
    check_streaming(model, noise(2, 23, 1))


@torch.no_grad()
@pytest.mark.parametrize("rate", [16_000, *RATES])
def test_a_frame_each_10_ms(rate):
    model = tiny().at_rate(rate)
    for frame in (1, 2, 7):
        end = frame * rate // 100
        assert model(noise(1, end - 1, 1))[0].shape == (1, frame - 1, len(LABELS))
        assert model(noise(1, end, 1))[0].shape == (1, frame, len(LABELS))


@torch.no_grad()
def test_the_clip_answer_is_that_of_any_chunking():
    """Log-mean-exp of 50 ms means of the frames' logits, plus the offset."""
    model, x = tiny(), noise(2, 3_700, 1)
    model.clip.offset += torch.linspace(-1, 1, len(LABELS))
    logits, whole = model(x)
    means = [piece.mean(dim=1) for piece in logits.split(5, dim=1)]
    expected = torch.stack(means).exp().mean(dim=0).log() + model.clip.offset
    torch.testing.assert_close(model.clip_logits(whole), expected)
    for size in (7, 159, 160, 161, 1_000):
        state = model.init_state(2)
        for piece in x.split(size, dim=1):
            _, state = model(piece, state)
        torch.testing.assert_close(model.clip_logits(state), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_clip_of_one_hop_has_an_answer_and_a_shorter_one_none():
    model = tiny()
    logits, state = model(noise(1, 160, 1))
    torch.testing.assert_close(model.clip_logits(state), logits[:, 0] + model.clip.offset)
    with pytest.raises(ValueError, match="no answer before its first frame"):
        model.clip_logits(model(noise(1, 159, 1))[1])


@torch.no_grad()
@pytest.mark.parametrize("samples", [0, 1, 159, 160, 400, 800])
def test_no_two_tensors_share_their_numbers(samples):
    """Neither old and new state, nor two leaves of one, nor outputs, inputs and parameters."""
    model = tiny()
    _, before = model(noise(2, 479, 1))
    x = noise(2, samples, 1)
    outcomes = [model(x, before)]
    if samples == 1:  # the first of them ends no frame, the second does
        outcomes.append(model.step(x[:, 0], model.init_state(2)))
        outcomes.append(model.step(x[:, 0], before))
    for y, after in outcomes:
        tensors = [x, y, *leaves(before), *leaves(after), *model.parameters()]
        places = [t.untyped_storage().data_ptr() for t in tensors if t.numel()]
        assert len(set(places)) == len(places)
        for leaf in leaves(after):  # saved, a state is no larger than its numbers
            assert leaf.untyped_storage().nbytes() <= 2 * leaf.nbytes


@torch.no_grad()
def test_mixed_precision_keeps_audio_states_and_logits_exact():
    model, x = tiny(depth=2), noise(2, 410, 1)
    y, state = model(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y_mixed, state_mixed = model(x)
        y_step, state_step = model.step(x[:, 0], state_mixed)
        y_frame, state_frame = model.step(x[:, 0], model(x[:, :159])[1])
    assert [y_mixed.dtype, y_step.dtype, y_frame.dtype] == [torch.float32] * 3
    assert y_frame.shape[1] == 1
    for mixed in (state_mixed, state_step, state_frame):
        assert [t.dtype for t in leaves(mixed)] == [t.dtype for t in leaves(state)]
    assert all(map(torch.equal, leaves(state_mixed.front), leaves(state.front)))
    torch.testing.assert_close(y_mixed, y, rtol=0.1, atol=0.1)
    assert not torch.equal(y_mixed, y)  # it was mixed


@pytest.mark.parametrize("layer", ["s4d", "mamba"])
def test_a_frozen_model_starts_where_it_would_in_mixed_precision_too(layer):
    model = tiny(layer=layer)
    frozen = model.frozen()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        starts = [leaves(m.init_state(1)) for m in (model, frozen)]
    assert all(map(torch.equal, *starts))


def sensitive(layer):
    """Memories as before training, and logits that put the scores far apart."""
    model = tiny(channels=16, bands=16, state_size=4, depth=3, layer=layer)
    with torch.no_grad():
        model.head.weight *= 10
    return model


SOUNDS = {
    "noise": 3 * noise(1, 60 * 16_000, 1),
    "full scale": torch.sign(torch.sin(0.3 * torch.arange(60 * 16_000.0)))[None, :, None],
}


@torch.no_grad()
@pytest.mark.parametrize("layer", ["s4d", "mamba"])
@pytest.mark.parametrize("sound", SOUNDS)
def test_after_long_audio_a_clip_scores_as_after_the_last_10_s_of_it(sound, layer):
    """Hours leave no trace: what is older than ten seconds changes no score by more than 0.02."""
    after, heard = clip_scores_after(layer), SOUNDS[sound]
    whole, last = after(heard), after(heard[:, -10 * 16_000 :])
    assert (whole - last).abs().max() <= 0.02
    assert (whole - after(heard[:, :0])).abs().max() > 0.02  # the test would see a trace
    assert whole.amax(dim=0).max() > 0.5


@torch.no_grad()
@pytest.mark.parametrize("layer", ["s4d", "mamba"])
def test_silence_however_long_leaves_a_stream_where_it_starts(layer):
    after = clip_scores_after(layer)
    for seconds in (1, 60):
        after_silence, fresh = (after(torch.zeros(1, n * 16_000, 1)) for n in (seconds, 0))
        torch.testing.assert_close(after_silence, fresh, rtol=0, atol=1e-5)

    model = sensitive(layer).double()
    start = model.init_state(2)
    _, state = model(torch.zeros(2, 16_000, 1, dtype=torch.float64))
    for now, before in zip(leaves(state[1:3]), leaves(start[1:3]), strict=True):
        torch.testing.assert_close(now, before, rtol=0, atol=1e-10)
        assert before.abs().max() > 0.01  # zeros it is not


def clip_scores_after(layer):
    """Scores of every frame of a clip, and of the clip, after other audio."""
    model = sensitive(layer)
    t = torch.arange(16_000.0) / 16_000
    clip = (torch.sin(2_000 * t**2) * torch.sin(math.pi * t)).reshape(1, -1, 1)

    def after(audio):
        _, state = model(audio)
        logits, state = model(clip, state._replace(clip=model.clip.init_state(1)))
        return torch.softmax(torch.cat([logits[0], model.clip_logits(state)]), dim=-1)

    return after


def test_no_layer_at_100_hz_remembers_longer_than_the_bound():
    model = tiny(depth=3, slowest_s=0.1).double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("log_rate", "log_decay")):
                parameter.fill_(-100.0)
    decays = [(block.ssm.discrete()[0].abs(), 0.1) for block in model.blocks]
    decays += [(mean.decay(), SLOWEST_S) for mean in (model.pool, model.front.gain)]
    for decay, slowest_s in decays:
        torch.testing.assert_close(decay, torch.full_like(decay, math.exp(-1 / (100 * slowest_s))))


@torch.no_grad()
def test_no_state_of_mamba_remembers_longer_than_the_bound():
    model = tiny(depth=3, layer="mamba", slowest_s=0.1)
    for block in model.blocks:
        assert block.mamba.leak == 1 / 10  # by frame, whatever the weights


@pytest.mark.parametrize("layer", ["s4d", "mamba"])
def test_at_rate_shares_the_weights(layer):
    model = tiny(layer=layer)
    other = model.at_rate(8_000)
    assert all(map(operator.is_, model.parameters(), other.parameters()))
    assert model.front.sample_rate_hz == 16_000
    x = noise(1, 410, 1)
    assert torch.equal(other.at_rate(16_000)(x)[0], model(x)[0])


@pytest.mark.parametrize("rate", [7_999, 48_001, 0, 16_000.5])
def test_a_rate_outside_of_its_range_is_refused(rate):
    said = f"rate must be a whole number from 8000 to 48000 Hz, got {rate}"
    with pytest.raises(ValueError, match=said):
        tiny().at_rate(rate)


@pytest.mark.parametrize("shape", [(1, 320), (1, 1, 320), (1, 320, 2)])
def test_what_is_no_row_of_samples_is_refused(shape):
    with pytest.raises(ValueError, match=r"need x \(batch, samples, 1\); got"):
        tiny()(torch.zeros(shape))


@pytest.mark.parametrize("sizes", [{}, {"front": "samples"}])
@pytest.mark.parametrize("shape", [(3,), (1, 1), (3, 2), (3, 1, 1)])
def test_a_step_takes_one_sample_of_every_row(sizes, shape):
    model = tiny(**sizes)
    with pytest.raises(ValueError, match=r"need x \(batch, 1\), \(3, 1\) here; got"):
        model.step(torch.zeros(shape), model.init_state(3))


@pytest.mark.parametrize("samples", [100, 160, 480])
def test_a_state_of_fewer_rows_is_refused(samples):
    model = tiny()
    with pytest.raises(ValueError, match=r"need h0 \(batch, 2, K\); got \(1, 2, .*batch 3"):
        model(torch.zeros(3, samples, 1), model.init_state(1))


def test_band_limits_reach_the_front_row_by_row():
    model, x = tiny(), noise(2, 410, 1)
    limited, _, _ = model.features(x, bandwidth_hz=torch.tensor([4_000.0, 8_000.0]))
    whole, _ = model(x)
    assert torch.equal(limited[1], whole[1])
    assert not torch.equal(limited[0], whole[0])


@pytest.mark.parametrize("layer", ["s4d", "mamba"])
def test_every_parameter_learns(layer):
    model = tiny(depth=2, layer=layer).train()
    _, state = model(noise(2, 1_600, 1))
    model.clip_logits(state).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        if name != "front.unheard":  # all bands are heard
            assert parameter.grad.any(), name


@torch.no_grad()
@pytest.mark.parametrize("shape", [{}, {"layer": "mamba"}, {"front": "samples"}])
def test_training_drops_out_of_a_single_frame_too(shape):
    model, x = tiny(dropout=0.5, channels=16, **shape).train(), noise(1, 160, 1)
    assert not torch.equal(model(x)[0], model(x)[0])


@torch.no_grad()
def test_a_stream_is_no_clip():
    """Its frames are decided alike, and leave the answer for the clip as it was."""
    model, x = tiny(), noise(2, 410, 1)
    _, before = model(x)
    logits, after = model.decide(x, before)
    wanted, of_clip = model(x, before)
    assert torch.equal(logits, wanted)
    assert all(map(torch.equal, after.clip, before.clip))
    assert all(map(torch.equal, leaves(after[:3]), leaves(of_clip[:3])))
    assert of_clip.clip.frames > after.clip.frames


@pytest.mark.parametrize("layer", ["s4d", "s4"])
def test_a_state_of_the_samples_has_as_many_modes_in_both_layers(layer):
    model = tiny(front="samples", layer=layer, state_size=3)
    assert model.front.blocks[0].ssm.log_decay.shape == (6, 3)


@torch.no_grad()
def test_memories_before_training_are_those_of_words_or_of_the_paper():
    block = tiny(channels=64).blocks[0]
    seconds = -0.01 / block.ssm.discrete()[0].abs().log()
    assert 0.035 < seconds.min() < 0.06
    assert 0.15 < seconds.max() < 0.23
    dt = tiny(channels=64, front="samples").front.blocks[0].ssm.log_dt.exp()
    assert 1e-3 <= dt.min() < 2e-3
    assert 0.05 < dt.max() <= 0.1


@torch.no_grad()
def test_a_batch_of_streams_is_its_rows():
    model, x = tiny(), noise(3, 410, 1)
    y, state = model(x)
    for row in range(3):
        alone, last = model(x[row : row + 1])
        torch.testing.assert_close(alone[0], y[row])
        torch.testing.assert_close(leaves(last), leaves(row_of(state, row)))
