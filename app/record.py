"""`sssm record`: takes of one's own words, a folder a word, as training reads them."""

import errno
import math
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from app.ending import Ending, asked_to_end, native_messages_hidden, reader_watch
from app.listen import Device, Input, open_source
from app.terminal import INPUT_FAILED, refuse, shown, tell
from sssm.labels import BACKGROUND, TALK_S, UNKNOWN, WORDLESS
from sssm.reason import reason_of

if TYPE_CHECKING:
    from app.display import Lines
    from app.sources import Piece, Source
    from app.takes import Take
    from sssm.audio import Samples

TAKES = 10  # unless told
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

    def hear(self, samples: "Samples") -> list["Take"]:
        """Takes that the next (n,) samples complete."""

    def lose(self) -> list["Take"]:
        """Takes that are spoilt where sound is missing."""

    def finish(self) -> list["Take"]:
        """Takes that the end of the sound completes."""


def record(
    word: Annotated[
        str,
        typer.Argument(
            metavar="WORD",
            help="What is said; _unknown_ for other words, _background_noise_ for no word.",
        ),
    ],
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Takes go to DIR/WORD/0001.wav on.")],
    takes: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="How many; 10 without --minutes.")
    ] = None,
    minutes: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="M", help="So much talk into _unknown_, or noise, in pieces of 10 s."
        ),
    ] = None,
    device: Device = None,
    input_file: Input = None,
) -> None:
    """Record takes of a word, trimmed and checked, to train a model."""
    from app.display import display

    if fault := _not_a_name(word) or _not_of_minutes(word, takes, minutes):
        refuse(f"{word!r} {fault}")
    is_talk = minutes is not None and word == UNKNOWN
    if minutes is not None:
        takes = math.ceil(60 * minutes / PIECE_S)
    with native_messages_hidden():
        source = open_source(device, input_file, real_time=False)
        with closing(source), asked_to_end() as ending:
            with display(as_json=False) as screen:
                recorder = Recorder(source, screen, word, Path(folder), takes or TAKES, is_talk)
                failed = recorder.failed_after(ending)
            tell(recorder.summary)
    if ending.code:
        raise typer.Exit(ending.code)
    if failed:
        raise typer.Exit(INPUT_FAILED)


class Recorder:
    """Some takes of one word, or of talk."""

    def __init__(
        self, source: "Source", screen: "Lines", word: str, folder: Path, takes: int, is_talk: bool
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
        from app.devices import MicrophoneError
        from sssm.audio import AudioError

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
        from sssm.audio import AudioError
        from sssm.hearing import mixed

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
        from app.takes import NOISE_S, QUIET_DB, PieceCutter, WordFinder

        rate, live = self._source.sample_rate_hz, self._source.live
        if self._is_talk:
            return PieceCutter(rate, take_s=PIECE_S, shortest_s=TALK_S, quiet_db=QUIET_DB)
        if self._word in WORDLESS:
            return PieceCutter(rate, take_s=PIECE_S, shortest_s=SHORTEST_NOISE_S)
        return WordFinder(
            rate, noise_s=NOISE_S if live else 0.0, patience_s=PATIENCE_S if live else math.inf
        )

    def _judge(self, cutter: Cutter, takes: list["Take"]) -> None:
        """Keep the good ones; say of the others what is wrong."""
        from app.clips import write_new

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

    def _tell_of(self, piece: "Piece") -> None:
        for note in piece.notes:
            self._screen.note(note)
        if piece.overflows:
            self._screen.note("overflow: some sound was lost")

    def _draw(self) -> None:
        if self._screen.wants_readings:
            from app.display import Reading
            from app.takes import decibels

            peak, self._peak = self._peak, 0.0
            heading = f"{self._source.name}, {self._saved} of {self._takes} takes"
            self._screen.show(Reading(heading, decibels(peak), []))


def _not_a_name(word: str) -> str:
    """Why a word cannot be a folder's name on every system; nothing where it can."""
    if word.startswith("_") and word not in (*WORDLESS, UNKNOWN):
        return f"is no word: of the names with _ there are {', '.join((UNKNOWN, *WORDLESS))}"
    if not word or word != word.strip() or word.startswith(".") or word.endswith("."):
        return "is no word: an empty name, or one with a space or a point at its edge"
    if any(c in '/\\<>:"|?*' or not c.isprintable() for c in word):
        return "is no word: it has a character that a folder's name cannot have"
    return ""


def _not_of_minutes(word: str, takes: int | None, minutes: int | None) -> str:
    """Why it cannot be recorded for so long; nothing where it can, or no minutes are given."""
    if minutes is None:
        return ""
    if word not in (UNKNOWN, *WORDLESS):
        return f"is recorded in takes: --minutes is for {UNKNOWN} and {BACKGROUND}"
    return "" if takes is None else "is recorded for --minutes or in --takes, not both"
