"""The loss: a clip's class, in streams every frame's, and in training alone word and phones."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sssm.labels import SILENCE, UNKNOWN
from sssm.model import KeywordModel, ModelState
from training.amid_talk import no_talk, weighed
from training.carried import detach, restart
from training.examples import Batch
from training.recipe import Recipe
from training.steps import Step
from training.streams import NOTHING, StreamBatch
from training.vocabulary import BLANK, Vocabulary

FRAMES_A_WORD_MEAN = 10  # 100 ms
WORST = 0.03  # of a stream's frames, by which those without a keyword count


class Losses(NamedTuple):
    """Of one step; `total` is what is minimized, None is what the recipe leaves out."""

    total: Tensor
    clip: Tensor
    word: Tensor | None
    phone: Tensor | None
    stream: Tensor | None
    correct: Tensor  # share of clips whose class is right, as trained


class StreamState(NamedTuple):
    """What the streams of one loader's rows have heard."""

    model: ModelState
    talk: Tensor  # see `training.amid_talk`


class Objective(nn.Module):
    """A model, its auxiliary heads, and their losses.

    Args:
        model: to be trained.
        recipe: weights of the losses; 0 leaves a head out.
        log_prior: (classes,) how much more often than on average each class is drawn, in log.  The
            loss adds it to the logits (Menon et al. 2021, arXiv:2007.07314, eq. 10), so that the
            model itself answers as if all classes were drawn alike.
        vocabulary: what the heads' columns are.
    """

    def __init__(
        self, model: KeywordModel, recipe: Recipe, log_prior: Tensor, vocabulary: Vocabulary
    ):
        super().__init__()
        self.model, self.recipe = model, recipe
        self.log_prior: Tensor
        self.register_buffer("log_prior", log_prior)
        H, words = model.config.channels, len(vocabulary.words)
        self.word_head = nn.Linear(H, words) if recipe.word_weight and words else None
        self.phone_head = nn.Linear(H, vocabulary.phone_count) if recipe.phone_weight else None
        if self.phone_head is not None:  # most frames say nothing: start there, not at uniform
            nn.init.constant_(self.phone_head.bias[BLANK : BLANK + 1], 5.0)
        labels = model.config.labels
        self._keywords = sum(label not in (UNKNOWN, SILENCE) for label in labels)
        self._unknown = labels.index(UNKNOWN) if UNKNOWN in labels else None

    def init_state(self, rows: int) -> StreamState:
        """State of streams that have heard nothing."""
        return StreamState(self.model.init_state(rows), no_talk(rows, self.log_prior.device))

    def forward(self, step: Step, heard: StreamState | None) -> tuple[Losses, StreamState | None]:
        """Losses, and the streams' state after this step: the next step goes on from there."""
        clips = step.clips
        _, features, after = self.model.features(clips.samples, bandwidth_hz=clips.bandwidth_hz)
        logits = self.model.clip_logits(after) + self.log_prior
        total = clip = F.cross_entropy(logits, clips.label)
        word = phone = stream = None
        if self.word_head is not None:
            word = _word_loss(self.word_head(_means(features)), clips)
            total = total + self.recipe.word_weight * word
        if self.phone_head is not None:
            phone = _phone_loss(self.phone_head(features), clips)
            total = total + self.recipe.phone_weight * phone
        if step.stream is not None and heard is not None:
            frames, heard = self._listen(step.stream, heard)
            stream = _stream_loss(frames, step.stream.label, self._keywords)
            total = total + self.recipe.stream_weight * stream
        correct = (logits.argmax(dim=1) == clips.label).float().mean()
        return Losses(total, clip, word, phone, stream, correct), heard

    def _listen(self, stream: StreamBatch, heard: StreamState) -> tuple[Tensor, StreamState]:
        """Logits of the frames of a piece as a detector weighs them, and the state after it."""
        silence = self.init_state(stream.samples.shape[0])
        state, talk = restart(heard, silence, stream.fresh)
        logits, _, state = self.model.features(stream.samples, state, stream.bandwidth_hz)
        if self._unknown is not None:
            logits, talk = weighed(logits, self._keywords, self._unknown, talk)
        return logits, detach(StreamState(state, talk))


def _means(features: Tensor) -> Tensor:
    """(batch, frames, H) -> one mean each 100 ms."""
    whole = features.shape[1] // FRAMES_A_WORD_MEAN * FRAMES_A_WORD_MEAN
    return features[:, :whole].unflatten(1, (-1, FRAMES_A_WORD_MEAN)).mean(dim=2)


def _word_loss(logits: Tensor, clips: Batch) -> Tensor:
    """Cross-entropy of the word, where it is known: it may stand anywhere in the clip."""
    clip = torch.logsumexp(logits.float(), dim=1)
    losses = F.cross_entropy(clip, clips.word.clamp(min=0), reduction="none")
    return _mean_where(losses, clips.word >= 0)


def _phone_loss(logits: Tensor, clips: Batch) -> Tensor:
    """Connectionist temporal classification (Graves et al. 2006) where phones are known."""
    scores = F.log_softmax(logits.float(), dim=2).transpose(0, 1)  # (frames, batch, phones)
    frames = torch.full_like(clips.phone_count, scores.shape[0])
    losses = F.ctc_loss(
        scores, clips.phones, frames, clips.phone_count,
        blank=BLANK, reduction="none", zero_infinity=True,
    )  # fmt: skip
    return _mean_where(losses / clips.phone_count.clamp(min=1), clips.phone_count > 0)


def _stream_loss(logits: Tensor, label: Tensor, keywords: int) -> Tensor:
    """Loss of frames (batch, frames, classes): minus the log probability of what may be heard.

    That is a keyword from its end on; within it, it or no keyword; elsewhere no keyword, of which
    kind does not matter.  A keyword counts by the mean probability of its frames: it must be heard
    for a while, not all the time (as in Sun et al. 2016, arXiv:1705.02411, whose loss is that of
    the best frame).  The others count by the worst of them (Shrivastava et al. 2016,
    arXiv:1604.03540): a false alarm is one frame of a million, and in the mean of all it would not
    be seen.
    """
    column = torch.arange(logits.shape[2], device=logits.device)
    label = label[..., None]
    nothing = (column >= keywords) | (column == NOTHING - 1 - label)
    allowed = torch.where(label >= 0, column == label, nothing)
    log_p = F.log_softmax(logits.float(), dim=2).masked_fill(~allowed, -math.inf)
    log_p = torch.logsumexp(log_p, dim=2)
    is_keyword = label[..., 0] >= 0
    worst = -log_p.masked_fill(is_keyword, 0).flatten()
    worst = worst.topk(math.ceil(WORST * worst.numel())).values
    return _heard_loss(log_p, is_keyword) + worst.mean()


def _heard_loss(log_p: Tensor, is_keyword: Tensor) -> Tensor:
    """Mean over the keywords, runs of frames (batch, frames), of minus the log of the mean of p."""
    begins = is_keyword & ~F.pad(is_keyword, (1, -1))
    run = begins.flatten().cumsum(dim=0)  # 0 before the first
    p = log_p.exp().where(is_keyword, 0).flatten()
    frames = is_keyword.flatten().to(p.dtype)
    sums = p.new_zeros(2, len(p) + 1).index_add(1, run, torch.stack([p, frames]))
    mean = sums[0, 1:] / sums[1, 1:].clamp(min=1)
    return _mean_where(-mean.clamp(min=1e-30).log(), sums[1, 1:] > 0)


def _mean_where(losses: Tensor, counted: Tensor) -> Tensor:
    """Mean of the losses that count, 0 where none does; what does not count may be anything."""
    return losses.where(counted, 0).sum() / counted.sum().clamp(min=1)
