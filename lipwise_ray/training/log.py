"""A run's numbers: metrics.csv and TensorBoard."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lipwise_ray.errors import SetupError, StateError
from lipwise_ray.training.files import replace_text
from lipwise_ray.values import U8Array

_COLUMNS = ("step", "split", "metric", "value")


class RunLog:
    """Writes metrics.

    Args:
        folder: The run's folder.
        kept: Tells of a step and split whether its rows stay; a run that goes on says the others again.

    Raises:
        StateError: The metrics that are there are damaged.
        SetupError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, kept: Callable[[int, str], bool]) -> None:
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ImportError as error:
            raise SetupError(
                "no_tensorboard",
                "train",
                got="TensorBoard is not installed",
                do="Run `pip install 'lipwise-ray[train]'`",
            ) from error
        self.path = folder / "metrics.csv"
        rows: list[Any] = []
        if self.path.exists():
            rows = [row for row in _read(self.path) if kept(int(row["step"]), row["split"])]
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, _COLUMNS)
        table.writeheader()
        table.writerows(rows)
        replace_text(self.path, text.getvalue())
        self._file = self.path.open("a", newline="")
        self._table = csv.DictWriter(self._file, _COLUMNS)
        self._board = SummaryWriter(
            str(folder / "tensorboard"), purge_step=1 + max((int(row["step"]) for row in rows), default=-1)
        )

    def write(self, step: int, split: str, metrics: Mapping[str, float]) -> None:
        """Add the numbers of a step.

        Args:
            step: Number of the step.
            split: ``train`` or ``val``.
            metrics: Numbers by name.
        """
        for name, value in metrics.items():
            self._table.writerow({"step": step, "split": split, "metric": name, "value": f"{value:.6g}"})
            self._board.add_scalar(f"{split}/{name}", value, step)
        self._file.flush()

    def show(self, step: int, sheet_bgr: U8Array) -> None:
        """Add a step's samples to TensorBoard.

        Args:
            step: Number of the step.
            sheet_bgr: Samples, shape (H, W, 3).
        """
        self._board.add_image("val/samples", sheet_bgr[..., ::-1], step, dataformats="HWC")
        self._board.flush()

    def close(self) -> None:
        """Close both."""
        self._file.close()
        self._board.close()


def _read(path: Path) -> list[dict[str, str]]:
    """Return the rows that are there; a last line that was cut off is left out."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if all(row.get(name) for name in _COLUMNS)]
        for row in rows:
            int(row["step"])
    except (OSError, ValueError, csv.Error) as error:
        raise StateError(
            "bad_metrics", str(path), got=f"not the run's metrics: {error}", do="Remove it; the run goes on without"
        ) from error
    return rows
