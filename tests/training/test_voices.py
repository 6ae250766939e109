"""Kokoro's speech: a tiny network stands for the real one, so that what goes in can be seen."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from training.corpus import SAMPLE_RATE_HZ, Spoken
from training.voices import BEFORE_S, KOKORO_HZ, PEAK, STYLE, Kokoro, alone

SECOND = np.sin(2 * np.pi * 440 * np.arange(KOKORO_HZ) / KOKORO_HZ).astype(np.float32)
LENGTHS = 4  # of a text, for which a voice has a style


def write_network(path, speed="speed"):
    """Its sound is a tone of one second times the first number of the style."""
    inputs = [
        helper.make_tensor_value_info("tokens", TensorProto.INT64, [1, None]),
        helper.make_tensor_value_info("style", TensorProto.FLOAT, [1, STYLE]),
        helper.make_tensor_value_info(speed, TensorProto.FLOAT, [1]),
    ]
    constants = [
        helper.make_tensor("second", TensorProto.FLOAT, SECOND.shape, SECOND),
        helper.make_tensor("zero", TensorProto.INT64, [1], [0]),
    ]
    nodes = [
        helper.make_node("Gather", ["style", "zero"], ["first"], axis=1),
        helper.make_node("Mul", ["second", "first"], ["audio"]),
    ]
    output = helper.make_tensor_value_info("audio", TensorProto.FLOAT, [1, None])
    graph = helper.make_graph(nodes, "tiny", inputs, [output], constants)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)


@pytest.fixture
def files(tmp_path):
    write_network(tmp_path / "model.onnx")
    for name in ("af_one", "bm_two", "zf_no_english"):
        loud = 1.0 if name == "af_one" else 3.0
        np.full((LENGTHS, STYLE), loud, np.float32).tofile(tmp_path / f"{name}.bin")
    return tmp_path / "model.onnx", tmp_path


class Heard:
    """The network, and what it was fed with."""

    def __init__(self, network):
        self._network, self.fed = network, []

    def __getattr__(self, name):
        return getattr(self._network, name)

    def run(self, outputs, feed):
        self.fed.append(feed)
        return self._network.run(outputs, feed)


def test_a_text_is_said_at_16_khz_and_at_a_level_of_its_own(files):
    x = Kokoro(*files).say("Hello there.", np.random.default_rng(0))
    assert x.dtype == np.float32
    assert x.shape == (SAMPLE_RATE_HZ,)
    assert PEAK[0] <= np.abs(x).max() <= PEAK[1]
    spectrum = np.abs(np.fft.rfft(x))
    assert spectrum.argmax() == 440


def test_voices_are_means_of_two_english_ones(files):
    kokoro = Kokoro(*files)
    kokoro._network.sess = heard = Heard(kokoro._network.sess)
    for seed in range(40):
        kokoro.say("Hello there.", np.random.default_rng(seed))
    styles = np.array([feed["style"][0, 0] for feed in heard.fed])
    assert ((styles >= 1) & (styles <= 3)).all()
    assert len(set(styles)) == 40
    assert ((styles < 1.5) | (styles > 2.5)).mean() > 0.5  # mostly one of the two
    assert {len(feed["tokens"][0]) for feed in heard.fed} != {2}
    assert all(feed["tokens"][0, 0] == feed["tokens"][0, -1] == 0 for feed in heard.fed)


def test_the_same_seed_says_the_same(files):
    kokoro = Kokoro(*files)
    one, two, other = (kokoro.say("Hello.", np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_what_holds_no_sound_is_refused(files):
    with pytest.raises(ValueError, match="nothing can be said of ' '"):
        Kokoro(*files).say(" ", np.random.default_rng(0))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda model, voices: model.unlink(), "model.onnx: no such file"),
        (lambda model, voices: model.write_bytes(b"no model"), "model.onnx: .*"),
        (lambda model, voices: write_network(model, speed="rate"),
         "not Kokoro-82M: its inputs are tokens, style, rate"),
        (lambda model, voices: (voices / "bm_two.bin").unlink(), ".*: two English voices at least"),
        (lambda model, voices: (voices / "bm_two.bin").write_bytes(b"abc"), "not a voice"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_named(files, damage, message):
    damage(*files)
    with pytest.raises(ValueError, match=message):
        Kokoro(*files)


class Second:
    """Says one second of a ramp, whatever the text."""

    def __init__(self):
        self.texts = []

    def say(self, text, rng):
        self.texts.append(text)
        return np.linspace(0, 0.5, SAMPLE_RATE_HZ, dtype=np.float32)


class Times:
    """Finds the words of a text at tenths of a second."""

    def __init__(self, *, finds=True):
        self._finds = finds

    def times(self, samples, words):
        tenth = SAMPLE_RATE_HZ // 10
        found = [Spoken(w, n * tenth, (n + 1) * tenth) for n, w in enumerate(words)]
        return found if self._finds else None


@pytest.mark.parametrize("word", ["lamp", "smart mirror"])
def test_a_word_alone_is_the_end_of_what_was_said(word):
    speaker = Second()
    x = alone(word, speaker, Times(), np.random.default_rng(0))
    words = speaker.texts[0].split()
    start = (len(words) - len(word.split())) * SAMPLE_RATE_HZ // 10 - BEFORE_S * SAMPLE_RATE_HZ
    assert word in speaker.texts[0]
    assert len(x) == SAMPLE_RATE_HZ - start
    middle = len(x) // 2
    assert x[middle] == pytest.approx(0.5 * (start + middle) / SAMPLE_RATE_HZ, rel=1e-3)
    assert x[0] == x[-1] == 0


def test_a_word_that_is_not_found_is_left_out():
    assert alone("lamp", Second(), Times(finds=False), np.random.default_rng(0)) is None
