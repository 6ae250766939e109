"""Times of words, by alignment, beside those that a table holds."""

import csv
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


def test_a_new_table_holds_every_word(speech):
    result = aligned(speech)
    assert result.exit_code == 0
    assert "2 recordings aligned, 0 could not be" in result.stdout
    assert [(r["path"], r["split"], r["word"]) for r in rows(speech)] == [
        ("one.wav", "training", "yes"), ("one.wav", "training", "stop"),
        ("two.wav", "validation", "left"),
    ]  # fmt: skip
    assert all(0 <= float(r["start_s"]) < float(r["end_s"]) <= 2.1 for r in rows(speech))


def test_what_a_table_holds_stays(speech):
    old = "path,split,word,start_s,end_s,score\none.wav,training,yes,0.10,0.20,0.9\n"
    (speech / "words.csv").write_text(old, encoding="utf-8")
    assert aligned(speech).exit_code == 0
    assert (speech / "words.csv").read_text(encoding="utf-8").startswith(old)
    assert [r["word"] for r in rows(speech)] == ["yes", "left"]
    assert rows(speech)[1]["score"] == ""
    before = (speech / "words.csv").read_bytes()
    assert "0 recordings aligned" in aligned(speech).stdout
    assert (speech / "words.csv").read_bytes() == before


def test_one_that_cannot_be_aligned_costs_the_others_nothing(speech):
    table = "path,split,transcript\none.wav,training,yes xqzt\ntwo.wav,validation,left\n"
    (speech / "transcripts.csv").write_text(table, encoding="utf-8")
    result = aligned(speech)
    assert result.exit_code == 1
    assert "one.wav: no word 'xqzt' in the dictionary" in result.stderr
    assert [r["word"] for r in rows(speech)] == ["left"]


def test_no_table_is_one_line(tmp_path):
    result = aligned(tmp_path / "speech")
    assert result.exit_code == 1
    assert len(result.stderr.strip().splitlines()) == 1
