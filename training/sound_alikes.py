"""Sentences full of words that sound like a keyword: what to have said, so that training hears it.

    python -m training.sound_alikes yes no --texts BOOK.txt --count 1000 > sentences.txt

What fires falsely is "now", "known", "laughed": words a phone or two away from a keyword, which
speech at random holds rarely.  A third of the lines are sentences of the texts, chosen for many
such words and for many different ones; a third are such words alone, one after the other, as a
keyword is said; a third start or end with one.  No line holds a keyword or what is said like it.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from training.console import failures_told, say
from training.pools import with_likes
from training.vocabulary import is_vowel, pronounced

LENGTH = (4, 12)  # words of a sentence
FROM_HERE_ALIKE = 0.55  # likeness from which a word is said alone
SAME_VOWEL, AND_CONSONANT = 0.5, 0.6  # likeness, at least, of short words that share so much
SHORT = 4  # phones
RIVALS = 40  # sentences of which the best is taken

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def sound_alikes(
    keywords: Annotated[list[str], typer.Argument(metavar="KEYWORD...")],
    texts: Annotated[list[Path], typer.Option(help="Plain text; may be named several times.")],
    count: Annotated[int, typer.Option(min=1, help="Lines to print.")] = 1_000,
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Print sentences full of words that sound like a keyword."""
    with failures_told():
        for keyword in keywords:
            if not pronounced(keyword):
                raise ValueError(f"{keyword}: not in the dictionary of pronunciations")
        text = "\n".join(path.read_text(encoding="utf-8") for path in texts)
        for line in lines(text, keywords, count, np.random.default_rng(seed)):
            say(line)


def lines(
    text: str, keywords: Sequence[str], count: int, rng: np.random.Generator
) -> Iterator[str]:
    """At most `count` lines to be said.

    Raises:
        ValueError: the text has no sentence without a keyword and with words that sound like one.
    """
    said = sorted(set(sentences(text, keywords)))
    words = Counter(word for sentence in said for word in sentence)
    alike = {word: likeness(word, keywords) for word in words}
    near = [word for word in alike if alike[word] >= FROM_HERE_ALIKE]
    if not near:
        raise ValueError("the texts hold no sentence with a word that sounds like a keyword")
    weights = np.array([alike[word] ** 2 * math.sqrt(words[word]) for word in near])
    weights /= weights.sum()
    sentence_of = _choose(said, alike, rng)
    for n in range(count):
        if n % 3 == 0:
            sentence = next(sentence_of, None)
            if sentence is None:
                return
            yield " ".join(sentence)
        elif n % 3 == 1:
            yield ", ".join(rng.choice(near, int(rng.integers(3, 5)), p=weights)) + "."
        else:
            word, others = rng.choice(near, p=weights), " ".join(said[rng.integers(len(said))])
            yield f"{word}, {others}" if rng.random() < 0.5 else f"{others}: {word}."


def sentences(text: str, keywords: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The words of each sentence that can be said and holds no keyword."""
    avoid = with_likes(tuple(keywords))
    sounds = {pronounced(word) for word in avoid}
    for sentence in re.split(r"[.;:?!\"]|--|\n\s*\n", text.lower()):
        words = tuple(re.findall(r"[a-z']+", sentence))
        if re.search(r"[^\sa-z',-]", sentence) or not LENGTH[0] <= len(words) <= LENGTH[1]:
            continue
        if all(pronounced(word) and pronounced(word) not in sounds for word in words):
            yield words


def likeness(word: str, keywords: Sequence[str]) -> float:
    """Of a word to the keyword it is most like, in [0, 1]: 1 holds all its phones in a row.

    One less the share of phones to be changed, added or left out (Levenshtein) until the keyword
    stands somewhere in the word; short words with the same vowel are alike whatever else they hold.
    """
    return max(_likeness(pronounced(word), pronounced(keyword)) for keyword in keywords)


def _likeness(phones: Sequence[str], wanted: Sequence[str]) -> float:
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
        total = sum(alike[word] ** 2 / math.sqrt(1 + chosen[word]) for word in set(left[n]))
        return total / len(left[n])

    while left:
        best = max(rng.integers(len(left), size=RIVALS).tolist(), key=worth)
        left[best], left[-1] = left[-1], left[best]
        sentence = left.pop()
        chosen.update(sentence)
        yield sentence


if __name__ == "__main__":
    app()
