"""Sentences full of words that sound like a keyword: what to have said, so that training hears it.

    python -m training.sound_alikes yes no --texts BOOK.txt --count 1000 > sentences.txt
    python -m training.sound_alikes lamp --texts BOOK.txt --alone

What fires falsely is "now", "known", "laughed": words a phone or two away from a keyword, which
speech at random holds rarely.  A third of the lines are sentences of the texts, chosen for many
such words and for many different ones; a third are such words alone, one after the other, as a
keyword is said; a third start or end with one.  No line holds a keyword, what sounds the same, or
a form of it ("stopped").
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer

from training.console import failures_told, say, tell
from training.pools import with_likes
from training.texts import read_text
from training.vocabulary import is_vowel, pronounced, require_pronounced

LENGTH = (4, 12)  # words of a sentence
NEAR = 0.55  # likeness from which a word is said alone
SAME_VOWEL, AND_CONSONANT = 0.5, 0.6  # likeness, at least, of short words that share so much
SHORT = 4  # phones
RIVALS = 40  # sentences of which the best is taken
_QUOTES = str.maketrans({"\u2019": "'", "\u201c": '"', "\u201d": '"'})

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def sound_alikes(
    keywords: Annotated[list[str], typer.Argument(metavar="KEYWORD...")],
    texts: Annotated[list[Path], typer.Option(help="Plain text; may be named several times.")],
    count: Annotated[int, typer.Option(min=1, help="Lines to print.")] = 1_000,
    alone: Annotated[bool, typer.Option(help="Words, the likest first, and no sentences.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the random choices.")] = 0,
) -> None:
    """Print sentences full of words that sound like a keyword."""
    with failures_told():
        keywords = [keyword.lower() for keyword in keywords]
        require_pronounced(keywords)
        said = sentences("\n\n".join(read_text(path) for path in texts), keywords)
        if alone:
            found = near_words(said, keywords)[:count]
        else:
            found = list(lines(said, keywords, count, np.random.default_rng(seed)))
        for line in found:
            say(line)
    if len(found) < count:
        tell(f"{len(found)} of {count} lines: the texts hold no more")


def sentences(text: str, keywords: Sequence[str]) -> list[tuple[str, ...]]:
    """The words of each different sentence that can be said and holds no keyword."""
    sounds = _Sounds.of(keywords)
    forms = re.compile("|".join(rf"{re.escape(word)}\w?(s|es|ed|ing|'s)" for word in keywords))
    found = set()
    for sentence in re.split(r"[.;:?!\"()]|--|\n\s*\n", text.translate(_QUOTES).lower()):
        words = tuple(re.findall(r"[a-z']+", sentence))
        if re.search(r"[^\sa-z',-]", sentence) or not LENGTH[0] <= len(words) <= LENGTH[1]:
            continue
        sayable = all(pronounced(word) and not forms.fullmatch(word) for word in words)
        if sayable and not sounds.stand_in(words):
            found.add(words)
    return sorted(found)


class _Sounds(NamedTuple):
    """What the keywords sound like."""

    phones: set[tuple[str, ...]]
    longest: int  # words of a keyword, at most

    @classmethod
    def of(cls, keywords: Sequence[str]) -> "_Sounds":
        phones = {pronounced(word) for word in with_likes(tuple(keywords))}
        return cls(phones, max(len(keyword.split()) for keyword in keywords))

    def stand_in(self, words: Sequence[str]) -> bool:
        """Whether some words in a row sound like a keyword."""
        return any(
            pronounced(" ".join(words[first : first + length])) in self.phones
            for length in range(1, self.longest + 1)
            for first in range(len(words) - length + 1)
        )


def near_words(said: Sequence[Sequence[str]], keywords: Sequence[str]) -> list[str]:
    """Words of these sentences that sound much like a keyword, the likest first."""
    alike = {word: likeness(word, keywords) for sentence in said for word in sentence}
    near = (word for word in alike if alike[word] >= NEAR)
    return sorted(near, key=lambda word: (-alike[word], word))


def lines(
    said: Sequence[tuple[str, ...]], keywords: Sequence[str], count: int, rng: np.random.Generator
) -> Iterator[str]:
    """At most `count` lines to be said, made of these sentences and their words."""
    words = Counter(word for sentence in said for word in sentence)
    alike = {word: likeness(word, keywords) for word in words}
    near = near_words(said, keywords)
    weights = np.array([alike[word] ** 2 * math.sqrt(words[word]) for word in near])
    weights /= weights.sum()
    sounds, chosen = _Sounds.of(keywords), _choose(said, alike, rng)
    for n in range(count) if near else ():
        size = min(len(near), int(rng.integers(3, 5)))
        some = tuple(rng.choice(near, size, replace=False, p=weights).tolist())
        sentence = said[int(rng.integers(len(said)))]
        if n % 3 == 0:
            best = next(chosen, None)
            if best is None:
                return
            spoken, line = best, " ".join(best)
        elif n % 3 == 1:
            spoken, line = some, ", ".join(some) + "."
        elif rng.random() < 0.5:
            spoken, line = some[:1] + sentence, f"{some[0]}, {' '.join(sentence)}"
        else:
            spoken, line = sentence + some[:1], f"{' '.join(sentence)}: {some[0]}."
        if not sounds.stand_in(spoken):
            yield line


def likeness(word: str, keywords: Sequence[str]) -> float:
    """Of a word to the keyword it is most like, in [0, 1]: 1 holds all its phones in a row.

    One less the share of phones to be changed, added or left out (Levenshtein) until the keyword
    stands somewhere in the word; short words with the same vowel are alike whatever else they hold.
    """
    return max(_likeness(pronounced(word), pronounced(keyword)) for keyword in keywords)


@cache
def _likeness(phones: tuple[str, ...], wanted: tuple[str, ...]) -> float:
    costs = [0] * (len(phones) + 1)  # of the phones wanted so far, ending at each place
    for n, phone in enumerate(wanted, start=1):
        row = [n]
        for place, there in enumerate(phones):
            row.append(min(costs[place] + (phone != there), costs[place + 1] + 1, row[place] + 1))
        costs = row
    alike = 1 - min(costs) / len(wanted)
    if len(wanted) == 2 and alike < 1:  # one phone in common is little
        alike /= 2
    shared = set(phones) & set(wanted)
    if len(phones) <= SHORT and any(is_vowel(phone) for phone in shared):
        alike = max(alike, AND_CONSONANT if len(shared) > 1 else SAME_VOWEL)
    return alike


def _choose(
    said: Sequence[tuple[str, ...]], alike: dict[str, float], rng: np.random.Generator
) -> Iterator[tuple[str, ...]]:
    """Sentences, each at most once: the best of some at random, by likeness and novelty."""
    left, chosen = list(said), Counter[str]()

    def worth(n: int) -> float:
        words = sorted(set(left[n]))  # a sum's order decides its last bit
        total = sum(alike[word] ** 2 / math.sqrt(1 + chosen[word]) for word in words)
        return total / len(left[n])

    while left:
        best = max(rng.integers(len(left), size=RIVALS).tolist(), key=worth)
        left[best], left[-1] = left[-1], left[best]
        sentence = left.pop()
        chosen.update(sentence)
        yield sentence


if __name__ == "__main__":
    app()
