"""Exported files live: the same spotter, the same numbers, at every rate, and no torch."""

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from sounds import chirps, sensitive

from sssm.classifier import Classifier
from sssm.config import ModelConfig
from sssm.model import KeywordModel
from sssm.onnx import engine as under_test
from sssm.onnx import verify
from sssm.onnx.checksum import ZEROS, sealed
from sssm.onnx.engine import OnnxEngine, OnnxModel
from sssm.onnx.export import Export, export_model
from sssm.rows import MOST_ROW_FRAMES
from sssm.spotter import KeywordSpotter
from sssm.weights import ModelCard, ModelFileError, fingerprint, load_model

ROOT = Path(__file__).parents[2]
BANDS = 8


def exported(path: Path, to: Path, **wanted) -> Path:
    model, card = load_model(path)
    export_model(model, card, fingerprint(path), to, Export(**wanted))
    return to


@pytest.fixture(scope="module")
def files(model_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("engine")
    path = sensitive(model_file, folder)
    chunk = exported(path, folder / "chunk.onnx", unit="chunk")
    return path, chunk, exported(path, folder / "frame.onnx")


@pytest.fixture(scope="module")
def spotters(files):
    return [KeywordSpotter.load(file) for file in files]


@pytest.mark.parametrize("rate", [6_000, 8_000, 11_025, 16_000, 22_050, 44_100, 48_000])
def test_every_rate_and_cut_gives_torchs_scores(spotters, rate):
    x = chirps(1.5, rate)
    wanted = spotters[0].stream(rate).push_scores(x)
    stream, found, at = spotters[1].stream(rate), [], 0
    for size in (1, rate // 100, rate // 3, 7, len(x)):
        found.append(stream.push_scores(x[at : at + size]))
        at += size
    np.testing.assert_allclose(np.concatenate(found), wanted, atol=1e-4)


def test_the_same_is_heard(spotters):
    x = np.concatenate([chirps(4.0, 16_000, seed) for seed in range(4)])
    wanted = spotters[0].stream().push(x)
    assert len(wanted) > 3
    for spotter in spotters[1:]:
        heard = spotter.stream().push(x)
        assert [(h.keyword, h.time_s) for h in heard] == [(w.keyword, w.time_s) for w in wanted]
    assert spotters[1].fingerprint == spotters[0].fingerprint
    assert spotters[1].labels == spotters[0].labels


def test_the_ending_of_a_name_may_be_in_capitals(files, tmp_path):
    capitals = shutil.copy(files[1], tmp_path / "UP.ONNX")
    assert KeywordSpotter.load(capitals).fingerprint == KeywordSpotter.load(files[1]).fingerprint


def test_a_name_may_leave_no_room_for_what_lies_beside(files, tmp_path):
    longest = shutil.copy(files[1], tmp_path / f"{'x' * 250}.onnx")
    assert OnnxModel(longest).frames is None


def test_many_streams_are_each_alone(spotters):
    x = np.stack([chirps(0.5, 16_000, seed) for seed in range(7)])
    together = spotters[1].batch(7).push_scores(x)
    for row in range(7):
        alone = spotters[1].stream().push_scores(x[row])
        np.testing.assert_allclose(together[row], alone, atol=1e-5)


def test_a_snapshot_goes_on(spotters):
    x = chirps(1.0, 44_100)
    stream = spotters[1].stream(44_100)
    stream.push(x[:20_011])
    again = spotters[1].restore(stream.snapshot())
    np.testing.assert_array_equal(again.push_scores(x[20_011:]), stream.push_scores(x[20_011:]))


@pytest.mark.parametrize(("rate", "seconds"), [(16_000, 1.3), (44_100, 0.7), (11_025, 0.004)])
def test_a_recording_is_answered_as_by_torch(files, rate, seconds):
    x = chirps(1.3, rate)[: int(seconds * rate)]
    pieces = np.array_split(x, 3)
    wanted = Classifier.load(files[0]).scores(pieces, rate)
    for file in files[1:] if rate == 16_000 else files[1:2]:  # the last hears that rate alone
        got = Classifier.load(file).scores(pieces, rate)
        assert got == pytest.approx(wanted, abs=1e-4)


def test_a_state_is_a_value(files):
    engine = OnnxModel(files[1]).at_rate(16_000)
    x = chirps(0.1, 16_000)[None]
    state = engine.run(x, 0, engine.init_state(1)).state
    kept = [part.copy() for part in state]
    first = engine.run(x, 1_600, state).logits
    assert all(map(np.array_equal, state, kept))
    again = engine.run(x, 1_600, state).logits
    np.testing.assert_array_equal(again, first)


@pytest.mark.parametrize("rate", [16_000, 22_050])
def test_streams_that_take_turns_write_over_their_own_states_alone(files, rate):
    """The engine keeps what it bound for some of them only: more than that take turns here."""
    engine, frames = OnnxModel(files[1]).at_rate(rate), 12
    x = [chirps(0.5, rate)[shift:][None] for shift in range(0, 100, 5)]
    now = [engine.init_state(1) for _ in x]
    spare = [engine.init_state(1) for _ in x]
    for frame in range(frames):
        start, end = (n * rate // 100 for n in (frame, frame + 1))
        for n, of_stream in enumerate(x):
            heard = engine.run(of_stream[:, start:end], start, now[n], spare[n])
            now[n], spare[n] = heard.state, now[n]
    for of_stream, state in zip(x, now, strict=True):
        alone = engine.run(of_stream[:, : frames * rate // 100], 0, engine.init_state(1)).state
        np.testing.assert_allclose(state[0], alone[0], atol=1e-5)


def test_states_may_be_parts_of_an_array(files):
    """Views that are gone after the call: another has the same place in memory."""
    engine = OnnxModel(files[1]).at_rate(16_000)
    x = np.stack([chirps(0.01, 16_000, seed) for seed in range(6)])
    before = engine.init_state(6)[0]
    after = np.zeros_like(before)
    for row in range(6):
        engine.run(x[row : row + 1], 0, (before[row : row + 1],), (after[row : row + 1],))
    for row in range(6):
        alone = engine.run(x[row : row + 1], 0, engine.init_state(1)).state[0]
        np.testing.assert_allclose(after[row : row + 1], alone, atol=1e-6)


def test_a_rate_that_no_model_hears_is_refused(files):
    for rate in (0, 7_999, 48_001):
        with pytest.raises(
            ValueError, match=f"rate must be a whole number from 8000 to 48000 Hz, got {rate}"
        ):
            OnnxModel(files[1]).at_rate(rate)


@pytest.mark.parametrize("frames", [1, 150])
def test_a_push_that_fails_leaves_the_state_as_it_was(spotters, monkeypatch, frames):
    """Also where it fails in the last of several pieces."""
    x = chirps(3, 16_000)
    stream, other = (spotters[1].stream(16_000) for _ in range(2))
    for each in (stream, other):
        for _ in range(3):
            each.push(x[:160])
    engine = stream._rows.engine
    run, calls = engine.run, []

    def fail(*args):
        calls.append(1)
        result = run(*args)
        if len(calls) == -(-frames // 64):
            raise MemoryError
        return result

    monkeypatch.setattr(engine, "run", fail)
    with pytest.raises(MemoryError):
        stream.push(x[: frames * 160])
    monkeypatch.undo()
    np.testing.assert_array_equal(stream.push_scores(x), other.push_scores(x))


def test_a_state_is_not_written_over_while_it_is_read(spotters, monkeypatch):
    stream, x = spotters[1].stream(), chirps(1.6, 16_000)
    engine, given = stream._rows.engine, []
    run = engine.run

    def checked(piece, before, state, out=None):
        given.append(out)
        assert out is None or not np.shares_memory(state[0], out[0])
        assert piece.shape[1] <= MOST_ROW_FRAMES * 160
        return run(piece, before, state, out)

    monkeypatch.setattr(engine, "run", checked)
    for start, end in ((0, 160), (160, 24_000), (24_000, 24_160)):  # the second in three pieces
        stream.push(x[start:end])
    assert [out is None for out in given] == [False, True, True, True, False]


class Counted:
    """A session that counts how often it runs."""

    def __init__(self, session):
        self.io_binding, self._run, self.runs = session.io_binding, session.run_with_iobinding, 0

    def run_with_iobinding(self, binding):
        self.runs += 1
        self._run(binding)


def test_single_frames_go_through_the_file_that_lies_beside(files, tmp_path):
    both, beside = tmp_path / "both.onnx", tmp_path / "both.frame.onnx"
    both.write_bytes(files[1].read_bytes())
    beside.write_bytes(files[2].read_bytes())
    model, alone = OnnxModel(both), OnnxModel(files[1])
    assert alone.frames is None
    model.frames = counted = Counted(model.frames)
    x = chirps(0.1, 16_000)[None]
    for sizes, runs in (([160] * 10, 10), ([320, 160, 1_120], 1), ([1_600], 0)):
        counted.runs, at, found = 0, 0, []
        engine = model.at_rate(16_000)
        state = engine.init_state(1)
        for size in sizes:
            scores, _, state = engine.run(x[:, at : at + size], at, state)
            found.append(scores)
            at += size
        wanted = alone.at_rate(16_000).run(x, 0, state=engine.init_state(1))
        np.testing.assert_allclose(np.concatenate(found, axis=1), wanted.scores, atol=1e-5)
        np.testing.assert_allclose(state[0], wanted.state[0], rtol=1e-4, atol=1e-4)
        assert counted.runs == runs
    counted.runs = 0
    engine = model.at_rate(48_000)
    engine.run(np.zeros((1, 480), np.float32), 0, engine.init_state(1))
    assert counted.runs == 0


def test_what_lies_beside_and_is_no_such_file_is_left_alone(files, tmp_path):
    both, beside = tmp_path / "both.onnx", tmp_path / "both.frame.onnx"
    both.write_bytes(files[1].read_bytes())
    for wanted in ({"unit": "chunk", "frames": 1}, {"sample_rate_hz": 8_000}):
        exported(files[0], beside, **wanted)
        assert OnnxModel(both).frames is None
    other = onnx.load_from_string(files[2].read_bytes())
    (fingerprint_of,) = (entry for entry in other.metadata_props if entry.key == "model")
    fingerprint_of.value = '"0123456789abcdef"'
    beside.write_bytes(sealed(other.SerializeToString()))
    assert OnnxModel(both).frames is None
    beside.write_bytes(b"no model")
    with pytest.raises(ModelFileError, match=r"both\.frame\.onnx: not a whole model of sssm"):
        OnnxModel(both)


def test_silence_decays_to_exact_zero(files):
    engine = OnnxModel(files[1]).at_rate(16_000)
    state = engine.run(chirps(0.64, 16_000)[None], 0, engine.init_state(1)).state
    bank_and_gain = state[0][:, : 5 * BANDS]
    assert bank_and_gain.any()
    for _ in range(100):
        state = engine.run(np.zeros((1, 10_240), np.float32), 0, state).state
    assert not state[0][:, : 5 * BANDS].any()


def test_no_torch_is_loaded(files):
    code = (
        "import sys, numpy as np; from sssm import KeywordSpotter\n"
        f"stream = KeywordSpotter.load({str(files[1])!r}).stream(48_000)\n"
        "stream.push(np.zeros(9_600, np.float32))\n"
        "print({'torch', 'numba', 'onnx', 'scipy'} & set(sys.modules))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.stdout == "set()\n", run.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a whole model of sssm, its checksum is missing"),
        (b"no model", "not a whole model of sssm, its checksum is missing"),
        (sealed(b'\n\x08checksum\x12\x42"%s"' % ZEROS.encode()), "not a whole ONNX model"),
        (None, "no such"),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path, content, message):
    path = tmp_path / "damaged.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelFileError, match=message) as failure:
        KeywordSpotter.load(path)
    assert "\n" not in str(failure.value)
    assert str(path) in str(failure.value)


def test_metadata_that_is_wrong_is_one_line(files, tmp_path):
    """Written on purpose: the checksum is right."""

    def changed(key, value):
        model = onnx.load(files[1])
        for entry in list(model.metadata_props):
            if entry.key == key:
                model.metadata_props.remove(entry)
        if value is not None:
            model.metadata_props.add(key=key, value=value)
        (tmp_path / "changed.onnx").write_bytes(sealed(model.SerializeToString()))
        return tmp_path / "changed.onnx"

    for key, value, message in (
        ("format_version", "2", "format version 2"),
        ("format_version", None, "not a model of sssm"),
        ("labels", None, "labels is missing"),
        ("labels", "[", "not JSON"),
        ("more", "1", "more is unknown"),
        ("states", "[1]", "damaged"),
        ("states", "[]", "no labels, no states or no rate"),
        ("labels", "[]", "no labels, no states or no rate"),
        ("sample_rate_hz", "0", "no labels, no states or no rate"),
        ("sample_rate_hz", "null", "damaged"),
        ("modes", "[]", "damaged"),
        ("detector", '{"release": 7}', "its detector is damaged"),
        ("thresholds", "[]", "its detector is damaged"),
    ):
        with pytest.raises(ModelFileError, match=message):
            KeywordSpotter.load(changed(key, value))


def test_a_file_that_cannot_listen_says_which_can(files, tmp_path, spotters):
    sample = exported(files[0], tmp_path / "s.onnx", unit="chunk", frames=2)
    with pytest.raises(ModelFileError, match="--unit chunk"):
        KeywordSpotter.load(sample)
    with pytest.raises(ModelFileError, match="hears 16000 Hz alone"):
        spotters[2].stream(48_000)


def test_blocks_on_the_samples_hear_one_rate_alone(tmp_path, monkeypatch):
    """Also where the length is open: there are no modes to be made for another one."""
    monkeypatch.setattr(verify, "COMPARED_FRAMES", 20)
    sizes = {"channels": 4, "state_size": 2, "depth": 1}
    config = ModelConfig(labels=("yes", "no"), front="samples", **sizes)
    card = ModelCard(config=config, training_data="none", licence="none", accuracy={})
    path = tmp_path / "samples.onnx"
    export_model(KeywordModel(config).eval(), card, "0", path, Export(unit="chunk"))
    model = OnnxModel(path)
    assert model.is_open
    assert isinstance(model.at_rate(16_000), OnnxEngine)
    with pytest.raises(ModelFileError, match="hears 16000 Hz alone, not 8000 Hz"):
        model.at_rate(8_000)


def test_many_streams_take_turns_without_binding_anew(spotters, monkeypatch):
    """As those of a page with many visitors do."""
    x = chirps(0.1, 16_000)
    streams = [spotters[1].stream() for _ in range(16)]
    for _ in range(3):
        for stream in streams:
            stream.push(x)

    def fail(*_):
        raise AssertionError

    monkeypatch.setattr(OnnxEngine, "_bind", fail)
    for _ in range(3):
        for stream in streams:
            stream.push(x)


def test_what_was_bound_last_is_kept(files, monkeypatch):
    monkeypatch.setattr(under_test, "KEPT", 3)
    engine, bound = OnnxModel(files[1]).at_rate(16_000), []
    bind = engine._bind

    def noted(rows, frames, *given):
        bound.append(frames)
        return bind(rows, frames, *given)

    monkeypatch.setattr(engine, "_bind", noted)
    for frames in (1, 2, 3, 1, 4, 1, 3, 2):
        engine.run(np.zeros((1, frames * 160), np.float32), 0, engine.init_state(1))
    assert bound == [1, 2, 3, 4, 2]


def test_any_number_of_rows_is_run_in_the_same_arrays(files):
    """Of a batch any may be active: states for each number would be hundreds of MB."""
    engine = OnnxModel(files[1]).at_rate(16_000)
    whole = engine._bound(64, 1, 0)
    for rows in range(1, 64):
        part = engine._bound(rows, 1, 0)
        assert np.shares_memory(whole.before[0], part.before[0])
        assert np.shares_memory(whole.after[0], part.after[0])
        assert not np.shares_memory(part.before[0], part.after[0])
    larger = engine._bound(65, 1, 0)
    assert np.shares_memory(larger.before[0], engine._bound(64, 1, 0).before[0])


def test_threads_share_no_arrays(files):
    engine, bound = OnnxModel(files[1]).at_rate(16_000), []
    for _ in range(2):
        thread = threading.Thread(target=lambda: bound.append(engine._bound(1, 1, 0)))
        thread.start()
        thread.join()
    one, other = bound
    assert not np.shares_memory(one.audio, other.audio)
    assert not np.shares_memory(one.scores, other.scores)
