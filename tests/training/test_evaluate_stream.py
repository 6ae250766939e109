import csv
import json
import math
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from heard_streams import corpus, heard, model
from typer.testing import CliRunner

from sssm.calibration import HIGHEST, threshold_grid
from sssm.spotter import KeywordSpotter
from sssm.thresholds import read_thresholds
from training import evaluate_stream as under_test
from training.corpus import CACHE, SAMPLE_RATE_HZ
from training.evaluate_stream import LOWEST, _chosen, _drawn_together, app
from training.speech_commands import CORE_WORDS

__all__ = ["corpus", "heard", "model"]  # fixtures

SECOND = SAMPLE_RATE_HZ

KEYS = {
    "misses", "per_keyword", "latency_median_s", "latency_p95_s", "negative_hours",
    "false_accepts", "false_accepts_per_hour_upper95", "misses_at_most_one",
}  # fmt: skip


def evaluate(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


# Thresholds for a rate.


def test_thresholds_move_three_quarters_of_the_way_to_their_mean():
    assert _drawn_together([0, 40]) == [15, 25]
    assert _drawn_together([7]) == [7]


def test_thresholds_are_drawn_together_and_raised_until_they_keep_to_the_rate(monkeypatch):
    grid, asked = threshold_grid(), []

    def choose(*given):
        asked.append(given)
        return [0, 40]

    def false_accepts(heard):  # 0.5 in each of 20 hours are allowed
        return np.array([0, 11 if isinstance(heard, dict) and heard["b"] < grid[30] else 10])

    monkeypatch.setattr(under_test, "choose", choose)
    traces = SimpleNamespace(fired=lambda x: x, fired_alone=lambda x: x)
    positives = SimpleNamespace(traces=traces, misses=lambda heard: np.array([3, 4]))
    negatives = SimpleNamespace(traces=traces, hours=20.0, false_accepts=false_accepts)
    spotter = SimpleNamespace(keywords=("a", "b"), with_settings=lambda thresholds: thresholds)
    thresholds, facts = _chosen(spotter, positives, negatives, 0.5)
    assert thresholds == facts["thresholds"] == {"a": grid[15], "b": grid[30]}
    assert facts["allowed"] == 10
    ((_, expected, misses, allowed),) = asked
    assert expected.shape == (len(grid), 2)
    assert misses.tolist() == [[3, 4]] * len(grid)
    assert allowed == 10


def test_a_curve_goes_through_all_sensible_thresholds(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(under_test, "curve", lambda own, count, **to: asked.append((own, to)))
    for name in ("det_lines", "save_det", "save_errors"):
        monkeypatch.setattr(under_test, name, lambda *_: None)
    monkeypatch.setattr(under_test, "report", lambda positives, negatives, points, own: own)
    spotter = SimpleNamespace(thresholds={"a": 0.001, "b": 0.5, "c": 1.0})
    own = {"a": LOWEST, "b": 0.5, "c": HIGHEST}
    result = under_test._measure(spotter, None, SimpleNamespace(hours=2.0), tmp_path, "")
    assert asked == [(own, {"lowest": LOWEST, "most": math.inf})]
    assert result.items() >= own.items()


# The command.


def test_options_reach_the_sessions(commands_root, model, tmp_path, monkeypatch):
    asked = []

    def keywords(corpus, words, split, **options):
        asked.append((split, options))

    def negatives(corpus, transcripts, words, split, **options):
        asked.append((split, options))
        raise ValueError("that is all")

    monkeypatch.setattr(under_test, "KeywordSessions", keywords)
    monkeypatch.setattr(under_test, "NegativeSessions", negatives)
    result = evaluate(
        "--data", commands_root, "--model", model, "--streams", 3, "--out", tmp_path,
        "--split", "calibration", "--snr-db", 5, "--seed", 7,
    )  # fmt: skip
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "that is all"
    assert asked == [
        ("calibration", {"minutes": 3, "snr_db": 5, "seed": 7}),
        ("calibration", {"seed": 7}),
    ]


@pytest.mark.usefixtures("few_thresholds")
def test_the_command_reports_figures_that_hold_together(commands_root, model, tmp_path):
    result = evaluate(
        "--data", commands_root, "--model", model, "--streams", 1, "--out", tmp_path, "--json"
    )
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report.keys() >= KEYS
    assert set(report["misses"]) == {"0.1", "0.5", "1", "8"}
    assert all(share is None for share in report["misses"].values())  # in seconds of audio
    assert set(report["per_keyword"]) == set(CORE_WORDS)
    assert sum(of["said"] for of in report["per_keyword"].values()) == report["said"]
    total = sum(of["false_accepts"] for of in report["per_keyword"].values())
    assert total == report["false_accepts"]
    for share in ("missed", "misses_at_most_one"):
        low, high = report[f"{share}_ci95_by_speaker"]
        assert 0 <= low <= report[share] <= high <= 1
    low, high = report["false_accepts_per_hour_ci95"]
    assert low <= total / report["negative_hours"] <= high
    assert (tmp_path / "det.png").read_bytes().startswith(b"\x89PNG")
    with (tmp_path / "errors.csv").open() as lines:
        errors = [row["error"] for row in csv.DictReader(lines)]
    assert errors.count("false") == total
    assert errors.count("missed") == round(report["missed"] * report["said"])
    assert errors.count("beside") == report["false_accepts_beside_keywords"]


@pytest.mark.usefixtures("few_thresholds")
def test_the_command_chooses_thresholds_for_people_too(commands_root, model, tmp_path):
    write = tmp_path / "thresholds.json"
    result = evaluate(
        "--data", commands_root, "--model", model, "--streams", 1, "--out", tmp_path,
        "--false-accepts-per-hour", 0.5, "--out-thresholds", write,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    *table, last = result.stdout.splitlines()
    report = json.loads(last)
    assert "cannot be measured in 0.00 h" in "\n".join(table)
    assert report["allowed"] == report["false_accepts"] == 0
    spotter = KeywordSpotter.load(model)
    assert (
        read_thresholds(write, fingerprint=spotter.fingerprint, keywords=spotter.keywords)
        == report["thresholds"]
    )
    again = evaluate(
        "--data", commands_root, "--model", model, "--streams", 1, "--out", tmp_path,
        "--thresholds", write, "--json",
    )  # fmt: skip
    assert json.loads(again.stdout)["missed"] == report["missed"]


def test_wrong_usage_and_what_is_missing_are_one_line(commands_root, model, tmp_path):
    usual = ("--data", commands_root, "--out", tmp_path / "o", "--streams", 1)
    result = evaluate(*usual, "--model", "none-such")
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    result = evaluate(*usual, "--model", model, "--false-accepts-per-hour", 1)
    assert result.exit_code == 2
    assert "go together" in result.stderr
    for option, value in (("--snr-db", "nan"), ("--streams", "inf"), ("--seed", -1)):
        result = evaluate("--data", commands_root, "--model", model, option, value)
        assert result.exit_code == 2
        assert f"Invalid value for '{option}'" in result.stderr
    nowhere = tmp_path / "none" / "thresholds.json"
    result = evaluate(
        *usual, "--model", model, "--false-accepts-per-hour", 1, "--out-thresholds", nowhere
    )
    assert result.exit_code == 2
    assert "is no folder" in result.stderr
    words_alone = tmp_path / "words-alone"
    left_out = shutil.ignore_patterns("_background_noise_", "noise", "words", "speech", CACHE)
    shutil.copytree(commands_root, words_alone, ignore=left_out)
    usual = ("--data", words_alone, "--out", tmp_path / "o", "--streams", 1)
    result = evaluate(*usual, "--model", model, "--split", "calibration")
    assert result.exit_code == 1
    assert "no sentence and no noise in split calibration" in result.stderr.splitlines()[-1]
    result = evaluate("--data", tmp_path, "--model", model, "--out", tmp_path / "o")
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)


def test_without_recordings_no_folder_is_left(model, tmp_path):
    result = evaluate("--data", tmp_path, "--out", tmp_path / "o", "--model", model)
    assert result.exit_code == 1
    assert "is not there" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_names_the_options():
    result = subprocess.run(
        [sys.executable, "-m", "training.evaluate_stream", "--help"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    for option in ("--split", "--snr-db", "--seed", "--streams", "--out-thresholds"):
        assert option in result.stdout
