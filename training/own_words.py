"""A user's own words: a folder each, of recordings at any rate.

`_unknown_` holds other words, one a recording, and long recordings of running speech without the
words of the other folders; `_background_noise_` and `_silence_` hold sound without a word.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from sssm.audio import SUFFIXES, find_recordings
from sssm.labels import TALK_S, UNKNOWN, WORDLESS, spelled
from sssm.reason import reason_of
from training.speech_commands import Recording

VALIDATION_SHARE = 0.15
NO_TALK = (
    f"no recording in _unknown_ has {TALK_S:g} s or more: put some minutes of speech without these "
    "words there (sssm record _unknown_ DIR --minutes 10), or the model will hear them wherever "
    "somebody talks"
)
CLIPS_ALONE = (
    "neither _unknown_ nor _background_noise_: the model learns from clips alone, and takes all "
    "that it hears for one of its words"
)
THRESHOLD = 0.9  # until `sssm calibrate` knows better: a missed word annoys less than a false one
UNREAD = (".3gp", ".aac", ".amr", ".caf", ".m4a", ".m4b", ".mov", ".mp4", ".webm", ".wma")


def recordings(root: Path) -> tuple[list[Recording], list[Path]]:
    """Recordings of words, each in its split, and recordings without a word.

    A speaker (`SPEAKER_nohash_N.wav`) is in one split; where there are too few of them for that,
    and for other names, each file is for itself.

    Raises:
        ValueError: a folder cannot be listed, or is named nearly as another or a special one;
            none holds recordings of a word; one cannot be read.
    """
    words, wordless = [], []
    found = {folder: audio_files(folder, (*SUFFIXES, *UNREAD)) for folder in subfolders(root)}
    check_names([folder.name for folder, paths in found.items() if paths], root)
    for folder, paths in found.items():
        for path in _readable(paths):
            if folder.name in WORDLESS:
                wordless.append(path)
            else:
                word = spelled(folder.name)
                words.append(Recording(path, word, speaker_of(path, root), "training"))
    if not words:
        raise ValueError(f"{root}: no folder of recordings, one folder a word is expected")
    groups: dict[str, Counter[str]] = {}
    for recording in words:
        groups.setdefault(recording.speaker, Counter())[recording.word] += 1
    speakers = held_out(groups)
    names = [recording.path.relative_to(root).as_posix() for recording in words]
    files = set[str]()
    if not speakers:
        files = held_out({n: Counter([r.word]) for n, r in zip(names, words, strict=True)})
    return [
        r._replace(split="validation") if r.speaker in speakers or name in files else r
        for name, r in zip(names, words, strict=True)
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
    for name in sorted(groups, key=lambda name: hashlib.sha1(as_bytes(name)).digest()):
        words = groups[name]
        wanted = any(taken[word] < VALIDATION_SHARE * total[word] for word in words)
        if wanted and all(2 * (taken[word] + n) <= total[word] for word, n in words.items()):
            names.add(name)
            taken.update(words)
    return names


def as_bytes(name: str) -> bytes:
    """A name in UTF-8; it may be none, where a file's is from another system."""
    return name.encode(errors="surrogatepass")


def subfolders(root: Path) -> list[Path]:
    """Folders of `root` that are not hidden.

    Raises:
        ValueError: it cannot be listed.
    """
    try:
        return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    except OSError as error:
        _refuse(error)


def audio_files(folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> list[Path]:
    """Recordings anywhere below a folder, by the ends of their names.

    Raises:
        ValueError: a folder cannot be listed.
    """
    return [folder / name for name in find_recordings(folder, _refuse, suffixes)]


def check_names(names: Sequence[str], root: Path) -> None:
    """Refuse folders that would be words by a slip of the pen.

    Raises:
        ValueError: a name is nearly that of a special folder, or that of another.
    """
    special = {name.strip("_"): name for name in (UNKNOWN, *WORDLESS)}
    seen: dict[str, str] = {}
    for name in names:
        plain = spelled(name).casefold()
        core = plain.strip("_ ").replace(" ", "_")
        is_near = name.startswith("_") or core in ("unknown", "background_noise")
        meant = special.get(core)
        if is_near and name != meant:
            raise ValueError(
                f"{root / name}: no word; is {meant or ', '.join(special.values())} meant?"
            )
        if plain in seen:
            raise ValueError(f"{root / name}: the same word as {seen[plain]}")
        seen[plain] = name


def _readable(paths: Sequence[Path]) -> list[Path]:
    """Without what telephones and shops make, which must lie beside what was made of it."""
    read = [path for path in paths if path.suffix.lower() not in UNREAD]
    made = {path.with_suffix("") for path in read}
    for path in paths:
        if path.suffix.lower() in UNREAD and path.with_suffix("") not in made:
            wanted = path.with_suffix(".wav").name
            raise ValueError(f"{path}: {path.suffix} is not read; make {wanted} of it")
    return read


def speaker_of(path: Path, root: Path) -> str:
    """Who speaks, by the file's name, or a name of its own where that does not say."""
    speaker, marked, _ = path.name.partition("_nohash_")
    return speaker if marked else path.relative_to(root).as_posix()


def _refuse(error: OSError) -> NoReturn:
    raise ValueError(f"{error.filename}: {reason_of(error)}") from None
