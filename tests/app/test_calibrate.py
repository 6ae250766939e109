import json
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import nervous
import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from app.calibrate import _choose, _report
from app.cli import cli
from app.labelled import LabelledRecordings, left_out, of_keywords
from sssm.calibration import HIGHEST
from sssm.intervals import poisson_interval
from sssm.spotter import KeywordSpotter
from sssm.thresholds import read_thresholds
from sssm.traces import Fired
from sssm.weights import load_model, save_model

RATE = 16_000


@pytest.fixture(scope="module")
def nervous_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    return nervous.nervous_model(folder, ("yes", "no", "_unknown_"), seed=3)


@pytest.fixture(scope="module")
def noises(tmp_path_factory):
    """Twenty-four seconds of bursts at two rates, in a folder and one below it."""
    folder = tmp_path_factory.mktemp("noises")
    rng = np.random.default_rng(0)
    (folder / "deep").mkdir()
    for name, rate in (("a.wav", 16_000), ("deep/b.flac", 8_000)):
        loud = np.repeat(10 ** rng.uniform(-4, -0.5, size=48), rate // 4)
        soundfile.write(folder / name, loud * rng.standard_normal(len(loud)) * 0.3, rate)
    return folder


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    rng = np.random.default_rng(1)
    for word in ("yes", "other"):
        (folder / word).mkdir()
        for n in range(3):
            burst = rng.standard_normal(8_000) * 0.2 * np.hanning(8_000)
            soundfile.write(folder / word / f"{n}.wav", burst, RATE)
    return folder


@pytest.fixture
def calibrate(nervous_model):
    def run(*arguments):
        model = ("--model", nervous_model)
        return CliRunner().invoke(cli, ["calibrate", *map(str, (*model, *arguments))])

    return run


def live_detections(model, thresholds, folder):
    spotter = KeywordSpotter.load(model, thresholds=thresholds)
    found = 0
    for path in folder.rglob("*.*"):
        x, rate = soundfile.read(path, dtype="float32")
        found += len(spotter.stream(rate).push(x))
    return found


def test_what_is_live_keeps_to_the_rate(calibrate, nervous_model, noises, tmp_path):
    out = tmp_path / "thresholds.json"
    low = dict.fromkeys(("yes", "no"), 0.2)
    assert live_detections(nervous_model, low, noises) > 3
    allowed = 3  # in 24 s
    result = calibrate("--negatives", noises, "--out", out, "--false-accepts-per-hour", 451)
    assert result.exit_code == 0, result.output
    spotter = KeywordSpotter.load(nervous_model)
    thresholds = read_thresholds(out, fingerprint=spotter.fingerprint, keywords=spotter.keywords)
    assert set(thresholds) == {"yes", "no"}
    assert live_detections(nervous_model, thresholds, noises) <= allowed
    assert "heard 0.01 h" in result.stdout
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_with_recordings_of_words_it_says_what_is_missed(
    calibrate, nervous_model, noises, words, tmp_path
):
    out = tmp_path / "thresholds.json"
    result = calibrate("--negatives", noises, "--positives", words, "--out", out)
    assert result.exit_code == 0, result.output
    assert "misses to expect" in result.stdout
    assert "of 3)" in result.stdout
    assert "no recording" in result.stdout  # of "no"
    assert "cannot tell 0.5 false accepts an hour from none" in result.stderr
    content = json.loads(out.read_text())
    assert all(0 < x <= 1 for x in content["thresholds"].values())
    assert live_detections(nervous_model, content["thresholds"], noises) == 0


def test_quiet_recordings_are_not_taken_for_everything(noises, tmp_path):
    out = tmp_path / "t.json"
    arguments = ["calibrate", "--negatives", noises, "--out", out]
    arguments += ["--false-accepts-per-hour", "500"]  # some three may be false here
    result = CliRunner().invoke(cli, list(map(str, arguments)))
    assert result.exit_code == 0
    spotter = KeywordSpotter.load("s4")
    chosen = read_thresholds(out, fingerprint=spotter.fingerprint, keywords=spotter.keywords)
    lower = [k for k in spotter.keywords if chosen[k] < spotter.detector.thresholds[k]]
    assert lower
    assert f"less sure than the model's own of {', '.join(lower)}: " in result.stderr


def test_what_seconds_of_noise_cannot_tell_is_told_and_makes_no_word_deaf(noises, tmp_path):
    """Half an accept an hour is far from what 24 s of noise can tell."""
    arguments = ["calibrate", "--negatives", noises, "--out", tmp_path / "t.json"]
    result = CliRunner().invoke(cli, list(map(str, arguments)))
    assert result.exit_code == 0
    assert max(json.loads((tmp_path / "t.json").read_text())["thresholds"].values()) < 0.95
    assert "the smallest rate that they can measure is 450.00;" in result.stderr
    asked = ["--false-accepts-per-hour", "0"]
    result = CliRunner().invoke(cli, list(map(str, arguments + asked)))
    assert "cannot tell" not in result.stderr


@pytest.mark.usefixtures("few_thresholds")
def test_folders_of_no_keyword_are_told(calibrate, nervous_model, noises, words, tmp_path):
    mixed = tmp_path / "mixed"
    shutil.copytree(words, mixed)
    for name in ("Yes", "cat", "_unknown_"):
        (mixed / name).mkdir()
    result = calibrate("--negatives", noises, "--positives", mixed, "--out", tmp_path / "t.json")
    assert result.exit_code == 0
    left_out = [line for line in result.stderr.splitlines() if "left out" in line]
    assert left_out == [f"{mixed}: left out Yes, cat, other: no keyword is called so"]


@pytest.mark.usefixtures("few_thresholds")
def test_samples_that_are_no_numbers_are_told(calibrate, nervous_model, tmp_path):
    x = np.full(16_000, 0.1, np.float32)
    x[5:9] = np.nan
    soundfile.write(tmp_path / "nan.wav", x, 16_000, subtype="FLOAT")
    result = calibrate("--negatives", tmp_path, "--out", tmp_path / "t.json")
    assert f"{tmp_path / 'nan.wav'}: 4 samples taken as 0: NaN or infinite" in result.stderr


def test_a_word_that_is_heard_no_more_is_told(noises, words, tmp_path):
    arguments = ["calibrate", "--negatives", noises, "--positives", words]
    result = CliRunner().invoke(cli, list(map(str, (*arguments, "--out", tmp_path / "t.json"))))
    assert result.exit_code == 0
    told = [line for line in result.stderr.splitlines() if "is heard at these thresholds" in line]
    assert len(told) == 1
    assert told[0].startswith("no recording of yes is heard")  # bursts of noise; of "no" are none


@pytest.mark.usefixtures("few_thresholds")
def test_bad_files_are_told_at_the_end_and_thresholds_written(calibrate, noises, tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "good.wav").write_bytes((noises / "a.wav").read_bytes())
    (folder / "bad.wav").write_bytes(b"RIFF, or not")
    out = tmp_path / "t.json"
    result = calibrate("--negatives", folder, "--out", out)
    assert result.exit_code == 1
    assert "bad.wav" in result.stderr.splitlines()[-1]
    assert out.is_file()


def test_a_word_at_the_very_end_counts_and_the_silence_after_it_is_no_time(cut_word):
    spotter = KeywordSpotter.load("s4")
    thresholds = {word: spotter.detector.thresholds[word] for word in spotter.keywords}
    heard = LabelledRecordings(spotter)
    heard.listen([(str(cut_word), None), (str(cut_word), "left")])
    assert [counts.sum() for counts in heard.count(thresholds)] == [1, 0]
    assert heard.hours == 0.57 / 3_600


def test_another_keyword_or_half_a_recording_is_no_word_heard(nervous_model, noises, tmp_path):
    heard = LabelledRecordings(KeywordSpotter.load(nervous_model))
    heard.said = {0: "yes"}
    assert heard.misses([Fired(0, 9, "no")]).tolist() == [1, 0]
    assert heard.misses([Fired(0, 9, "yes")]).tolist() == [0, 0]
    heard.said = {}
    data = (noises / "a.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(data[: len(data) // 2])
    heard.listen([(str(tmp_path / "cut.wav"), "yes")])
    assert heard.said == {}
    assert "damaged after 6.00 s" in heard.failures[0]


def test_what_is_false_is_counted_where_no_word_is_said(noises):
    """And misses where one is: of three words that high thresholds hear, none has to be missed."""
    heard = LabelledRecordings(KeywordSpotter.load("s4"))
    left = str(Path(__file__).parents[1] / "clips" / "left.flac")
    heard.listen([(str(noises / "a.wav"), None), *[(left, "left")] * 3])
    chosen = _choose(heard, 1 / heard.hours)
    assert chosen["left"] > 0.9
    assert heard.count(chosen)[1].sum() == 0


def test_a_space_in_a_keyword_may_be_another_sign_in_its_folder(tmp_path):
    spotter = SimpleNamespace(keywords=("hey you",))
    heard = SimpleNamespace(spotter=spotter, failures=[])
    for name in ("hey you", "hey_you"):
        (tmp_path / name).mkdir()
    (tmp_path / "hey_you/1.wav").touch()
    assert of_keywords(str(tmp_path), heard) == [(str(tmp_path / "hey_you/1.wav"), "hey you")]
    assert heard.failures == [f"{tmp_path / 'hey you'}: no audio in this folder"]


def test_accents_in_a_keyword_may_be_spelled_apart_in_its_folder(tmp_path):
    heard = SimpleNamespace(spotter=SimpleNamespace(keywords=("L\u00f6we",)), failures=[])
    folder = tmp_path / "Lo\u0308we"
    folder.mkdir()
    (folder / "1.wav").touch()
    assert of_keywords(str(tmp_path), heard) == [(str(folder / "1.wav"), "L\u00f6we")]
    assert left_out(str(tmp_path), heard.spotter.keywords) == []


def test_more_than_allowed_at_the_highest_thresholds_is_told(
    nervous_model, noises, tmp_path, capsys
):
    """Of a model that is sure all the time, so that it fires once in each recording."""
    model, card = load_model(nervous_model)
    with torch.no_grad():
        model.head.bias[0] += 99
    save_model(tmp_path / "sure.safetensors", model, card)
    heard = LabelledRecordings(KeywordSpotter.load(tmp_path / "sure.safetensors"))
    heard.listen([(str(noises / name), None) for name in ("a.wav", "deep/b.flac")])
    _report(heard, {"yes": HIGHEST, "no": HIGHEST}, 0)
    out, err = capsys.readouterr()
    assert "even at the highest thresholds there are more than 0 an hour" in err
    assert "much surer than the model's own of yes, no, so more of what is said" in err
    low, high = (count * 150 for count in poisson_interval(2))  # in 24 s
    said = f"heard 0.01 h: 300.00 false accepts an hour (95% interval {low:.2f} to {high:.2f})"
    assert said in out


def test_a_cut_file_and_one_of_a_rate_that_the_model_cannot_hear_are_told(
    noises, fixed_rate_model, tmp_path
):
    (tmp_path / "talk").mkdir()
    data = (noises / "a.wav").read_bytes()
    (tmp_path / "talk" / "a.wav").write_bytes(data[: len(data) // 2])
    (tmp_path / "talk" / "b.flac").write_bytes((noises / "deep/b.flac").read_bytes())
    arguments = ["--negatives", tmp_path / "talk", "--out", tmp_path / "t.json"]
    arguments = ["calibrate", "--model", fixed_rate_model, *arguments]
    result = CliRunner().invoke(cli, list(map(str, arguments)))
    assert result.exit_code == 1
    cut, slow = result.stderr.splitlines()[-2:]
    assert cut.endswith("a.wav: damaged after 6.00 s: the file is cut short")
    assert slow.startswith(f"{tmp_path / 'talk/b.flac'}: recorded at 8000 Hz; ")


NO_SOUND = {"silent": np.zeros(0), "not a number": np.full(RATE, np.nan)}


@pytest.mark.parametrize("make", ["nothing", "empty", *NO_SOUND])
def test_where_nothing_is_heard_no_thresholds_are_written(calibrate, tmp_path, make):
    folder = tmp_path / "folder"
    if make != "nothing":
        folder.mkdir()
    if make in NO_SOUND:
        soundfile.write(folder / "x.wav", NO_SOUND[make], RATE, subtype="FLOAT")
    out = tmp_path / "t.json"
    result = calibrate("--negatives", folder, "--out", out)
    assert result.exit_code == 1
    assert "no thresholds were chosen" in result.stderr
    assert ("no audio in this folder" in result.stderr) == (make == "empty")
    assert not out.exists()
    assert "Traceback" not in result.output


@pytest.mark.parametrize("folder", ["else", "yes"])
def test_positives_without_a_keyword_are_told_before_anything_is_heard(
    calibrate, noises, tmp_path, folder
):
    words = tmp_path / "words"
    (words / folder).mkdir(parents=True)  # empty
    out = tmp_path / "t.json"
    result = calibrate("--negatives", noises, "--positives", words, "--out", out)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line == f"{words}: no recording in a folder named by a keyword (yes, no)"
    assert not out.exists()


def test_wrong_usage_is_one_line(calibrate, noises, tmp_path):
    nowhere = tmp_path / "no" / "t.json"
    result = calibrate("--negatives", noises, "--out", nowhere)
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    result = calibrate("--negatives", noises, "--out", tmp_path / "t.png")
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert "the curve is drawn there" in result.stderr
    result = calibrate("--negatives", noises, "--positives", nowhere, "--out", tmp_path / "t.json")
    assert (result.exit_code, result.stderr) == (2, f"{nowhere}: no such folder\n")
    result = calibrate(
        "--negatives", noises, "--out", tmp_path / "t", "--false-accepts-per-hour", "inf"
    )
    assert result.exit_code == 2
    assert "Invalid value for '--false-accepts-per-hour'" in result.stderr
    result = calibrate("--negatives", noises, "--out", tmp_path / "t", "--model", "none-such")
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)


@pytest.mark.usefixtures("few_thresholds")
def test_a_link_that_leads_to_itself_is_no_traceback(calibrate, noises, tmp_path):
    out = tmp_path / "t.json"
    os.symlink(out, out)
    assert calibrate("--negatives", noises, "--out", out).exit_code == 0
    assert out.is_file()


def test_no_model_of_an_ensemble_is_written_over(noises, nervous_model, tmp_path):
    own = tmp_path / "mine.safetensors"
    own.write_bytes(nervous_model.read_bytes())
    arguments = ["calibrate", "--negatives", noises, "--out", own, "--model", f"{own}+{own}"]
    result = CliRunner().invoke(cli, list(map(str, arguments)))
    assert result.stderr == f"{own}: is read here too, and would be written over\n"
    assert own.read_bytes() == nervous_model.read_bytes()


@pytest.mark.usefixtures("few_thresholds")
def test_a_picture_of_something_else_is_not_drawn_over(calibrate, noises, tmp_path):
    out, picture = tmp_path / "t.json", tmp_path / "t.png"
    picture.write_text("precious")
    result = calibrate("--negatives", noises, "--out", out)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"{picture}: is there without")
    assert (picture.read_text(), out.exists()) == ("precious", False)
    picture.unlink()
    for _ in range(2):  # its own it draws anew
        assert calibrate("--negatives", noises, "--out", out).exit_code == 0
        assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("few_thresholds")
def test_words_among_the_negatives_are_told(calibrate, words, tmp_path):
    result = calibrate("--negatives", words, "--out", tmp_path / "t.json")
    assert result.stderr.startswith(f"{words}: holds yes; what is said there")


@pytest.mark.usefixtures("few_thresholds")
def test_a_phrase_among_the_negatives_is_told_by_its_folder(noises, tmp_path):
    model = nervous.nervous_model(tmp_path, ("hey you", "_unknown_"), seed=3)
    shutil.copytree(noises, tmp_path / "noises/hey_you")
    arguments = ["--model", model, "--negatives", tmp_path / "noises", "--out", tmp_path / "t.json"]
    result = CliRunner().invoke(cli, ["calibrate", *map(str, arguments)])
    assert result.stderr.startswith(f"{tmp_path / 'noises'}: holds hey_you; what is said there")


def test_what_is_read_is_not_written_over(calibrate, noises, words, nervous_model, tmp_path):
    for out in (noises / "a.wav", words / "yes" / "0.wav", nervous_model):
        before = out.read_bytes()
        result = calibrate("--negatives", noises, "--positives", words, "--out", out)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == f"{out}: is read here too, and would be written over\n"
        assert out.read_bytes() == before
    picture = tmp_path / "noise.png"
    picture.write_bytes((noises / "a.wav").read_bytes())
    (tmp_path / "noise.json").touch()
    result = calibrate("--negatives", picture, "--out", tmp_path / "noise.json")
    assert result.stderr == f"{picture}: is read here too, and would be written over\n"


@pytest.mark.usefixtures("few_thresholds")
def test_a_file_that_cannot_be_written_is_told(calibrate, noises, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sssm.thresholds.write_thresholds", full)
    result = calibrate("--negatives", noises, "--out", tmp_path / "t.json")
    assert result.exit_code == 1
    assert "no space left on device, so the thresholds are only printed" in result.stderr
    assert "threshold" in result.stdout


@pytest.mark.usefixtures("few_thresholds")
def test_without_matplotlib_there_is_no_picture(calibrate, noises, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    result = calibrate("--negatives", noises, "--out", tmp_path / "t.json")
    assert result.exit_code == 0
    assert "matplotlib is not installed" in result.stderr
    assert not (tmp_path / "t.png").exists()


@pytest.mark.usefixtures("few_thresholds")
def test_thresholds_into_a_pipe_have_no_picture_beside_them(calibrate, noises, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        result = calibrate("--negatives", noises, "--out", pipe)
        assert set(json.loads(os.read(reader, 10_000))["thresholds"]) == {"yes", "no"}
    finally:
        os.close(reader)
    assert (result.exit_code, result.stderr.count("Traceback")) == (0, 0)
    assert "curve" not in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
