"""A run's folder: what it was started with, its checkpoint, its logs, its model."""

import csv
import json
import os
from pathlib import Path
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter

from training.recipe import Recipe


class RunFolder:
    """Everything that a run writes.

    Args:
        path: made if it is not there.
    """

    def __init__(self, path: Path):
        self.path = path
        self.checkpoint = path / "checkpoint.pt"
        self.model = path / "model.safetensors"

    def start(self, recipe: Recipe, data: Path, init: Path | None) -> None:
        """Write the settings, or compare them with those that the run was started with.

        Raises:
            ValueError: other settings than the run was started with.
        """
        settings: dict[str, Any] = recipe.to_dict() | {"init": str(init) if init else None}
        path = self.path / "recipe.json"
        if path.is_file():
            before = json.loads(path.read_text())
            other = [key for key in settings if before.get(key) != settings[key]]
            if other:
                pairs = ", ".join(f"{key} is {before.get(key)}" for key in sorted(other))
                raise ValueError(f"{self.path} was started with other settings: {pairs}")
        else:
            self.path.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(settings | {"data": data.name}, indent=1) + "\n")

    def save(self, state: dict[str, Any]) -> None:
        """Write a checkpoint in one move: a kill leaves the old one or the new one."""
        unfinished = self.checkpoint.with_suffix(".part")
        torch.save(state, unfinished)
        os.replace(unfinished, self.checkpoint)


class Log:
    """One row a line in `log.csv`, the same numbers in TensorBoard.

    Args:
        folder: of the run.
        step: where the run goes on; rows beyond it, of a run that was killed, are dropped.
    """

    def __init__(self, folder: RunFolder, step: int):
        self._path = folder.path / "log.csv"
        self._board = SummaryWriter(str(folder.path / "tensorboard"), purge_step=step)
        if self._path.is_file():
            with self._path.open(newline="") as lines:
                header, *rows = list(csv.reader(lines))
            kept = [row for row in rows if int(row[0]) <= step]
            with self._path.open("w", newline="") as out:
                csv.writer(out).writerows([header, *kept])

    def write(self, step: int, values: dict[str, float]) -> None:
        """Add what was measured at a step."""
        new = not self._path.is_file()
        with self._path.open("a", newline="") as out:
            table = csv.writer(out)
            if new:
                table.writerow(["step", "name", "value"])
            table.writerows((step, name, f"{value:.6g}") for name, value in values.items())
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is buffered."""
        self._board.close()
