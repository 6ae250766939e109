"""The command: what it makes, what it refuses, how it ends."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from generated_corpus import write
from generated_words import WORDS, make_words
from typer.testing import CliRunner

from sssm.weights import fingerprint, load_model, read_card
from training.corpus import open_corpus
from training.labels import labels_of
from training.loop import _accuracy
from training.own_words import CLIPS_ALONE, NO_TALK, THRESHOLD
from training.recipe import preset as recipe_of
from training.run import Log
from training.scoring import labelled_clips
from training.train import app

ROOT = Path(__file__).parents[2]
SHORT = [
    "steps=24", "save_every=2", "log_every=4", "validate_every=12", "dropout=0.1", "loaders=2",
    "stream_rows=2", "stream_s=0.5", "session_s=2.0", "batch=4", "vocabulary=8", "word_weight=0.2",
]  # fmt: skip


@pytest.fixture(scope="module")
def words(tmp_path_factory) -> Path:
    return make_words(tmp_path_factory.mktemp("words") / "all", clips=12)


@pytest.fixture(autouse=True)
def one_thread():
    """As in the processes that are started here: sums are the same bit for bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def arguments(data: Path, out: Path, *settings: str, preset: str = "smoke") -> list[str]:
    return ["--data", str(data), "--out", str(out), "--preset", preset, *settings]


def train(*args, **options) -> tuple[int, list[str]]:
    """Exit code, and lines on standard error."""
    result = CliRunner().invoke(app, arguments(*args, **options))
    return result.exit_code, result.stderr.splitlines()


def ready(data: Path, out: Path, *settings: str) -> subprocess.Popen:
    """The command in a process group of its own, as a terminal starts it; it waits for a line."""
    code = (
        "import runpy, training.loop\n"
        "input(); runpy.run_module('training.train', run_name='__main__', alter_sys=True)"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments(data, out, *settings)],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, start_new_session=True,
        stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def stand_when_saved(process: subprocess.Popen, out: Path) -> None:
    """Let it begin; its group stands still once it has saved: steps are faster than a look."""
    path, end = out / "checkpoint.pt", time.monotonic() + 120
    saved = of_file(path)
    process.stdin.write("\n")
    process.stdin.flush()
    while of_file(path) == saved:
        time.sleep(0.001)
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
    os.killpg(process.pid, signal.SIGSTOP)


def of_file(path: Path) -> int | None:
    """Of this one at this path, as long as it is there: another has another time."""
    return path.stat().st_mtime_ns if path.exists() else None


def checkpoint(out: Path) -> dict:
    return torch.load(out / "checkpoint.pt", weights_only=True)


def assert_same(one, other) -> None:
    """Bit for bit, whatever is nested in what."""
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    else:
        assert one == other


def test_resume_after_kill_and_after_ctrl_c_is_exact(words, tmp_path):
    """Dropout, average and streams on; the same weights, moments and state, bit for bit."""
    out = tmp_path / "broken"
    first, second = (ready(words, out, *SHORT) for _ in range(2))  # they load meanwhile
    assert train(words, tmp_path / "whole", *SHORT)[0] == 0

    stand_when_saved(first, out)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    killed_at = checkpoint(out)["step"]
    assert 2 <= killed_at < 24

    process = second
    stand_when_saved(process, out)
    os.killpg(process.pid, signal.SIGINT)  # to the loader's process too, as from a terminal
    os.killpg(process.pid, signal.SIGCONT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    stopped_at = checkpoint(out)["step"]
    assert errors.splitlines()[-1].startswith(f"stopped after step {stopped_at};")
    assert "Traceback" not in errors
    assert killed_at < stopped_at < 24
    assert not (out / "model.safetensors").exists()

    assert train(words, out, *SHORT)[0] == 0
    whole = checkpoint(tmp_path / "whole")
    assert whole["step"] == 24
    assert [len(state) >= 10 for state in whole["heard"]] == [True, True]  # of each loader's rows
    assert_same(checkpoint(out), whole)
    names = [fingerprint(folder / "model.safetensors") for folder in (out, tmp_path / "whole")]
    assert names[0] == names[1]
    logs = [(folder / "log.csv").read_text() for folder in (out, tmp_path / "whole")]
    assert logs[0] == logs[1]


@pytest.fixture(scope="module")
def smoke(words, tmp_path_factory) -> tuple[Path, list[str]]:
    """Folder of a run of the smoke preset, and what it said."""
    out = tmp_path_factory.mktemp("smoke")
    code, lines = train(words, out)
    assert code == 0
    return out, lines


def accuracy(out: Path, recordings: Path) -> float:
    model, card = load_model(out / "model.safetensors")
    corpus, labels = open_corpus(recordings, own_words=True), labels_of(card.labels)
    return _accuracy(model, labelled_clips(corpus, labels, "validation", silence_is_zeros=False))


def test_the_smoke_preset_learns(smoke, tmp_path):
    """Heard on other clips than those it trained on: far above chance, which is 1 in 6."""
    out, lines = smoke
    assert any("left" in line for line in lines)
    assert any("validation" in line for line in lines)
    card = read_card(out / "model.safetensors")
    assert card.labels == (*sorted(WORDS), "_unknown_", "_silence_")
    assert card.detector == {"caution": 1}
    assert accuracy(out, make_words(tmp_path / "other", clips=30, seed=1)) > 0.6


def test_own_words_from_a_trained_model(smoke, tmp_path):
    """Ten clips a word, a new head, the shape of the model that it starts from."""
    trained = smoke[0] / "model.safetensors"
    ten = make_words(tmp_path / "ten", clips=10, seed=2, others=False)
    settings = ("--init", str(trained), "steps=60", "batch=16", "warmup=5", "ema=0.9", "lr=4e-3")
    code, lines = train(ten, tmp_path / "own", *settings, preset="own-words")
    assert code == 0, lines
    card = read_card(tmp_path / "own" / "model.safetensors")
    assert card.labels == tuple(sorted(WORDS))
    assert card.thresholds == dict.fromkeys(sorted(WORDS), THRESHOLD)
    assert lines.count(CLIPS_ALONE) == 1
    assert card.config.channels == read_card(trained).config.channels
    heard = make_words(tmp_path / "other", clips=30, seed=1, others=False)
    assert accuracy(tmp_path / "own", heard) > 0.6  # chance is 1 in 4

    code, lines = train(ten, tmp_path / "own", *settings[2:], preset="own-words")
    assert code == 2
    assert len(lines) == 1
    assert "init was" in lines[0]


def test_own_words_learn_from_talk_in_streams(smoke, tmp_path):
    trained = smoke[0] / "model.safetensors"
    ten = make_words(tmp_path / "ten", clips=10, seed=2, others=False)
    rng = np.random.default_rng(0)
    write(ten / "_unknown_" / "talk.wav", 0.1 * rng.standard_normal(20 * 16_000))
    settings = ("--init", str(trained), "steps=3", "batch=4", "stream_rows=2", "log_every=1")
    code, lines = train(ten, tmp_path / "own", *settings, preset="own-words")
    assert code == 0, lines
    assert NO_TALK not in lines
    (held_out,) = [line for line in lines if line.startswith("held out: ")]
    assert "3 of _unknown_" in held_out
    assert sum("stream " in line for line in lines) == 3
    assert read_card(tmp_path / "own" / "model.safetensors").labels[-1] == "_unknown_"


def test_the_same_labels_keep_their_head(words, smoke, tmp_path):
    trained = smoke[0] / "model.safetensors"
    rates = [f"{name}=1e-30" for name in ("lr", "matrix_lr", "ssm_lr")]
    still = ("--init", str(trained), *SHORT, "steps=1", *rates)
    assert train(words, tmp_path, *still)[0] == 0
    before, after = (
        load_model(path)[0].state_dict() for path in (trained, tmp_path / "model.safetensors")
    )
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, msg=name)


@pytest.mark.parametrize("save_every", [1, 9])
def test_a_gradient_that_is_not_finite_ends_the_run(words, tmp_path, monkeypatch, save_every):
    closed = []
    monkeypatch.setattr(Log, "close", lambda log: closed.append(log))
    diverging = f"save_every={save_every}", "lr=1e30", "warmup=0"
    code, lines = train(words, tmp_path, *SHORT, *diverging)
    assert code == 1
    assert lines[-1].startswith("error: step 2: loss ")
    assert "the norm of its gradient is not finite" in lines[-1]
    assert len(closed) == 1
    assert ("keeps what was saved before" in lines[-1]) == (save_every == 1)
    if save_every > 1:
        return
    kept = checkpoint(tmp_path)
    assert kept["step"] == 1
    assert all(value.isfinite().all() for value in kept["objective"].values())


def test_mixed_precision(words, tmp_path):
    """Matrix products in bfloat16; weights, moments and the streams' state stay float32."""
    assert train(words, tmp_path / "run", *SHORT, "precision=bf16-mixed", "steps=6")[0] == 0
    saved = checkpoint(tmp_path / "run")
    heard = [leaf for state in saved["heard"] for leaf in state]
    assert {leaf.dtype for leaf in heard} == {torch.float32, torch.complex64, torch.int64}
    for value in (*saved["objective"].values(), *heard):
        assert value.dtype != torch.bfloat16
        assert value.isfinite().all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["stpes=3"], "did you mean steps"),
        (["--init", "nothing.safetensors"], "no such model file"),
        (["--init", "x" * 300], "no such model file"),
        (["--init", __file__], "not a whole safetensors file"),
        (["labels=sc13"], "labels must be one of"),
        (["labels=sc12"], "is not there; training.train --download fetches"),
    ],
)
def test_wrong_usage_is_one_line(words, tmp_path, settings, message):
    code, lines = train(words, tmp_path / "run", *settings)
    assert code == 2
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    code, lines = train(tmp_path / "nothing", tmp_path / "run")
    assert code == 2
    assert len(lines) == 1
    assert "nothing" in lines[0]


def test_other_settings_are_refused(words, tmp_path):
    train(words, tmp_path, *SHORT, "steps=1")
    code, lines = train(words, tmp_path, *SHORT, "steps=1", "seed=3", "stream_rows=1")
    assert code == 2
    assert len(lines) == 1
    assert "seed was 0" in lines[0]
    assert "stream_rows was 2" in lines[0]


def test_other_recordings_are_refused(words, tmp_path):
    train(words, tmp_path / "run", *SHORT, "steps=1")
    other = make_words(tmp_path / "other", clips=5)
    code, lines = train(other, tmp_path / "run", *SHORT, "steps=1")
    assert code == 2
    assert "recordings were others, or used otherwise; another --out starts anew" in lines[-1]


def test_two_processes_train_as_one(words, tmp_path):
    """Different clips and streams in each, the same weights in both after every step."""
    script = Path(__file__).with_name("two_processes.py")
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        str(script), str(tmp_path),
        *arguments(words, tmp_path / "run", *SHORT, "steps=6", "validate_every=4"),
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    one, two = (torch.load(tmp_path / f"rank{n}.pt", weights_only=True) for n in range(2))
    assert one["steps"] == two["steps"] == 6
    assert_same(one["objective"], two["objective"])
    assert not torch.equal(one["clips"], two["clips"])
    assert not torch.equal(one["streams"], two["streams"])
    saved = checkpoint(tmp_path / "run")
    assert_same(saved["objective"], one["objective"])
    assert all(leaf.shape[0] == 2 for state in saved["heard"] for leaf in state)  # of each of them
    assert done.stderr.count("step 4: validation") == 1  # by one of them
    assert (tmp_path / "run" / "model.safetensors").is_file()


@pytest.mark.parametrize("saved", [{"step": 3}, [1], {"objective": {}}])
def test_a_checkpoint_of_something_else_is_one_line(words, tmp_path, saved):
    torch.save(saved, tmp_path / "checkpoint.pt")
    code, lines = train(words, tmp_path, *SHORT, "steps=1")
    assert code == 2
    assert "checkpoint.pt is not of this run: " in lines[-1]
    assert "Traceback" not in "".join(lines)


def test_where_nothing_is_held_out_it_says_so_once(tmp_path):
    one_each = make_words(tmp_path / "words", clips=1)
    code, lines = train(one_each, tmp_path / "run", *SHORT, "steps=2", "validate_every=1")
    assert code == 0
    assert [line for line in lines if "valid" in line] == [
        "no recording is held out: there is nothing to validate on"
    ]
    assert "validation" not in (tmp_path / "run" / "log.csv").read_text()
    assert read_card(tmp_path / "run" / "model.safetensors").accuracy == {}


def test_a_word_alone_is_refused(words, tmp_path):
    """Its model would hear it in anything."""
    word = sorted(WORDS)[0]
    shutil.copytree(words / word, tmp_path / "one" / word)
    code, lines = train(tmp_path / "one", tmp_path / "run", *SHORT)
    assert code == 2
    assert f"{word} is all there is" in lines[-1]


@pytest.mark.parametrize("name", ["kws35-s4", "s4-paper"])
def test_a_preset_goes_one_step(commands_root, tmp_path, name):
    small = (
        "bands=8", "channels=4", "depth=1", "state_size=2", "batch=2", "steps=1", "clip_s=0.2",
        "vocabulary=8", "log_every=1",
    )  # fmt: skip
    code, lines = train(commands_root, tmp_path, *small, preset=name)
    assert code == 0, lines
    config, recipe = read_card(tmp_path / "model.safetensors").config, recipe_of(name)
    assert (config.front, config.layer) == (recipe.front, recipe.layer)
    assert len(config.labels) == 12  # all words of the corpus
    logged = (tmp_path / "log.csv").read_text()
    for loss, weight in (("word", recipe.word_weight), ("phone", recipe.phone_weight)):
        assert (f",{loss}," in logged) == (weight > 0)


@pytest.mark.parametrize("clip_norm", [1e-2, 1e-4])
def test_gradients_are_clipped(words, tmp_path, clip_norm):
    """Seen in the first moments: a tenth of the first gradient in AdamW's, all of it in Muon's."""
    assert train(words, tmp_path, *SHORT, "steps=1", f"clip_norm={clip_norm}")[0] == 0
    adamw, muon = (each["state"].values() for each in checkpoint(tmp_path)["optimizers"])
    gradients = [10 * of["exp_avg"] for of in adamw] + [of["momentum"] for of in muon]
    norm = sum(float(gradient.abs().square().sum()) for gradient in gradients) ** 0.5
    assert norm == pytest.approx(clip_norm, rel=1e-3)
