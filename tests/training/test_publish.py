"""A run's result becomes a model to ship: measured, its card in the file and in words."""

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from sssm.config import ModelConfig
from sssm.model import KeywordModel
from sssm.thresholds import write_thresholds
from sssm.weights import ModelCard, fingerprint, load_model, read_card, save_model
from training import publish as publishing
from training.publish import app

LABELS = ("yes", "no", "_unknown_", "_silence_")


def trained(path: Path, head: float = 0.1) -> Path:
    torch.manual_seed(0)
    config = ModelConfig(labels=LABELS, bands=8, channels=8, state_size=2, depth=1)
    card = ModelCard(
        config=config, training_data="", licence="", accuracy={},
        thresholds={"yes": 0.75}, detector={"smoothing": 0.5},
    )  # fmt: skip
    model = KeywordModel(config)
    torch.nn.init.normal_(model.head.weight, std=head)
    save_model(path, model, card)
    return path


def publish(model, out, about, data, *more):
    arguments = [model, out, "--data", data, "--about", about, "--licence", "CC0", *more]
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_published_model_carries_its_card(tmp_path, commands_root):
    about = tmp_path / "about.md"
    about.write_text("Learned from\ntones.\n\n**Limits.** Many.\n")
    model, out = trained(tmp_path / "model.safetensors"), tmp_path / "shipped.safetensors"
    result = publish(model, out, about, commands_root)
    assert result.exit_code == 0, result.output

    card = read_card(out)
    assert (card.training_data, card.licence) == ("Learned from tones.", "CC0")
    assert card.thresholds == {"yes": 0.75}
    assert set(card.detector) == {"release", "smoothing", "min_frames", "refractory", "caution"}
    assert card.detector["smoothing"] == 0.5
    assert card.accuracy["clips"] > 0
    assert 0 <= card.accuracy["ci95"][0] <= card.accuracy["accuracy"] <= card.accuracy["ci95"][1]
    before, after = load_model(model)[0].state_dict(), load_model(out)[0].state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)

    words = out.with_suffix(".md").read_text()
    assert words.startswith("# shipped\n\nLearned from\ntones.\n\n**Limits.** Many.")
    assert f"| accuracy, silence cut from real noise | {card.accuracy['accuracy']:.1%} |" in words


def stream_figures(model: Path, **changes) -> str:
    """As `evaluate_stream` prints them."""
    result = {
        "fingerprint": fingerprint(model), "snr_db": 10.0, "said": 400, "missed": 0.081234,
        "misses_at_most_one": 0.125, "misses_at_most_one_ci95": [0.1, 0.15],
        "missed_ci95_by_speaker": [0.06, 0.1], "misses_at_most_one_ci95_by_speaker": [0.09, 0.16],
        "false_accepts": 2,
        "false_accepts_per_hour_ci95": [0.08, 2.4], "negative_hours": 3.04,
        "latency_median_s": 0.1512, "latency_p95_s": 0.29, "per_keyword": {
            "yes": {"threshold": 0.9}, "no": {"threshold": 0.8},
        },
    }  # fmt: skip
    return json.dumps(result | changes)


def test_thresholds_and_figures_of_streams_go_into_the_card(tmp_path, about, commands_root):
    model, out = trained(tmp_path / "model.safetensors"), tmp_path / "shipped.safetensors"
    chosen, streams = tmp_path / "thresholds.json", tmp_path / "streams.json"
    write_thresholds(chosen, {"yes": 0.9, "no": 0.8}, fingerprint=fingerprint(model))
    streams.write_text(stream_figures(model))
    options = ("--thresholds", chosen, "--streams", streams)
    result = publish(model, out, about, commands_root, *options)
    assert result.exit_code == 0, result.output
    card = read_card(out)
    assert card.thresholds == {"yes": 0.9, "no": 0.8}
    assert card.accuracy["streams"]["missed"] == 0.081234
    words = out.with_suffix(".md").read_text()
    interval = "missed at the thresholds in the file, 95% interval by speaker"
    assert f"| {interval} | 8.1% (6.0% to 10.0%) |" in words
    assert "| from a word's end to its detection: median, 95% | 0.15 s, 0.29 s |" in words

    for changes in ({"fingerprint": "0" * 16}, {"per_keyword": {"yes": {"threshold": 0.9}}}):
        streams.write_text(stream_figures(model, **changes))
        result = publish(model, out, about, commands_root, *options)
        assert (result.exit_code, len(result.output.splitlines())) == (1, 1)
        assert "of another model, or of other thresholds" in result.output
    streams.write_text(stream_figures(model, latency_median_s=None, latency_p95_s=None))
    result = publish(model, out, about, commands_root, *options)
    expected = (1, f"{streams}: no word was found at these thresholds\n")
    assert (result.exit_code, result.output) == expected
    for junk in ("", "[]", "{}", '{"per_keyword": 3}'):
        streams.write_text(junk)
        result = publish(model, out, about, commands_root, *options)
        assert (result.exit_code, len(result.output.splitlines())) == (1, 1)


def test_what_is_missing_is_one_line(tmp_path, commands_root):
    model = trained(tmp_path / "model.safetensors")
    absent = publish(model, tmp_path / "x.safetensors", tmp_path / "about.md", commands_root)
    assert absent.exit_code == 1
    assert len(absent.output.strip().splitlines()) == 1
    (tmp_path / "about.md").write_bytes(b"\xff")
    unread = publish(model, tmp_path / "x.safetensors", tmp_path / "about.md", commands_root)
    assert unread.exit_code == 1
    assert unread.output == f"{tmp_path / 'about.md'}: not a text in UTF-8\n"
    (tmp_path / "about.md").write_text("x")
    model.write_bytes(b"junk")
    damaged = publish(model, tmp_path / "x.safetensors", tmp_path / "about.md", commands_root)
    assert damaged.exit_code == 2
    assert not (tmp_path / "x.safetensors").exists()


@pytest.fixture
def about(tmp_path):
    path = tmp_path / "about.md"
    path.write_text("x")
    return path


def test_the_card_replaces_neither_the_model_nor_what_it_is_made_of(tmp_path, commands_root):
    model, about = trained(tmp_path / "model.safetensors"), tmp_path / "kws.md"
    about.write_text("Learned from tones.\n")
    over = publish(model, tmp_path / "kws.safetensors", about, commands_root)
    expected = f"{about}: is read here, and the card would be written over it\n"
    assert (over.exit_code, over.output) == (1, expected)
    assert about.read_text() == "Learned from tones.\n"
    for name in ("shipped.md", "shipped"):
        other = publish(model, tmp_path / name, about, commands_root)
        expected = f"{tmp_path / name}: the name of a model ends in .safetensors\n"
        assert (other.exit_code, other.output) == (1, expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kws.md", "model.safetensors"]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path, about, commands_root, monkeypatch):
    model = trained(tmp_path / "model.safetensors")
    taken = tmp_path / "taken.safetensors"
    taken.mkdir()
    result = publish(model, taken, about, commands_root)
    assert result.exit_code == 1
    assert str(taken) in result.stderr.splitlines()[-1]

    monkeypatch.delattr(publishing, "measure")  # nothing is measured first
    result = publish(model, tmp_path / "no" / "x.safetensors", about, commands_root)
    assert (result.exit_code, result.output) == (1, f"{tmp_path / 'no'} is no folder\n")


def test_what_was_not_measured_is_left_out(tmp_path, about, commands_root, monkeypatch):
    measure = publishing.measure
    monkeypatch.setattr(
        publishing, "measure", lambda *args: measure(*args)._replace(accuracy_zeros=None)
    )
    out = tmp_path / "shipped.safetensors"
    result = publish(trained(tmp_path / "model.safetensors"), out, about, commands_root)
    assert result.exit_code == 0, result.output
    assert "accuracy_zeros" not in read_card(out).accuracy
    assert "all zeros" not in out.with_suffix(".md").read_text()


def test_a_model_whose_answer_is_no_number_is_not_published(tmp_path, about, commands_root):
    out = tmp_path / "shipped.safetensors"
    model = trained(tmp_path / "model.safetensors", head=1e38)
    result = publish(model, out, about, commands_root)
    assert result.exit_code == 2
    assert "its weights are damaged" in result.stderr.splitlines()[-1]
    assert not out.exists()
