"""All recordings of a data folder as one int16 memory map at 16 kHz, decoded once.

The table beside it says of every recording where it starts, how long it is, where it comes from
(`commands`, `speech`, `phrases`, `noise`, `background`), its split, its word and its speaker.
"""

import csv
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr
from rich.progress import track

from training import speech_commands

SAMPLE_RATE_HZ = 16_000
AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3"}
BACKGROUND_HELD_OUT = 0.2  # last part of every background recording, for evaluation alone


@dataclass(frozen=True, slots=True)
class Entry:
    """One recording."""

    path: str  # relative to the data folder
    source: str
    split: str
    word: str  # of a command or a user's folder, else ""
    speaker: str
    start: int = 0  # samples
    length: int = 0


class Spoken(NamedTuple):
    """One word of a sentence, by alignment."""

    word: str
    start: int  # samples from the utterance's start
    end: int


class Corpus:
    """Recordings in memory order; `corpus[n]` is the samples of entry n, int16."""

    def __init__(
        self, samples: np.ndarray, entries: list[Entry], words: dict[str, list[Spoken]]
    ):
        self.samples = samples
        self.entries = entries
        self.words = words  # by path, of the sentences that could be aligned

    def __getitem__(self, n: int) -> np.ndarray:
        entry = self.entries[n]
        return self.samples[entry.start : entry.start + entry.length]

    def where(self, *, source: str, split: str) -> list[int]:
        """Numbers of the entries of a source in a split."""
        return [
            n
            for n, entry in enumerate(self.entries)
            if entry.source == source and entry.split == split
        ]


def open_corpus(root: Path, *, own_words: bool, download: bool = False) -> Corpus:
    """Corpus of `root`, from its cache where that is newer than the recordings' list.

    Args:
        root: a folder that holds `SpeechCommands`, and may hold `speech`, `phrases` and `noise`; or
            with `own_words` one folder a word.
        own_words: see `root`.
        download: fetch Speech Commands where it is missing.

    Raises:
        ValueError: nothing to read, or a recording that cannot be read.
    """
    entries = _own_words(root) if own_words else _published(root, download)
    listing = json.dumps([asdict(entry) for entry in entries])
    digest = hashlib.sha256(listing.encode()).hexdigest()[:16]
    cache = root / ".sssm-cache"
    audio, table = cache / f"{digest}.int16", cache / f"{digest}.json"
    if not table.is_file():
        cache.mkdir(exist_ok=True)
        _decode(root, entries, audio, table)
    places = json.loads(table.read_text())
    entries = [
        Entry(**asdict(entry) | {"start": start, "length": length})
        for entry, (start, length) in zip(entries, places, strict=True)
    ]
    samples = np.memmap(audio, np.int16, mode="r")
    return Corpus(samples, entries, _spoken_words(root / "speech" / "words.csv"))


def _published(root: Path, download: bool) -> list[Entry]:
    entries = [
        Entry(str(found.path.relative_to(root)), "commands", found.split, found.word, found.speaker)
        for found in speech_commands.recordings(root, download=download)
    ]
    background = sorted((root / speech_commands.FOLDER / "_background_noise_").glob("*.wav"))
    entries += [_entry(root, path, "background", "training") for path in background]
    noise = root / "noise"
    if noise.is_dir():
        for row in _rows(noise / "splits.csv"):
            entries.append(_entry(root, noise / row["path"], "noise", row["split"]))
    speech = root / "speech"
    if speech.is_dir():
        for row in _rows(speech / "transcripts.csv"):
            speaker = row["path"].split("-")[0]
            entries.append(Entry(f"speech/{row['path']}", "speech", row["split"], "", speaker))
    phrases = sorted((root / "words").glob("*/*.wav"))
    for path in phrases:
        word = path.parent.name.replace("_", " ")
        entries.append(Entry(str(path.relative_to(root)), "phrases", "training", word, path.stem))
    return entries


def _own_words(root: Path) -> list[Entry]:
    """One folder a word; a speaker's clips, or else each clip, go by hash into one split."""
    entries = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES)
        if folder.name == "_background_noise_":
            entries += [_entry(root, path, "background", "training") for path in paths]
            continue
        if folder.name.startswith("."):
            continue
        for path in paths:
            speaker = path.name.split("_nohash_")[0] if "_nohash_" in path.name else path.stem
            split = "validation" if _hash_share(speaker) < 0.15 else "training"
            entries.append(
                Entry(str(path.relative_to(root)), "commands", split, folder.name, speaker)
            )
    if not any(entry.source == "commands" for entry in entries):
        raise ValueError(f"{root}: no folder of recordings, one folder a word is expected")
    return entries


def _decode(root: Path, entries: list[Entry], audio: Path, table: Path) -> None:
    places, start = [], 0
    unfinished = audio.with_suffix(".part")
    with unfinished.open("wb") as out:
        for entry in track(entries, description=f"decoding {root}"):
            samples = read_int16(root / entry.path)
            samples.tofile(out)
            places.append((start, len(samples)))
            start += len(samples)
    unfinished.rename(audio)
    table.write_text(json.dumps(places))


def read_int16(path: Path) -> np.ndarray:
    """Samples of a file at 16 kHz, channels averaged.

    Raises:
        ValueError: the file cannot be read.
    """
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise ValueError(f"{path}: {error}") from None
    mono = samples.mean(axis=1)
    if rate != SAMPLE_RATE_HZ:
        mono = soxr.resample(mono, rate, SAMPLE_RATE_HZ)
    return np.clip(np.rint(mono * 32768), -32768, 32767).astype(np.int16)


def _spoken_words(path: Path) -> dict[str, list[Spoken]]:
    words: dict[str, list[Spoken]] = {}
    for row in _rows(path) if path.is_file() else []:
        start, end = (round(float(row[key]) * SAMPLE_RATE_HZ) for key in ("start_s", "end_s"))
        words.setdefault(f"speech/{row['path']}", []).append(Spoken(row["word"], start, end))
    return words


def _entry(root: Path, path: Path, source: str, split: str) -> Entry:
    return Entry(str(path.relative_to(root)), source, split, "", "")


def _hash_share(name: str) -> float:
    return int(hashlib.sha1(name.encode()).hexdigest()[:8], 16) / 2**32


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))
