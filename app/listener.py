"""The loop of a listener: sound from a source into the spotter, events and warnings out."""

import errno
import json
import math
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime

import numpy as np

from app.clips import Clips
from app.display import LOWEST_DB, Lines, Reading
from app.events import capped
from app.hooks import Hook
from app.sources import Piece, Source
from app.terminal import aligned, counted, forget_output, shown
from sssm.audio import Samples
from sssm.detector import Detection
from sssm.hearing import Health, mixed
from sssm.reason import reason_of
from sssm.spotter import KeywordSpotter
from sssm.timing import FRAMES_HZ

SILENT_S = 3.0  # of nothing but zeros, after which a microphone is said to be mute
CLIPPED_SAMPLES = 3  # in one piece: more than a click of the plug
QUIET_NOTES_S = 10.0  # between two notes of one kind


class Listener:
    """Listens until its source ends or it is told to.

    Attributes:
        heard_s: seconds of sound so far.
        failed: whether some of the work did.
    """

    def __init__(
        self,
        source: Source,
        spotter: KeywordSpotter,
        screen: Lines,
        *,
        clips: Clips | None = None,
        hook: Hook | None = None,
        as_json: bool = False,
    ):
        self._source, self._spotter, self._screen = source, spotter, screen
        self._clips, self._hook, self._as_json = clips, hook, as_json
        self._width = max(map(len, spotter.keywords), default=0)
        self.failed = False
        self._detections: Counter[str] = Counter()
        self.heard_s = self._before_s = self._busy_s = self._lost_s = 0.0
        self._overflows = self._clipped = self._zeros = self._unsaved = 0
        self._peak = 0.0
        self._told_s: dict[str, float] = {}  # kind of note -> when last
        self._warm_hz: set[int] = set()
        self._begin()

    def run(self, is_over: Callable[[], bool], reader_has_gone: Callable[[], bool]) -> None:
        """Listen.

        Raises:
            BrokenPipeError: nobody reads the events any more.
            MicrophoneError: the source cannot be started.
            AudioError: the recording is damaged from here on, or held no sound.
            ModelFileError: the model cannot hear the rate at which a device came back.
        """
        self._source.start()
        if self._source.live:
            name, rate = self._source.name, self._source.sample_rate_hz
            self._screen.note(f"listening to {name} at {rate} Hz; Ctrl-C ends it")
        while not is_over():
            if reader_has_gone():
                raise BrokenPipeError(errno.EPIPE, "Broken pipe")
            piece = self._source.read()
            if piece is None:
                return
            self._take(piece)
            if self._hook is not None:
                self._hook.reap()
            if self._screen.wants_readings:
                self._screen.show(self._reading())

    def close(self) -> None:
        """Finish what was begun: files, and the user's commands."""
        self._save(complete=False)
        if self._hook is not None:
            self._hook.close()
            self.failed |= self._hook.failures > 0

    @property
    def summary(self) -> str:
        """One line of what was heard."""
        words = ", ".join(f"{shown(word)} {n}" for word, n in self._detections.most_common())
        total = self._detections.total()
        parts = [
            f"heard {self.heard_s:.1f} s",
            counted(total, "detection") + (f" ({words})" if words else ""),
            counted(self._overflows, "overflow"),
            f"real-time factor {self._busy_s / self.heard_s:.3f}" if self.heard_s else "",
            f"{self._lost_s:.1f} s of sound lost" if self._lost_s else "",
            counted(self._clipped, "clipped sample") if self._clipped else "",
            f"{counted(self._unsaved, 'detection')} not saved" if self._unsaved else "",
        ]
        return "; ".join(part for part in parts if part)

    def _begin(self) -> None:
        """A new stream: what was heard before is over."""
        rate = self._source.sample_rate_hz
        if rate not in self._warm_hz:  # loops are compiled when they first run, not at a word
            self._warm_hz.add(rate)
            stream = self._spotter.stream(rate)
            for samples in (rate // FRAMES_HZ, rate // FRAMES_HZ, rate // 4):
                stream.push(np.zeros(samples, np.float32))
        self._save(complete=False)
        if self._clips is not None:
            self._clips.begin(rate)
        self._stream = self._spotter.stream(rate)
        self._before_s = self.heard_s
        self._zeros = 0

    def _take(self, piece: Piece) -> None:
        for note in piece.notes:
            self._screen.note(note)
        if piece.fresh:
            self._begin()
        if piece.overflows:
            self._overflows += piece.overflows
            self._lost_s += piece.lost_s
            total = f", {self._lost_s:.2f} s of sound lost" if self._lost_s else ""
            self._note("overflow", f"{counted(self._overflows, 'overflow')} so far{total}")
        if piece.is_after:
            for detection in self._stream.push(piece.samples):
                self._say(capped(detection, self.heard_s - self._before_s))
        elif len(piece.samples):
            self._hear(*mixed(piece.samples))

    def _hear(self, x: Samples, wrong: Health) -> None:
        """The next (n,) samples, and what was wrong with them."""
        start_s = time.perf_counter()
        detections = self._stream.push(x)
        self._busy_s += time.perf_counter() - start_s
        self.heard_s = self._before_s + self._stream.time_s
        for detection in detections:
            self._say(detection)
        if self._clips is not None:
            self._clips.hear(x)
            self._save(complete=True)
        self._peak = max(self._peak, float(np.abs(x).max()))
        self._warn(x, wrong)

    def _say(self, detection: Detection) -> None:
        """To the user's command, into a file, and last on the screen, which may be gone."""
        now = datetime.now().astimezone()
        event = {
            "keyword": detection.keyword,
            "start_s": round(self._before_s + detection.start_s, 6),
            "time_s": round(self._before_s + detection.time_s, 6),
            "score": detection.score,
            "at": now.isoformat(timespec="milliseconds"),
        }
        self._detections[detection.keyword] += 1
        if self._hook is not None:
            self._hook.run(event)
        if self._clips is not None:
            word = "".join(c if c.isalnum() or c in "-_" else "-" for c in detection.keyword)
            stem = f"{now:%Y%m%d-%H%M%S}.{now.microsecond // 1000:03}_{word}"
            self._clips.expect(stem, detection.start_s, detection.time_s)
        self._show(event)

    def _show(self, event: dict[str, object]) -> None:
        """A line of the answer; where that cannot be written, files and commands go on."""
        try:
            self._screen.event(json.dumps(event) if self._as_json else self._line(event))
        except BrokenPipeError:
            raise
        except OSError as error:
            if self._hook is None and self._clips is None:
                raise
            forget_output()
            self.failed = True
            self._screen.note(f"standard output: {reason_of(error)}; the listening goes on")

    def _line(self, event: dict[str, object]) -> str:
        cells = [f"{event['time_s']:9.2f} s", shown(str(event["keyword"])), f"{event['score']:.3f}"]
        return aligned(cells, [0, self._width, 0])

    def _save(self, *, complete: bool) -> None:
        """Write the files that can be written; a full disk must not end the listening."""
        if self._clips is None:
            return
        save = self._clips.write if complete else self._clips.finish
        while True:
            try:
                save()
                return
            except OSError as error:  # that one is given up, and there may be more
                self.failed = True
                self._unsaved += 1
                where = self._clips.folder
                self._note("clip", f"{where}: a detection was not saved: {reason_of(error)}")

    def _warn(self, x: Samples, wrong: Health) -> None:
        self._clipped += wrong.clipped_samples
        if not self._source.live:
            return
        if wrong.clipped_samples >= CLIPPED_SAMPLES:
            self._note("clipping", f"clipping: {self._source.name} is too loud; lower its level")
        said = self._zeros > SILENT_S * self._stream.sample_rate_hz
        self._zeros = self._zeros + len(x) if wrong.silent_samples == len(x) else 0
        if self._zeros > SILENT_S * self._stream.sample_rate_hz and not said:
            self._screen.note(f"{self._source.name} gives only zeros: muted?")

    def _note(self, kind: str, line: str) -> None:
        """Tell, unless the same was told a moment ago."""
        now_s = time.monotonic()
        if now_s - self._told_s.get(kind, -math.inf) >= QUIET_NOTES_S:
            self._told_s[kind] = now_s
            self._screen.note(line)

    def _reading(self) -> Reading:
        peak, self._peak = self._peak, 0.0
        return Reading(
            f"{self._source.name}, {self._source.sample_rate_hz} Hz, {self.heard_s:.0f} s, "
            f"{counted(self._overflows, 'overflow')}",
            20 * math.log10(peak) if peak > 0 else LOWEST_DB,
            [
                (keyword, score, threshold)
                for (keyword, threshold), score in zip(
                    self._spotter.thresholds.items(), self._stream.smoothed.tolist(), strict=True
                )
            ],
        )
