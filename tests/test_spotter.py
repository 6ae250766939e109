import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sounds import chirps, fake_detections, pieces, sensitive

from sssm import KeywordSpotter
from sssm.hearing import Health, mono, rows_of_mono
from sssm.weights import ModelFileError, load_model, save_model

NATIVE = [8_000, 11_025, 16_000, 22_050, 44_100, 48_000]
RATES = [*NATIVE, 6_000, 96_000]


@pytest.fixture(scope="module")
def spotter_file(model_file, tmp_path_factory):
    return sensitive(model_file, tmp_path_factory.mktemp("spotter"))


@pytest.fixture(scope="module")
def spotter(spotter_file):
    return KeywordSpotter.load(spotter_file)


@torch.no_grad()
def whole(path, x, rate):
    """Scores by the model itself, in one piece."""
    model, _ = load_model(path)
    logits, _ = model.at_rate(rate)(torch.from_numpy(x)[None, :, None])
    return logits.softmax(dim=-1)[0].numpy()


def scores_of(stream, parts):
    return np.concatenate([stream.push_scores(part) for part in parts])


@pytest.mark.parametrize("rate", NATIVE)
def test_live_is_the_model_in_one_piece(spotter, rate, spotter_file):
    x = chirps(0.9, rate)
    stream = spotter.stream(rate)
    scores = scores_of(stream, pieces(x, [1, 2, 3, 160, 777, 2_345, 2_345, 5_000]))
    expected = whole(spotter_file, x, rate)
    assert scores.shape == (90, 4)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    np.testing.assert_array_equal(stream.scores, scores[-1])


@settings(deadline=None, max_examples=15)
@given(
    rate=st.sampled_from(RATES),
    cuts=st.lists(st.integers(0, 10**6), max_size=12),
    every=st.sampled_from([0, 1, 7, 160, 512]),
)
def test_any_chunking_gives_the_same_detections(spotter, rate, cuts, every):
    x = chirps(0.5, rate)
    if every:  # all pieces of one size, after those at random
        start = int(0.45 * rate) if every == 1 else 0
        cuts = [*cuts, *range(start, len(x), every)]
    stream, reference = spotter.stream(rate), spotter.stream(rate)
    found = [event for part in pieces(x, cuts) for event in stream.push(part)]
    expected = reference.push(x)
    assert [event._replace(score=0) for event in found] == [
        event._replace(score=0) for event in expected
    ]
    for a, b in zip(found, expected, strict=True):
        assert a.score == pytest.approx(b.score, abs=1e-4)
    np.testing.assert_allclose(stream.scores, reference.scores, atol=1e-4)
    assert stream.time_s == reference.time_s == len(x) / rate


def test_there_are_detections_and_they_are_the_detectors(spotter):
    x = chirps(3.0, 16_000)
    found = spotter.stream().push(x)
    assert len(found) >= 3
    scores = spotter.stream().push_scores(x)
    assert found == fake_detections(spotter, scores, 16_000)
    for event in found:
        assert 0 <= event.start_s < event.time_s <= 3.0
        assert event.keyword in ("yes", "no")
        assert type(event.score) is float


def test_push_and_push_scores_advance_one_stream(spotter):
    x = chirps(2.0, 16_000)
    mixed, plain = spotter.stream(), spotter.stream()
    first = mixed.push(x[:9_999])
    middle = mixed.push_scores(x[9_999:20_000])
    last = mixed.push(x[20_000:])
    expected = plain.push(x)
    heard = [event for event in expected if not 0.6245 < event.time_s <= 1.25]
    assert [e.time_s for e in first + last] == [e.time_s for e in heard]
    assert len(middle) == 125 - 62


@pytest.mark.parametrize("rate", RATES)
def test_the_same_sound_scores_alike_at_every_rate(spotter, rate):
    """A difference of tens of percent would be a bank at the wrong rate."""
    at_rate = spotter.stream(rate).push_scores(chirps(1.0, rate))
    at_16 = spotter.stream(16_000).push_scores(chirps(1.0, 16_000))
    frames = min(len(at_rate), len(at_16))
    assert frames >= (100 if rate in NATIVE else 60)
    assert np.median(np.abs(at_rate[:frames] - at_16[:frames])) < 0.15


@pytest.mark.parametrize("rate", NATIVE)
def test_a_decision_comes_with_the_last_sample_of_its_frame(spotter, rate):
    stream, x = spotter.stream(rate), chirps(0.2, rate)
    done = before = 0
    for frame in (1, 2, 3, 9):
        end = frame * rate // 100
        assert len(stream.push_scores(x[done : end - 1])) == frame - 1 - before
        assert len(stream.push_scores(x[end - 1 : end])) == 1
        done, before = end, frame
        assert stream.time_s == end / rate


def test_before_the_first_decision_scores_are_uniform(spotter):
    stream = spotter.stream()
    assert stream.push_scores(np.zeros(0, np.float32)).shape == (0, 4)
    assert stream.push(np.float32([])) == []
    assert stream.push_scores(chirps(0.009, 16_000)).shape == (0, 4)
    np.testing.assert_array_equal(stream.scores, np.full(4, 0.25, np.float32))
    stream.scores[:] = 9  # a copy
    assert stream.scores[0] == 0.25
    stream.smoothed[:] = 9
    assert stream.smoothed.tolist() == [0, 0]


def test_reset_is_a_new_stream(spotter):
    for rate in (11_025, 96_000):
        x = chirps(1.0, rate)
        stream, fresh = spotter.stream(rate), spotter.stream(rate)
        stream.push(np.concatenate([x[:777], [np.nan, 2.0, 0.0]]))
        stream.reset()
        assert (stream.time_s, stream.health) == (0, Health())
        np.testing.assert_array_equal(stream.scores, fresh.scores)
        assert stream.push(x) == fresh.push(x)


def test_types_and_channels(spotter):
    x = np.round(chirps(0.5, 16_000) * 32_768).astype(np.int16)
    as_float = x.astype(np.float32) / 32_768
    expected = spotter.stream().push_scores(as_float)
    other = -as_float / 3
    for same in (
        x,
        x.astype(">i2"),
        as_float.astype(np.float64),
        as_float.tolist(),
        x[:, None],
        np.stack([x, x], axis=1),
        np.repeat(x[:, None], 64, axis=1),
        np.asfortranarray(np.stack([as_float + other, as_float - other], axis=1)),
    ):
        np.testing.assert_allclose(spotter.stream().push_scores(same), expected, atol=1e-4)


def test_float64_is_heard_as_float32_whatever_runs_the_model(spotter):
    """None of them is zero or waits for its frame: nothing else makes float32 of them."""
    x = chirps(0.1, 16_000)
    x[x == 0] = 1e-3
    for each in (spotter, KeywordSpotter.load("s4")):
        expected = each.stream().push_scores(x)
        np.testing.assert_array_equal(each.stream().push_scores(x.astype(np.float64)), expected)
        found = each.batch(2).push_scores(np.stack([x, x]).astype(np.float64))
        np.testing.assert_array_equal(found, each.batch(2).push_scores(np.stack([x, x])))


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((2, 3, 4), np.float32), r"\(n,\) or \(n, channels\), got \(2, 3, 4\)"),
        (np.float32(0.5), r"got \(\)"),
        (np.zeros((5, 0), np.float32), r"got \(5, 0\)"),
        (np.zeros((1, 160), np.float32), r"channels\), got \(1, 160\)"),
        (np.zeros((5, 65), np.float32), r"got \(5, 65\)"),
        (np.zeros(5, np.int32), "int16 or floats .*, got int32"),
        (np.zeros(5, np.uint8), "got uint8"),
        (np.zeros(5, np.complex64), "got complex64"),
        (["a"], "got <U1"),
    ],
)
def test_other_samples_are_refused_and_change_nothing(spotter, samples, message):
    stream = spotter.stream()
    before = stream.snapshot()
    with pytest.raises(ValueError, match=message):
        stream.push(samples)
    assert stream.snapshot() == before


def test_health_counts_and_nothing_is_poisoned(spotter):
    x = chirps(0.5, 16_000) + np.float32(1e-6)
    bad = x.copy()
    bad[100:110], bad[200:203], bad[300:304], bad[400] = np.nan, np.inf, 0, -np.inf
    bad[500:505], bad[600] = 1.0, 1e30
    stream = spotter.stream()
    stream.push(bad)
    assert stream.health == Health(replaced_samples=14, clipped_samples=6, silent_samples=4)
    assert np.isfinite(stream.scores).all()
    mended = bad.copy()
    mended[~np.isfinite(bad)] = 0
    mended[600] = 32_768
    other = spotter.stream()
    for sample in np.split(mended, 50):
        other.push(sample)
    np.testing.assert_allclose(stream.scores, other.scores, atol=1e-4)
    stereo = spotter.stream()
    stereo.push(np.array([[np.nan, 0.5], [0, 0], [0, 0.5], [1, 0], [0.1, 0.1]]))
    assert stereo.health == Health(1, 1, 1)
    integers = spotter.stream()
    integers.push(np.array([32_767, -32_768, 0, 5], np.int16))
    assert integers.health == Health(0, 2, 1)


def test_one_sample_among_quiet_ones_is_counted():
    x = np.full(100, 1e-3, np.float32)
    x[5] = 32_767 / 32_768
    assert mono(x)[1] == Health(clipped_samples=1)
    assert rows_of_mono(x[None], 1)[1].tolist() == [[0], [1], [0]]
    assert mono([0, 0.1, 0.1])[1] == Health(silent_samples=1)


def test_two_streams_of_one_spotter_do_not_hear_one_another(spotter):
    a, b = chirps(1.0, 44_100, seed=1), chirps(1.0, 8_000, seed=2)
    alone = spotter.stream(44_100).push_scores(a), spotter.stream(8_000).push_scores(b)
    one, two = spotter.stream(44_100), spotter.stream(8_000)
    parts = [
        (one.push_scores(p), two.push_scores(q))
        for p, q in zip(np.array_split(a, 9), np.array_split(b, 9), strict=True)
    ]
    for scores, expected in zip(zip(*parts, strict=True), alone, strict=True):
        np.testing.assert_allclose(np.concatenate(scores), expected, atol=1e-4)


def test_a_spotter_is_shared_by_threads(spotter):
    x = chirps(0.5, 22_050)
    expected, found = spotter.stream(22_050).push(x), {}
    threads = [
        threading.Thread(target=lambda n=n: found.update({n: spotter.stream(22_050).push(x)}))
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(found.values()) == [expected] * 4


def test_the_buffer_of_the_caller_is_not_kept(spotter):
    stream, other = spotter.stream(), spotter.stream()
    buffer = np.empty(100, np.float32)
    for part in np.split(chirps(0.5, 16_000), 80):
        buffer[:] = part
        stream.push(buffer)
        buffer[:] = 9.0
        other.push(part)
    np.testing.assert_array_equal(stream.scores, other.scores)


@pytest.mark.parametrize("rate", [0, -1, 1_999, 1_000_001, 16_000.5, float("nan")])
def test_a_rate_that_holds_no_speech_is_refused(spotter, rate):
    with pytest.raises(ValueError, match="rate must be a whole number from 2000 to 1000000 Hz"):
        spotter.stream(rate)


def test_a_rate_may_be_a_whole_float(spotter):
    assert spotter.stream(48_000.0).sample_rate_hz == 48_000


def test_thresholds_come_from_the_model_and_may_be_changed(spotter, spotter_file):
    assert spotter.labels == ("_silence_", "_unknown_", "yes", "no")
    assert spotter.detector.thresholds == {"yes": 0.55, "no": 0.5}
    assert spotter.detector.min_frames == 2
    changed = KeywordSpotter.load(spotter_file, thresholds={"yes": 1.0})
    assert changed.detector.thresholds == {"yes": 1.0, "no": 0.5}
    keywords = {event.keyword for event in changed.stream().push(chirps(3.0, 16_000))}
    assert "yes" not in keywords
    with pytest.raises(ValueError, match="no keyword 'maybe'"):
        KeywordSpotter.load(spotter_file, thresholds={"maybe": 0.5})


def test_a_model_with_a_damaged_detector_is_refused(spotter, tmp_path, spotter_file):
    import dataclasses

    model, card = load_model(spotter_file)
    for number, detector in enumerate(({"patience": 3}, {"min_frames": 0}, {"labels": ["a"]})):
        path = tmp_path / f"{number}.safetensors"
        save_model(path, model, dataclasses.replace(card, detector=detector))
        with pytest.raises(ModelFileError, match="its detector is damaged"):
            KeywordSpotter.load(path)


def test_a_missing_model_is_refused():
    with pytest.raises(ModelFileError, match="no such model file"):
        KeywordSpotter.load("nowhere.safetensors")


def test_the_name_is_found_without_torch():
    code = (
        "import sys, sssm; assert 'KeywordSpotter' in dir(sssm) and 'torch' not in sys.modules\n"
        "from sssm import KeywordSpotter; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_refractory_time_is_rounded_to_frames(spotter):
    assert spotter.with_settings(refractory_s=0.29).detector.refractory == 29


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 20_000.0])
def test_a_refractory_time_that_makes_no_sense_is_refused(spotter, seconds):
    with pytest.raises(ValueError, match="refractory"):
        spotter.with_settings(refractory_s=seconds)
