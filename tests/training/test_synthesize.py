"""Recordings that a speaker makes: where they go, and that stopping loses none."""

import csv

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from training import synthesize_sentences, synthesize_words
from training.corpus import SAMPLE_RATE_HZ, Spoken
from training.own_words import recordings


class Speaker:
    """A second of noise; fails when it has said so many texts."""

    def __init__(self, texts=10_000):
        self._left = texts
        self.texts = []

    def say(self, text, rng):
        if not self._left:
            raise OSError("stopped")
        if "unsayable" in text:
            raise ValueError(f"nothing can be said of {text!r}")
        self._left -= 1
        self.texts.append(text)
        return (0.1 * rng.standard_normal(SAMPLE_RATE_HZ)).astype(np.float32)


class Times:
    """Finds words, but for every so many texts, at a tenth of a second each."""

    def __init__(self, fails_each=10_000):
        self._asked, self._fails_each = 0, fails_each

    def times(self, samples, words):
        self._asked += 1
        if self._asked % self._fails_each == 0:
            return None
        return [Spoken(word, n * 1_600, (n + 1) * 1_600) for n, word in enumerate(words)]


def rows(speech):
    with (speech / "transcripts.csv").open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def record_sentences(speech, speaker):
    synthesize_sentences.record(TEXTS, "lines", speech, speaker, seed=0)


def record_word(folder, speaker, times, count):
    return synthesize_words.record("go", folder, speaker, times, count=count, seed=0)


TEXTS = ["The town is known.", "", "Asked, laughed?"]


def test_sentences_stand_in_the_table(tmp_path):
    record_sentences(tmp_path, Speaker())
    assert [(row["path"], row["split"], row["transcript"]) for row in rows(tmp_path)] == [
        ("synthesized/lines-0-00000.wav", "training", "the town is known"),
        ("synthesized/lines-0-00002.wav", "training", "asked laughed"),
    ]
    for row in rows(tmp_path):
        assert soundfile.info(tmp_path / row["path"]).samplerate == SAMPLE_RATE_HZ


def test_sentences_go_to_a_table_that_is_there(tmp_path):
    table = tmp_path / "transcripts.csv"
    table.write_text("path,split,transcript,age\nold.wav,validation,hello,7", encoding="utf-8")
    record_sentences(tmp_path, Speaker())
    assert [row["path"] for row in rows(tmp_path)] == [
        "old.wav", "synthesized/lines-0-00000.wav", "synthesized/lines-0-00002.wav",
    ]  # fmt: skip
    assert [row["age"] for row in rows(tmp_path)] == ["7", "", ""]


def test_a_table_without_rows_has_one_head(tmp_path):
    (tmp_path / "transcripts.csv").write_text("path,split,transcript\n", encoding="utf-8")
    record_sentences(tmp_path, Speaker())
    assert len(rows(tmp_path)) == 2


def test_sentences_go_on_where_they_were_stopped(tmp_path):
    with pytest.raises(OSError, match="stopped"):
        record_sentences(tmp_path, Speaker(1))
    again = Speaker()
    record_sentences(tmp_path, again)
    assert again.texts == ["Asked, laughed?"]
    assert len(rows(tmp_path)) == 2


def test_a_sentence_that_cannot_be_said_is_named_and_the_others_are_said(tmp_path):
    texts = ["First.", "unsayable", "Last."]
    left_out = synthesize_sentences.record(texts, "lines", tmp_path, Speaker(), seed=0)
    assert left_out == ["line 2: nothing can be said of 'unsayable'"]
    assert [row["transcript"] for row in rows(tmp_path)] == ["first", "last"]


def test_words_are_recordings_of_a_speaker_each(tmp_path):
    assert record_word(tmp_path / "go", Speaker(), Times(), 20) == 0
    found, _ = recordings(tmp_path)
    assert {recording.word for recording in found} == {"go"}
    assert len({recording.speaker for recording in found}) == 20
    assert {recording.split for recording in found} == {"training", "validation"}


def test_words_go_on_where_they_were_stopped(tmp_path):
    with pytest.raises(OSError, match="stopped"):
        record_word(tmp_path, Speaker(2), Times(), 5)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    again = Speaker()
    record_word(tmp_path, again, Times(), 5)
    assert len(again.texts) == 3
    assert all(path.read_bytes() == content for path, content in before.items())


def test_recordings_without_their_word_are_counted(tmp_path):
    assert record_word(tmp_path, Speaker(), Times(fails_each=3), 10) == 3
    assert len(list(tmp_path.iterdir())) == 7


@pytest.mark.parametrize(
    ("program", "options", "message"),
    [
        (synthesize_words, ["xqzt", "--out", "to"],
         "'xqzt' is not in the dictionary of pronunciations"),
        (synthesize_words, ["go", "--out", "to"], "none.onnx: no such file"),
        (synthesize_sentences, ["none.txt", "--data", "to"], "none.txt: no such file or directory"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(tmp_path, monkeypatch, program, options, message):
    monkeypatch.chdir(tmp_path)
    command = [*options, "--model", "none.onnx", "--voices", "none"]
    result = CliRunner().invoke(program.app, command)
    assert result.exit_code == 1
    assert result.stderr == message + "\n"
    assert not list(tmp_path.iterdir())


def test_every_word_has_voices_of_its_own(tmp_path):
    said = []
    for word in ("lamp", "light"):
        synthesize_words.record(word, tmp_path / word, Speaker(), Times(), count=3, seed=0)
        said += [soundfile.read(path)[0].tobytes() for path in sorted((tmp_path / word).iterdir())]
    assert len(set(said)) == 6
