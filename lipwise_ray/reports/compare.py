"""Two runs side by side: the same rows, dubbed in two ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from lipwise_ray.errors import StateError
from lipwise_ray.reports.row_sheet import FlatRow
from lipwise_ray.reports.rows import RunReport
from lipwise_ray.values import F64Array

_SCORED = ("lse_c", "lse_d", "sync_confidence", "sync_distance", "off_sync")
FIGURES = (*_SCORED, "flicker", "sharpness", "no_face_share", "undubbed_share")
"""Figures that are compared; `off_sync` is the offset's size in frames, `flicker` that of the dubbed face."""

ALL = "all"
_RESAMPLES, _NUMBERS_AT_A_TIME = 10_000, 1 << 20
_SEED = 1
_FEWEST_ROWS = 2  # one has no spread
_LOW, _HIGH = 2.5, 97.5  # per cent


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of a group of rows in both runs.

    Attributes:
        language: Of the rows; `ALL` for all of them.
        figure: One of `FIGURES`.
        rows: How many have it in both runs.
        mean_a, mean_b, median_a, median_b: Over them.
        difference: Mean of b - a, row by row.
        low, high: Where 95 % of such means lie when rows are drawn again and again (bootstrap, paired); None for
            fewer than two rows.
    """

    language: str
    figure: str
    rows: int
    mean_a: float
    mean_b: float
    median_a: float
    median_b: float
    difference: float
    low: float | None
    high: float | None

    @property
    def is_clear(self) -> bool:
        """Tell whether the interval leaves out no difference."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Comparison of two runs.

    Attributes:
        rows: A record a row that is done in both, figures of a and b side by side.
        differences: By language, all rows first.
        only_a, only_b: Rows that are done in one of them alone.
        other_judge: Rows whose scores come from different judges (by their weights), and are not compared.
        other_protocol: Rows that were measured in different ways, of which nothing is compared.
    """

    rows: list[FlatRow]
    differences: list[Difference]
    only_a: int
    only_b: int
    other_judge: int
    other_protocol: int

    def summary(self) -> list[FlatRow]:
        """Return the differences as records."""
        return [asdict(difference) for difference in self.differences]


def compare(a: RunReport, b: RunReport) -> RunComparison:
    """Compare two runs row by row, by the rows' ids.

    Raises:
        StateError: They have no finished row in common.
    """
    done = [{str(row["row_id"]): row for row in run.rows if row["status"] == "done"} for run in (a, b)]
    common = [name for name in done[0] if name in done[1]]
    if not common:
        raise StateError(
            "nothing_in_common",
            f"{a.run.run_id} and {b.run.run_id}",
            got=f"have no finished rows in common (of {len(done[0])} and {len(done[1])})",
            do="Compare runs of one manifest",
        )
    rows = [_side_by_side(done[0][name], done[1][name]) for name in common]
    groups: dict[str, list[FlatRow]] = {ALL: rows}
    for row in rows:
        if row["language"]:
            groups.setdefault(str(row["language"]), []).append(row)
    ordered = [ALL, *sorted(groups.keys() - {ALL})]
    differences = [_difference(name, figure, groups[name]) for name in ordered for figure in FIGURES]
    return RunComparison(
        rows,
        [difference for difference in differences if difference is not None],
        len(done[0]) - len(common),
        len(done[1]) - len(common),
        sum(row["judge_a"] != row["judge_b"] for row in rows),
        sum(row["protocol_a"] != row["protocol_b"] for row in rows),
    )


def _side_by_side(a: FlatRow, b: FlatRow) -> FlatRow:
    pair: FlatRow = {"row_id": a["row_id"], "language": a["language"]}
    for name, row in (("a", a), ("b", b)):
        pair |= {f"judge_{name}": _judge(row), f"protocol_{name}": row["protocol"]}
    is_judged_alike, is_measured_alike = (pair[f"{what}_a"] == pair[f"{what}_b"] for what in ("judge", "protocol"))
    for figure in FIGURES:
        compares = is_measured_alike and (is_judged_alike or figure not in _SCORED)
        for name, row in (("a", a), ("b", b)):
            pair[f"{figure}_{name}"] = _figure(row, figure) if compares else None
    return pair


def _judge(row: FlatRow) -> str | None:
    """Return a judge by its weights: any file of a user's own goes by the same name."""
    return f"{row['judge']} {str(row['judge_sha256'] or '')[:12]}".strip() if row["judge"] else None


def _figure(row: FlatRow, figure: str) -> float | None:
    if figure == "off_sync":
        return None if row["after_offset"] is None else abs(row["after_offset"])
    if figure in _SCORED:
        return row[f"after_{figure}"]
    return row["flicker_dubbed" if figure == "flicker" else figure]


def _difference(language: str, figure: str, rows: Sequence[FlatRow]) -> Difference | None:
    pairs = [(row[f"{figure}_a"], row[f"{figure}_b"]) for row in rows]
    complete = np.array([pair for pair in pairs if None not in pair], np.float64).reshape(-1, 2)
    if not len(complete):
        return None
    low, high = interval(complete[:, 1] - complete[:, 0])
    means, medians = complete.mean(axis=0), np.median(complete, axis=0)
    return Difference(
        language,
        figure,
        len(complete),
        mean_a=float(means[0]),
        mean_b=float(means[1]),
        median_a=float(medians[0]),
        median_b=float(medians[1]),
        difference=float(means[1] - means[0]),
        low=low,
        high=high,
    )


def interval(differences: F64Array) -> tuple[float | None, float | None]:
    """Return the bounds of 95 % of the means of rows drawn with replacement, shape of the input (N,)."""
    count = len(differences)
    if count < _FEWEST_ROWS:
        return None, None
    rng = np.random.default_rng(_SEED)
    at_a_time = max(1, min(_RESAMPLES, _NUMBERS_AT_A_TIME // count))
    means = [
        differences[rng.integers(0, count, (min(at_a_time, _RESAMPLES - done), count))].mean(axis=1)
        for done in range(0, _RESAMPLES, at_a_time)
    ]
    low, high = np.percentile(np.concatenate(means), [_LOW, _HIGH])
    return float(low), float(high)
