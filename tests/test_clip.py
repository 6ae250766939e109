import numpy as np
import pytest
import torch

from sssm.clip import ClipAnswer, clip_scores
from sssm.engines.engine import Run
from sssm.layers.clip import ClipAnswer as Layer
from sssm.timing import frames_within


@pytest.mark.parametrize("cuts", [[7], [1, 4, 5, 13], [5], [1], [3, 0, 2], [10, 0]])
def test_the_answer_is_the_layers(cuts):
    torch.manual_seed(0)
    layer = Layer(classes=4)
    layer.offset.data = torch.randn(4)
    answer, state = ClipAnswer(tuple(layer.offset.tolist())), layer.init_state(1)
    for frames in cuts:
        logits = 5 * torch.randn(1, frames, 4)
        state = layer.listen(logits, state)
        answer.listen(logits[0].numpy())
    wanted = layer.answer(state).softmax(-1)[0].detach().numpy()
    np.testing.assert_allclose(answer.scores(), wanted, atol=1e-6)


def test_no_frame_is_no_answer():
    answer = ClipAnswer((0.0, 0.0))
    for _ in range(2):
        with pytest.raises(ValueError, match="no answer before"):
            answer.scores()
        answer.listen(np.zeros((0, 2), np.float32))


def test_logits_of_any_size_are_probabilities():
    answer = ClipAnswer((0.0, 0.0))
    answer.listen(np.float32([[1e4, -1e4]] * 5))
    assert answer.scores().tolist() == [1, 0]


class Noting:
    """An engine that notes where each run begins, and its samples."""

    def __init__(self):
        self.runs = []

    def init_state(self, rows):
        return ()

    def run(self, x, before, state, out=None):
        self.runs.append((before, x.shape[1]))
        frames = frames_within(before + x.shape[1], 11_025) - frames_within(before, 11_025)
        return Run(np.zeros((1, frames, 2)), np.zeros((1, frames, 2)), state)


def test_a_long_recording_is_heard_64_frames_at_a_time():
    engine = Noting()
    clip_scores(engine, (0.0, 0.0), [np.zeros(14_400, np.float32)], 11_025)
    assert engine.runs == [(0, 7_056), (7_056, 7_056), (14_112, 220)]


def test_frames_that_end_within_a_piece_are_heard_with_it():
    """110 samples, or 111 for every fourth frame; what is left waits for the next piece."""
    engine = Noting()
    clip_scores(engine, (0.0, 0.0), np.zeros((5, 110), np.float32), 11_025)
    assert engine.runs == [(0, 110), (110, 110), (220, 110), (330, 111)]
