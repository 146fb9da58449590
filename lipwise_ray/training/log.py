"""A run's numbers: metrics.csv and TensorBoard."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from lipwise_ray.errors import SetupError
from lipwise_ray.training.files import replace_text

_COLUMNS = ("step", "split", "metric", "value")


class RunLog:
    """Writes metrics.

    Args:
        folder: The run's folder.
        step: Rows after this step are dropped: a run that was cut off says them again.

    Raises:
        SetupError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, step: int) -> None:
        try:
            from torch.utils.tensorboard.writer import SummaryWriter  # noqa: PLC0415  # an extra
        except ImportError as error:
            raise SetupError(
                "no_tensorboard", "train", "needs TensorBoard", "none", "Run `pip install 'lipwise-ray[train]'`"
            ) from error
        self.path = folder / "metrics.csv"
        rows: list[Any] = []
        if self.path.is_file():
            with self.path.open(newline="") as file:
                rows = [row for row in csv.DictReader(file) if int(row["step"]) <= step]
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, _COLUMNS)
        table.writeheader()
        table.writerows(rows)
        replace_text(self.path, text.getvalue())
        self._file = self.path.open("a", newline="")
        self._table = csv.DictWriter(self._file, _COLUMNS)
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, split: str, metrics: dict[str, float]) -> None:
        """Add the numbers of a step."""
        for name, value in metrics.items():
            self._table.writerow({"step": step, "split": split, "metric": name, "value": f"{value:.6g}"})
            self._board.add_scalar(f"{split}/{name}", value, step)
        self._file.flush()

    def close(self) -> None:
        """Close both."""
        self._file.close()
        self._board.close()
