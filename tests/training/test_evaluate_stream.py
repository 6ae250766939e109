import csv
import json
import math
import shutil
import subprocess
import sys
from copy import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from sssm.calibration import HIGHEST, threshold_grid
from sssm.config import ModelConfig
from sssm.detector import Detector
from sssm.labels import SILENCE, UNKNOWN
from sssm.model import KeywordModel
from sssm.spotter import KeywordSpotter
from sssm.thresholds import read_thresholds
from sssm.traces import Fired
from sssm.weights import ModelCard, save_model
from training import evaluate_stream as under_test
from training import stream_scoring
from training.corpus import CACHE, SAMPLE_RATE_HZ, Entry, Spoken, open_corpus
from training.evaluate_stream import LOWEST, _chosen, _drawn_together, app
from training.speech_commands import CORE_WORDS
from training.stream_scoring import (
    Negatives,
    Positives,
    _best,
    _fresh,
    _spans,
    counts_alone,
    counts_together,
    latency,
)
from training.stream_trials import (
    KeywordSessions,
    NegativeSessions,
    Said,
    Session,
    noise_of,
    read_transcripts,
)
from training.stream_truth import Matched

SECOND = SAMPLE_RATE_HZ
KEYS = {
    "misses", "per_keyword", "latency_median_s", "latency_p95_s", "negative_hours",
    "false_accepts", "false_accepts_per_hour_upper95", "misses_at_most_one",
}  # fmt: skip


@pytest.fixture(scope="module")
def corpus(commands_root):
    return open_corpus(commands_root, own_words=False)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Untrained, and sure of something all the time."""
    labels = (*CORE_WORDS, UNKNOWN, SILENCE)
    config = ModelConfig(labels=labels, bands=8, channels=8, state_size=2, depth=1)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network = KeywordModel(config)
        torch.nn.init.normal_(network.head.weight, std=1.5)
    path = tmp_path_factory.mktemp("model") / "nervous.safetensors"
    card = ModelCard(config=config, training_data="none", licence="none", accuracy={})
    save_model(path, network, card)
    return path


def evaluate(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


# Sessions.


def test_keywords_come_equally_often_where_they_are_said(corpus):
    sessions = KeywordSessions(corpus, CORE_WORDS, "validation", minutes=2, snr_db=None, seed=0)
    words = []
    for n in range(len(sessions)):
        session = sessions[n]
        words += [w.word for w in session.said]
        loud = np.abs(session.samples.astype(float))
        for w, after in zip(session.said, session.said[1:], strict=False):
            assert 0.1 * SECOND - 1 <= after.start - w.end <= 3 * SECOND
            assert loud[w.start : w.end].mean() > 100
        assert len(session.samples) - session.said[-1].end == SECOND
    counts = [words.count(word) for word in CORE_WORDS]
    assert len(set(counts)) == 1
    assert {"cat", "tree"} < set(words)


def test_sessions_are_a_function_of_the_seed(corpus):
    def make(seed):
        return KeywordSessions(corpus, ("yes",), "validation", minutes=1, snr_db=10, seed=seed)[0]

    assert np.array_equal(make(1).samples, make(1).samples)
    assert make(1).said == make(1).said != make(2).said


def test_noise_is_at_the_ratio_that_was_asked_for(corpus):
    def power(snr_db):
        session = KeywordSessions(
            corpus, ("yes", "no"), "validation", minutes=1, snr_db=snr_db, seed=3
        )[0]
        x = session.samples.astype(float) / 32_768
        gap = np.ones(len(x), bool)
        words = []
        for w in session.said:
            gap[max(0, w.start - SECOND) : w.end + SECOND] = False
            words.append(np.mean(x[w.start : w.end] ** 2))
        return np.mean(words), np.mean(x[gap] ** 2)

    clean, nothing = power(None)
    _, noise = power(10)
    assert nothing < 1e-3 * clean
    assert 10 * np.log10(clean / noise) == pytest.approx(10, abs=0.7)


def test_noise_of_validation_was_never_trained_on(corpus):
    held_out, trained = noise_of(corpus, "validation"), noise_of(corpus, "calibration")
    assert [len(x) / SECOND for x in held_out] == pytest.approx([2, 1.2, 1.2])
    assert [len(x) / SECOND for x in trained] == pytest.approx([2, 4.8, 4.8])


def test_a_keyword_without_recordings_is_told(corpus):
    with pytest.raises(ValueError, match="no recording of 'jarvis' in split validation"):
        KeywordSessions(corpus, ("jarvis",), "validation", minutes=1, snr_db=None, seed=0)


def test_sentences_of_a_reader_are_one_session(corpus, commands_root):
    transcripts = read_transcripts(commands_root)
    sessions = NegativeSessions(corpus, transcripts, CORE_WORDS, "validation", seed=0)
    reader, noise = (sessions[n] for n in range(len(sessions)))
    assert (reader.name, noise.name) == ("9", "noise")
    (utterance,) = reader.utterances
    assert utterance.words == {"one", "no", "three", "know", "five"}
    assert utterance.timed
    assert 0.1 * SECOND - 1 <= utterance.start <= 0.5 * SECOND
    assert reader.said[0] == Said("one", utterance.start + 3_200, utterance.start + 11_200)
    assert not noise.said


def test_wake_words_of_a_split_are_negatives(corpus_of):
    x = np.ones(SECOND)
    corpus = corpus_of(
        (Entry("a", "speech", "calibration", "", "reader"), x),
        (Entry("b", "phrases", "calibration", "view glass", "one"), x),
        (Entry("c", "phrases", "calibration", "go home", "two"), x),
        words={"a": [Spoken("hello", 10, 20)]},
    )
    sessions = NegativeSessions(corpus, {}, ("go",), "calibration", seed=0)
    names = {sessions[n].name: sessions[n] for n in range(len(sessions))}
    assert set(names) == {"reader", "phrases"}
    assert [u.words for u in names["phrases"].utterances] == [{"view", "glass"}]
    with pytest.raises(ValueError, match="no sentence and no noise"):
        NegativeSessions(corpus_of((Entry("a", "speech", "x", "", ""), x)), {}, (), "y", seed=0)


def test_thresholds_hear_what_training_heard_and_validation_does_not(corpus_of):
    splits = ("training", "calibration", "validation")
    corpus = corpus_of(*((Entry(s, "speech", s, "", s), np.ones(SECOND)) for s in splits))
    readers = {}
    for split in ("calibration", "validation"):
        sessions = NegativeSessions(corpus, {}, ("go",), split, seed=0)
        readers[split] = {sessions[n].name for n in range(len(sessions))}
    assert readers == {"calibration": {"training", "calibration"}, "validation": {"validation"}}


def test_a_broken_table_of_sentences_is_told(tmp_path):
    assert read_transcripts(tmp_path) == {}
    path = tmp_path / "speech" / "transcripts.csv"
    path.parent.mkdir()
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"transcripts\.csv: row 1 has no 'path'"):
        read_transcripts(tmp_path)


# Heard.


def watch(groups, _):
    return groups


@pytest.fixture(scope="module")
def heard(corpus, model, commands_root):
    spotter = KeywordSpotter.load(model)
    words = KeywordSessions(corpus, CORE_WORDS, "validation", minutes=1, snr_db=10, seed=0)
    transcripts = read_transcripts(commands_root)
    others = NegativeSessions(corpus, transcripts, CORE_WORDS, "validation", seed=0)
    return SimpleNamespace(
        spotter=spotter, words=words, others=others,
        positives=Positives(spotter, words, 0.05, watch),
        negatives=Negatives(spotter, others, 0.05, watch),
    )  # fmt: skip


def test_a_session_is_heard_as_live(heard):
    thresholds = dict.fromkeys(CORE_WORDS, 0.3)
    spotter = heard.spotter.with_settings(thresholds=thresholds)
    for traces, sessions in (
        (heard.positives.traces, heard.words), (heard.negatives.traces, heard.others),
    ):  # fmt: skip
        live = []
        for n in range(len(sessions)):
            stream, x = spotter.stream(), sessions[n].samples
            whole = len(x) // 160 * 160
            live += [Fired(n, round(d.time_s * 100), d.keyword) for d in stream.push(x[:whole])]
        assert traces.fired(thresholds) == live
        assert live


def test_misses_and_what_was_found_are_what_was_said(heard):
    fired = heard.positives.traces.fired(dict.fromkeys(CORE_WORDS, 0.2))
    matched = heard.positives.matched(fired)
    found = sum(len(of.found) for of in matched)
    assert heard.positives.misses(fired).sum() + found == heard.positives.said.sum()
    assert found + sum(len(of.false) for of in matched) == len(fired)
    assert len(heard.positives.latencies_s(matched)) == found
    assert 0 <= heard.positives.carried <= 1
    assert 0 <= heard.positives.fresh <= 1


def test_a_word_is_looked_for_after_it_and_before_the_next_has_ended():
    said = [Said("yes", 0, 8_000), Said("no", 9_600, 16_000), Said("no", 48_000, 56_000)]
    session = Session("three words", np.zeros(0, np.int16), said, [])
    assert _spans(session, [said[0], said[2]]) == [range(50, 100), range(350, 425)]
    smoothed = np.zeros((200, 2))
    smoothed[60:90, 0], smoothed[110:, 1] = 0.6, 0.9  # each after its end
    assert [_best(smoothed, span) for span in _spans(session, said[:2])] == [0, 1]
    assert _best(smoothed, range(500, 600)) == 1


TWO = SimpleNamespace(
    keywords=("yes", "no"), detector=Detector(labels=("yes", "no", UNKNOWN), smoothing=0.0)
)


def scores_of_frames(_, recordings):
    """Of samples that number the frames: "no" after a word that ends at 3.5 s, else "yes"."""
    found = []
    for samples in recordings:
        is_no = (samples[::160] >= 350) & (samples[::160] < 425)
        found.append(np.stack([~is_no, is_no, 0 * is_no], axis=1).astype(np.float32))
    return found


def numbered(seconds):
    return (np.arange(seconds * SECOND) // 160).astype(np.int16)


def test_a_fresh_stream_begins_half_a_second_before_a_word(monkeypatch):
    clips = []

    def scores(spotter, recordings):
        clips.extend((int(x[0]), int(x[-1])) for x in recordings)
        return scores_of_frames(spotter, recordings)

    monkeypatch.setattr(stream_scoring, "_scores", scores)
    said = [Said("yes", 3_200, 16_000), Said("no", 3 * SECOND, 3 * SECOND + 8_000)]
    session = Session("two words", numbered(10), said, [])
    assert _fresh(TWO, session, said, _spans(session, said)).tolist() == [0, 1]
    assert clips == [(0, 249), (250, 499)]


def test_the_shares_are_of_words_heard_right_in_streams_that_go_on_and_fresh_ones(monkeypatch):
    monkeypatch.setattr(stream_scoring, "_scores", scores_of_frames)
    monkeypatch.setattr(stream_scoring, "_fresh", lambda *_: np.array([1, 0, 0]))
    ends = ((SECOND, "yes"), (3 * SECOND + 8_000, "no"), (6 * SECOND, "no"))
    said = [Said(word, end - 8_000, end) for end, word in ends]
    session = Session("three words", numbered(10), [*said, Said("cat", 100_000, 110_000)], [])
    positives = Positives(TWO, [session], 0.5, watch)
    assert (positives.carried, positives.fresh) == pytest.approx((2 / 3, 0))
    assert positives.said.tolist() == [1, 2]


def test_a_latency_counts_from_the_end_of_the_word():
    said = [Said("yes", 1 * SECOND, 2 * SECOND), Said("no", 2 * SECOND + 1_600, 3 * SECOND)]
    positives = SimpleNamespace(sessions=[Session("a", numbered(5), said, [])])
    matched = [Matched({0: 190, 1: 350}, [])]
    assert Positives.latencies_s(positives, matched) == [("yes", -0.1), ("no", 0.5)]
    assert latency([n / 100 for n in range(101)]) == pytest.approx((0.5, 0.95))


def test_what_is_found_and_who_said_it():
    said = [
        Said("yes", 1 * SECOND, 2 * SECOND, "ann"), Said("cat", 3 * SECOND, 4 * SECOND, "bob"),
        Said("no", 5 * SECOND, 6 * SECOND, "bob"),
    ]  # fmt: skip
    sessions = [Session("a", numbered(9), said, [])]
    positives = SimpleNamespace(keywords=("yes", "no"), sessions=sessions)
    found, speakers = Positives.found(positives, [Matched({0: 190}, [])])
    assert (found.tolist(), speakers) == ([True, False], ["ann", "bob"])


def test_misses_are_of_keywords_and_false_accepts_of_the_rest():
    def heard(name):
        traces = SimpleNamespace(
            fired=lambda thresholds: (name, thresholds),
            fired_alone=lambda threshold: (name, threshold),
        )
        return SimpleNamespace(traces=traces, misses=lambda x: x, false_accepts=lambda x: x)

    with_words, without = heard("words"), heard("others")
    false, missed = counts_together(with_words, without, {"yes": 0.5})
    assert (false, missed) == (("others", {"yes": 0.5}), ("words", {"yes": 0.5}))
    false, missed = counts_alone(with_words, without, [0.2, 0.7])
    assert false.tolist() == [["others", "0.2"], ["others", "0.7"]]
    assert missed.tolist() == [["words", "0.2"], ["words", "0.7"]]


def test_a_false_accept_is_what_is_not_said(heard):
    session = heard.negatives.sessions[0]
    no, know = (next(w for w in session.said if w.word == word) for word in ("no", "know"))
    events = [Fired(0, w.end // 160, "no") for w in (no, know)] + [Fired(1, 50, "no")]
    assert heard.negatives.false(events) == events[2:]
    assert heard.negatives.false(events, homophones=False) == events[2:]  # it holds "no" as well
    without = copy(heard.negatives)  # where only "know" stands
    only_know = [u._replace(words=u.words - {"no"}) for u in session.utterances]
    without.sessions = [session._replace(utterances=only_know), *heard.negatives.sessions[1:]]
    without._known = {}
    assert without.false(events) == events[2:]
    assert without.false(events, homophones=False) == events
    assert heard.negatives.false_accepts(events).sum() == 1
    total = heard.negatives.traces.hours
    assert heard.negatives.hours_of[CORE_WORDS.index("no")] < total
    assert heard.negatives.hours_of[0] == pytest.approx(total, rel=1e-2)


def test_latency_of_nothing_is_none():
    assert latency([]) == (None, None)
    assert latency([0.1, 0.2, 0.3]).median_s == pytest.approx(0.2)


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
