"""A user's own words: a folder each, of recordings in any format and at any rate.

`_unknown_` holds other words; `_background_noise_` and `_silence_` hold sound without a word.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from sssm.audio import find_recordings
from sssm.reason import reason_of
from training.speech_commands import Recording

VALIDATION_SHARE = 0.15
WORDLESS = ("_background_noise_", "_silence_")


def recordings(root: Path) -> tuple[list[Recording], list[Path]]:
    """Recordings of words, each in its split, and recordings without a word.

    A speaker (`SPEAKER_nohash_N.wav`) is in one split; where there are too few of them for that,
    and for other names, each file is for itself.

    Raises:
        ValueError: a folder cannot be listed, or none holds recordings of a word.
    """
    words, wordless = [], []
    for folder in subfolders(root):
        for path in audio_files(folder):
            if folder.name in WORDLESS:
                wordless.append(path)
            else:
                words.append(Recording(path, folder.name, speaker_of(path, root), "training"))
    if not words:
        raise ValueError(f"{root}: no folder of recordings, one folder a word is expected")
    groups: dict[str, Counter[str]] = {}
    for recording in words:
        groups.setdefault(recording.speaker, Counter())[recording.word] += 1
    speakers = held_out(groups)
    files = held_out({str(r.path): Counter([r.word]) for r in words}) if not speakers else set()
    return [
        r._replace(split="validation") if r.speaker in speakers or str(r.path) in files else r
        for r in words
    ], wordless


def held_out(groups: Mapping[str, Counter[str]]) -> set[str]:
    """Groups of recordings for validation, by the hash of their names.

    `groups` counts the words of every speaker or file.  They are taken until every word has
    `VALIDATION_SHARE` there, or would lose more than half of its recordings.
    """
    total: Counter[str] = Counter()
    for words in groups.values():
        total.update(words)
    taken: Counter[str] = Counter()
    names = set()
    for name in sorted(groups, key=lambda name: hashlib.sha1(name.encode()).digest()):
        words = groups[name]
        wanted = any(taken[word] < VALIDATION_SHARE * total[word] for word in words)
        if wanted and all(2 * (taken[word] + n) <= total[word] for word, n in words.items()):
            names.add(name)
            taken.update(words)
    return names


def subfolders(root: Path) -> list[Path]:
    """Folders of `root` that are not hidden.

    Raises:
        ValueError: it cannot be listed.
    """
    try:
        return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    except OSError as error:
        _refuse(error)
        raise


def audio_files(folder: Path) -> list[Path]:
    """Recordings anywhere below a folder.

    Raises:
        ValueError: a folder cannot be listed.
    """
    return [folder / name for name in find_recordings(folder, _refuse)]


def speaker_of(path: Path, root: Path) -> str:
    """Who speaks, by the file's name, or a name of its own where that does not say."""
    speaker, marked, _ = path.name.partition("_nohash_")
    return speaker if marked else path.relative_to(root).as_posix()


def _refuse(error: OSError) -> None:
    raise ValueError(f"{error.filename}: {reason_of(error)}")
