import hashlib
import random

import numpy as np
import pytest
import torch
from sounds import chirps, sensitive

from sssm import KeywordSpotter
from sssm.hearing import Health
from sssm.resampler import Resampler
from sssm.snapshot import Snapshot, pack, unpack
from sssm.weights import load_model, save_model

RATES = [8_000, 11_025, 16_000, 44_100]
RESAMPLED = [2_000, 6_000, 7_999, 96_000, 192_000]


@pytest.fixture(scope="module")
def spotter_file(model_file, tmp_path_factory):
    return sensitive(model_file, tmp_path_factory.mktemp("snapshot"))


@pytest.fixture(scope="module")
def spotter(spotter_file):
    return KeywordSpotter.load(spotter_file)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("at", [0, 1, 1_000, 4_321])
def test_a_restored_stream_goes_on_bit_for_bit(spotter, rate, at):
    x = chirps(1.0, rate)
    x[10] = np.nan
    stream = spotter.stream(rate)
    stream.push(x[:at])
    data = stream.snapshot()
    restored = spotter.restore(data)
    assert restored.sample_rate_hz == rate
    assert restored.time_s == stream.time_s
    assert restored.health == stream.health
    np.testing.assert_array_equal(restored.scores, stream.scores)
    assert restored.snapshot() == spotter.restore(memoryview(data)).snapshot() == data
    np.testing.assert_array_equal(restored.push_scores(x[at:]), stream.push_scores(x[at:]))
    again = spotter.restore(data)  # a snapshot is a value
    assert again.push(x[at:]) == spotter.restore(data).push(x[at:])


def test_detections_go_on_too(spotter):
    x = chirps(3.0, 16_000)
    expected = spotter.stream().push(x)
    for at in (3_001, 12_345, 30_000):
        stream = spotter.stream()
        found = stream.push(x[:at])
        found += spotter.restore(stream.snapshot()).push(x[at:])
        assert [e._replace(score=0) for e in found] == [e._replace(score=0) for e in expected]


@pytest.mark.parametrize("rate", RESAMPLED)
def test_a_resampler_goes_on_from_its_state(rate):
    x = chirps(1.5, rate)
    random = np.random.default_rng(0)
    original = Resampler(rate, 16_000)
    expected = np.concatenate([original.push(part) for part in np.array_split(x, 7)])
    for cut in random.integers(1, len(x), 6).tolist():
        resampler = Resampler(rate, 16_000)
        y = [resampler.push(x[: cut // 2]), resampler.push(x[cut // 2 : cut])]
        state = resampler.state
        assert state.tail.nbytes < max(150_000, 8 * rate)
        restored = Resampler(rate, 16_000).restore(state)
        y += [restored.push(part) for part in np.array_split(x[cut:], 3)]
        y = np.concatenate(y)
        shared = min(len(y), len(expected))
        assert shared > 0.5 * 1.5 * 16_000
        np.testing.assert_allclose(y[:shared], expected[:shared], atol=2e-5)


@pytest.mark.parametrize("rate", RESAMPLED)
def test_a_resampler_forgets(rate):
    resampler, x = Resampler(rate, 16_000), chirps(1.0, rate)
    for _ in range(8):
        for part in np.array_split(x, 10):
            resampler.push(part)
        assert resampler.state.tail.size < 1.2 * rate


def test_a_resampled_stream_goes_on(spotter):
    x = chirps(2.0, 96_000)
    expected = spotter.stream(96_000).push_scores(x)
    stream = spotter.stream(96_000)
    scores = [stream.push_scores(part) for part in np.array_split(x[:98_765], 5)]
    restored = spotter.restore(stream.snapshot())
    assert (restored.time_s, restored.sample_rate_hz) == (stream.time_s, 96_000)
    scores += [restored.push_scores(part) for part in np.array_split(x[98_765:], 5)]
    scores = np.concatenate(scores)
    shared = min(len(scores), len(expected))
    assert shared > 180
    np.testing.assert_allclose(scores[:shared], expected[:shared], atol=1e-3)


def test_every_flipped_byte_is_refused(spotter):
    stream = spotter.stream()
    stream.push(chirps(0.123, 16_000))
    data = stream.snapshot()
    assert len(data) < 8_000
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 1 << random.Random(at).randrange(8)
        with pytest.raises(ValueError, match="snapshot"):
            spotter.restore(bytes(damaged))
    for length in (4, *range(0, len(data), 7)):
        with pytest.raises(ValueError, match="snapshot"):
            spotter.restore(data[:length])
    with pytest.raises(ValueError, match="damaged"):
        spotter.restore(data + b"\0")


def test_a_snapshot_of_another_version_is_refused(spotter):
    data = bytearray(spotter.stream().snapshot())
    data[4] = 4
    with pytest.raises(ValueError, match="a snapshot of version 4, this program reads 3"):
        spotter.restore(bytes(data))


def test_a_snapshot_of_another_model_is_refused(spotter, tmp_path, spotter_file):
    model, card = load_model(spotter_file)
    with torch.no_grad():
        model.head.bias[0] += 1
    save_model(tmp_path / "other.safetensors", model, card)
    other = KeywordSpotter.load(tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="of a stream of another model"):
        spotter.restore(other.stream().snapshot())
    KeywordSpotter.load(spotter_file, thresholds={"yes": 0.9}).restore(spotter.stream().snapshot())


def test_arrays_of_another_shape_change_nothing(spotter):
    """What a checksum cannot see: written by this model's name, and not its state."""
    batch = spotter.batch(2)
    batch.push(np.stack([chirps(0.3, 16_000)] * 2))
    before = batch.snapshot(1)
    facts, arrays = unpack(before, spotter.fingerprint)
    for wrong in (
        arrays[:-1],
        [],
        [*arrays[:3], arrays[3].astype(np.complex128), *arrays[4:]],
        [*arrays[:4], arrays[4][:, :1], *arrays[5:]],
        [arrays[0], np.zeros(999, np.float32), *arrays[2:]],
        [arrays[0], np.zeros((2, 2), np.float32), *arrays[2:]],
    ):
        data = pack(Snapshot(facts, wrong), spotter.fingerprint)
        with pytest.raises(ValueError, match="another shape of model"):
            batch.restore(1, data)
        with pytest.raises(ValueError, match="another shape of model"):
            spotter.restore(data)
        assert batch.snapshot(1) == before


def test_a_snapshot_is_data():
    """No pickle: text and numbers, whose checksum is that of all of it."""
    facts = {"samples": 3, "health": list(Health(1, 2, 3))}
    arrays = [np.arange(3), np.float32([[1, 2]]), np.zeros((0, 4), np.complex64), np.array([True])]
    data = pack(Snapshot(facts, arrays), "me")
    assert data[:5] == b"SSSM\x03"
    assert hashlib.sha256(data[37:]).digest() == data[5:37]
    back = unpack(data, "me")
    assert back.facts == facts
    for array, expected in zip(back.arrays, arrays, strict=True):
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)
    back.arrays[0][:] = 0  # its own
