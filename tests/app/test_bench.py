import itertools
import json
import os
import sys
import types

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from app import bench
from app.cli import cli


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["bench", "--seconds", "0.01", *map(str, arguments)])


@pytest.fixture(autouse=True)
def few_streams(monkeypatch):
    """A thousand streams take their time even with a small model."""
    monkeypatch.setattr(bench, "STREAMS", (1, 2, 8))
    monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", "1")  # the command sets it


def check_summary(summary: dict, rows: list[dict]) -> None:
    ours = {(row["streams"], row["chunk_samples"]): row for row in rows if row["program"] == "sssm"}
    assert summary["rtf_10ms"] == ours[1, 160]["rtf"]
    assert summary["rtf_32ms"] == ours[1, 512]["rtf"]
    assert summary["us_per_sample"] == ours[1, 1]["us_cpu"]
    live = [row["streams_per_core"] for (_, chunk), row in ours.items() if chunk in (160, 512)]
    assert summary["streams_per_core"] == max(live)
    assert summary["threads"] == 1


def test_json_has_every_measurement_and_the_summary_last(model_file):
    result = run("--model", model_file, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    *rows, summary = map(json.loads, result.stdout.splitlines())
    measured = [(row["streams"], row["chunk_samples"]) for row in rows]
    assert measured == list(itertools.product((1, 2, 8), (1, 160, 512, 16_000)))
    for row in rows:
        assert row["program"] == "sssm"
        assert 0 < row["us_p50"] <= row["us_p99"]
        assert row["calls"] >= 1
        real_time = row["us_cpu"] * 1e-6 / (row["chunk_samples"] / 16_000)
        assert row["rtf"] == pytest.approx(real_time, rel=0.01)
        assert row["streams_per_core"] == pytest.approx(row["streams"] / row["rtf"])
        assert row["resident_bytes"] > 10_000_000
    check_summary(summary, rows)
    assert summary["model"] == str(model_file)


def test_a_table_for_people_and_the_same_last_line(model_file):
    result = run("--model", model_file)
    assert result.exit_code == 0
    head, *rows, last = result.stdout.splitlines()
    assert len(rows) == 12
    assert len({len(line) for line in [head, *rows]}) == 1
    assert rows[1].split()[:3] == ["1", "10", "ms"]
    assert {"rtf_10ms", "us_per_sample", "streams_per_core"} <= set(json.loads(last))


def test_another_program_is_measured_beside_ours(model_file, monkeypatch):
    """A stand-in, which gets what the package would."""
    heard = []
    silero = types.ModuleType("silero_vad")
    silero.load_silero_vad = lambda onnx: lambda x, rate: heard.append((onnx, x.shape, rate))
    monkeypatch.setitem(sys.modules, "silero_vad", silero)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    result = run("--model", model_file, "--json", "--against", "silero")
    assert (result.exit_code, result.stderr) == (0, "")
    *rows, summary = map(json.loads, result.stdout.splitlines())
    (theirs,) = (row for row in rows if row["program"] == "silero")
    assert (theirs["streams"], theirs["chunk_samples"]) == (1, 512)
    assert set(heard) == {(True, (512,), 16_000)}
    assert summary["silero_rtf_32ms"] == theirs["rtf"]
    assert summary["rtf_32ms_to_silero"] == summary["rtf_32ms"] / theirs["rtf"]
    check_summary(summary, rows)


def test_several_programs_are_measured_in_one_run(model_file, monkeypatch):
    """Pocketsphinx as it is, and a stand-in for pymicro-wakeword."""
    sounds, features = [], []

    class Features:
        def process_streaming(self, sound):
            sounds.append(np.frombuffer(sound, np.int16))
            return [len(sounds)]

    class Word:
        @classmethod
        def from_builtin(cls, phrase):
            assert phrase == "okay_nabu"
            return cls()

        def process_streaming(self, frame):
            features.append(frame)

    package = types.ModuleType("pymicro_wakeword")
    package.Model = types.SimpleNamespace(OKAY_NABU="okay_nabu")
    package.MicroWakeWord, package.MicroWakeWordFeatures = Word, Features
    monkeypatch.setitem(sys.modules, "pymicro_wakeword", package)
    monkeypatch.setattr("app.bench.packages_missing", lambda peer: False)
    both = ("--against", "pocketsphinx", "--against", "pymicro")
    result = run("--model", model_file, "--json", *both)
    assert (result.exit_code, result.stderr) == (0, "")
    *rows, summary = map(json.loads, result.stdout.splitlines())
    theirs = {row["program"]: row for row in rows if row["program"] != "sssm"}
    assert list(theirs) == ["pocketsphinx", "pymicro"]
    for name, row in theirs.items():
        assert (row["streams"], row["chunk_samples"]) == (1, 512)
        assert summary[f"{name}_rtf_32ms"] == row["rtf"] > 0
    assert all(len(sound) == 512 for sound in sounds)
    assert max(np.abs(sound).max() for sound in sounds) > 3_000  # 16 bits, not fractions
    assert features == list(range(1, len(sounds) + 1))


def test_a_program_that_is_not_here_is_one_line(model_file, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = run("--model", model_file, "--against", "silero")
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert "pip install silero-vad onnxruntime" in line


@pytest.mark.parametrize(
    "arguments", [["--against", "nothing"], ["--model", "no-such-model"], ["--seconds", "-1"]]
)
def test_wrong_usage_is_2(arguments):
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Traceback" not in result.stderr


def test_a_model_of_another_rate_is_one_line(model_file, tmp_path):
    out = tmp_path / "eight.onnx"
    arguments = ["export", str(model_file), str(out), "--unit", "frame", "--sample-rate", "8000"]
    assert CliRunner().invoke(cli, arguments).exit_code == 0
    result = run("--model", str(out))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"{out}: hears 8000 Hz alone, not 16000 Hz\n"


def test_a_call_is_measured_after_others_that_warm_up():
    calls = []
    pieces = map(np.float32, itertools.count())
    cost = bench.measured(calls.append, pieces, 0.01)
    assert 1 <= cost.calls < len(calls)
    assert calls == list(range(len(calls)))
    assert cost.p50 <= cost.p99


def test_the_costs_are_those_of_the_calls_after_the_warm_up(monkeypatch):
    clock, random, took = types.SimpleNamespace(ns=0), np.random.default_rng(0), []

    def call(_):
        took.append(int(random.integers(1_000, 20_000)))
        clock.ns += took[-1]

    still = types.SimpleNamespace(
        perf_counter=lambda: clock.ns / 1e9, perf_counter_ns=lambda: clock.ns,
        process_time_ns=lambda: clock.ns // 2,
    )  # fmt: skip
    monkeypatch.setattr(bench, "time", still)
    cost = bench.measured(call, itertools.repeat(np.zeros(1, np.float32)), 0.01)
    warm, counted = took[: -cost.calls], took[-cost.calls :]
    assert (sum(warm), sum(counted)) == pytest.approx((2e6, 1e7), abs=20_000)
    assert (cost.p50, cost.p99) == pytest.approx(np.percentile(counted, [50, 99]) / 1e3)
    assert cost.cpu == pytest.approx(np.mean(counted) / 2e3, abs=1e-3)
    took.clear()
    bench.measured(call, itertools.repeat(np.zeros(1, np.float32)), 20e-6)
    assert len(took) > 1  # the first took longer than the warm up alone


def test_where_the_processors_clock_has_not_moved_the_other_counts(model_file, monkeypatch):
    """As in so short a time on Windows: nothing is free."""
    monkeypatch.setattr(bench.time, "process_time_ns", lambda: 0)
    result = run("--model", model_file, "--json")
    assert result.exit_code == 0, result.stderr
    assert all(json.loads(line)["us_cpu"] > 0 for line in result.stdout.splitlines()[:-1])


def test_a_call_that_takes_longer_than_its_time_is_made_once():
    calls = []
    cost = bench.measured(calls.append, itertools.repeat(np.zeros(1, np.float32)), 0.0)
    assert (cost.calls, len(calls)) == (1, 1)


def test_the_sound_is_16_bits_and_far_from_slow_numbers():
    sound = bench._sound()
    assert sound.dtype == np.float32
    np.testing.assert_array_equal(sound * 32_768, np.round(sound * 32_768))
    assert 0.01 < np.sqrt(np.mean(sound**2)) < 0.3
    (piece,) = itertools.islice(bench._pieces_of_many(sound, 5, 3), 1, 2)
    np.testing.assert_array_equal(piece[1], sound[len(sound) // 3 + 5 :][:5])


def test_all_of_the_sound_is_heard():
    sound = np.arange(12, dtype=np.float32)
    pieces = itertools.islice(bench._pieces(sound, 4), 4)
    np.testing.assert_array_equal(np.concatenate(list(pieces)), np.concatenate([sound, sound[:4]]))
