"""Hours of sound through one stream: memory stays flat, time exact, and what is past is forgotten.

    python tests/bench/hours.py [--hours 24] [--data ROOT] [--model NAME|FILE] [--sample-rate 8000]

Noise, speech-like sound, silence and full scale, made as they are heard, a minute of each in turn,
in pieces of any length.  Then each of them alone for `--alone` hours, after which clips of keywords
(those of the validation speakers in ROOT, else the demo) must score

- within 0.02 of what they score after the last 10 s of it,
- and, after 2 s of silence, within 0.02 of what they score in a fresh stream after 2 s of silence.

The last line is JSON; exit code 1 where a bar fails.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import soxr
import typer
from numpy.typing import NDArray
from rich import progress
from rich.console import Console

from app.bench import resident_bytes
from app.pool import one_thread
from sssm import KeywordSpotter
from sssm.audio import AudioFile
from sssm.int16 import as_float
from sssm.labels import SILENCE, UNKNOWN
from sssm.stream import Stream

Sound = NDArray[np.float32]
Make = Callable[[int, int, np.random.Generator], Sound]

CLIPS_HZ = 16_000
DEMO = Path(__file__).parents[2] / "assets" / "demo.wav"
TURN_S = 60
LAST_S, SILENCE_S = 10, 2
LIMIT = 0.02
GROWTH_LIMIT_BYTES = 8_000_000
CLIPS_A_KEYWORD = 3


def noise(samples: int, _: int, random: np.random.Generator) -> Sound:
    return np.float32(0.1) * random.standard_normal(samples, dtype=np.float32)


def speech_like(samples: int, rate: int, random: np.random.Generator) -> Sound:
    """Voiced syllables: harmonics of a pitch that glides, and breath between them."""
    n = np.arange(samples) / rate
    pitch = random.uniform(90, 250) * (1 + 0.1 * np.sin(2 * np.pi * random.uniform(1, 3) * n))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    envelope = np.sin(np.pi * random.uniform(3, 6) * n + random.uniform(0, np.pi)) ** 2
    voice = sum(np.sin(k * phase) / k for k in (1, 2, 3, 5, 8, 13))
    breath = 0.02 * random.standard_normal(samples)
    return (0.2 * envelope * voice + breath).astype(np.float32)


def silence(samples: int, _: int, __: np.random.Generator) -> Sound:
    return np.zeros(samples, np.float32)


def full_scale(samples: int, _: int, random: np.random.Generator) -> Sound:
    return np.sign(random.standard_normal(samples, dtype=np.float32))


KINDS: dict[str, Make] = {
    "noise": noise,
    "speech": speech_like,
    "silence": silence,
    "full scale": full_scale,
}


def pieces(make: Make, samples: int, rate: int, random: np.random.Generator) -> Iterator[Sound]:
    """Sound of exactly so many samples, in pieces of any length up to 4 s."""
    while samples:
        length = min(samples, int(random.integers(1, 4 * rate)))
        yield make(length, rate, random)
        samples -= length


def turns(samples: int, rate: int, random: np.random.Generator) -> Iterator[Sound]:
    """All kinds in turn."""
    while True:
        for make in KINDS.values():
            turn = min(samples, TURN_S * rate)
            yield from pieces(make, turn, rate, random)
            samples -= turn
            if not samples:
                return


def keyword_clips(data: Path | None, keywords: tuple[str, ...], rate: int) -> list[Sound]:
    if data is None:
        with AudioFile(DEMO) as audio:
            demo = np.concatenate(list(audio.pieces()))
        return [soxr.resample(demo, CLIPS_HZ, rate)]
    from training.corpus import open_corpus
    from training.labels import labels_of
    from training.scoring import labelled_clips

    labels = labels_of((SILENCE, UNKNOWN, *keywords))
    corpus = open_corpus(data, own_words=False)
    clips = labelled_clips(corpus, labels, "validation", silence_is_zeros=False)
    found: list[Sound] = []
    for keyword in keywords:
        said = [clip for clip in clips if clip.label == keyword]
        found += [
            soxr.resample(as_float(clip.samples), CLIPS_HZ, rate) for clip in said[:CLIPS_A_KEYWORD]
        ]
    return found


def hear(stream: Stream, sound: Iterator[Sound], say: Callable[[int], None]) -> tuple[int, int]:
    """Samples heard, and how often a keyword was."""
    samples = detections = 0
    for piece in sound:
        detections += len(stream.push(piece))
        samples += len(piece)
        say(len(piece))
    return samples, detections


def scores_after(spotter: KeywordSpotter, place: bytes, clips: list[Sound]) -> list[Sound]:
    """Every decision within each clip, heard from the same place of a stream."""
    return [spotter.restore(place).push_scores(clip) for clip in clips]


def largest_difference(a: list[Sound], b: list[Sound]) -> float:
    return max(float(np.abs(x - y).max()) for x, y in zip(a, b, strict=True))


def remembered(
    spotter: KeywordSpotter,
    kind: str,
    clips: list[Sound],
    samples: int,
    rate: int,
    say: Callable[[int], None],
) -> dict[str, float]:
    """How much hours of one kind still change the scores of clips."""
    random = np.random.default_rng(1)
    quiet = silence(SILENCE_S * rate, rate, random)
    last = KINDS[kind](LAST_S * rate, rate, random)
    long, short, fresh = spotter.stream(rate), spotter.stream(rate), spotter.stream(rate)
    hear(long, pieces(KINDS[kind], samples - len(last), rate, random), say)
    for stream in (long, short):
        stream.push(last)
    differences = {
        "after_last_10_s": largest_difference(
            scores_after(spotter, long.snapshot(), clips),
            scores_after(spotter, short.snapshot(), clips),
        )
    }
    for stream in (long, fresh):
        stream.push(quiet)
    differences["after_2_s_of_silence"] = largest_difference(
        scores_after(spotter, long.snapshot(), clips),
        scores_after(spotter, fresh.snapshot(), clips),
    )
    return differences


def main(
    hours: Annotated[float, typer.Option(min=0.1, help="Of all kinds in turn.")] = 1.0,
    alone: Annotated[float, typer.Option(min=0.01, help="Hours of each kind alone.")] = 1.0,
    data: Annotated[Path | None, typer.Option(help="Folder that training reads.")] = None,
    model: Annotated[str, typer.Option(metavar="NAME|FILE")] = "s4",
    rate: Annotated[int, typer.Option("--sample-rate", metavar="HZ")] = 16_000,
) -> None:
    """Listen for hours, faster than they pass, and see that nothing grows, drifts or stays."""
    spotter = KeywordSpotter.load(model)
    one_thread()
    clips = keyword_clips(data, spotter.keywords, rate)
    samples, samples_alone = round(hours * 3600 * rate), round(alone * 3600 * rate)
    random = np.random.default_rng(0)
    stream = spotter.stream(rate)
    with progress.Progress(
        *progress.Progress.get_default_columns(),
        console=Console(stderr=True),
    ) as bar:
        task = bar.add_task("all in turn", total=samples)
        # A turn of each kind fills what is filled once: caches, buffers, compiled code.
        warm = min(samples // 2, len(KINDS) * TURN_S * rate)
        hear(stream, turns(warm, rate, random), lambda n: bar.advance(task, n))
        before = resident_bytes() or 0
        start = time.perf_counter()
        later, detections = hear(
            stream, turns(samples - warm, rate, random), lambda n: bar.advance(task, n)
        )
        rtf = (time.perf_counter() - start) * rate / later
        growth = (resident_bytes() or 0) - before
        exact = stream.time_s == samples / rate
        forgets = {}
        for kind in KINDS:
            task = bar.add_task(f"{kind} alone", total=samples_alone)
            forgets[kind] = remembered(
                spotter,
                kind,
                clips,
                samples_alone,
                rate,
                lambda n, task=task: bar.advance(task, n),
            )
    bars = {
        "faster_than_real_time": rtf < 1,
        "memory_flat": growth < GROWTH_LIMIT_BYTES,
        "time_exact": exact,
        # Also where it is no number.
        "forgets": all(x <= LIMIT for found in forgets.values() for x in found.values()),
    }
    print(f"{hours:g} h in turn: real-time factor {rtf:.4f}, {detections} detections")
    print(
        f"resident memory {before / 1e6:.1f} MB after the first turns, {growth / 1e6:+.1f} MB after"
    )
    for kind, found in forgets.items():
        said = ", ".join(f"{name.replace('_', ' ')} {x:.5f}" for name, x in found.items())
        print(f"{alone:g} h of {kind}: largest difference {said} (limit {LIMIT})")
    print(
        json.dumps(
            {
                "bars": bars,
                "hours": hours,
                "hours_alone": alone,
                "rtf": rtf,
                "resident_bytes_before": before,
                "resident_bytes_growth": growth,
                "time_s": stream.time_s,
                "detections": detections,
                "differences": forgets,
                "clips": len(clips),
                "model": model,
                "sample_rate_hz": rate,
            }
        )
    )
    if not all(bars.values()):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
