"""`sssm bench`: what listening costs on this machine, on one thread.

Decided here: what is measured, and how.  A call is one `push`, with the detector, of sound that
rises and falls like speech; what is counted comes after calls that warm up.  How long a call takes
is told by the clock; what listening costs, by the time of the processor, which other programs on
the machine do not add to.
"""

import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from app.peers import PACKAGES, RATE_HZ, Call, Peer, call_of, packages_missing
from app.pool import one_thread
from app.spotting import Model, load_spotter
from app.terminal import fail, refuse, say

if TYPE_CHECKING:
    from sssm.audio import Samples
    from sssm.spotter import KeywordSpotter

CHUNKS = (1, 160, 512, 16_000)
STREAMS = (1, 32, 1_024)
LIVE_CHUNKS = (160, 512)  # in which streams a core are counted: sound that waits longer is late
PEER_CHUNK = 512
WARM_SHARE = 0.2
COLUMNS = "{:>8}  {:>10}  {:>14}  {:>14}  {:>8}  {:>9}  {:>14}  {:>9}"
HEAD = ("streams", "chunk", "p50", "p99", "calls", "real time", "streams a core", "resident")


class Cost(NamedTuple):
    """Microseconds a call: by the clock, and of the processor."""

    p50: float
    p99: float
    cpu: float
    calls: int


def bench(
    model: Model = "s4",
    seconds: Annotated[
        float, typer.Option(min=0, max=600, metavar="S", help="Time for each measurement.")
    ] = 1.0,
    against: Annotated[
        list[Peer] | None,
        typer.Option(
            metavar="|".join(Peer), help="A program to measure too, in the same run; repeatable."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line, the summary last.")
    ] = False,
) -> None:
    """Measure the time and the memory that listening takes here."""
    # Before anything that calculates is loaded: some libraries read it only then.
    os.environ["OMP_NUM_THREADS"] = "1"
    from sssm.weights import ModelFileError

    peers = {peer: _loaded(peer) for peer in against or ()}
    spotter = load_spotter(model, None, None, None)
    try:
        spotter.stream(RATE_HZ)
    except ModelFileError as error:  # exported at another rate
        refuse(str(error))
    one_thread()
    if not as_json:
        say(COLUMNS.format(*HEAD))
    rows = []
    for row in _rows(spotter, seconds, peers):
        rows.append(row)
        say(json.dumps(row) if as_json else _line(row))
    say(json.dumps(_summary(rows, model)))


def resident_bytes() -> int | None:
    """Memory of this process now; its peak where the system tells no more, None if not even that.

    Source: proc(5), `statm`; getrusage(2), in bytes on macOS alone.
    """
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _rows(
    spotter: "KeywordSpotter", seconds: float, peers: Mapping[Peer, Call]
) -> Iterator[dict[str, Any]]:
    sound = _sound()
    stream = spotter.stream(RATE_HZ)
    for chunk in CHUNKS:
        cost = measured(stream.push, _pieces(sound, chunk), seconds)
        yield _row("sssm", 1, chunk, cost)
        if chunk != PEER_CHUNK:
            continue
        for peer, call in peers.items():  # side by side: a machine has its moods
            cost = measured(call, _pieces(sound, chunk), seconds)
            yield _row(peer, 1, chunk, cost)
    for streams in STREAMS[1:]:
        batch = spotter.batch(streams, RATE_HZ)
        for chunk in CHUNKS:
            cost = measured(batch.push, _pieces_of_many(sound, chunk, streams), seconds)
            yield _row("sssm", streams, chunk, cost)


def measured(
    call: Callable[["Samples"], object], pieces: Iterator["Samples"], seconds: float
) -> Cost:
    """Cost of a call, from calls for about so many seconds, one at least, after some to warm up.

    A first call that takes longer than that is the measurement itself.
    """
    import numpy as np

    def timed(budget_s: float) -> tuple[list[int], int]:
        times: list[int] = []
        cpu = 0
        end = time.perf_counter() + budget_s
        while not times or time.perf_counter() < end:
            piece = next(pieces)
            cpu_start, start = time.process_time_ns(), time.perf_counter_ns()
            call(piece)
            times.append(time.perf_counter_ns() - start)
            cpu += time.process_time_ns() - cpu_start
        return times, cpu

    times, cpu = timed(WARM_SHARE * seconds)
    if len(times) > 1 or times[0] < 1e9 * seconds:
        times, cpu = timed(seconds)
    p50, p99 = np.percentile(times, [50, 99]) / 1e3
    cpu = cpu or sum(times)  # Windows counts the processor's time in steps of 16 ms
    return Cost(float(p50), float(p99), cpu / 1e3 / len(times), len(times))


def _row(program: str, streams: int, chunk: int, cost: Cost) -> dict[str, Any]:
    """The real-time factor is of all the streams together."""
    real_time = cost.cpu * 1e-6 * RATE_HZ / chunk
    return {
        "program": str(program),
        "streams": streams,
        "chunk_samples": chunk,
        "us_p50": round(cost.p50, 2),
        "us_p99": round(cost.p99, 2),
        "us_cpu": round(cost.cpu, 2),
        "calls": cost.calls,
        "rtf": real_time,
        "streams_per_core": streams / real_time,
        "resident_bytes": resident_bytes(),
    }


def _summary(rows: list[dict[str, Any]], model: str) -> dict[str, Any]:
    ours = [row for row in rows if row["program"] == "sssm"]
    alone = {row["chunk_samples"]: row for row in ours if row["streams"] == 1}
    live = [row for row in ours if row["chunk_samples"] in LIVE_CHUNKS]
    best = max(live, key=lambda row: row["streams_per_core"])
    summary = {
        "model": model,
        "rtf_10ms": alone[160]["rtf"],
        "rtf_32ms": alone[512]["rtf"],
        "us_per_10ms": alone[160]["us_cpu"],
        "us_per_sample": alone[1]["us_cpu"],
        "streams_per_core": best["streams_per_core"],
        "streams_per_core_at": {key: best[key] for key in ("streams", "chunk_samples")},
        "resident_bytes": alone[CHUNKS[-1]]["resident_bytes"],
        f"resident_bytes_{STREAMS[-1]}_streams": ours[-1]["resident_bytes"],
        "threads": 1,
    }
    for row in rows:
        if row["program"] != "sssm":
            summary[f"{row['program']}_rtf_32ms"] = row["rtf"]
            summary[f"rtf_32ms_to_{row['program']}"] = alone[512]["rtf"] / row["rtf"]
    return summary


def _line(row: dict[str, Any]) -> str:
    resident = row["resident_bytes"]
    line = COLUMNS.format(
        f"{row['streams']:,}",
        f"{1000 * row['chunk_samples'] / RATE_HZ:,.4g} ms",
        f"{row['us_p50']:,.1f} us",
        f"{row['us_p99']:,.1f} us",
        f"{row['calls']:,}",
        f"{row['rtf']:.4f}",
        f"{row['streams_per_core']:,.0f}",
        "" if resident is None else f"{resident / 1e6:,.0f} MB",
    )
    return line if row["program"] == "sssm" else f"{line}  {row['program']}"


def _sound() -> "Samples":
    """A minute of noise that swells four times a second, as syllables do, in 16 bits.

    Louder than the numbers that processors are slow with, with a zero now and then.
    """
    import numpy as np

    n = np.arange(60 * RATE_HZ)
    loudness = 0.01 + 0.1 * np.sin(4 * np.pi * n / RATE_HZ) ** 2
    noise = np.random.default_rng(0).standard_normal(len(n)) * loudness
    return (np.clip(np.round(noise * 32_768), -32_768, 32_767) / 32_768).astype(np.float32)


def _pieces(sound: "Samples", chunk: int) -> Iterator["Samples"]:
    for at in itertools.cycle(range(0, len(sound) - chunk + 1, chunk)):
        yield sound[at : at + chunk]


def _pieces_of_many(sound: "Samples", chunk: int, streams: int) -> Iterator["Samples"]:
    """(streams, chunk), each row from another place of the sound."""
    import numpy as np

    starts = np.arange(streams) * (len(sound) // streams)
    index = (starts[:, None] + np.arange(chunk)) % len(sound)
    while True:
        yield sound[index]
        index = (index + chunk) % len(sound)


def _loaded(peer: Peer) -> Call:
    if packages_missing(peer):
        fail(f"--against {peer} needs: pip install {' '.join(PACKAGES[peer])}")
    return call_of(peer)
