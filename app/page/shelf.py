"""The models that a page offers, by name: loaded when first asked for, shared by all visitors."""

import contextlib
import threading
from pathlib import Path

import numpy as np

from sssm.calibration import logistic, logit
from sssm.classifier import Classifier
from sssm.live import JOIN, find_live, live_models, members_of
from sssm.spotter import KeywordSpotter
from sssm.thresholds import read_thresholds
from sssm.weights import ModelFileError

MOST_SENSITIVE = 3.0  # in logits, either way


class Shelf:
    """Models by name, as spotters and classifiers.  A visitor names a model, never a file.

    Args:
        first: name of a shipped model, or a file, or some of them joined by `+`; the model that a
            visitor meets first.
        thresholds: file of that model's; None for its own.

    Raises:
        ValueError: there is no such model or file, or it is damaged, or not of this model.
    """

    def __init__(self, first: str, thresholds: str | None = None):
        shipped, members = live_models(), members_of(first)
        name = JOIN.join(part if part in shipped else Path(part).stem for part in members)
        self._files = {name: [find_live(part) for part in members]} | {
            other: [path] for other, path in shipped.items() if other != name
        }
        spotter = KeywordSpotter.load(self._files[name])
        if thresholds is not None:
            chosen = read_thresholds(
                thresholds, fingerprint=spotter.fingerprint, keywords=spotter.keywords
            )
            spotter = spotter.with_settings(thresholds=chosen)
        self._spotters = {name: spotter}
        self._classifiers: dict[str, Classifier] = {}
        self._lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        return list(self._files)

    def files(self, name: str) -> list[Path]:
        """Of one model, or of those that listen as one.

        Raises:
            ValueError: one line, where the page offers no such model.
        """
        if name not in self._files:
            raise ValueError(f"no model {name!r} here (models: {', '.join(self._files)})")
        return self._files[name]

    def spotter(self, name: str, sensitivity: float = 0.0) -> KeywordSpotter:
        """The model with the logit of every threshold lower by the sensitivity.

        Raises:
            ValueError: no such model, one that is damaged, or a sensitivity out of bounds.
        """
        if not isinstance(sensitivity, (int, float)):  # a program may send anything
            raise ValueError(f"sensitivity must be a number, got {sensitivity!r}")
        if not -MOST_SENSITIVE <= sensitivity <= MOST_SENSITIVE:
            bounds = f"{-MOST_SENSITIVE} to {MOST_SENSITIVE}"
            raise ValueError(f"sensitivity must be from {bounds}, got {sensitivity!r}")
        files = self.files(name)
        with self._lock:
            if name not in self._spotters:
                self._spotters[name] = KeywordSpotter.load(files)
            spotter = self._spotters[name]
        if not sensitivity:
            return spotter
        lower = {word: _shifted(x, -sensitivity) for word, x in spotter.thresholds.items()}
        return spotter.with_settings(thresholds=lower)

    def classifier(self, name: str) -> Classifier:
        """What names the one word of a recording.

        Raises:
            ValueError: no such model, or one that is damaged; one line.
        """
        files = self.files(name)
        with self._lock:
            if name not in self._classifiers:
                self._classifiers[name] = Classifier.load(files)
            return self._classifiers[name]

    def warm_up(self) -> None:
        """Compile what the first visitor would wait for."""
        spotter = self.spotter(self.names[0])
        for rate in (44_100, 48_000):
            with contextlib.suppress(ModelFileError):  # it hears another rate alone
                spotter.stream(rate).push(np.zeros(rate // 10, np.int16))


def _shifted(threshold: float, logits: float) -> float:
    """1 has no logit, and stays."""
    return 1.0 if threshold == 1 else logistic(logit(threshold) + logits)
