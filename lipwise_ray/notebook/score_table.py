"""Scores of dubbed videos beside one another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lipwise_ray.notebook.html_table import html_table
from lipwise_ray.state.job_result import DubResult, SyncScore
from lipwise_ray.state.row_outcome import RowOutcome

_TITLES = ("Dub", "Distance before", "Distance after", "Confidence before", "Confidence after", "Lips late, frames")
_NONE = "-"


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """Agreement of lips and audio; a notebook shows it as a table.

    Attributes:
        outcomes: Finished rows, by the names that people give them.
    """

    outcomes: Mapping[str, RowOutcome]

    def rows(self) -> list[tuple[str, ...]]:
        """Return the cells: of the original lips with the new audio, and of the dubbed ones."""
        return [(name, *_cells(outcome)) for name, outcome in self.outcomes.items()]

    def _repr_html_(self) -> str:
        text = "A smaller distance and a larger confidence mean that lips and audio agree better."
        return f"{html_table(_TITLES, self.rows())}<p>{text}</p>"


def _cells(outcome: RowOutcome) -> tuple[str, ...]:
    scores = outcome.result.sync if isinstance(outcome.result, DubResult) else None
    if scores is None:
        return (_NONE,) * (len(_TITLES) - 1)
    before, after = scores.before, scores.after
    late = _NONE if after is None or after.offset is None else str(after.offset)
    return (*map(_shown, (*_pair(before, after, "d"), *_pair(before, after, "c"))), late)


def _pair(before: SyncScore | None, after: SyncScore | None, kind: str) -> tuple[float | None, float | None]:
    return _figure(before, kind), _figure(after, kind)


def _figure(score: SyncScore | None, kind: str) -> float | None:
    """Return a distance or a confidence, of whichever network there is."""
    if score is None:
        return None
    own, other = (score.lse_d, score.sync_distance) if kind == "d" else (score.lse_c, score.sync_confidence)
    return own if own is not None else other


def _shown(figure: float | None) -> str:
    return _NONE if figure is None else f"{figure:.3f}"
