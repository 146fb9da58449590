"""Figures of a comparison of lip models, by group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from lipwise_ray.reports.sweep_figures import GroupDistances, figures_of
from lipwise_ray.state.sweep_records import SweepFigure, SweepRow


def _rows(column: str, lse_c: Sequence[float | None]) -> list[SweepRow]:
    return [
        SweepRow(
            row_id=f"r{number}",
            column=column,
            kind="model",
            status="done",
            language="de" if number % 2 else "es",
            tags="news,drama" if number == 0 else "",
            lse_c=value,
            faces=4,
            job_id=f"{column}{number}",
        )
        for number, value in enumerate(lse_c)
    ]


def _figures(rows: list[SweepRow]) -> dict[tuple[str, str, str], SweepFigure]:
    asked: list[Sequence[str]] = []

    def distances(jobs: Sequence[str]) -> GroupDistances:
        asked.append(jobs)
        return GroupDistances(float(len(jobs)), 0.01, 4 * len(jobs), "few")

    found = figures_of(rows, ["a", "b"], distances)
    return {(one.group, one.column, one.figure): one for one in found}


def test_differences_are_over_rows_that_both_have() -> None:
    """A row without the figure in the first column counts for the mean, and not for the difference."""
    base = [4.0, 5.0, 6.0, 7.0, None]
    found = _figures(_rows("a", base) + _rows("b", [4.5, 5.5, 6.5, 7.5, 1.0]))
    b = found["all", "b", "lse_c"]
    assert (b.rows, b.pairs) == (5, 4)
    assert b.mean == pytest.approx(5.0)
    assert (b.difference, b.low, b.high) == pytest.approx((0.5, 0.5, 0.5))
    assert b.is_clear
    assert found["all", "a", "lse_c"].difference is None


def test_an_interval_holds_the_true_difference_about_as_often_as_it_says() -> None:
    """Of 60 comparisons of two equal models a few are called different, not many."""
    rng = np.random.default_rng(5)
    clear = 0
    for _ in range(60):
        a, b = rng.normal(5, 1, (2, 30))
        clear += _figures(_rows("a", a.tolist()) + _rows("b", b.tolist()))["all", "b", "lse_c"].is_clear
    assert clear <= 9


def test_groups_are_languages_and_tags() -> None:
    """Each with the distance over the faces of its rows, their number, and what to be careful about."""
    found = _figures(_rows("a", [1.0, 2.0, 3.0]) + _rows("b", [1.0, 2.0, 3.0]))
    assert {group for group, _, _ in found} == {"all", "language:de", "language:es", "tag:news", "tag:drama"}
    fid = found["language:es", "b", "fid"]
    assert (fid.mean, fid.faces, fid.note, fid.low) == (2.0, 8, "few", None)
    assert found["tag:news", "a", "lse_c"].mean == 1.0
