"""All recordings of a data folder as one int16 memory map at 16 kHz, decoded once.

The entries say of every recording where it starts, how long it is, where it comes from
(`commands`, `speech`, `phrases`, `noise`, `background`), its split, its word and its speaker.
"""

import hashlib
import json
import math
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sssm.audio import AudioError, AudioFile, resample
from sssm.int16 import as_int16
from sssm.labels import BACKGROUND, TALK_S, UNKNOWN
from sssm.reason import reason_of
from training import own_words as own
from training import speech_commands
from training.console import track
from training.speech_commands import Recording
from training.tables import read_rows

SAMPLE_RATE_HZ = 16_000
BACKGROUND_HELD_OUT = 0.2  # last part of every background recording, for evaluation alone
TALK_HELD_OUT = 20  # about so many clips of a second, of the ends of long recordings in `_unknown_`
SPLITS = ("training", "calibration", "validation", "testing")
CACHE = ".sssm-cache"


@dataclass(frozen=True, slots=True)
class Entry:
    """One recording."""

    path: str  # relative to the data folder
    source: str
    split: str
    word: str  # of a command, a phrase or a user's folder, else ""; of speech too if `_unknown_`
    speaker: str
    start: int = 0  # samples
    length: int = 0


class Spoken(NamedTuple):
    """One word of a sentence, by alignment."""

    word: str
    start: int  # samples from the utterance's start
    end: int


class Corpus:
    """Recordings in memory order; `corpus[n]` is the samples of entry n, int16.

    Args:
        audio: file of all samples.
        entries: what is in it.
        words: of the sentences that could be aligned, by path.
        empty: paths of recordings without a sample, which are left out.
    """

    def __init__(
        self, audio: Path, entries: list[Entry], words: dict[str, list[Spoken]],
        empty: Sequence[str] = (),
    ):  # fmt: skip
        self._audio = audio
        self._samples = np.memmap(audio, np.int16, mode="r")
        self.entries = entries
        self.words, self.empty = words, empty

    def __reduce__(self) -> tuple[Any, ...]:  # a loader's process opens the file itself
        return type(self), (self._audio, self.entries, self.words, self.empty)

    def __getitem__(self, n: int) -> np.ndarray:
        entry = self.entries[n]
        return self._samples[entry.start : entry.start + entry.length]

    def where(self, *, source: str, split: str) -> list[int]:
        """Numbers of the entries of a source in a split."""
        return [
            n
            for n, entry in enumerate(self.entries)
            if entry.source == source and entry.split == split
        ]


def open_corpus(root: Path, *, own_words: bool, download: bool = False) -> Corpus:
    """Corpus of `root`, decoded if a recording came, went or changed since the last time.

    Args:
        root: a folder that holds `SpeechCommands`, and may hold `speech`, `words` and `noise`; or
            with `own_words` one folder a word.
        own_words: see `root`.
        download: fetch Speech Commands where it is missing.

    Raises:
        ValueError: nothing to read, a recording that cannot be read, no place for the cache, or
            other recordings were decoded there meanwhile.
    """
    entries = _own_words(root) if own_words else _published(root, download)
    digest = _digest(root, entries)
    audio, table = root / CACHE / "recordings.int16", root / CACHE / "recordings.json"
    lengths = _cached_lengths(audio, table, digest)
    if lengths is None:
        try:
            lengths = _decode(root, entries, audio, table, digest)
        except OSError as error:
            where = root / CACHE
            raise ValueError(f"{where}: cannot be written ({reason_of(error)})") from None
    starts = np.cumsum([0, *lengths]).tolist()
    empty = [entry.path for entry, length in zip(entries, lengths, strict=True) if not length]
    entries = [
        replace(entry, start=start, length=length)
        for entry, start, length in zip(entries, starts, lengths, strict=False)
        if length
    ]
    if not entries:
        raise ValueError(f"{root}: no recording holds a sample")
    if own_words:
        entries = _talk_apart(entries)
    times = root / "speech" / "words.csv"
    words = _spoken_words(times, {e.path: e.length for e in entries}) if times.is_file() else {}
    corpus = Corpus(audio, entries, words, empty)
    if len(corpus._samples) != starts[-1]:
        raise ValueError(f"{audio}: another run has decoded other recordings; start this one again")
    return corpus


def read_int16(path: Path) -> np.ndarray:
    """Samples of a file at 16 kHz, channels averaged.

    Raises:
        AudioError: the file cannot be read to its end.
    """
    with AudioFile(path) as audio:
        pieces = audio.pieces()
        if audio.stream_rate_hz != SAMPLE_RATE_HZ:
            pieces = resample(pieces, audio.stream_rate_hz, SAMPLE_RATE_HZ)
        parts = [as_int16(x) for x in pieces]
        audio.check_whole()
    return np.concatenate([np.zeros(0, np.int16), *parts])


def _published(root: Path, download: bool) -> list[Entry]:
    found = speech_commands.recordings(root, download=download)
    entries = [_word(root, recording, "commands") for recording in found]
    background = sorted((root / speech_commands.FOLDER / BACKGROUND).glob("*.wav"))
    entries += [_wordless(root, path, "background", "training") for path in background]
    noise, speech = root / "noise", root / "speech"
    for row in _split_rows(noise / "splits.csv") if noise.is_dir() else []:
        entries.append(_wordless(root, noise / row["path"], "noise", row["split"]))
    for row in _split_rows(speech / "transcripts.csv") if speech.is_dir() else []:
        speaker = row["path"].split("-")[0]
        entries.append(Entry(f"speech/{row['path']}", "speech", row["split"], "", speaker))
    for path in sorted((root / "words").glob("*/*.wav")):
        word = path.parent.name.replace("_", " ")
        entries.append(_word(root, Recording(path, word, path.stem, "training"), "phrases"))
    return entries


def _split_rows(path: Path) -> list[dict[str, str]]:
    """Rows that say of each recording to which split it belongs."""
    rows = read_rows(path, ("path", "split"))
    for number, row in enumerate(rows, start=1):
        if row["split"] not in SPLITS:
            known = ", ".join(SPLITS)
            raise ValueError(f"{path}: row {number}: no split {row['split']!r} ({known})")
    return rows


def _own_words(root: Path) -> list[Entry]:
    words, wordless = own.recordings(root)
    entries = [_word(root, recording, "commands") for recording in words]
    return entries + [_wordless(root, path, "background", "training") for path in wordless]


def _talk_apart(entries: list[Entry]) -> list[Entry]:
    """A user's long recordings of other words: speech, and of some last parts validation clips.

    One of a speaker who is held out is for validation alone.
    """
    talk = [entry for entry in entries if _is_talk(entry)]
    clips = max(1, TALK_HELD_OUT // max(1, len(talk)))
    parts = [entry for entry in entries if not _is_talk(entry)]
    learned = {entry.speaker for entry in entries if entry.split == "training"}
    for n, entry in enumerate(talk):
        held_out = 0
        is_named = entry.speaker != entry.path
        if entry.split == "validation" and is_named and entry.speaker not in learned:
            held_out = entry.length
        elif n % math.ceil(len(talk) / TALK_HELD_OUT) == 0:
            held_out = max(SAMPLE_RATE_HZ, round(own.VALIDATION_SHARE * entry.length))
        heard = entry.length - held_out
        if heard:
            parts.append(replace(entry, source="speech", split="training", length=heard))
        every = max(SAMPLE_RATE_HZ, held_out // clips)
        for first in range(heard, entry.length - SAMPLE_RATE_HZ + 1, every)[:clips]:
            start = entry.start + first
            parts.append(replace(entry, split="validation", start=start, length=SAMPLE_RATE_HZ))
    return parts


def _is_talk(entry: Entry) -> bool:
    return entry.word == UNKNOWN and entry.length >= TALK_S * SAMPLE_RATE_HZ


def _word(root: Path, found: Recording, source: str) -> Entry:
    path = found.path.relative_to(root).as_posix()
    return Entry(path, source, found.split, found.word, found.speaker)


def _wordless(root: Path, path: Path, source: str, split: str) -> Entry:
    return Entry(path.relative_to(root).as_posix(), source, split, "", "")


def _digest(root: Path, entries: Sequence[Entry]) -> str:
    """Of what is listed, and of the size and date of every file."""
    listing = hashlib.sha256()
    for entry in entries:
        try:
            facts = os.stat(root / entry.path)
        except OSError as error:
            raise ValueError(f"{root / entry.path}: {reason_of(error)}") from None
        line = (*astuple(entry), facts.st_size, facts.st_mtime_ns)
        listing.update(json.dumps(line).encode())
    return listing.hexdigest()


def _cached_lengths(audio: Path, table: Path, digest: str) -> list[int] | None:
    """Samples of every entry, if the cache is whole and of these entries."""
    try:
        cached = json.loads(table.read_text(encoding="utf-8"))
        lengths: list[int] = cached["lengths"]
        is_whole = cached["digest"] == digest and audio.stat().st_size == 2 * sum(lengths)
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return lengths if is_whole else None


def _decode(
    root: Path, entries: Sequence[Entry], audio: Path, table: Path, digest: str
) -> list[int]:
    """Write the cache.  Stopped at any time, it leaves the old one, or none; never a wrong one."""
    audio.parent.mkdir(exist_ok=True)
    _remove_abandoned(audio.parent)
    lengths, failures = [], []
    # A name of its own: the processes of a run may decode at the same time.
    with tempfile.TemporaryDirectory(prefix="unfinished-", dir=audio.parent) as unfinished:
        samples, list_of_lengths = Path(unfinished, "samples"), Path(unfinished, "lengths")
        with samples.open("wb") as out:
            for entry in track(entries, f"decoding {root}"):
                try:
                    x = read_int16(root / entry.path)
                except AudioError as error:
                    failures.append(str(error))
                    continue
                out.write(x.tobytes())
                lengths.append(len(x))
        if failures:
            more = f" (and {len(failures) - 1} more that cannot be read)" if failures[1:] else ""
            raise ValueError(failures[0] + more)
        table.unlink(missing_ok=True)
        os.replace(samples, audio)
        cached = {"digest": digest, "lengths": lengths}
        list_of_lengths.write_text(json.dumps(cached), encoding="utf-8")
        os.replace(list_of_lengths, table)
    return lengths


def _remove_abandoned(cache: Path) -> None:
    """Remove what decoding left behind where it was killed: nothing was written for an hour."""
    for folder in cache.glob("unfinished-*"):
        with suppress(FileNotFoundError):  # another process has just finished with it
            written = [path.stat().st_mtime for path in (folder, *folder.iterdir())]
            if time.time() - max(written) > 3_600:
                shutil.rmtree(folder)


def _spoken_words(path: Path, lengths: Mapping[str, int]) -> dict[str, list[Spoken]]:
    """Words by the path of their sentence, of which the samples are known."""
    words: dict[str, list[Spoken]] = {}
    for number, row in enumerate(read_rows(path, ("path", "word", "start_s", "end_s")), start=1):
        sentence = f"speech/{row['path']}"
        try:
            start, end = (round(float(row[key]) * SAMPLE_RATE_HZ) for key in ("start_s", "end_s"))
        except (ValueError, OverflowError):
            raise ValueError(f"{path}: row {number}: its times are no numbers") from None
        if not 0 <= start < lengths.get(sentence, math.inf):
            raise ValueError(f"{path}: row {number}: {row['start_s']} s is not in its recording")
        words.setdefault(sentence, []).append(Spoken(row["word"], start, end))
    return words
