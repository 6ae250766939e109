"""The loss: what counts, what does not, and that no corner of it is NaN."""

import math

import pytest
import torch
from torch import Tensor

from sssm.config import ModelConfig
from sssm.layers.contract import leaves
from sssm.model import KeywordModel
from training.examples import Batch
from training.objective import WORST, Objective, _phone_loss, _stream_loss, _word_loss
from training.recipe import Recipe
from training.steps import Step
from training.streams import NOTHING, StreamBatch, maybe
from training.vocabulary import BLANK, Vocabulary

LABELS = ("yes", "no", "_unknown_", "_silence_")


def objective(classes: tuple[str, ...] = LABELS, **settings) -> Objective:
    torch.manual_seed(0)
    recipe = Recipe(**settings)
    config = ModelConfig(
        labels=classes, bands=8, channels=8, state_size=2, depth=2, dropout=recipe.dropout
    )
    vocabulary = Vocabulary(["yes", "no", "cat"])
    return Objective(KeywordModel(config), recipe, torch.zeros(len(classes)), vocabulary)


def clips(*, word: int = 0, phones: int = 3) -> Batch:
    return Batch(
        torch.randn(2, 4_800, 1, generator=torch.Generator().manual_seed(1)) / 10,
        torch.tensor([0, 1]), torch.tensor([16_000.0, 4_000.0]), torch.tensor([word, -1]),
        torch.arange(1, 7).view(2, 3), torch.tensor([phones, 0]),
    )  # fmt: skip


def stream(label: int, fresh: bool = False) -> StreamBatch:
    samples = torch.randn(3, 3_200, 1, generator=torch.Generator().manual_seed(2)) / 10
    labels = torch.full((3, 20), label)
    return StreamBatch(samples, labels, torch.full((3,), 16_000.0), torch.tensor([fresh] * 3))


def test_the_total_is_the_weighted_sum():
    o = objective(word_weight=0.4, phone_weight=0.2, stream_weight=0.5)
    losses, _ = o(Step(clips(), stream(1)), o.init_state(3))
    expected = losses.clip + 0.4 * losses.word + 0.2 * losses.phone + 0.5 * losses.stream
    torch.testing.assert_close(losses.total, expected)


def test_what_is_left_out_is_none():
    losses, state = objective(word_weight=0.0, phone_weight=0.0)(Step(clips(), None), None)
    assert losses.word is losses.phone is losses.stream is state is None
    assert losses.total is losses.clip


def test_the_prior_moves_the_logits():
    o = objective(word_weight=0.0, phone_weight=0.0)
    before, _ = o(Step(clips(), None), None)
    o.log_prior.copy_(torch.tensor([2.0, 2.0, 0.0, 0.0]))  # both clips' classes are drawn often
    after, _ = o(Step(clips(), None), None)
    assert after.clip < before.clip


def test_what_is_right_is_counted_as_trained():
    """With the prior, which makes both clips of the second class."""
    o = objective(word_weight=0.0, phone_weight=0.0)
    o.log_prior.copy_(torch.tensor([0.0, 50.0, -50.0, 0.0]))
    losses, _ = o(Step(clips(), None), None)
    assert losses.correct == 0.5


def test_a_band_limit_is_heard_in_clips_and_streams():
    o = objective(dropout=0.0)
    torch.nn.init.constant_(o.model.front.unheard, 3.0)
    step = Step(clips(), stream(1))
    every = torch.full((3,), 16_000.0)
    losses = [
        o(
            Step(
                step.clips._replace(bandwidth_hz=clip * every[:2]),
                step.stream._replace(bandwidth_hz=of_stream * every),
            ),
            o.init_state(3),
        )[0]
        for clip, of_stream in ((1.0, 1.0), (0.25, 1.0), (1.0, 0.25))
    ]
    assert losses[0].clip == losses[2].clip != losses[1].clip
    assert losses[0].stream == losses[1].stream != losses[2].stream


def test_a_word_is_heard_in_one_tenth_of_a_second_of_a_clip():
    logits = torch.zeros(2, 3, 3)
    logits[0, 1, 0] = 9.0
    sums = 3 + torch.tensor([math.e**9 - 1, 0, 0])
    expected = -(sums / sums.sum()).log()[0]
    torch.testing.assert_close(_word_loss(logits, clips(word=0)), expected)
    o, lengths = objective(phone_weight=0.0), []
    o.word_head.register_forward_hook(lambda _, x, y: lengths.append(x[0].shape))
    o(Step(clips(), None), None)  # of 0.3 s
    assert lengths == [(2, 3, 8)]


def test_phones_are_heard_in_their_order_and_count_by_the_mean():
    """Three phones in as many frames leave one way to say them."""
    p = torch.rand(2, 3, 8, generator=torch.Generator().manual_seed(0)).softmax(dim=2)
    said = p[0, torch.arange(3), torch.arange(1, 4)]
    torch.testing.assert_close(_phone_loss(p.log(), clips()), -said.log().mean())


def test_at_first_most_frames_say_no_phone():
    o, heard = objective(word_weight=0.0), []
    o.phone_head.register_forward_hook(lambda _, x, y: heard.append(y))
    o(Step(clips(), None), None)
    assert (heard[0].softmax(dim=2)[..., BLANK] > 0.5).all()


def gradients(o: Objective) -> list[Tensor]:
    return [p.grad for p in o.parameters() if p.grad is not None]


def test_nothing_known_is_no_loss_and_no_nan():
    o = objective()
    step = Step(clips(word=-1, phones=0), stream(NOTHING, fresh=True))
    losses, state = o(step, o.init_state(3))
    assert losses.word == losses.phone == 0
    assert losses.stream > 0
    losses.total.backward()
    assert gradients(o)
    assert all(gradient.isfinite().all() for gradient in gradients(o))
    assert all(leaf.isfinite().all() for leaf in leaves(state))


def test_more_phones_than_frames_is_no_nan():
    o = objective()
    batch = clips()._replace(phones=torch.ones(2, 200, dtype=torch.int64) * 5)
    batch = batch._replace(phone_count=torch.tensor([200, 3]))
    losses, _ = o(Step(batch, None), None)
    losses.total.backward()
    assert all(gradient.isfinite().all() for gradient in gradients(o))


def test_a_frame_may_be_heard_as_what_its_label_allows():
    p = torch.tensor([0.5, 0.2, 0.1, 0.2])  # yes, no, and two that are no keyword
    logits = p.log().expand(1, 1, 4)

    def loss(label: int) -> float:
        return _stream_loss(logits, torch.tensor([[label]]), 2).exp().item()

    assert loss(0) == pytest.approx(1 / 0.5)
    assert loss(1) == pytest.approx(1 / 0.2)
    assert loss(NOTHING) == pytest.approx(1 / 0.3)
    assert loss(maybe(0)) == pytest.approx(1 / 0.8)
    assert loss(maybe(1)) == pytest.approx(1 / 0.5)


def test_only_the_worst_frames_without_a_keyword_count():
    logits = torch.zeros(1, 100, 4)
    logits[0, 10:13, 0] = torch.tensor([5.0, 6.0, 7.0])  # false alarms
    logits[0, 50:, 2] = 20.0
    label = torch.full((1, 100), NOTHING)
    losses = -logits.log_softmax(dim=2)[0, :, 2:].logsumexp(dim=1)
    worst = losses.sort(descending=True).values[: int(WORST * 100)]
    torch.testing.assert_close(_stream_loss(logits, label, 2), worst.mean())
    label[0, 60:90] = 1  # keywords' frames are a loss of their own
    missed = -logits.log_softmax(dim=2)[0, 60, 1]
    torch.testing.assert_close(_stream_loss(logits, label, 2), worst.mean() + missed)


def test_a_keyword_counts_by_the_mean_of_its_frames():
    """Words side by side, at the edges of rows, and of one label in two rows, are words apart."""
    p = torch.tensor([[0.1, 0.3, 0.8, 0.6, 0.2], [0.5, 0.25, 0.4, 0.4, 0.9]])
    logits = torch.stack([p, 1 - p], dim=2).log()  # "yes", and no keyword
    label = torch.tensor([[0, 0, NOTHING, NOTHING, 0], [0, NOTHING, NOTHING, 0, 0]])
    words = torch.tensor([(0.1 + 0.3) / 2, 0.2, 0.5, (0.4 + 0.9) / 2])
    worst = -math.log(1 - 0.8)  # of ten frames, one
    expected = worst - words.log().mean()
    torch.testing.assert_close(_stream_loss(logits, label, 1), expected)


def test_a_keyword_that_is_not_heard_at_all_is_no_infinity():
    logits = torch.tensor([[[-500.0, 0.0]]]).requires_grad_()
    loss = _stream_loss(logits, torch.tensor([[0]]), 1)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert 50 < loss < 100
    assert gradient.isfinite().all()


def test_the_state_goes_on_without_its_past():
    o = objective(dropout=0.0)
    _, first = o(Step(clips(), stream(1)), o.init_state(3))
    assert not any(leaf.requires_grad for leaf in leaves(first))
    carried, _ = o(Step(clips(), stream(1)), first)
    fresh, _ = o(Step(clips(), stream(1, fresh=True)), first)
    silence, _ = o(Step(clips(), stream(1)), o.init_state(3))
    torch.testing.assert_close(fresh.stream, silence.stream)
    assert carried.stream != fresh.stream


def test_a_word_counts_as_the_detector_weighs_it():
    """Harder to be heard amid talk than after silence; easier to be kept quiet; not from anew."""
    o = objective(dropout=0.0)
    quiet = o.init_state(3)
    amid = quiet._replace(talk=torch.full_like(quiet.talk, 0.9))

    def loss(heard, label, *, fresh=False):
        return o(Step(clips(), stream(label, fresh)), heard)[0].stream

    assert loss(amid, 1) > loss(quiet, 1) + 1
    assert loss(amid, NOTHING) < loss(quiet, NOTHING)
    assert loss(amid, 1, fresh=True) == loss(quiet, 1)


def test_without_a_class_for_other_words_there_is_no_talk():
    o = objective(("yes", "no", "_silence_"))
    losses, heard = o(Step(clips(), stream(1)), o.init_state(3))
    assert losses.stream.isfinite()
    assert not heard.talk.any()


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float32])
def test_states_stay_float32_under_mixed_precision(precision):
    o = objective()
    with torch.autocast("cpu", dtype=precision, enabled=precision != torch.float32):
        losses, state = o(Step(clips(), stream(0)), o.init_state(3))
        losses.total.backward()
    like = o.init_state(3)
    assert [leaf.dtype for leaf in leaves(state)] == [leaf.dtype for leaf in leaves(like)]
    assert all(gradient.isfinite().all() for gradient in gradients(o))
