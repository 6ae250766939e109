"""Lines to be said: full of near misses, without a keyword."""

import re
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from training.sound_alikes import app, likeness, lines, near_words, sentences

TEXT = """We know the way to the town. Now the old man laughed at the gown!
He wrote it down for us all; the brown noun is known to them, and so on. 1 + 1 are 2 for them.
The night was bright and the light was white "but a rope is a rope for all".
Too short. They saw a xqzt in the town. He downed the rest of it."""
KEYWORDS = ["no", "down"]


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
    assert [" ".join(words) for words in sentences(TEXT, KEYWORDS)] == [
        "but a rope is a rope for all",
        "now the old man laughed at the gown",
        "the brown noun is known to them and so on",
        "the night was bright and the light was white",
    ]


def test_a_keyword_of_two_words_is_none_of_its_words():
    text = "The maple said hey to us. He said hey maple to us. They hey'd the maples in town."
    assert sentences(text, ["hey maple"]) == [("the", "maple", "said", "hey", "to", "us")]


@pytest.mark.parametrize("quote", ["don't go there with us", "don\u2019t go there with us"])
def test_an_apostrophe_is_part_of_its_word(quote):
    assert sentences(quote, ["down"]) == [("don't", "go", "there", "with", "us")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("the boat is here--the night is long", ["the boat is here", "the night is long"]),
        ("the boat is here\n \nthe night\nis long", ["the boat is here", "the night is long"]),
        ("the bus stopped at the light", []),  # a form of "stop"
        ("we go " * 6, ["we go " * 6]), ("we go " * 6 + "there", []),  # twelve words, and more
    ],
)  # fmt: skip
def test_sentences_end_at_dashes_and_empty_lines_and_are_short(text, said):
    assert [" ".join(words) for words in sentences(text, ["stop"])] == list(map(str.strip, said))


def test_the_best_sentences_come_first_and_not_alike_ones_in_a_row():
    said = [
        tuple(f"{one} {near} is old".split()) for one in ("the", "a") for near in ("town", "man")
    ]
    said.append(("the", "now", "is", "old"))  # less like "down", and new
    made = list(lines(said, ["down"], 99, np.random.default_rng(0)))[::3]
    towns = {"the town is old", "a town is old"}
    assert made[0] in towns
    assert made[1] == "the now is old"
    assert made[2] in towns
    assert len(made) == 5


def test_near_words_come_by_likeness():
    words = near_words(sentences(TEXT, KEYWORDS), KEYWORDS)
    assert words[0] == "known"  # all of "no"
    assert {"now", "gown", "noun", "brown"} <= set(words)
    assert not {"no", "know", "down", "downed", "bright", "the"} & set(words)


def test_lines_are_sentences_and_near_words_by_turns():
    said = sentences(TEXT, KEYWORDS)
    near = set(near_words(said, KEYWORDS))
    made = list(lines(said, KEYWORDS, 12, np.random.default_rng(0)))
    words = [tuple(re.findall(r"[a-z']+", line)) for line in made]
    assert len(made) == 12
    assert sorted(words[::3]) == said  # each once
    assert all(set(line) <= near and len(set(line)) == len(line) > 2 for line in words[1::3])
    for line in words[2::3]:
        assert (line[0] in near and line[1:] in said) or (line[-1] in near and line[:-1] in said)


def test_lines_end_with_the_sentences():
    said = sentences(TEXT, KEYWORDS)
    assert len(list(lines(said, KEYWORDS, 100, np.random.default_rng(0)))) == 3 * len(said)


def test_near_words_do_not_make_a_keyword_of_two_words():
    said = [("hay", "may", "maple", "hey", "bay", "able")]
    made = list(lines(said * 60, ["hey maple"], 180, np.random.default_rng(0)))
    assert len(made) > 100
    assert not any(re.search(r"(hey|hay),? maple", line) for line in made)


def test_words_alone_and_too_few_of_them(tmp_path):
    (tmp_path / "text").write_text(TEXT, encoding="utf-8")
    arguments = ["Down", "--texts", str(tmp_path / "text"), "--alone"]
    result = CliRunner().invoke(app, [*arguments, "--count", "2"])
    assert result.exit_code == 0
    assert result.stdout.split() == near_words(sentences(TEXT, ["down"]), ["down"])[:2]
    result = CliRunner().invoke(app, [*arguments, "--count", "99"])
    assert f"{len(result.stdout.split())} of 99 lines" in result.stderr


def test_texts_are_read_apart_and_the_seed_says_which_lines(tmp_path):
    (tmp_path / "a").write_text("We see the light", encoding="utf-8-sig")
    (tmp_path / "b").write_text("The night is bright", encoding="utf-8")
    texts = [f"--texts={tmp_path / name}" for name in "ab"]

    def made(seed):
        return CliRunner().invoke(app, ["White", *texts, "--seed", str(seed)]).stdout

    assert set(made(0).splitlines()[::3]) == {"we see the light", "the night is bright"}
    assert made(0) == made(0) != made(1)


@pytest.mark.parametrize(
    ("keyword", "content", "message"),
    [
        ("xqzt", b"Nothing here.", "'xqzt' is not in the dictionary"),
        ("down", None, "text: no such file"),
        ("down", b"\xff\xfe\x00", "text: not a text"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, keyword, content, message):
    if content is not None:
        (tmp_path / "text").write_bytes(content)
    result = CliRunner().invoke(app, [keyword, "--texts", str(tmp_path / "text")])
    assert result.exit_code == 1
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_as_a_command_that_cannot_answer(tmp_path):
    (tmp_path / "text").write_text(TEXT, encoding="utf-8")
    command = [sys.executable, "-m", "training.sound_alikes", "down", "--alone", "--texts"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*command, tmp_path / "text"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert (done.returncode, done.stderr) == (1, "standard output: no space left on device\n")
