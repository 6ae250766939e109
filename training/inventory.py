"""What a user's own recordings are, told before they are trained on, and what looks like a slip."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sssm.audio import is_recording
from sssm.labels import TALK_S, UNKNOWN
from training.corpus import SAMPLE_RATE_HZ, Corpus, Entry

FEW = 5  # recordings of a word
SHORTEST_S = 0.1
SOFTEST = 100  # of int16: -50 dB of full scale


def inventory(corpus: Corpus, root: Path) -> Iterator[str]:
    """A line of what there is, then one for each thing that its owner may not have meant."""
    talk = {e.path: e.length for e in corpus.entries if e.source == "speech"}
    numbers = [
        n
        for n, entry in enumerate(corpus.entries)
        if entry.source == "commands" and entry.path not in talk
    ]
    words = Counter(corpus.entries[n].word for n in numbers)
    wordless = sum(entry.source == "background" for entry in corpus.entries)
    parts = [f"{count} of {word}" for word, count in sorted(words.items())]
    parts += [f"{sum(talk.values()) / SAMPLE_RATE_HZ / 60:.1f} min of talk"] * bool(talk)
    parts += [f"{wordless} without a word"] * bool(wordless)
    yield "recordings: " + ", ".join(parts)
    for word, count in sorted(words.items()):
        if word != UNKNOWN and count < FEW:
            yield f"{word}: {count} is little; ten recordings are a beginning"
    if beside := sum(is_recording(path.name) for path in root.iterdir() if path.is_file()):
        yield f"{root}: recordings that lie in no folder are left out, {beside} here"
    for path in corpus.empty:
        yield f"{root / path}: holds no samples, and is left out"
    seen: dict[bytes, Entry] = {}
    for n in numbers:
        entry, x = corpus.entries[n], corpus[n]
        if fault := _fault(x):
            yield f"{root / entry.path}: {fault}"
        other = seen.setdefault(hashlib.sha256(x.tobytes()).digest(), entry)
        if other.word != entry.word:
            yield f"{root / entry.path}: the same recording as {other.path}"


def _fault(x: np.ndarray) -> str:
    """What is wrong with a recording of a word; nothing where nothing is."""
    length_s = len(x) / SAMPLE_RATE_HZ
    if length_s < SHORTEST_S:
        return f"only {length_s:.2f} s"
    if np.abs(x.astype(np.int32)).max() < SOFTEST:
        return "next to silent"
    if length_s >= TALK_S:  # of other words it would be talk
        return (
            f"{length_s:.0f} s long, of which the loudest second is heard; one word each is meant"
        )
    return ""
