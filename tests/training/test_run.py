"""A run's folder: the same settings or none, whole files or none."""

import csv
import json
import resource

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training.recipe import Recipe
from training.run import Log, RunFolder

FACTS = {"init": None, "devices": 1}


def test_a_run_is_resumed_with_its_own_settings(tmp_path):
    folder = RunFolder(tmp_path / "deep" / "run")
    folder.start(Recipe(), FACTS)
    folder.start(Recipe(), FACTS)


def test_other_settings_are_refused(tmp_path):
    folder = RunFolder(tmp_path)
    folder.start(Recipe(), FACTS)
    with pytest.raises(ValueError, match=r"other settings: lr was 0\.004$"):
        folder.start(Recipe(lr=1e-3), FACTS)
    with pytest.raises(ValueError, match=r"devices was 1$"):
        folder.start(Recipe(), FACTS | {"devices": 2})


def test_a_setting_that_an_older_run_lacks_had_its_default(tmp_path):
    folder = RunFolder(tmp_path)
    folder.start(Recipe(), FACTS)
    settings = json.loads(folder.settings.read_text())
    del settings["stream_rows"]
    folder.settings.write_text(json.dumps(settings))
    folder.start(Recipe(), FACTS)
    with pytest.raises(ValueError, match="stream_rows was 0"):
        folder.start(Recipe(stream_rows=2), FACTS)


def test_a_fact_that_an_older_run_does_not_know_is_no_difference(tmp_path):
    folder = RunFolder(tmp_path)
    folder.start(Recipe(), {"devices": 1})
    folder.start(Recipe(), {"devices": 1, "init": "a model"})


@pytest.mark.parametrize("written", ["{", "[1]", "null"])
def test_settings_that_cannot_be_read_are_refused(tmp_path, written):
    (tmp_path / "recipe.json").write_text(written)
    with pytest.raises(ValueError, match=r"recipe\.json cannot be read"):
        RunFolder(tmp_path).start(Recipe(), FACTS)


def test_a_checkpoint_comes_back(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.load() is None
    folder.save({"step": 3, "weights": torch.arange(4.0)})
    folder.save({"step": 4, "weights": torch.arange(4.0) + 1})
    saved = folder.load()
    assert saved["step"] == 4
    assert torch.equal(saved["weights"], torch.arange(4.0) + 1)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_checkpoint_for_which_there_is_no_room_leaves_the_old_one(tmp_path):
    """torch itself would raise no OSError, and leave what it wrote."""
    folder = RunFolder(tmp_path)
    folder.save({"step": 3})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            folder.save({"step": 4, "weights": torch.arange(10_000.0)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert folder.load() == {"step": 3}
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


@pytest.mark.parametrize("kept", [0, 100, -10])
def test_a_checkpoint_cut_short_is_refused(tmp_path, kept):
    folder = RunFolder(tmp_path)
    folder.save({"step": 3, "weights": torch.arange(1000.0)})
    folder.checkpoint.write_bytes(folder.checkpoint.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"checkpoint\.pt cannot be read"):
        folder.load()


@pytest.mark.parametrize("written", [b"hello", b"\x80\x02."])
def test_what_is_no_checkpoint_is_refused(tmp_path, written):
    folder = RunFolder(tmp_path)
    folder.checkpoint.write_bytes(written)
    with pytest.raises(ValueError, match=r"checkpoint\.pt cannot be read"):
        folder.load()


def test_a_checkpoint_runs_no_code(tmp_path):
    folder = RunFolder(tmp_path)
    folder.save({"step": print})
    with pytest.raises(ValueError, match=r"checkpoint\.pt cannot be read"):
        folder.load()


def test_a_row_cut_short_is_dropped(tmp_path):
    (tmp_path / "log.csv").write_text("step,name,value\n10,clip,1\n10,tot")
    log = Log(RunFolder(tmp_path), 20)
    log.write(20, {"total": 1 / 3})
    log.close()
    rows = (tmp_path / "log.csv").read_text().splitlines()
    assert rows == ["step,name,value", "10,clip,1", "20,total,0.333333"]


def test_the_board_shows_the_same_numbers(tmp_path):
    for first, values in ((0, {10: 1.0, 20: 2.0, 30: 3.0}), (20, {30: 4.0})):
        log = Log(RunFolder(tmp_path), first)
        for step, value in values.items():
            log.write(step, {"clip": value})
        log.close()
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in board.Scalars("clip")] == [(10, 1), (20, 2), (30, 4)]


def test_rows_beyond_the_checkpoint_are_dropped(tmp_path):
    folder = RunFolder(tmp_path)
    log = Log(folder, 0)
    for step in (10, 20, 30):
        log.write(step, {"total": step / 4, "clip": 1.0})
    log.close()
    log = Log(folder, 20)
    log.write(30, {"total": 9.0})
    log.close()
    rows = list(csv.reader((tmp_path / "log.csv").read_text().splitlines()))
    assert rows == [
        ["step", "name", "value"],
        ["10", "total", "2.5"], ["10", "clip", "1"],
        ["20", "total", "5"], ["20", "clip", "1"],
        ["30", "total", "9"],
    ]  # fmt: skip
    assert any(tmp_path.glob("tensorboard/events*"))


@pytest.mark.parametrize("content", [b"step,name,value\nten,clip,1\n", b"\xff\xfe\x00"])
def test_a_damaged_log_is_refused(tmp_path, content):
    (tmp_path / "log.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"log\.csv cannot be read"):
        Log(RunFolder(tmp_path), 20)
