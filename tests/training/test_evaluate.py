import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from generated_corpus import SPEAKERS, noise, write
from generated_words import make_words
from typer.testing import CliRunner, Result

from sssm.classifier import Classifier
from sssm.config import ModelConfig
from sssm.labels import SILENCE, UNKNOWN
from sssm.model import KeywordModel
from sssm.weights import ModelCard, load_model, save_model
from training.corpus import open_corpus
from training.evaluate import app
from training.labels import labels_of
from training.report import table
from training.scoring import clip_scores, figures, labelled_clips
from training.speech_commands import CORE_WORDS

KEYS = {
    "accuracy", "accuracy_zeros", "ci95", "per_class", "clips", "speakers", "sample_rate_hz",
    "split", "model", "confusion_png", "mean_over_classes", "confusions",
}  # fmt: skip


@pytest.fixture(scope="module")
def make_model(tmp_path_factory):
    """A small untrained model with these labels, as a file."""

    def make(*labels):
        torch.manual_seed(len(labels))
        config = ModelConfig(labels=labels, bands=8, channels=8, state_size=2, depth=1)
        model = KeywordModel(config)
        torch.nn.init.normal_(model.head.weight)  # so that not all is heard as one class
        path = tmp_path_factory.mktemp("model") / "small.safetensors"
        card = ModelCard(config=config, training_data="none", licence="none", accuracy={})
        save_model(path, model, card)
        return path

    return make


@pytest.fixture(scope="module")
def core_model(make_model):
    return make_model(*CORE_WORDS, UNKNOWN, SILENCE)


@pytest.fixture
def evaluate(tmp_path):
    """Runs the command, with a place for the picture."""

    def run(*arguments: object) -> Result:
        png = () if "--png" in arguments else ("--png", tmp_path / "confusion.png")
        return CliRunner().invoke(app, [str(argument) for argument in (*arguments, *png)])

    return run


def report_of(result: Result) -> dict:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def test_json_has_every_figure(evaluate, commands_root, core_model, tmp_path):
    result = evaluate("--data", commands_root, "--model", core_model, "--json")
    report = report_of(result)
    assert set(report) == KEYS
    assert len(result.stdout.splitlines()) == 1
    labels = {*CORE_WORDS, UNKNOWN, SILENCE}
    assert set(report["per_class"]) == labels
    assert (report["clips"], report["speakers"]) == (24, len(SPEAKERS["validation"]))
    assert (report["split"], report["sample_rate_hz"]) == ("validation", 16_000)
    assert report["model"] == str(core_model)
    low, high = report["ci95"]
    assert 0 <= low <= report["accuracy"] <= high <= 1
    assert report["mean_over_classes"] == pytest.approx(np.mean(list(report["per_class"].values())))
    wrong = sum(confusion["clips"] for confusion in report["confusions"])
    assert wrong <= 24 - round(24 * report["accuracy"])
    for confusion in report["confusions"]:
        assert confusion["said"] != confusion["heard"]
        assert {confusion["said"], confusion["heard"]} <= labels
    picture = tmp_path / "confusion.png"
    assert report["confusion_png"] == str(picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("rate", "split"), [(16_000, "validation"), (8_000, "training")])
def test_figures_are_those_of_the_scores(evaluate, commands_root, core_model, rate, split):
    options = ("--split", split, "--sample-rate", rate, "--json")
    report = report_of(evaluate("--data", commands_root, "--model", core_model, *options))
    model, _ = load_model(core_model)
    corpus = open_corpus(commands_root, own_words=False)
    for key, zeros in (("accuracy", False), ("accuracy_zeros", True)):
        labels = labels_of(model.config.labels)
        clips = labelled_clips(corpus, labels, split, silence_is_zeros=zeros)
        scores = clip_scores(model, [clip.samples for clip in clips], sample_rate_hz=rate)
        said = [model.config.labels.index(clip.label) for clip in clips]
        assert report[key] == pytest.approx((scores.argmax(axis=1) == said).mean())
    assert (report["split"], report["sample_rate_hz"]) == (split, rate)


def test_people_get_a_table(evaluate, commands_root, core_model):
    result = evaluate("--data", commands_root, "--model", core_model)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    for label in (*CORE_WORDS, UNKNOWN, SILENCE):
        assert any(f" {label} " in line for line in lines)
    facts = "accuracy", "mean over classes", "with zeros as silence", "clips, speakers", "heard at"
    for fact in facts:
        assert any(line.startswith(fact) for line in lines)
    assert "95% interval by speaker" in result.stdout
    assert "24, 2" in result.stdout


def test_a_label_in_brackets_is_shown_as_it_is():
    shown = table(("[on]", "off"), figures(("[on]", "off"), ["[on]"], np.array([1]), ["me"]), [])
    assert "[on]" in shown


def test_own_words_need_no_speech_commands(evaluate, make_model, tmp_path):
    root = make_words(tmp_path / "words", clips=6)
    model = make_model("fall", "high", "low", "rise", UNKNOWN, SILENCE)
    report = report_of(evaluate("--data", root, "--model", model, "--json"))
    assert set(report["per_class"]) == {"fall", "high", "low", "rise", UNKNOWN, SILENCE}
    assert report["clips"] == 6  # one of six a word, and a piece of silence
    without = make_model("fall", "high", "low", "rise")
    report = report_of(evaluate("--data", root, "--model", without, "--json"))
    assert report["clips"] == 4
    assert report["accuracy_zeros"] == report["accuracy"]


# Any folder of labelled folders.


@pytest.fixture
def folder(tmp_path):
    """Files at several rates, below folders that are labels or are not."""
    rng, root = np.random.default_rng(0), tmp_path / "labelled"
    for n in range(3):
        write(root / "yes" / f"ann_nohash_{n}.wav", noise(0.7, rng))
        write(root / "no" / "deeper" / f"{n}.flac", noise(0.5, rng), 44_100)
        write(root / "banana" / f"bob_nohash_{n}.ogg", noise(0.5, rng), 8_000)
    write(root / "_background_noise_" / "fan.wav", noise(1.2, rng))
    write(root / ".cache" / "yes.wav", noise(0.1, rng))
    return root


def test_folder_is_heard_as_classify_hears_it(evaluate, folder, make_model):
    model = make_model("yes", "no", UNKNOWN, SILENCE)
    report = report_of(evaluate("--folder", folder, "--model", model, "--json"))
    assert set(report) == KEYS
    classifier = Classifier.load(model)
    right = []
    expected = {"yes": "yes", "no": "no", "banana": UNKNOWN, "_background_noise_": SILENCE}
    for name, label in expected.items():
        files = [path for path in sorted((folder / name).rglob("*.*")) if path.is_file()]
        right += [classifier.classify(path).label == label for path in files]
    assert (report["clips"], len(right)) == (10, 10)
    assert report["accuracy"] == pytest.approx(np.mean(right))
    assert (report["accuracy_zeros"], report["split"]) == (None, None)
    assert report["sample_rate_hz"] is None  # each file at its own
    assert report["speakers"] == 6  # ann, bob, and four files that do not say
    assert report_of(
        evaluate("--folder", folder, "--model", model, "--sample-rate", 8_000, "--json")
    )["sample_rate_hz"] == 8_000  # fmt: skip


def test_folders_that_a_model_has_no_label_for_are_left_out_and_named(evaluate, folder, make_model):
    result = evaluate("--folder", folder, "--model", make_model("yes", "no"), "--json")
    assert report_of(result)["clips"] == 6
    notes = [line for line in result.stderr.splitlines() if "left out" in line]
    assert len(notes) == 2
    assert "_background_noise_: left out, none of the model's labels is right for it" in notes[0]
    assert "banana: left out, none of the model's labels is right for it" in notes[1]


def test_files_that_cannot_be_read_cost_a_line_each_and_the_exit_code(evaluate, folder, make_model):
    (folder / "yes" / "broken.wav").write_text("no audio")
    write(folder / "no" / "nothing.wav", np.zeros(0))
    write(folder / "no" / "cut.wav", np.zeros(9_000))
    whole = (folder / "no" / "cut.wav").read_bytes()
    (folder / "no" / "cut.wav").write_bytes(whole[:9_000])
    result = evaluate("--folder", folder, "--model", make_model("yes", "no"), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["clips"] == 6
    assert sum("broken.wav" in line for line in result.stderr.splitlines()) == 1
    assert sum("nothing.wav" in line for line in result.stderr.splitlines()) == 1
    assert sum("cut.wav" in line for line in result.stderr.splitlines()) == 1


# What goes wrong is one line.


def last_line(result: Result) -> str:
    assert "Traceback" not in result.output
    assert result.stdout == ""
    return result.stderr.splitlines()[-1]


def test_no_such_model(evaluate, commands_root, tmp_path):
    (tmp_path / "text.safetensors").write_text("text")
    for name in ("no-such-model", tmp_path / "text.safetensors"):
        result = evaluate("--data", commands_root, "--model", name)
        assert result.exit_code == 2
        assert str(name) in last_line(result)
        assert len(result.stderr.splitlines()) == 1


def test_no_data(evaluate, core_model, make_model, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    for option in ("--data", "--folder"):
        for root in (tmp_path / "gone", empty):
            result = evaluate(option, root, "--model", core_model)
            assert result.exit_code == 1
            assert last_line(result).startswith(f"{root}: ")


def test_a_model_of_other_words(evaluate, commands_root, make_model):
    result = evaluate("--data", commands_root, "--model", make_model("door", "lamp"))
    assert result.exit_code == 1
    expected = f"{commands_root}: no recording of validation has a label of this model"
    assert last_line(result) == expected


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "either --data or --folder is needed"),
        (["--data", ".", "--folder", "."], "--data or --folder, not both"),
        (["--data", ".", "--sample-rate", "7999"], "--sample-rate"),
        (["--data", ".", "--sample-rate", "48001"], "--sample-rate"),
        (["--data", ".", "--split", "dev"], "dev"),
        (["--data", ".", "--png", "no/such/place.png"], "no/such is no folder"),
        (["--data", ".", "--png", f"{'x' * 300}/x.png"], "x is no folder"),
        (["--data", ".", "--png", "."], "is a directory"),
        (["--data", ".", "--png", "yes.wav"], "yes.wav: the name of a picture ends in .png"),
    ],
)
def test_wrong_usage(evaluate, core_model, arguments, reason):
    result = evaluate("--model", core_model, *arguments)
    assert result.exit_code == 2
    assert reason in last_line(result)


def test_ctrl_c_is_130(evaluate, commands_root, core_model, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("training.evaluate.clip_scores", stopped)
    result = evaluate("--data", commands_root, "--model", core_model)
    assert result.exit_code == 130
    assert "Traceback" not in result.output


def test_a_picture_that_cannot_be_drawn_is_told(evaluate, folder, make_model, tmp_path):
    picture = tmp_path / f"{'x' * 300}.png"
    model = make_model("yes", "no", UNKNOWN, SILENCE)
    result = evaluate("--folder", folder, "--model", model, "--png", picture)
    assert result.exit_code == 1
    assert last_line(result) == f"{picture}: file name too long"


def test_a_picture_takes_names_as_they_are(evaluate, make_model, tmp_path):
    """Between two dollars Matplotlib would read a formula."""
    root = tmp_path / "$^$"
    write(root / "$_$" / "1.wav", noise(1, np.random.default_rng(0)))
    model = make_model("$_$", "no", UNKNOWN, SILENCE)
    result = evaluate("--folder", root, "--model", model)
    assert result.exit_code == 0, result.output


def test_as_a_command_that_cannot_answer(folder, make_model, tmp_path):
    model = make_model("yes", "no", UNKNOWN, SILENCE)
    command = [sys.executable, "-m", "training.evaluate", "--folder", folder, "--model", model]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*command, "--png", tmp_path / "x.png"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "standard output: no space left on device"


def test_a_word_that_the_screen_cannot_show_is_answered_all_the_same(make_model, tmp_path):
    """As on Windows, where a file gets what its own alphabet has."""
    write(tmp_path / "in" / "лампа" / "1.wav", noise(1, np.random.default_rng(0)))
    model = make_model("лампа", "no", UNKNOWN, SILENCE)
    arguments = ["--folder", tmp_path / "in", "--model", model, "--png", tmp_path / "x.png"]
    result = CliRunner(charset="cp1252").invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    assert r"\u043b\u0430\u043c\u043f\u0430" in result.stdout


def test_as_a_command_whose_reader_leaves(folder, make_model, tmp_path):
    model = make_model("yes", "no", UNKNOWN, SILENCE)
    command = [sys.executable, "-m", "training.evaluate", "--folder", folder, "--model", model]
    process = subprocess.Popen(
        [*command, "--json", "--png", tmp_path / "x.png"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr:
        assert "Error" not in process.stderr.read()
    assert process.wait() == 0
