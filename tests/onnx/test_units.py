"""Every unit of every kind of model against torch, and against the other units."""

import hashlib
import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from sounds import chirps

from sssm.config import ModelConfig
from sssm.model import KeywordModel
from sssm.onnx import verify
from sssm.onnx.card import OnnxCard
from sssm.onnx.checksum import ZEROS, sealed
from sssm.onnx.engine import read_card
from sssm.onnx.export import Export, export_model
from sssm.onnx.verify import VerificationError, scores_of
from sssm.weights import ModelCard, ModelFileError

LABELS = ("_silence_", "_unknown_", "yes", "no")
KINDS = {
    "s4": {},
    "mamba": {"layer": "mamba"},
    "samples": {"front": "samples"},
    "s4-paper": {"front": "samples", "layer": "s4"},
}


def tiny(kind: str = "s4", channels: int = 8) -> tuple[KeywordModel, ModelCard]:
    torch.manual_seed(0)
    shape = {"labels": LABELS, "bands": 8, "channels": channels, "state_size": 3, "depth": 2}
    model = KeywordModel(ModelConfig(**shape | KINDS[kind])).eval()
    with torch.no_grad():
        model.head.weight *= 3  # scores that come and go
    card = ModelCard(
        config=model.config, training_data="none", licence="Apache-2.0",
        accuracy={"validation": 0.25}, thresholds={"yes": 0.5}, detector={"min_frames": 2},
    )  # fmt: skip
    return model, card


def written(tmp_path, kind="s4", **wanted):
    model, card = tiny(kind)
    path = tmp_path / "model.onnx"
    export_model(model, card, "0123456789abcdef", path, Export(**wanted))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    return path, model, OnnxCard.from_metadata(metadata), session


def sounds(rate: int, rows: int, seconds: float = 0.5) -> np.ndarray:
    return np.stack([chirps(seconds, rate, seed) for seed in range(rows)])


def torch_scores(model, rate, x):
    """In float64: of the two in float32, neither is a measure for the other."""
    with torch.inference_mode():
        logits, _ = model.double().at_rate(rate)(torch.from_numpy(x).double()[..., None])
    return logits.softmax(-1).numpy()


@pytest.fixture(autouse=True)
def shorter(monkeypatch):
    """Exports are proved by half a second; `test_three_seconds_are_compared` has the full time."""
    monkeypatch.setattr(verify, "COMPARED_FRAMES", 50)


UNITS = [
    ("s4", {"unit": "frame", "sample_rate_hz": 8_000}),
    ("s4", {"unit": "frame", "sample_rate_hz": 48_000, "opset": 23}),
    ("s4", {"unit": "frame", "opset": 18, "int8": True}),
    ("s4", {"unit": "chunk"}),
    ("s4", {"unit": "chunk", "frames": 19, "sample_rate_hz": 32_000}),
    ("s4", {"unit": "sample", "sample_rate_hz": 8_000}),
    ("s4", {"unit": "sample", "sample_rate_hz": 11_025}),
    ("mamba", {"unit": "frame", "int8": True}),
    ("mamba", {"unit": "chunk"}),
    ("mamba", {"unit": "chunk", "frames": 8}),
    ("mamba", {"unit": "sample", "sample_rate_hz": 8_000}),
    ("samples", {"unit": "frame", "sample_rate_hz": 8_000}),
    ("samples", {"unit": "sample", "sample_rate_hz": 8_000}),
    ("s4-paper", {"unit": "frame", "sample_rate_hz": 8_000}),
    ("s4-paper", {"unit": "chunk", "frames": 3}),
    ("s4-paper", {"unit": "sample", "sample_rate_hz": 8_000}),
]


@pytest.mark.parametrize(("kind", "wanted"), UNITS)
def test_an_exported_file_is_the_model(tmp_path, kind, wanted):
    """Exporting compares three seconds of two rows; here seven rows, which hear one another not."""
    path, model, card, _ = written(tmp_path, kind, **wanted)
    if wanted.get("int8"):
        return
    rate = wanted.get("sample_rate_hz", 16_000)
    x = sounds(rate, 7, 0.1 if card.unit == "sample" else 0.5)
    got = scores_of(path, card, x)
    np.testing.assert_allclose(got, torch_scores(model, rate, x)[:, : got.shape[1]], atol=1e-5)
    alone = scores_of(path, card, x[3:4])
    np.testing.assert_allclose(alone[0], got[3], atol=1e-5)


def test_units_agree(tmp_path):
    x, found = sounds(8_000, 2, 0.25), []
    for wanted in ({"unit": "sample"}, {"unit": "frame"}, {"unit": "chunk", "frames": 5}):
        path, _, card, _ = written(tmp_path, sample_rate_hz=8_000, **wanted)
        found.append(scores_of(path, card, x))
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)
    np.testing.assert_allclose(found[0], found[2], atol=1e-5)


def test_sample_repeats_its_decision(tmp_path):
    _, _, card, session = written(tmp_path, unit="sample", sample_rate_hz=8_000)
    state = {s.input: s.start(2) for s in card.states}
    names = [output.name for output in session.get_outputs()]
    x, ready, scores = sounds(8_000, 2, 0.04), [], []
    for n in range(241):
        result = session.run(None, {"audio": x[:, n : n + 1], **state})
        given = dict(zip(names, result, strict=True))
        state = {s.input: given[s.output] for s in card.states}
        ready.append(bool(given["ready"][0]))
        scores.append(given["scores"])
    (counter,) = (state for state in card.states if state.dtype == "int64")
    assert counter.shape == (1,)  # of all rows
    assert np.flatnonzero(ready).tolist() == [79, 159, 239]
    np.testing.assert_array_equal(scores[78], np.full((2, 1, 4), 0.25, np.float32))
    np.testing.assert_array_equal(scores[158], scores[79])
    assert not np.array_equal(scores[159], scores[158])


def test_metadata_says_everything(tmp_path):
    _, model, card, session = written(tmp_path)
    metadata = session.get_modelmeta().custom_metadata_map
    assert set(metadata) == {
        "labels", "thresholds", "detector", "sample_rate_hz", "hop_samples", "unit", "states",
        "modes", "format_version", "model", "licence", "training_data", "accuracy", "clip_offset",
        "cost", "checksum",
    }  # fmt: skip
    facts = {key: json.loads(value) for key, value in metadata.items()}
    assert facts["labels"] == list(LABELS)
    assert (facts["sample_rate_hz"], facts["hop_samples"], facts["unit"]) == (16_000, 160, "frame")
    assert (facts["model"], facts["thresholds"]) == ("0123456789abcdef", {"yes": 0.5, "no": 0.7})
    assert facts["detector"]["min_frames"] == 2
    settings = {"release", "smoothing", "min_frames", "refractory", "caution"}
    assert set(facts["detector"]) == settings
    given = {i.name: (i.shape, i.type) for i in session.get_inputs()}
    assert given.pop("audio") == (["batch", 160], "tensor(float)")
    assert {s["input"]: (s["shape"], "tensor(float)") for s in facts["states"]} == given
    centre = model.front.centre_hz.tolist()
    np.testing.assert_allclose(facts["modes"]["centre_hz"], centre, rtol=1e-6)
    assert set(facts["modes"]) == {"centre_hz", "width_hz", "gain"}
    assert card.to_metadata() == metadata | {"checksum": f'"{ZEROS}"'}


SEALED = [
    {"unit": "sample", "sample_rate_hz": 8_000},
    {"unit": "frame"},
    {"unit": "chunk"},
    {"unit": "chunk", "frames": 5, "int8": True},
]


@pytest.mark.parametrize("wanted", SEALED)
def test_a_file_with_one_byte_changed_is_refused(tmp_path, wanted):
    path, _, card, _ = written(tmp_path, **wanted)
    assert read_card(path).to_metadata() == card.to_metadata()
    whole = path.read_bytes()
    graph = onnx.load_from_string(whole).graph
    weights = max((w.raw_data for w in graph.initializer), key=len)
    named = [0, whole.index(weights), len(whole) - 1]
    named += [whole.index(b'"' + part) for part in (b"_silence_", b"release")]
    checksum = whole.index(b"checksum")
    named += range(checksum - 2, checksum + 76)  # its key, all of its digits, and their quotes
    for at in (*named, *range(1, len(whole), len(whole) // 50)):
        for flipped in (0x01, 0x20, 0xFF):  # 0x20: the other case of a letter
            damaged = bytearray(whole)
            damaged[at] ^= flipped
            path.write_bytes(damaged)
            with pytest.raises(ModelFileError, match="its checksum") as failure:
                read_card(path)
            assert str(failure.value).startswith(f"{path}: ")
            assert "\n" not in str(failure.value)


def test_a_file_of_another_length_is_refused(tmp_path):
    path, *_ = written(tmp_path)
    whole = path.read_bytes()
    checksum = whole.index(b"checksum")
    for changed in (whole[: checksum + 20], whole[:-1], whole + b"\0", whole[1:]):
        path.write_bytes(changed)
        with pytest.raises(ModelFileError, match="damaged, its checksum does not match"):
            read_card(path)


def test_a_file_without_a_checksum_is_refused(tmp_path):
    path, *_ = written(tmp_path)
    proto = onnx.load(path)
    (checksum,) = (entry for entry in proto.metadata_props if entry.key == "checksum")
    proto.metadata_props.remove(checksum)
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelFileError, match="its checksum is missing"):
        read_card(path)
    with pytest.raises(ValueError, match="its checksum is missing"):
        sealed(path.read_bytes())


def test_the_checksum_is_of_the_file_with_zeros_in_its_place(tmp_path):
    """As a program in another language would work it out."""
    path, _, _, session = written(tmp_path)
    checksum = json.loads(session.get_modelmeta().custom_metadata_map["checksum"])
    whole = path.read_bytes()
    assert whole.count(checksum.encode()) == 1
    zeros = whole.replace(checksum.encode(), b"0" * 64)
    assert hashlib.sha256(zeros).hexdigest() == checksum


def test_what_looks_like_a_checksum_among_the_weights_is_none():
    before, digits = b'\n\x08checksum\x12\x42"', ZEROS.encode()
    data = before + digits + b"weights" + before + digits + b'"'
    whole = sealed(data)
    assert whole.startswith(before + digits + b"weights" + before)
    assert whole[-65:-1] == hashlib.sha256(data).hexdigest().encode()


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"unit": "word"}, "unit must be one of sample, frame, chunk"),
        ({"unit": "frame", "frames": 3}, "that is for the unit chunk"),
        ({"unit": "chunk", "frames": 0}, "1 to 6000 frames"),
        ({"opset": 16}, "opset must be 17 to 23"),
        ({"sample_rate_hz": 44_100}, "export the unit sample"),
        ({"sample_rate_hz": 96_000, "unit": "sample"}, "8000 to 48000"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, wanted, message):
    with pytest.raises(ValueError, match=message):
        written(tmp_path, **wanted)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("fault", ["weight", "nan"])
def test_a_file_that_differs_is_not_left(tmp_path, monkeypatch, fault):
    """A head that is not the model's, as if a builder were wrong."""
    import sssm.onnx.export as export

    build = export.model_graph

    def wrong(model, rate):
        parts = build(model, rate)
        weight, bias = parts.head
        return parts._replace(head=(weight * (1.1 if fault == "weight" else np.nan), bias))

    monkeypatch.setattr(export, "model_graph", wrong)
    with pytest.raises(VerificationError, match="differ from torch's by"):
        written(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("by", [1e-3, -1e-3])
def test_what_counts_is_what_a_used_state_gives(tmp_path, monkeypatch, by):
    path, model, card, _ = written(tmp_path)
    own = scores_of(path, card, verify.sounds(16_000))

    def wrong_in(frame):
        scores = own.copy()
        scores[1, frame, 2] += by
        monkeypatch.setattr(verify, "scores_of", lambda *_: scores)
        return verify.verify(path, card, model)

    assert wrong_in(verify.USED_FRAMES - 1) < 1e-5
    with pytest.raises(VerificationError, match=r"by 1\.0e-03, more than 1e-05$"):
        wrong_in(verify.USED_FRAMES)


def test_int8_is_small_and_real(tmp_path):
    _, model, _, _ = written(tmp_path)
    path, _, _, _ = written(tmp_path, int8=True)
    kept = [c for c in onnx.load(path).graph.initializer if c.data_type == onnx.TensorProto.INT8]
    assert len(kept) == 2 * len(model.blocks)


@pytest.mark.parametrize("kind", ["s4", "mamba"])
def test_a_runtime_takes_int8_as_weights_alone(tmp_path, kind):
    """onnxruntime rounds what enters a product too, where it knows the weights as quantized."""
    model, card = tiny(kind, channels=64)
    export = Export(unit="frame", int8=True)
    made = export_model(model, card, "0123456789abcdef", tmp_path / "a.onnx", export)
    assert made.difference < 1e-5


def test_int8_of_weights_that_differ_by_a_factor(tmp_path):
    model, card = tiny()
    with torch.no_grad():  # the same whole numbers, of two scales
        model.blocks[1].mix.weight.copy_(2 * model.blocks[0].mix.weight)
    export_model(model, card, "0123456789abcdef", tmp_path / "a.onnx", Export(int8=True))
    assert (tmp_path / "a.onnx").is_file()


def test_three_seconds_are_compared(monkeypatch):
    monkeypatch.undo()
    assert verify.COMPARED_FRAMES >= 300
    rows, samples = verify.sounds(8_000).shape
    assert (rows, samples) == (2, (verify.USED_FRAMES + verify.COMPARED_FRAMES) * 80)
    assert verify.TOLERANCE == 1e-5
