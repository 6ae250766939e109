import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from spoken import RATE_HZ, noise, sound, word
from typer.testing import CliRunner, Result

import app.listen
import app.record
import app.recorder
from app.cli import cli
from app.sources import Piece
from app.takes import CONTEXT_S, NOISE_S
from sssm.labels import WORDLESS
from training.corpus import open_corpus


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["record", *map(str, arguments)])


def test_takes_are_written_and_training_reads_them(folder):
    soundfile.write("three.wav", sound(word(), word(0.3), word(0.5)), RATE_HZ)
    for name in ("hello", "_unknown_"):
        result = run(name, "words", "--input", "three.wav", "--takes", 2)
        assert result.exit_code == 0
        assert [line.split("  ")[0] for line in result.stdout.splitlines()] == [
            f"words/{name}/0001.wav", f"words/{name}/0002.wav",
        ]  # fmt: skip
        assert result.stderr == f"2 of 2 takes of {name!r} in words/{name}\n"
    soundfile.write("noise.wav", noise(12.0, 0.01), RATE_HZ)
    assert run("_background_noise_", "words", "--input", "noise.wav").exit_code == 0
    entries = open_corpus(Path("words"), own_words=True).entries
    assert [(entry.source, entry.word) for entry in entries] == [
        *[("commands", "_unknown_")] * 2, *[("commands", "hello")] * 2, *[("background", "")] * 2,
    ]  # fmt: skip
    info = soundfile.info("words/hello/0001.wav")
    assert (info.channels, info.subtype, info.samplerate) == (1, "PCM_16", RATE_HZ)
    assert info.duration == pytest.approx(0.4 + 2 * CONTEXT_S, abs=0.1)


def test_numbers_go_on_and_nothing_is_overwritten(folder):
    soundfile.write("one.wav", sound(word()), RATE_HZ)
    Path("words/hello").mkdir(parents=True)
    for name in ("0007.wav", "mine.wav"):
        Path("words/hello", name).write_bytes(b"mine")
    for _ in range(2):
        run("hello", "words", "--input", "one.wav")
    assert sorted(os.listdir("words/hello")) == ["0007.wav", "0008.wav", "0009.wav", "mine.wav"]
    assert Path("words/hello/0007.wav").read_bytes() == b"mine"


def test_a_recording_at_its_own_rate_stays_there(folder):
    x = np.concatenate([noise(0.5, rate=44_100), word(rate=44_100), noise(0.8, rate=44_100)])
    soundfile.write("one.wav", x, 44_100)
    run("hello", "words", "--input", "one.wav")
    assert soundfile.info("words/hello/0001.wav").samplerate == 44_100


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "a/b", "a\\b", "a\nb", " a", "a ", "a.", "_other_", "a:b"]
)
def test_a_name_that_no_folder_can_have_is_one_line_and_2(folder, name):
    result = run(name, "words", "--input", "none.wav")
    assert (result.exit_code, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1
    assert os.listdir() == []


@pytest.mark.parametrize("name", ["hey computer", "größe", "it's", "R2-D2"])
def test_a_name_may_be_any_other(folder, name):
    soundfile.write("one.wav", sound(word()), RATE_HZ)
    assert run(name, "words", "--input", "one.wav").exit_code == 0
    assert os.listdir(Path("words", name)) == ["0001.wav"]


def test_a_recording_without_a_word_is_1(folder):
    soundfile.write("noise.wav", noise(2.0), RATE_HZ)
    result = run("hello", "words", "--input", "noise.wav")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "0 of 10 takes of 'hello' in words/hello\n"


def test_what_cannot_be_read_or_written_is_one_line_and_1(folder):
    assert run("hello", "words", "--input", "none.wav").stderr.startswith("none.wav: no such file")
    soundfile.write("one.wav", sound(word()), RATE_HZ)
    result = run("hello", "one.wav", "--input", "one.wav")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[0] == "one.wav/hello: not a directory"


def test_takes_before_the_damage_are_kept(folder):
    """The last word too, which no silence follows."""
    soundfile.write("cut.wav", sound(word(), word(), word()), RATE_HZ)
    whole = Path("cut.wav").read_bytes()
    assert run("hello", "whole", "--input", "cut.wav").stdout.count(".wav") == 3
    end = soundfile.info("cut.wav").frames
    Path("cut.wav").write_bytes(whole[: 44 + 2 * (end - round(0.25 * RATE_HZ))])
    result = run("hello", "words", "--input", "cut.wav")
    assert result.exit_code == 1
    assert result.stdout.count(".wav") == 3
    assert "the file is cut short" in result.stderr


class Live:
    """A microphone that gives what a test made; at the end Ctrl-C is pressed, or nothing is."""

    name, sample_rate_hz, live = "a test", RATE_HZ, True

    def __init__(self, x: np.ndarray, interrupt: bool = False):
        self._pieces = [Piece(x[at : at + 160, None]) for at in range(0, len(x), 160)]
        self._interrupt = interrupt

    def start(self):
        pass

    def read(self):
        if self._pieces:
            return self._pieces.pop(0)
        if self._interrupt:
            os.kill(os.getpid(), 2)
            self._interrupt = False
            return Piece(np.zeros(0, np.float32))
        return None

    def close(self):
        pass


def live(monkeypatch, *parts: np.ndarray, interrupt: bool = False) -> None:
    x = np.concatenate([noise(NOISE_S), *parts])
    monkeypatch.setattr(app.record, "open_source", lambda *_, **__: Live(x, interrupt))


def test_live_each_take_is_asked_for_and_a_bad_one_again(folder, monkeypatch):
    live(monkeypatch, sound(word(), word(level=0.009), word()))
    result = run("hello", "words", "--takes", 2)
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "a moment of silence, please: measuring the noise",
        'take 1 of 2: say "hello"',
        'take 2 of 2: say "hello"',
        "once more: too quiet (-41 dB): closer to the microphone, or a higher level",
        'take 2 of 2: say "hello"',
        "2 of 2 takes of 'hello' in words/hello",
    ]


def test_too_many_bad_takes_end_it(folder, monkeypatch):
    monkeypatch.setattr(app.recorder, "MOST_FAULTS", 2)
    monkeypatch.setattr(app.recorder, "PATIENCE_S", 0.5)
    live(monkeypatch, noise(10.0))
    result = run("hello", "words")
    assert result.exit_code == 1
    assert result.stderr.count("once more: nothing heard") == 2


def test_only_bad_takes_in_a_row_are_too_many(folder, monkeypatch):
    monkeypatch.setattr(app.recorder, "MOST_FAULTS", 2)
    bad = word(level=0.009)
    live(monkeypatch, sound(bad, word(), bad, word()))
    assert run("hello", "words", "--takes", 2).exit_code == 0
    live(monkeypatch, sound(word(), bad, bad, word()))
    assert run("hello", "more", "--takes", 3).exit_code == 1
    assert os.listdir("more/hello") == ["0001.wav"]


def test_a_file_may_be_silent_for_long(folder):
    soundfile.write("one.wav", np.concatenate([noise(6.0), word(), noise(0.8)]), RATE_HZ)
    result = run("hello", "words", "--input", "one.wav")
    assert result.stderr == "1 of 10 takes of 'hello' in words/hello\n"


def test_a_reader_that_leaves_ends_it_in_silence(folder):
    soundfile.write("noise.wav", noise(2.0), RATE_HZ)
    reader, out = os.pipe()
    os.close(reader)
    arguments = ["record", "hello", "words", "--input", "noise.wav"]
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments], stdout=out, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    os.close(out)
    assert (done.returncode, done.stderr) == (0, b"")


def test_what_cannot_be_printed_is_not_told_of_a_take(folder):
    soundfile.write("one.wav", sound(word()), RATE_HZ)
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "app.cli", "record", "hello", "words", "--input", "one.wav"],
            stdout=full, stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, b"standard output: no space left on device\n")
    assert os.listdir("words/hello") == ["0001.wav"]


def test_a_take_that_cannot_be_written_is_told_of_its_folder(folder, monkeypatch):
    monkeypatch.setattr("app.clips._wav", lambda *_: (_ for _ in ()).throw(OSError(28, "Full")))
    soundfile.write("one.wav", sound(word()), RATE_HZ)
    result = run("hello", "words", "--input", "one.wav")
    assert result.exit_code == 1
    assert result.stderr == "words/hello: full\n0 of 10 takes of 'hello' in words/hello\n"


class Changing(Live):
    """A microphone of pieces that each have a rate."""

    def __init__(self, *pieces: tuple[int, Piece]):
        self._pieces = list(pieces)

    def read(self):
        if not self._pieces:
            return None
        self.sample_rate_hz, piece = self._pieces.pop(0)
        return piece


def test_a_microphone_that_comes_back_at_another_rate(folder, monkeypatch):
    """It was lost amid a word, which is said again."""
    first = np.concatenate([noise(NOISE_S + 0.5), word()[:3_000]])
    parts = [noise(NOISE_S + 0.6, rate=48_000), word(rate=48_000), noise(0.8, rate=48_000)]
    back = Piece(np.concatenate(parts), fresh=True, notes=("it is back",), overflows=1)
    source = Changing((RATE_HZ, Piece(first)), (48_000, back))
    monkeypatch.setattr(app.record, "open_source", lambda *_, **__: source)
    notes = run("hello", "words", "--takes", 1).stderr.splitlines()
    assert {"it is back", "overflow: some sound was lost"} < set(notes)
    info = soundfile.info("words/hello/0001.wav")
    assert info.samplerate == 48_000
    assert info.duration == pytest.approx(0.4 + 2 * CONTEXT_S, abs=0.1)


def test_ctrl_c_keeps_the_takes(folder, monkeypatch):
    live(monkeypatch, sound(word()), interrupt=True)
    result = run("hello", "words")
    assert result.exit_code == 130
    assert os.listdir("words/hello") == ["0001.wav"]
    assert result.stderr.endswith("1 of 10 takes of 'hello' in words/hello\n")


def test_ctrl_c_keeps_the_talk_before_it(folder, monkeypatch):
    live(monkeypatch, *[word(1.0)] * 17, interrupt=True)
    assert run("_unknown_", "words", "--minutes", 1).exit_code == 130
    pieces = [soundfile.info(f"words/_unknown_/000{n}.wav").duration for n in (1, 2)]
    assert pieces == [10.0, pytest.approx(7.0 + NOISE_S)]


def test_talk_before_a_microphone_is_lost_is_kept_at_its_own_rate(folder, monkeypatch):
    talk = [np.concatenate([word(1.0, rate=rate)] * 6) for rate in (RATE_HZ, 48_000)]
    pieces = Piece(talk[0], fresh=True), Piece(talk[1], fresh=True)
    source = Changing((RATE_HZ, pieces[0]), (48_000, pieces[1]))
    monkeypatch.setattr(app.record, "open_source", lambda *_, **__: source)
    assert run("_unknown_", "words", "--minutes", 1).exit_code == 0
    written = [soundfile.info(f"words/_unknown_/000{n}.wav") for n in (1, 2)]
    assert [(info.samplerate, info.duration) for info in written] == [(RATE_HZ, 6.0), (48_000, 6.0)]


def test_a_word_of_which_some_is_missing_is_asked_for_again(folder, monkeypatch):
    parts = [noise(NOISE_S + 0.5), word()[:3_000], np.concatenate([word()[4_000:], noise(0.8)])]
    parts.append(np.concatenate([word(0.3), noise(0.8)]))
    pieces = [Piece(part, overflows=n == 2) for n, part in enumerate(parts)]
    source = Changing(*((RATE_HZ, piece) for piece in pieces))
    monkeypatch.setattr(app.record, "open_source", lambda *_, **__: source)
    result = run("hello", "words", "--takes", 1)
    assert "once more: some sound was lost" in result.stderr.splitlines()


def test_noise_is_measured_anew_and_the_word_asked_for_where_a_microphone_comes_back(
    folder, monkeypatch
):
    first = np.concatenate([noise(NOISE_S + 0.5), word(), noise(0.8)])
    back = np.concatenate([noise(NOISE_S + 0.6), word(), noise(0.8)])
    source = Changing((RATE_HZ, Piece(first, fresh=True)), (RATE_HZ, Piece(back, fresh=True)))
    monkeypatch.setattr(app.record, "open_source", lambda *_, **__: source)
    notes = run("hello", "words", "--takes", 2).stderr.splitlines()
    assert notes.count("a moment of silence, please: measuring the noise") == 2
    assert len(os.listdir("words/hello")) == 2


@pytest.mark.parametrize("name", WORDLESS)
def test_noise_is_asked_for_as_such(folder, monkeypatch, name):
    monkeypatch.setattr(app.recorder, "PIECE_S", 1.0)
    live(monkeypatch, noise(3.0))
    result = run(name, "words", "--takes", 2)
    assert result.exit_code == 0
    assert "take 1 of 2: 1 s of whatever is to be heard, but no word" in result.stderr
    assert soundfile.info(f"words/{name}/0002.wav").duration == 1.0


def test_minutes_of_talk_are_pieces_that_training_takes_for_talk(folder):
    """The end too, where it is long enough to be talk and not a word."""
    talk = sound(*[word()] * 24)
    soundfile.write("talk.wav", talk[: 26 * RATE_HZ], RATE_HZ)
    result = run("_unknown_", "words", "--input", "talk.wav", "--minutes", 1)
    assert result.exit_code == 0
    assert result.stderr == "3 of 6 takes of '_unknown_' in words/_unknown_\n"
    soundfile.write("talk.wav", talk[: 14 * RATE_HZ], RATE_HZ)
    run("_unknown_", "words", "--input", "talk.wav", "--minutes", 1)
    soundfile.write("one.wav", sound(word()), RATE_HZ)
    run("hello", "words", "--input", "one.wav")
    pieces = [Path(f"words/_unknown_/000{n}.wav") for n in range(1, 5)]
    assert [soundfile.info(path).duration for path in pieces] == [10.0, 10.0, 6.0, 10.0]
    entries = open_corpus(Path("words"), own_words=True).entries
    assert {e.path for e in entries if e.source == "speech"} == {str(p)[6:] for p in pieces}


def test_talk_is_asked_for_once_and_again_where_nobody_talks(folder, monkeypatch):
    monkeypatch.setattr(app.recorder, "PIECE_S", 1.0)
    live(monkeypatch, *[word(1.0)] * 3, noise(1.0), word(1.0))
    result = run("_unknown_", "words", "--minutes", 1)
    notes = result.stderr.splitlines()
    asked = "talk, read aloud or turn on a radio, but none of your words"
    assert [note for note in notes if asked in note] == [
        f"take {n} of 60: {asked}" for n in (1, 1, 4)
    ]


def test_minutes_are_of_talk_and_noise_and_instead_of_takes(folder):
    for arguments in (["hello", "words"], ["_unknown_", "words", "--takes", 3]):
        result = run(*arguments, "--minutes", 1, "--input", "none.wav")
        assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    soundfile.write("noise.wav", noise(75.0, 0.01), RATE_HZ)
    result = run("_background_noise_", "words", "--minutes", 1, "--input", "noise.wav")
    assert result.stderr == "6 of 6 takes of '_background_noise_' in words/_background_noise_\n"
