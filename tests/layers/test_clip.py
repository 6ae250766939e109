import numpy as np
import pytest
import torch

from sssm.layers.clip import ClipAnswer

CLASSES = 4


def clip():
    layer = ClipAnswer(classes=CLASSES)
    with torch.no_grad():
        layer.offset += torch.linspace(-1, 1, CLASSES)
    return layer


def logits(frames, dtype=torch.float32):
    g = torch.Generator().manual_seed(frames)
    return (5 * torch.randn(2, frames, CLASSES, generator=g)).to(dtype)


def written_out(logits, offset):
    """log of the mean of exp of the means of five frames, the last of which may be shorter."""
    frames = logits.shape[1]
    means = np.stack([logits[:, t : t + 5].mean(axis=1) for t in range(0, frames, 5)], axis=1)
    return np.log(np.exp(means).mean(axis=1)) + offset


def heard(layer, logits, sizes):
    state = layer.init_state(logits.shape[0])
    for piece in logits.split(sizes, dim=1):
        state = layer.listen(piece, state)
    return state


def cuts(frames):
    """One piece, frame by frame, and pieces at random, empty ones too."""
    g = torch.Generator().manual_seed(frames)
    yield [frames]
    yield [1] * frames
    for _ in range(5):
        at = torch.randint(0, frames + 1, (4,), generator=g).sort().values.tolist()
        yield [b - a for a, b in zip([0, *at], [*at, frames], strict=True)]


@torch.no_grad()
@pytest.mark.parametrize("frames", [1, 4, 5, 6, 10, 11, 103])
def test_it_is_the_formula_in_numpy_at_any_chunking(frames):
    layer, rows = clip().double(), logits(frames, torch.float64)
    expected = written_out(rows.numpy(), layer.offset.numpy())
    for sizes in cuts(frames):
        answer = layer.answer(heard(layer, rows, sizes))
        np.testing.assert_allclose(answer, expected, rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_float32_is_near_and_stays_near_over_an_hour():
    layer = clip()
    rows = logits(1_000)
    state = layer.init_state(2)
    for _ in range(360):
        state = layer.listen(rows, state)
    assert state.frames == 360_000
    expected = written_out(rows.double().numpy(), layer.offset.numpy())
    np.testing.assert_allclose(layer.answer(state), expected, rtol=1e-4)


@torch.no_grad()
def test_large_logits_do_not_overflow():
    layer = ClipAnswer(classes=2)
    rows = torch.tensor([500.0, -500.0]).expand(1, 12, 2)
    torch.testing.assert_close(layer.answer(heard(layer, rows, [12])), rows[:, 0])


def test_gradients_agree_between_one_piece_and_many():
    layer = clip().double()

    def gradients(sizes):
        rows = logits(23, torch.float64).requires_grad_()
        answer = layer.answer(heard(layer, rows, sizes))
        return torch.autograd.grad(answer.square().sum(), [rows, layer.offset])

    whole = gradients([23])
    for sizes in cuts(23):
        torch.testing.assert_close(gradients(sizes), whole, rtol=1e-10, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("frames", [0, 1, 5, 7])
def test_a_state_is_a_value_of_its_own(frames):
    layer = clip()
    before = heard(layer, logits(8), [8])
    kept = [leaf.clone() for leaf in before]
    rows = logits(frames)
    after = layer.listen(rows, before)
    assert all(map(torch.equal, before, kept))
    tensors = [*before, *after, layer.offset, *([rows] if frames else [])]
    places = {leaf.untyped_storage().data_ptr() for leaf in tensors}
    assert len(places) == len(tensors)
    for leaf, first in zip(after, before, strict=True):
        assert leaf.shape == first.shape
        assert leaf.dtype == first.dtype
        assert leaf.untyped_storage().nbytes() == leaf.nbytes  # and no view of something larger


@torch.no_grad()
def test_mixed_precision_keeps_the_state():
    layer = clip()
    state = layer.listen(logits(7).bfloat16(), layer.init_state(2))
    assert [leaf.dtype for leaf in state] == [torch.float32, torch.float32, torch.int64]
    expected = layer.listen(logits(7).bfloat16().float(), layer.init_state(2))
    assert all(map(torch.equal, state, expected))


def test_a_clip_without_a_frame_has_no_answer():
    layer = clip()
    with pytest.raises(ValueError, match="no answer before its first frame"):
        layer.answer(layer.init_state(1))
