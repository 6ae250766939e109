"""The loop of `sssm record`: takes of a source's sound, judged, and kept or asked for anew."""

import errno
import math
from pathlib import Path
from typing import Protocol

from app.clips import write_new
from app.devices import MicrophoneError
from app.display import Lines, Reading
from app.ending import Ending, reader_watch
from app.sources import Piece, Source
from app.takes import NOISE_S, QUIET_DB, PieceCutter, Take, WordFinder, decibels
from app.terminal import shown
from sssm.audio import AudioError, Samples
from sssm.hearing import mixed
from sssm.labels import TALK_S, UNKNOWN, WORDLESS
from sssm.reason import reason_of

PIECE_S = 10.0  # of a take of noise or talk
SHORTEST_NOISE_S = 1.0
PATIENCE_S = 5.0  # without a word, after which the user is told so
MOST_FAULTS = 10  # in a row


class Cutter(Protocol):
    """What makes takes of sound."""

    sample_rate_hz: int

    @property
    def is_ready(self) -> bool:
        """Whether it waits for a word now."""

    def hear(self, samples: Samples) -> list[Take]:
        """Takes that the next (n,) samples complete."""

    def lose(self) -> list[Take]:
        """Takes that are spoilt where sound is missing."""

    def finish(self) -> list[Take]:
        """Takes that the end of the sound completes."""


class Recorder:
    """Some takes of one word, or of talk."""

    def __init__(
        self, source: Source, screen: Lines, word: str, folder: Path, takes: int, is_talk: bool
    ):
        self._source, self._screen = source, screen
        self._word, self._folder, self._takes = word, folder / word, takes
        self._is_talk = is_talk
        self._saved, self._faults = 0, 0
        self._is_asked = False
        self._peak = 0.0

    @property
    def summary(self) -> str:
        """One line of what there is now."""
        return f"{self._saved} of {self._takes} takes of {self._word!r} in {self._folder}"

    def failed_after(self, ending: Ending) -> bool:
        """Record until all takes are there, the source ends or the user does; whether it failed."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._source.start()
            self._record(ending)
        except (AudioError, MicrophoneError) as error:
            self._screen.note(str(error))
            return True
        except OSError as error:
            if error.filename is None:  # not of a take: of standard output, which has no name
                raise
            self._screen.note(f"{self._folder}: {reason_of(error)}")
            return True
        return self._faults >= MOST_FAULTS or self._saved == 0

    def _record(self, ending: Ending) -> None:
        gone = reader_watch()
        cutter, is_first = self._begun(), True
        while self._saved < self._takes and self._faults < MOST_FAULTS and not ending:
            if gone():
                raise BrokenPipeError(errno.EPIPE, "Broken pipe")
            try:
                piece = self._source.read()
            except AudioError:  # what came before is whole
                self._judge(cutter, cutter.finish())
                raise
            if piece is None:
                self._judge(cutter, cutter.finish())
                return
            self._tell_of(piece)
            if piece.fresh or piece.overflows:
                self._judge(cutter, cutter.lose())
            if piece.fresh and not is_first:
                self._judge(cutter, cutter.finish())
                cutter = self._begun()
            is_first = False
            if len(piece.samples) and not piece.is_after:
                x, _ = mixed(piece.samples)
                self._peak = max(self._peak, float(abs(x).max()))
                self._judge(cutter, cutter.hear(x))
            if cutter.is_ready and self._source.live:
                self._ask()
            self._draw()
        if ending and (self._is_talk or self._word in WORDLESS):  # a word may be cut in two
            self._judge(cutter, cutter.finish())

    def _begun(self) -> Cutter:
        """A new cutter, of which the user hears."""
        cutter = self._cutter()
        self._is_asked = False
        if not cutter.is_ready:
            self._screen.note("a moment of silence, please: measuring the noise")
        return cutter

    def _cutter(self) -> Cutter:
        """For the source's rate, which may change when a device comes back."""
        rate, live = self._source.sample_rate_hz, self._source.live
        if self._is_talk:
            return PieceCutter(rate, take_s=PIECE_S, shortest_s=TALK_S, quiet_db=QUIET_DB)
        if self._word in WORDLESS:
            return PieceCutter(rate, take_s=PIECE_S, shortest_s=SHORTEST_NOISE_S)
        return WordFinder(
            rate, noise_s=NOISE_S if live else 0.0, patience_s=PATIENCE_S if live else math.inf
        )

    def _judge(self, cutter: Cutter, takes: list[Take]) -> None:
        """Keep the good ones; say of the others what is wrong."""
        for take in takes:
            if self._saved == self._takes:
                return
            self._is_asked = self._is_talk and not take.fault  # nobody is to stop talking
            if take.fault:
                self._faults += 1
                self._screen.note(f"once more: {take.fault}" if self._source.live else take.fault)
                continue
            stem = f"{self._next_number():04}"
            path = write_new(self._folder, stem, take.samples, cutter.sample_rate_hz)
            self._saved += 1
            self._faults = 0
            self._screen.event(f"{shown(str(path))}  {take.word_s:.2f} s  {take.peak_db:.0f} dB")

    def _next_number(self) -> int:
        """After the last that is there, so that takes can be added another day."""
        stems = [path.stem for path in self._folder.glob("*.wav")]
        return max((int(stem) for stem in stems if stem.isdecimal()), default=0) + 1

    def _ask(self) -> None:
        if self._is_asked or self._saved == self._takes:
            return
        self._is_asked = True
        what = f'say "{self._word}"'
        if self._is_talk:
            what = "talk, read aloud or turn on a radio, but none of your words"
        elif self._word == UNKNOWN:
            what = "say any other word"
        elif self._word in WORDLESS:
            what = f"{PIECE_S:g} s of whatever is to be heard, but no word"
        self._screen.note(f"take {self._saved + 1} of {self._takes}: {what}")

    def _tell_of(self, piece: Piece) -> None:
        for note in piece.notes:
            self._screen.note(note)
        if piece.overflows:
            self._screen.note("overflow: some sound was lost")

    def _draw(self) -> None:
        if self._screen.wants_readings:
            peak, self._peak = self._peak, 0.0
            heading = f"{self._source.name}, {self._saved} of {self._takes} takes"
            self._screen.show(Reading(heading, decibels(peak), []))
