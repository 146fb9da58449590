"""Images of a run: sample sheets and loss curves."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from lipwise_ray.errors import SetupError
from lipwise_ray.values import U8Array

_GAP_PX, _TITLE_PX = 4, 18
_PAPER = 245


def grid(rows: Sequence[Sequence[U8Array]], titles: Sequence[str]) -> U8Array:
    """Return images in rows under their titles, BGR.

    Args:
        rows: Images of each row, BGR, shape (H, W, 3).
        titles: One for each row.
    """
    height = max(image.shape[0] for row in rows for image in row)
    width = max(sum(image.shape[1] + _GAP_PX for image in row) for row in rows)
    out = np.full(((height + _TITLE_PX + _GAP_PX) * len(rows), width + _GAP_PX, 3), _PAPER, np.uint8)
    y = 0
    for row, title in zip(rows, titles, strict=True):
        cv2.putText(out, title, (_GAP_PX, y + 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (30, 30, 30), 1, cv2.LINE_AA)
        x = _GAP_PX
        for image in row:
            out[y + _TITLE_PX : y + _TITLE_PX + image.shape[0], x : x + image.shape[1]] = image
            x += image.shape[1] + _GAP_PX
        y += height + _TITLE_PX + _GAP_PX
    return cast("U8Array", out)


def plot(metrics_csv: Path, target: Path) -> None:
    """Draw every metric of a run over its steps, training and validation together.

    Raises:
        SetupError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl

        mpl.use("agg")
        from matplotlib import pyplot as plt  # after the choice of backend
    except ImportError as error:
        raise SetupError(
            "no_matplotlib", "train", got="matplotlib is not installed", do="Run `pip install 'lipwise-ray[train]'`"
        ) from error
    curves: dict[str, dict[str, list[tuple[int, float]]]] = defaultdict(lambda: defaultdict(list))
    with metrics_csv.open(newline="") as file:
        for row in csv.DictReader(file):
            curves[row["metric"]][row["split"]].append((int(row["step"]), float(row["value"])))
    names = sorted(curves)
    figure, axes = plt.subplots(len(names), 1, figsize=(7, 2.4 * len(names)), squeeze=False, layout="constrained")
    for axis, name in zip(axes[:, 0], names, strict=True):
        for split, points in sorted(curves[name].items()):
            axis.plot(*zip(*points, strict=True), label=split, marker="." if split == "val" else None)
        axis.set_ylabel(name)
        axis.grid(alpha=0.3)
        axis.legend()
    axes[-1, 0].set_xlabel("step")
    figure.savefig(target, dpi=90)
    plt.close(figure)
