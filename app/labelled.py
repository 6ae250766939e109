"""Recordings in which it is known what is said, heard once and counted at any thresholds."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from app.events import Heard, heard_out
from app.progress import ScanProgress, progress_of
from app.recordings import listed, replaced
from app.terminal import refuse, tell
from sssm.labels import spelled

if TYPE_CHECKING:
    from sssm.calibration import Counts
    from sssm.spotter import KeywordSpotter
    from sssm.traces import Fired, Trace


class LabelledRecordings:
    """What was heard of one's recordings, and what could not be.

    Attributes:
        negatives: scores of recordings without a keyword.
        positives: scores of those with one.
        hours: of the recordings without a keyword.
        said: number of a recording of `positives` -> its keyword.
        failures: a line each.
    """

    def __init__(self, spotter: "KeywordSpotter"):
        from sssm.calibration import LOWEST
        from sssm.traces import Traces

        self.spotter = spotter
        self.negatives = Traces(spotter.detector, LOWEST)
        self.positives = Traces(spotter.detector, LOWEST)
        self.hours = 0.0
        self.said: dict[int, str] = {}
        self.failures: list[str] = []

    def listen(self, files: Sequence[tuple[str, str | None]]) -> None:
        """Hear files, each with the keyword that is said in it, or with None."""
        from sssm.audio import AudioError

        with progress_of([path for path, _ in files]) as progress:
            for number, (path, keyword) in enumerate(files):
                traces = self.negatives if keyword is None else self.positives
                recording, trace = len(traces.frames), traces.begin()
                try:
                    self._hear(path, keyword, trace, number, progress)
                except AudioError as error:  # what was heard until there counts as background
                    self.failures.append(str(error))
                else:
                    if keyword is not None:
                        self.said[recording] = keyword
                progress.put(number, None)

    def _hear(
        self, path: str, keyword: str | None, trace: "Trace", number: int, progress: ScanProgress
    ) -> None:
        from sssm.audio import AudioFile
        from sssm.live import at_rate_of

        with AudioFile(path) as audio:
            stream, before = at_rate_of(audio, self.spotter.stream), self.hours
            for samples, is_after in heard_out(audio):
                trace.push(stream.push_scores(samples))
                progress.put(number, Heard(audio.heard_s, audio.replaced_samples, is_after))
                if keyword is None:
                    sound = audio.heard_samples - audio.replaced_samples
                    self.hours = before + sound / audio.sample_rate_hz / 3_600
        if audio.replaced_samples:
            tell(replaced(path, audio.replaced_samples))

    def false_accepts(self, fired: "Sequence[Fired]") -> "Counts":
        """(keywords,) of detections in the negatives."""
        import numpy as np

        heard = [event.keyword for event in fired]
        return np.array([heard.count(keyword) for keyword in self.spotter.keywords])

    def misses(self, fired: "Sequence[Fired]") -> "Counts":
        """(keywords,) recordings of each in which it was not heard."""
        import numpy as np

        found = {(event.recording, event.keyword) for event in fired}
        missed = [keyword for n, keyword in self.said.items() if (n, keyword) not in found]
        return np.array([missed.count(keyword) for keyword in self.spotter.keywords])

    def count(self, thresholds: Mapping[str, float]) -> "tuple[Counts, Counts]":
        """False accepts and misses, as live."""
        return (
            self.false_accepts(self.negatives.fired(thresholds)),
            self.misses(self.positives.fired(thresholds)),
        )


def of_keywords(folder: str | None, heard: LabelledRecordings) -> list[tuple[str, str | None]]:
    """Recordings of `folder` with their keywords, by the names of its folders."""
    if folder is None:
        return []
    keywords = heard.spotter.keywords
    found: list[tuple[str, str | None]] = []
    for keyword in keywords:
        named = [name for name in _folders(folder) if spelled(name) in folder_names(keyword)]
        files, failures = listed([str(Path(folder, name)) for name in named])
        heard.failures += failures
        found += [(path, keyword) for path in files]
    if not found:
        # Before hours of recordings are heard for nothing.
        known = ", ".join(keywords)
        refuse(f"{folder}: no recording in a folder named by a keyword ({known})")
    return found


def folder_names(keyword: str) -> set[str]:
    """Those of a folder in which it is said: a phrase has spaces there, or `_`."""
    return {spelled(keyword), spelled(keyword).replace(" ", "_")}


def left_out(folder: str, keywords: Sequence[str]) -> list[str]:
    """Folders of words that are no keyword; not those of `_unknown_` and the like."""
    known = {name for keyword in keywords for name in folder_names(keyword)}
    words = [name for name in _folders(folder) if not name.startswith(("_", "."))]
    return [word for word in words if spelled(word) not in known]


def _folders(folder: str) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir())
