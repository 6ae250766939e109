import numpy as np
import pytest
import torch

from sssm.clip import ClipAnswer
from sssm.layers.clip import ClipAnswer as Layer


@pytest.mark.parametrize("cuts", [[7], [1, 4, 5, 13], [5], [1], [3, 0, 2]])
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
    with pytest.raises(ValueError, match="no answer before"):
        ClipAnswer((0.0, 0.0)).scores()


def test_logits_of_any_size_are_probabilities():
    answer = ClipAnswer((0.0, 0.0))
    answer.listen(np.float32([[1e4, -1e4]] * 5))
    assert answer.scores().tolist() == [1, 0]
