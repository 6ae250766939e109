"""What is known before a word is heard, in training: `sssm.talk` with gradients.

A word of a sentence is no mistake to be learned from any more, and whether `_unknown_` or
`_silence_` is heard before a word matters.
"""

import torch
from torch import Tensor

from sssm.talk import KEEPS, MOST, STAGES

CAUTION = 1  # amid talk, of a new model's detector


def weighed(logits: Tensor, keywords: int, unknown: int, talk: Tensor) -> tuple[Tensor, Tensor]:
    """Logits whose keywords are as likely as the talk before them lets them be, and the talk after.

    Args:
        logits: (rows, frames, classes), those of keywords first.
        keywords: how many these are.
        unknown: column of `_unknown_`.
        talk: (rows, memories, STAGES) after the frames before, zeros at first.
    """
    logits = logits.float()
    with torch.autocast(logits.device.type, enabled=False):  # a state is float32
        said, talk = _talk_at_frames(torch.softmax(logits, dim=2)[:, :, unknown], talk)
    prior = CAUTION * torch.log1p(-MOST * said).sum(dim=1)
    is_keyword = torch.arange(logits.shape[2], device=logits.device) < keywords
    return logits + prior[:, :, None] * is_keyword, talk


def no_talk(rows: int, device: torch.device) -> Tensor:
    """Of streams that have heard nothing."""
    return torch.zeros(rows, len(KEEPS), STAGES, device=device)


def _talk_at_frames(unknown: Tensor, talk: Tensor) -> tuple[Tensor, Tensor]:
    """Talk at every frame (rows, memories, frames) and after the last (rows, memories, STAGES)."""
    keep = torch.tensor(KEEPS, device=unknown.device)[:, None]
    n = torch.arange(unknown.shape[1], device=unknown.device)
    ago = n[:, None] - n
    weight = (1 - keep[:, None]) * keep[:, None] ** ago.clamp(min=0)
    mean = torch.where(ago >= 0, weight, 0)  # (memories, frames, frames) of frames, by row
    left = keep ** (n + 1)  # of what was before the first
    said, after = unknown[:, None].expand(-1, len(KEEPS), -1), []
    for before in talk.unbind(dim=2):
        now = torch.einsum("rms,mts->rmt", said, mean) + before[:, :, None] * left
        # The next stage hears it a frame later.
        said = torch.cat([before[:, :, None], now[:, :, :-1]], dim=2)
        after.append(now[:, :, -1])
    return now, torch.stack(after, dim=2)
