"""A user's own words: a folder each, of recordings in any format and at any rate.

`_unknown_` holds other words, one a recording, and long recordings of running speech without the
words of the other folders; `_background_noise_` and `_silence_` hold sound without a word.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from sssm.audio import find_recordings
from sssm.detector import UNKNOWN
from sssm.reason import reason_of
from training.speech_commands import Recording

VALIDATION_SHARE = 0.15
TALK_S = 5.0  # as long a recording in `_unknown_` is running speech
NO_TALK = (
    f"no recording in _unknown_ is longer than {TALK_S:g} s: put some minutes of speech without "
    "these words there, or the model will hear them wherever somebody talks"
)
THRESHOLD = 0.8  # of every word until `sssm calibrate` knows better: to miss one annoys less
WORDLESS = ("_background_noise_", "_silence_")
UNREAD = (".3gp", ".aac", ".amr", ".m4a", ".mp4", ".webm", ".wma")  # as telephones record


def recordings(root: Path) -> tuple[list[Recording], list[Path]]:
    """Recordings of words, each in its split, and recordings without a word.

    A speaker (`SPEAKER_nohash_N.wav`) is in one split; where there are too few of them for that,
    and for other names, each file is for itself.

    Raises:
        ValueError: a folder cannot be listed, or is named nearly as another or a special one;
            none holds recordings of a word; one cannot be read.
    """
    words, wordless = [], []
    folders = subfolders(root)
    _check_names(folders)
    for folder in folders:
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
        ValueError: a folder cannot be listed, or holds a recording in a format that is not read.
    """
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in UNREAD:
            raise ValueError(f"{path}: {path.suffix} is not read; make a WAV or FLAC file of it")
    return [folder / name for name in find_recordings(folder, _refuse)]


def _check_names(folders: Sequence[Path]) -> None:
    """Refuse what would become a word by a slip of the pen."""
    special = {name.strip("_"): name for name in (UNKNOWN, *WORDLESS)}
    seen: dict[str, Path] = {}
    for folder in folders:
        plain = folder.name.casefold()
        meant = special.get(plain.strip("_"))
        is_near = folder.name.startswith("_") or plain in ("unknown", "background_noise")
        if is_near and folder.name != meant:
            names = meant or ", ".join(special.values())
            raise ValueError(f"{folder}: no word; is {names} meant?")
        if plain in seen:
            raise ValueError(f"{folder}: the same word as {seen[plain]}")
        seen[plain] = folder


def speaker_of(path: Path, root: Path) -> str:
    """Who speaks, by the file's name, or a name of its own where that does not say."""
    speaker, marked, _ = path.name.partition("_nohash_")
    return speaker if marked else path.relative_to(root).as_posix()


def _refuse(error: OSError) -> None:
    raise ValueError(f"{error.filename}: {reason_of(error)}")
