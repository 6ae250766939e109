"""The loss: the clip's class, and in training alone its word and its phones."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sssm.model import KeywordModel
from training.examples import Batch
from training.vocabulary import BLANK

FRAMES_A_WORD_MEAN = 10  # 100 ms


class Losses(NamedTuple):
    """Of one batch; `total` is what is minimized."""

    total: Tensor
    clip: Tensor
    word: Tensor
    phone: Tensor
    correct: Tensor  # share of clips whose class is right, as trained


class Objective(nn.Module):
    """A model, its auxiliary heads, and their losses.

    Args:
        model: to be trained.
        log_prior: (classes,) how much more often than on average each class is drawn, in log.  The
            loss adds it to the logits (Menon et al. 2021, arXiv:2007.07314, eq. 10), so that the
            model itself answers as if all classes were drawn alike.
        words, phones: columns of the auxiliary heads.
        word_weight, phone_weight: of their losses.
    """

    def __init__(
        self,
        model: KeywordModel,
        log_prior: Tensor,
        *,
        words: int,
        phones: int,
        word_weight: float,
        phone_weight: float,
    ):
        super().__init__()
        self.model = model
        self.register_buffer("log_prior", log_prior)
        self.word_weight, self.phone_weight = word_weight, phone_weight
        H = model.config.channels
        self.word_head = nn.Linear(H, words) if word_weight else None
        self.phone_head = nn.Linear(H, phones) if phone_weight else None
        if self.phone_head is not None:  # most frames say nothing: start there, not at uniform
            nn.init.constant_(self.phone_head.bias[BLANK : BLANK + 1], 5.0)

    def forward(self, batch: Batch) -> Losses:
        _, features, state = self.model.features(
            batch.samples, bandwidth_hz=batch.bandwidth_hz
        )
        logits = self.model.clip_logits(state) + self.log_prior
        clip = F.cross_entropy(logits, batch.label)
        word, phone = self._word_loss(features, batch), self._phone_loss(features, batch)
        total = clip + self.word_weight * word + self.phone_weight * phone
        correct = (logits.argmax(dim=1) == batch.label).float().mean()
        return Losses(total, clip.detach(), word.detach(), phone.detach(), correct)

    def _word_loss(self, features: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy of the word, where it is known: it may stand anywhere in the clip."""
        if self.word_head is None:
            return features.new_zeros(())
        whole = features.shape[1] // FRAMES_A_WORD_MEAN * FRAMES_A_WORD_MEAN
        means = features[:, :whole].unflatten(1, (-1, FRAMES_A_WORD_MEAN)).mean(dim=2)
        logits = torch.logsumexp(self.word_head(means), dim=1)
        losses = F.cross_entropy(logits, batch.word.clamp(min=0), reduction="none")
        known = batch.word >= 0
        return (losses * known).sum() / known.sum().clamp(min=1)

    def _phone_loss(self, features: Tensor, batch: Batch) -> Tensor:
        """Connectionist temporal classification (Graves et al. 2006) where phones are known."""
        if self.phone_head is None:
            return features.new_zeros(())
        known = batch.phone_count > 0
        scores = F.log_softmax(self.phone_head(features), dim=2).transpose(0, 1)  # (frames, ..)
        frames = torch.full_like(batch.phone_count, scores.shape[0])
        losses = F.ctc_loss(
            scores, batch.phones, frames, batch.phone_count,
            blank=BLANK, reduction="none", zero_infinity=True,
        )  # fmt: skip
        return (losses / batch.phone_count.clamp(min=1) * known).sum() / known.sum().clamp(min=1)
