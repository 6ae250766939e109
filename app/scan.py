"""`sssm scan`: which keywords, and when, in recordings of any length.

Decided here: the order of what is found, which is that of the files whichever is heard first, and
that nothing found is lost: an event is printed and in the file as soon as its turn comes.
"""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import closing, contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeAlias

import typer

from app.ending import asked_to_end
from app.event_file import Event, EventFile, check_name
from app.events import Heard, events
from app.outputs import keep_inputs
from app.pool import MOST_PROCESSES, InOrder, arrivals, cores, one_thread
from app.progress import progress_of
from app.recordings import Paths, listed, replaced, width_of
from app.spotting import Model, Refractory, Threshold, Thresholds, load_spotter
from app.terminal import (
    INPUT_FAILED,
    aligned,
    bold,
    counted,
    fail,
    forget_output,
    refuse,
    say,
    shown,
    tell,
)
from sssm.interrupt import CTRL_C
from sssm.reason import reason_of

if TYPE_CHECKING:
    from sssm.audio import AudioError
    from sssm.spotter import KeywordSpotter

BYTES_A_PROCESS = 8_000_000  # fewer are not worth the time that a process needs to start


class Options(NamedTuple):
    """From which a process makes the spotter that its parent has made and found in order."""

    model: str
    threshold: tuple[str, ...]
    thresholds: str | None
    refractory_ms: float | None


class Note(NamedTuple):
    """One line about a recording that was heard to its end all the same."""

    line: str


class Stretch(NamedTuple):
    """Some more seconds of a recording: one message, so that Ctrl-C finds all of it or nothing."""

    events: list[Event]
    heard: Heard


Message: TypeAlias = "Stretch | Note | AudioError"


def scan(
    paths: Paths,
    out: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Also write the events to a .csv, .json or .jsonl file."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line for each event.")
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help=f"Processes; by default one a core, at most {MOST_PROCESSES}."
        ),
    ] = None,
    model: Model = "s4",
    threshold: Threshold = None,
    thresholds: Thresholds = None,
    refractory_ms: Refractory = None,
) -> None:
    """Find keywords, and when, in recordings of any length."""
    from sssm.live import members_of

    if out is not None:
        try:
            check_name(out)
        except ValueError as error:
            refuse(f"--out {error}")
    options = Options(model, tuple(threshold or ()), thresholds, refractory_ms)
    spotter = load_spotter(*options)
    one_thread()
    files, unlisted = listed(paths)
    if out is not None:
        keep_inputs(out, [*files, thresholds, *members_of(model)])
    widths = width_of(files), max(len(shown(keyword)) for keyword in spotter.keywords)
    processes = _processes(files, jobs)
    work: Callable[[str], Iterator[Message]] = partial(_heard_in, spotter)
    if processes > 1:
        work = partial(_heard_by, options)
    with _opened(out) as file:
        report = _Report(file, widths, as_json=as_json, failures=unlisted)
        stopped = _scan_all(files, work, processes, report)
    if stopped:
        raise typer.Exit(CTRL_C)
    if report.failed:
        raise typer.Exit(INPUT_FAILED)


class _Report:
    """Prints what is found, writes it to the file, and remembers what failed."""

    def __init__(
        self,
        file: EventFile | None,
        widths: tuple[int, int],
        *,
        as_json: bool,
        failures: Sequence[str],
    ):
        self._file, self._widths, self._as_json = file, widths, as_json
        self._failures = list(failures)
        self._events = 0
        self.failed = bool(failures)
        if file is not None:
            self._written(file.start)

    def take(self, message: Message) -> None:
        if isinstance(message, Stretch):
            for event in message.events:
                self._take_event(event)
        elif isinstance(message, Note):
            tell(message.line)
        else:
            self.fail(str(message))

    def fail(self, line: str) -> None:
        """To be said at the end, where it is seen."""
        self._failures.append(line)
        self.failed = True

    def end(self, heard_s: float, files: int, *, stopped: bool) -> None:
        for line in self._failures:
            tell(line)
        start = "stopped after" if stopped else "heard"
        end = f"; {counted(len(self._failures), 'failure')}" if self._failures else ""
        recordings, events = counted(files, "recording"), counted(self._events, "event")
        tell(f"{start} {heard_s:,.1f} s of {recordings}: {events}{end}")

    def _take_event(self, event: Event) -> None:
        self._events += 1
        if self._file is not None:  # first, since nobody may read what is printed
            self._written(partial(self._file.write, event))
        try:
            say(event.as_json() if self._as_json else _row(event, self._widths))
        except OSError as error:
            if self._file is None:
                raise
            forget_output()
            if not isinstance(error, BrokenPipeError):  # which is how a reader leaves
                tell(
                    f"standard output: {reason_of(error)}; the scan goes on into {self._file.path}"
                )
                self.failed = True

    def _written(self, write: Callable[[], None]) -> None:
        """A full disk ends the file, not the scan: what comes is still printed."""
        try:
            write()
        except OSError as error:
            assert self._file is not None
            tell(f"--out {self._file.path}: {reason_of(error)}; it ends here, the scan goes on")
            self._file, self.failed = None, True


def _scan_all(
    files: list[str],
    work: Callable[[str], Iterator[Message]],
    processes: int,
    report: _Report,
) -> bool:
    """Hear all the files; returns whether Ctrl-C ended it."""
    order: InOrder[Message] = InOrder()
    with asked_to_end(by=[signal.SIGINT]) as ending, progress_of(files) as progress:
        try:
            with closing(arrivals(work, files, processes, lambda: bool(ending))) as coming:
                for number, message in coming:
                    progress.put(number, message.heard if isinstance(message, Stretch) else message)
                    if isinstance(message, Stretch) and not message.events:
                        continue  # nothing that would have to wait
                    for passed in order.put(number, message):
                        report.take(passed)
        except BrokenExecutor:
            report.fail("a process that heard files has died: out of memory?")
        finally:
            for held in order.rest():
                report.take(held)
    report.end(progress.heard_s, len(files), stopped=bool(ending))
    return bool(ending)


def _heard_in(spotter: "KeywordSpotter", path: str) -> Iterator[Message]:
    """All there is to say of one recording; its end is never an exception."""
    from sssm.audio import AudioError

    found: list[Event] = []
    replaced_samples = 0
    try:
        for event in events(spotter.stream, path):
            if isinstance(event, Heard):
                replaced_samples = event.replaced_samples
                yield Stretch(found, event)
                found = []
            else:
                found.append(Event(path, event.keyword, event.start_s, event.time_s, event.score))
    except AudioError as error:
        yield error
        return
    if replaced_samples:
        yield Note(replaced(path, replaced_samples))


@cache
def _spotter(options: Options) -> "KeywordSpotter":
    spotter = load_spotter(*options)
    one_thread()
    return spotter


def _heard_by(options: Options, path: str) -> Iterator[Message]:
    """In a process of its own."""
    return _heard_in(_spotter(options), path)


def _processes(files: list[str], jobs: int | None) -> int:
    """As many as the user wants, or as are worth their start; never more than files."""
    if jobs is None:
        size = sum(os.path.getsize(path) for path in files if os.path.isfile(path))
        jobs = min(cores(), MOST_PROCESSES, size // BYTES_A_PROCESS)
    return max(1, min(jobs, len(files)))


@contextmanager
def _opened(out: str | None) -> Iterator[EventFile | None]:
    """Before anything is heard: hours later is no time to learn that there is no such folder."""
    if out is None:
        yield None
        return
    try:
        file = EventFile(out)
    except OSError as error:
        fail(f"--out {out}: {reason_of(error)}")
    with closing(file):
        yield file


def _row(event: Event, widths: tuple[int, int]) -> str:
    path_width, keyword_width = widths
    keyword = bold(shown(event.keyword).ljust(keyword_width))
    times = [f"{event.start_s:9.2f} s", f"{event.time_s:9.2f} s"]
    return aligned(
        [shown(event.path), keyword, *times, f"{event.score:.3f}"], [path_width, *[0] * 4]
    )
