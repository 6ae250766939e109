"""Speech Commands through torchaudio: its index, its splits, its download."""

import hashlib
import re
import sys
import types
from pathlib import Path
from typing import NamedTuple

FOLDER = Path("SpeechCommands", "speech_commands_v0.02")
CORE_WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
# Other spellings of the same sounds, which nobody can tell from a core word without its sentence.
HOMOPHONES = {"no": ("know",), "right": ("write", "rite", "wright")}


class Recording(NamedTuple):
    """One clip of the data set."""

    path: Path
    word: str
    speaker: str
    split: str  # training, validation or testing


def recordings(root: Path, *, download: bool) -> list[Recording]:
    """All clips below `root`, with the official splits, or by the official rule where no list is.

    Raises:
        ValueError: the data set is not there, and `download` is off or fails.
    """
    if not download and not (root / FOLDER).is_dir():
        raise ValueError(f"{root / FOLDER} is not there; training.train --download fetches it")
    lists = [root / FOLDER / f"{split}_list.txt" for split in ("validation", "testing")]
    listed = all(path.is_file() for path in lists)
    dataset_class = _import_torchaudio().datasets.SPEECHCOMMANDS
    root.mkdir(parents=True, exist_ok=True)
    splits = ("training", "validation", "testing") if listed or download else (None,)
    found = []
    for split in splits:
        try:
            dataset = dataset_class(root, download=download, subset=split)
        except (OSError, RuntimeError) as error:  # no network; another checksum
            raise ValueError(f"{root}: Speech Commands cannot be had ({error})") from None
        for n in range(len(dataset)):
            path, _, word, speaker, _ = dataset.get_metadata(n)
            place = root / FOLDER.parent / path
            found.append(Recording(place, word, speaker, split or official_split(path)))
    return sorted(found)


def official_split(path: str | Path) -> str:
    """Split of a clip by the hash of its speaker, 10% validation and 10% testing.

    Source: `which_set` of the data set's README; Warden 2018, arXiv:1804.03209.
    """
    speaker = re.sub(r"_nohash_.*$", "", Path(path).name)
    most = 2**27 - 1
    share = int(hashlib.sha1(speaker.encode()).hexdigest(), 16) % (most + 1) * (100 / most)
    return "validation" if share < 10 else "testing" if share < 20 else "training"


def _import_torchaudio() -> types.ModuleType:
    """torchaudio, also beside a CPU build of torch.

    Its wheel is linked with CUDA; without it the compiled extension does not load, and an inert one
    in its place lets everything through that is written in Python.
    """
    try:
        import torchaudio
    except OSError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
            del sys.modules[name]
        inert = types.ModuleType("torchaudio._extension")
        inert.__path__ = []
        inert._IS_TORCHAUDIO_EXT_AVAILABLE = False  # type: ignore[attr-defined]
        inert._IS_ALIGN_AVAILABLE = False  # type: ignore[attr-defined]
        inert.fail_if_no_align = lambda function: function  # type: ignore[attr-defined]
        sys.modules["torchaudio._extension"] = inert
        import torchaudio
    return torchaudio
