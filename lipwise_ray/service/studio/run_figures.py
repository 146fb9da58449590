"""Figures of a run for the list of runs and its trends."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import numpy as np

from lipwise_ray.reports.outcomes import outcomes_of
from lipwise_ray.service.studio.kept_results import KeptResults
from lipwise_ray.state import layout
from lipwise_ray.state.job_result import RowFailure
from lipwise_ray.state.store import Store

_MOST_KEPT = 200


@dataclass(frozen=True, slots=True)
class RunFigures:
    """Figures of a run's rows.

    Attributes:
        done, failed: Rows that ended so.
        lse_c, lse_d: Medians over its videos; None where none has one.
        judges: Names of the scorers.
        is_final: The run has ended.
    """

    done: int
    failed: int
    lse_c: float | None
    lse_d: float | None
    judges: str
    is_final: bool


def kept_figures(store: Store) -> KeptResults[RunFigures]:
    """Return the figures of runs by their names: a run has as many records as rows, which are read aside.

    Args:
        store: The state.
    """
    return KeptResults(lambda run_id: figures_of(store, run_id), lambda figures: figures.is_final, _MOST_KEPT)


def figures_of(store: Store, run_id: str) -> RunFigures:
    """Return the figures of a run, from the records of its rows.

    Args:
        store: The state.
        run_id: The run.

    Raises:
        StorageError: The state cannot be read.
    """
    has_ended = store.size(f"{layout.run(run_id)}/report.json") is not None
    done = failed = 0
    lse_c, lse_d, judges = array("f"), array("f"), set[str]()
    for outcome, _ in outcomes_of(store, run_id):
        if isinstance(outcome.result, RowFailure):
            failed += 1
            continue
        done += 1
        sync = outcome.result.sync
        score = sync.after if sync else None
        if sync is None or score is None:
            continue
        judges.update([sync.judge] if sync.judge else [])
        lse_c.extend(() if score.lse_c is None else (score.lse_c,))
        lse_d.extend(() if score.lse_d is None else (score.lse_d,))
    return RunFigures(done, failed, _median(lse_c), _median(lse_d), ", ".join(sorted(judges)), has_ended)


def _median(values: array[float]) -> float | None:
    return float(np.median(values)) if values else None
