"""A run's folder: what it was started with, its checkpoint, its logs, its model."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter

from sssm.whole_file import whole_file
from training.recipe import Recipe

OTHER_RECORDINGS = "recordings were others, or used otherwise; another --out starts anew"


class RunFolder:
    """Everything that a run writes.

    Args:
        path: made if it is not there.
    """

    def __init__(self, path: Path):
        self.path = path
        self.settings = path / "recipe.json"
        self.checkpoint = path / "checkpoint.pt"
        self.model = path / "model.safetensors"

    def start(self, recipe: Recipe, facts: Mapping[str, Any]) -> None:
        """Write what the run is started with, or compare it with what it was started with.

        Args:
            recipe: a setting that an older run has not written had its default.
            facts: what else has to be the same for the same weights to come out, where it is known.

        Raises:
            ValueError: other settings than the run was started with.
        """
        now = recipe.to_dict() | dict(facts)
        if not self.settings.is_file():
            self.path.mkdir(parents=True, exist_ok=True)
            with whole_file(self.settings) as file:
                file.write_text(json.dumps(now, indent=1) + "\n")
            return
        try:
            written = json.loads(self.settings.read_text())
        except ValueError as error:
            raise ValueError(f"{self.settings} cannot be read: {error}") from None
        if not isinstance(written, dict):
            raise ValueError(f"{self.settings} cannot be read: it is no object")
        before = Recipe().to_dict() | written
        other = [
            OTHER_RECORDINGS if key == "recordings" else f"{key} was {before[key]}"
            for key in now
            if before.get(key, now[key]) != now[key]
        ]
        if other:
            raise ValueError(f"{self.path} was started with other settings: {', '.join(other)}")

    def save(self, state: dict[str, Any]) -> None:
        """Write a checkpoint in one move: a kill leaves the old one or the new one.

        Raises:
            OSError: it cannot be written; torch itself would raise something else.
        """
        content = io.BytesIO()
        torch.save(state, content)
        with whole_file(self.checkpoint) as file:
            file.write_bytes(content.getbuffer())

    def load(self) -> dict[str, Any] | None:
        """The checkpoint's content, or None before the first one.

        Raises:
            ValueError: it cannot be read.
        """
        if not self.checkpoint.is_file():
            return None
        try:
            return torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        except Exception as error:  # other bytes end in errors with no class in common
            reason = " ".join(str(error).split()) or "it is empty"
            raise ValueError(f"{self.checkpoint} cannot be read: {reason[:200]}") from None


class Log:
    """One number a line in `log.csv`, the same numbers in TensorBoard.

    Args:
        folder: of the run.
        step: where the run goes on; rows beyond it, of a run that was killed, are dropped.

    Raises:
        ValueError: an earlier `log.csv` cannot be read.
    """

    def __init__(self, folder: RunFolder, step: int):
        self._path = folder.path / "log.csv"
        rows = [["step", "name", "value"]]
        if self._path.is_file():
            try:
                with self._path.open(newline="") as lines:
                    before = list(csv.reader(lines))[1:]
                rows += [row for row in before if len(row) == 3 and int(row[0]) <= step]
            except (ValueError, csv.Error) as error:
                raise ValueError(f"{self._path} cannot be read: {error}") from None

        with whole_file(self._path) as file, file.open("w", newline="") as out:
            csv.writer(out).writerows(rows)
        self._board = SummaryWriter(str(folder.path / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add what was measured at a step."""
        with self._path.open("a", newline="") as out:
            rows = ((step, name, f"{value:.6g}") for name, value in values.items())
            csv.writer(out).writerows(rows)
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is buffered."""
        self._board.close()
