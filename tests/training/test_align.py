"""Times of words, by alignment, beside those that a table holds."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from training.align import Aligner, app
from training.corpus import SAMPLE_RATE_HZ, read_int16
from training.word_end import word_span

CLIPS = Path(__file__).parents[1] / "clips"


def said(*words: str) -> np.ndarray:
    return np.concatenate([read_int16(CLIPS / f"{word}.flac") for word in words])


@pytest.fixture
def speech(tmp_path):
    folder = tmp_path / "speech"
    folder.mkdir()
    soundfile.write(folder / "one.wav", said("yes", "stop"), SAMPLE_RATE_HZ)
    soundfile.write(folder / "two.wav", said("left"), SAMPLE_RATE_HZ)
    table = "path,split,transcript\none.wav,training,YES STOP\ntwo.wav,validation,left\n"
    (folder / "transcripts.csv").write_text(table, encoding="utf-8")
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "words.csv").open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def aligned(folder: Path):
    return CliRunner().invoke(app, ["--data", str(folder.parent)])


def test_words_are_where_their_sound_is():
    found = Aligner().times(said("yes", "stop"), ["yes", "stop"])
    assert [spoken.word for spoken in found] == ["yes", "stop"]
    for n, (spoken, word) in enumerate(zip(found, ("yes", "stop"), strict=True)):
        start, end = word_span(said(word) / np.float32(32_768))
        assert abs(spoken.start - n * SAMPLE_RATE_HZ - start) < 0.15 * SAMPLE_RATE_HZ
        assert abs(spoken.end - n * SAMPLE_RATE_HZ - end) < 0.25 * SAMPLE_RATE_HZ


def test_words_that_cannot_be_there_are_not_found():
    assert Aligner().times(np.zeros(SAMPLE_RATE_HZ // 10, np.int16), ["yes"] * 20) is None


def test_a_new_table_holds_every_word(speech):
    result = aligned(speech)
    assert result.exit_code == 0
    assert result.stdout == "aligned 2, failed 0\n"
    assert [(r["path"], r["split"], r["word"]) for r in rows(speech)] == [
        ("one.wav", "training", "yes"), ("one.wav", "training", "stop"),
        ("two.wav", "validation", "left"),
    ]  # fmt: skip
    assert all(0 <= float(r["start_s"]) < float(r["end_s"]) <= 2.1 for r in rows(speech))


@pytest.mark.parametrize("end", ["", "\n"])
def test_what_a_table_holds_stays(speech, end):
    old = "path,split,word,start_s,end_s,score\none.wav,training,yes,0.10,0.20,0.9"
    (speech / "words.csv").write_text(old + end, encoding="utf-8")
    assert aligned(speech).exit_code == 0
    assert (speech / "words.csv").read_text(encoding="utf-8").startswith(old + "\ntwo.wav,")
    assert [r["word"] for r in rows(speech)] == ["yes", "left"]
    assert rows(speech)[1]["score"] == ""
    before = (speech / "words.csv").read_bytes()
    assert aligned(speech).stdout == "aligned 0, failed 0\n"
    assert (speech / "words.csv").read_bytes() == before


def test_what_cannot_be_aligned_costs_the_others_nothing(speech):
    table = [
        "path,split,transcript", "one.wav,training,yes xqzt", "gone.wav,training,yes",
        "one.wav,training,", "two.wav,validation,Left.", "two.wav,validation,left",
    ]  # fmt: skip
    (speech / "transcripts.csv").write_text("\n".join(table), encoding="utf-8")
    result = aligned(speech)
    assert result.exit_code == 1
    assert [line.rpartition("/")[2] for line in result.stderr.splitlines()[-3:]] == [
        "one.wav: no word 'xqzt' in the dictionary", "gone.wav: no such file or directory",
        "one.wav: its transcript is empty",
    ]  # fmt: skip
    assert result.stdout == "aligned 1, failed 3\n"
    assert [r["word"] for r in rows(speech)] == ["left"]


@pytest.mark.parametrize(
    ("name", "table", "message"),
    [
        ("transcripts", None, "no such file"),
        ("transcripts", "path,split\na.wav,training\n", "row 1 has no 'transcript'"),
        ("transcripts", "path,split,transcript\na.wav,training\n", "row 1 has no 'transcript'"),
        (
            "transcripts",
            "path,split,transcript\na.wav,training,yes\nb.wav,training,no, yes\n",
            "row 2 has a comma too many",
        ),
        ("words", "path,word\none.wav,yes\n", "row 1 has no 'split'"),
    ],
)
def test_a_broken_table_is_one_line(speech, name, table, message):
    path = speech / f"{name}.csv"
    path.unlink(missing_ok=True)
    if table is not None:
        path.write_text(table, encoding="utf-8")
    result = aligned(speech)
    assert result.exit_code == 1
    assert f"{name}.csv: {message}" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_as_a_command_that_cannot_answer(speech):
    (speech / "transcripts.csv").write_text("path,split,transcript\n", encoding="utf-8")
    command = [sys.executable, "-m", "training.align", "--data", speech.parent]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "standard output: no space left on device"
