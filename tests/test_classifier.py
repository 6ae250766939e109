from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sssm.audio import AudioError, Samples
from sssm.classifier import Classifier
from sssm.weights import ModelFileError, load_model


@pytest.fixture(scope="module")
def classifier(model_file: Path) -> Classifier:
    return Classifier.load(model_file)


def test_an_answer_is_the_models_own(model_file):
    network, _ = load_model(model_file)
    network.clip.offset.data = torch.tensor([0.5, -1.0, 2.0, 0.0])
    classifier = Classifier.of(network)
    for rate in (11_025, 16_000):
        x = chirp(1.31, rate)
        with torch.inference_mode():
            _, state = network.at_rate(rate)(torch.from_numpy(x)[None, :, None])
            wanted = network.clip_logits(state).softmax(dim=-1)[0].tolist()
        assert close(
            classifier.scores([x], rate), dict(zip(classifier.labels, wanted, strict=True))
        )


def chirp(seconds: float, rate: int = 16_000) -> Samples:
    t = np.arange(int(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * (300 * t + 600 * t * t))).astype(np.float32)


def close(a: dict[str, float], b: dict[str, float]) -> bool:
    return list(a) == list(b) and all(abs(a[label] - b[label]) < 1e-5 for label in a)


def test_an_answer_holds_every_label_and_the_largest_is_the_label(classifier, tmp_path):
    soundfile.write(tmp_path / "a.wav", chirp(1.0), 16_000)
    answer = classifier.classify(tmp_path / "a.wav")
    assert tuple(answer.scores) == classifier.labels
    assert sum(answer.scores.values()) == pytest.approx(1)
    assert answer.score == max(answer.scores.values())
    assert (answer.duration_s, answer.sample_rate_hz, answer.replaced_samples) == (1, 16_000, 0)


@pytest.mark.parametrize("rate", [11_025, 16_000])
def test_any_cutting_gives_the_same_scores(classifier, rate):
    x = chirp(1.3, rate)
    cuts = np.sort(np.random.default_rng(0).integers(0, len(x), 20))
    pieces = [x[:0], *np.split(x, cuts), x[:0]]
    assert close(classifier.scores([x], rate), classifier.scores(pieces, rate))


def test_an_answer_does_not_depend_on_what_was_heard_before(classifier, tmp_path):
    soundfile.write(tmp_path / "a.wav", chirp(1.0), 16_000)
    soundfile.write(tmp_path / "b.wav", -chirp(2.5, 44_100), 44_100)
    first = classifier.classify(tmp_path / "a.wav")
    classifier.classify(tmp_path / "b.wav")
    assert classifier.classify(tmp_path / "a.wav") == first


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100])
@pytest.mark.parametrize("seconds", [0.0, 0.0001, 0.005])
def test_less_than_a_hop_is_padded_to_one(classifier, rate, seconds):
    x = chirp(seconds, rate) + np.float32(0.1)
    hop = np.pad(x, (0, rate // 100 - len(x)))
    assert close(classifier.scores([x], rate), classifier.scores([hop], rate))


@pytest.mark.parametrize("rate", [2_000, 8_000, 22_050, 48_000, 384_000])
def test_the_rate_and_duration_are_those_of_the_file(classifier, tmp_path, rate):
    soundfile.write(tmp_path / "a.wav", chirp(0.5, rate), rate)
    answer = classifier.classify(tmp_path / "a.wav")
    assert (answer.duration_s, answer.sample_rate_hz) == (0.5, rate)


def test_the_bank_follows_the_rate(classifier):
    at_16 = classifier.scores([chirp(1.0, 16_000)], 16_000)
    at_48 = classifier.scores([chirp(1.0, 48_000)], 48_000)
    taken_for_16 = classifier.scores([chirp(1.0, 48_000)], 16_000)
    distance = sum(abs(at_16[label] - at_48[label]) for label in at_16)
    assert distance < 0.2 * sum(abs(at_16[label] - taken_for_16[label]) for label in at_16)


def test_samples_that_are_no_numbers_are_heard_as_zero(classifier, tmp_path):
    x = chirp(1.0)
    x[100:200] = np.nan
    soundfile.write(tmp_path / "a.wav", x, 16_000, subtype="FLOAT")
    answer = classifier.classify(tmp_path / "a.wav")
    assert answer.replaced_samples == 100
    assert close(answer.scores, classifier.scores([np.nan_to_num(x)], 16_000))


@pytest.mark.parametrize(
    ("samples", "reason"),
    [(np.zeros(0), "holds no samples"), (np.full(9, np.nan), "every sample is NaN or infinite")],
)
def test_a_file_without_sound_is_refused(classifier, tmp_path, samples, reason):
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    with pytest.raises(AudioError, match=reason):
        classifier.classify(tmp_path / "a.wav")


def test_who_is_told_how_far_a_file_was_heard_may_end_it(classifier, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.tile(chirp(1.0), 9), 16_000)
    heard_s = []

    def on_heard(seconds):
        heard_s.append(seconds)
        if seconds > 7:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        classifier.classify(tmp_path / "a.wav", on_heard)
    assert heard_s == [4.0, 8.0]


def test_pieces_may_be_int16_and_hold_what_is_no_number(classifier):
    whole = np.rint(chirp(0.5) * 32_768).astype(np.int16)
    wanted = classifier.scores([np.float32(whole) / 32_768], 16_000)
    assert classifier.scores([whole], 16_000) == classifier.scores([whole.astype(">i2")], 16_000)
    assert classifier.scores([whole], 16_000) == wanted
    silence = classifier.scores([np.zeros(8_000, np.float32)], 16_000)
    assert classifier.scores([np.full(8_000, np.nan)], 16_000) == silence
    with pytest.raises(ValueError, match="samples must be int16 or floats"):
        classifier.scores([whole.astype(int)], 16_000)


def test_a_rate_is_a_whole_number(classifier):
    x = chirp(0.5)
    assert classifier.scores([x], 16_000.0) == classifier.scores([x], 16_000)
    with pytest.raises(ValueError, match="rate must be a whole number from 8000 to 48000 Hz"):
        classifier.scores([x], 16_000.5)


def test_an_answer_that_is_no_number_is_blamed_on_the_model(model_file):
    network, _ = load_model(model_file)
    with torch.no_grad():
        network.head.weight.fill_(3e38)
        network.head.bias.fill_(-float("inf"))
    damaged = Classifier.of(network)
    with pytest.raises(ModelFileError, match="weights are damaged"):
        damaged.scores([chirp(0.1)], 16_000)
