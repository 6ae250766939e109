"""What a file is proved with: the sounds, the lengths of the calls, and torch in float64."""

import copy

import numpy as np
import pytest
import torch

from sssm.onnx import verify
from sssm.onnx.engine import read_card
from sssm.onnx.export import Export, export_model
from sssm.weights import load_model


@pytest.fixture(scope="module")
def chunk(model_file, tmp_path_factory):
    """A file whose length is open, its card, and its model."""
    model, card = load_model(model_file)
    path = tmp_path_factory.mktemp("verify") / "chunk.onnx"
    export_model(model, card, "0123456789abcdef", path, Export(unit="chunk"))
    return path, read_card(path), model


def test_the_difference_is_to_torch_in_float64(chunk):
    path, card, model = chunk
    x = verify.sounds(16_000)
    x = np.concatenate([x, x[:, : 12 * 160]], axis=1)  # seven turns of calls, 52 frames each
    with torch.inference_mode():
        logits, _ = copy.deepcopy(model).double()(torch.from_numpy(x).double()[..., None])
    far = np.abs(verify.scores_of(path, card, x) - logits.softmax(-1).numpy())
    found = verify.verify(path, card, model)
    assert found == pytest.approx(far[:, verify.USED_FRAMES :].max(), rel=1e-6)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


class Noting:
    """A session that notes what each call hears."""

    def __init__(self, session, calls):
        self.get_inputs, self.get_outputs = session.get_inputs, session.get_outputs
        self._run, self._calls = session.run, calls

    def run(self, names, inputs):
        self._calls.append(inputs["audio"])
        return self._run(names, inputs)


@pytest.fixture
def calls(monkeypatch):
    calls, opened = [], verify.open_session
    monkeypatch.setattr(verify, "open_session", lambda path: Noting(opened(path), calls))
    return calls


def test_an_open_length_is_tried_in_all_its_kinds(chunk, calls):
    """One frame, less than a block of 8, whole blocks, and blocks with a rest."""
    path, card, _ = chunk
    scores = verify.scores_of(path, card, verify.sounds(16_000)[:, : 60 * 160])
    assert [x.shape[1] / 160 for x in calls] == [1, 5, 16, 1, 21, 8, 1, 5]
    assert scores.shape == (2, 58, 4)


@pytest.mark.parametrize(("frames", "count"), [(19, 19), (200, 2), (352, 2), (353, 2)])
def test_a_chunk_of_any_length_is_proved_by_whole_calls(model_file, tmp_path, calls, frames, count):
    """By three seconds or more, and by two calls, so that a state goes from one to the next."""
    model, card = load_model(model_file)
    wanted = Export(unit="chunk", frames=frames)
    exported = export_model(model, card, "0123456789abcdef", tmp_path / "chunk.onnx", wanted)
    assert [x.shape for x in calls] == [(2, frames * 160)] * count
    assert (np.ptp(calls[-1], axis=1) > 0).all()  # sound to the end
    assert 0 < exported.difference < 1e-5


def test_noise_changes_its_level_and_speech_has_two():
    noise, speech = verify.sounds(8_000)
    levels = noise.reshape(-1, 160).std(axis=1)
    assert levels.max() > 5 * levels.min() > 0
    loud, quiet, again = speech[:24_000].reshape(3, -1)
    np.testing.assert_array_equal(again, loud)
    np.testing.assert_allclose(quiet, 0.1 * loud, rtol=1e-6)
    assert np.abs(loud).max() > 0.1


def test_every_file_hears_the_same_sounds():
    np.testing.assert_array_equal(verify.sounds(11_025), verify.sounds(11_025))


def test_a_demo_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setattr(verify, "DEMO", "absent.wav")
    with pytest.raises(FileNotFoundError, match=r"absent\.wav did not come with this installation"):
        verify.sounds(16_000)
