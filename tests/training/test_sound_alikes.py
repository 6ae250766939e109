"""Lines to be said: full of near misses, without a keyword."""

import re

import numpy as np
import pytest
from typer.testing import CliRunner

from training.sound_alikes import app, likeness, lines, sentences

TEXT = """We know the way to the town. Now the old man laughed at the gown!
He wrote it down for us all; the brown noun is known to them, and so on. 1 + 1 are 2 for them.
The night was bright and the light was white "but a rope is a rope for all".
Too short. They saw a xqzt in the town."""


@pytest.mark.parametrize(
    ("word", "keyword", "alike"),
    [
        ("down", "down", 1.0), ("downtown", "down", 1.0),  # all of its phones
        ("town", "down", 2 / 3), ("lift", "left", 3 / 4),  # one is another
        ("maple", "hey maple", 5 / 7),  # a keyword of two words
        ("now", "down", 0.6), ("wow", "down", 0.5),  # the vowel, and a consonant or none
        ("notebook", "go", 0.25), ("simple", "go", 0.0),
    ],
)  # fmt: skip
def test_likeness_is_the_share_of_phones_that_stay(word, keyword, alike):
    assert likeness(word, [keyword]) == pytest.approx(alike)


def test_likeness_is_to_the_keyword_that_is_nearest():
    assert likeness("town", ["yes", "down"]) == likeness("town", ["down"])


def test_sentences_hold_no_keyword_and_nothing_that_is_said_like_one():
    found = [" ".join(words) for words in sentences(TEXT, ["no", "down"])]
    assert found == [
        "now the old man laughed at the gown",
        "the brown noun is known to them, and so on".replace(",", ""),
        "the night was bright and the light was white",
        "but a rope is a rope for all",
    ]


def test_lines_are_sentences_and_near_misses_by_turns():
    said = list(lines(TEXT, ["no", "down"], 9, np.random.default_rng(0)))
    near = {"now", "gown", "brown", "noun", "known", "so", "town", "old"}
    assert len(said) == 9
    words = [re.findall(r"[a-z']+", line) for line in said]
    assert not any({"no", "know", "down"} & set(line) for line in words)
    assert all(set(line) <= near for line in words[1::3])
    assert all({line[0], line[-1]} & near for line in words[2::3])
    assert len({tuple(line) for line in words[::3]}) == 3  # each sentence once


def test_lines_end_with_the_sentences():
    assert len(list(lines(TEXT, ["no", "down"], 100, np.random.default_rng(0)))) < 20


def test_a_mistake_is_one_line(tmp_path):
    (tmp_path / "text").write_text("Nothing here.", encoding="utf-8")
    run = CliRunner().invoke
    texts = ["--texts", str(tmp_path / "text")]
    for arguments in (["xqzt", *texts], ["down", *texts], ["down", "--texts", "nowhere"]):
        result = run(app, arguments)
        assert result.exit_code == 1
        assert len(result.stderr.strip().splitlines()) == 1
