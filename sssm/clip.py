"""A whole recording's one answer, from the logits of its frames: see `sssm.layers.clip`.

The same numbers as the layer's, without torch, from whatever engine runs the model.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from sssm.audio import Samples
from sssm.engines.engine import Engine, Logits, softmax
from sssm.timing import FRAMES_A_MEAN, frame_end, frames_within

FRAMES_A_RUN = 64  # of the engine, so that a long recording takes no more memory


class ClipAnswer:
    """Log-mean-exp over time of 50 ms means of the logits, plus each label's offset.

    It hears one recording, piece by piece.

    Args:
        offset: of every label.
    """

    def __init__(self, offset: tuple[float, ...]):
        self._offset = np.array(offset, np.float64)
        self._waiting = np.zeros((0, len(offset)))  # logits of the unfinished mean
        self._sum = np.full(len(offset), -np.inf)  # log-sum-exp of the means so far
        self._heard = False

    def listen(self, logits: Logits) -> None:
        """More frames, (frames, classes)."""
        rows = np.concatenate([self._waiting, logits])
        whole = len(rows) // FRAMES_A_MEAN
        means = rows[: whole * FRAMES_A_MEAN].reshape(whole, FRAMES_A_MEAN, rows.shape[1])
        for mean in means.mean(axis=1):
            self._sum = np.logaddexp(self._sum, mean)
        self._waiting = rows[whole * FRAMES_A_MEAN :]
        self._heard |= len(logits) > 0

    def scores(self) -> NDArray[np.float64]:
        """(classes,) probabilities for what was heard; an unfinished mean counts as one.

        Raises:
            ValueError: no frame was heard.
        """
        if not self._heard:
            raise ValueError("a clip has no answer before its first frame of 10 ms")
        total = self._sum
        if len(self._waiting):
            total = np.logaddexp(total, self._waiting.mean(axis=0))
        return softmax(total + self._offset)  # the number of means would shift all labels alike


def clip_scores(
    engine: Engine, offset: tuple[float, ...], pieces: Iterable[Samples], sample_rate_hz: int
) -> NDArray[np.float64]:
    """(classes,) probabilities for one recording, in constant memory.

    Args:
        engine: at the rate of the recording.
        offset: of every label.
        pieces: of shape (samples,); less than one frame of 10 ms is padded with zeros to one.
        sample_rate_hz: of the recording.
    """
    answer, state = ClipAnswer(offset), engine.init_state(1)
    waiting, frames = np.zeros(0, np.float32), 0
    for piece in pieces:
        waiting = np.concatenate([waiting, piece])
        while True:
            start = frame_end(frames, sample_rate_hz)
            whole = frames_within(start + len(waiting), sample_rate_hz) - frames
            count = min(whole, FRAMES_A_RUN)
            if count < 1:
                break
            end = frame_end(frames + count, sample_rate_hz) - start
            _, logits, state = engine.run(waiting[None, :end], start, state)
            answer.listen(logits[0])
            waiting, frames = waiting[end:], frames + count
    if frames == 0:
        size = frame_end(1, sample_rate_hz)
        waiting = np.concatenate([waiting, np.zeros(size - len(waiting), np.float32)])
        answer.listen(engine.run(waiting[None], 0, state).logits[0])
    return answer.scores()
