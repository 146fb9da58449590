"""Attempts at a row, as its result tells of them: their verdicts, and which of them nobody goes on with."""

from __future__ import annotations

from collections.abc import Sequence

PASSED, CHECK, NOT_CHECKED, FAILED = "passed", "check", "not checked", "failed"
"""Verdicts. Not checked is what no bound was put on, or none that could be checked; failed are rows and attempts that
have no video."""

ACCEPTED = frozenset({PASSED, NOT_CHECKED})
"""Verdicts on a video that is not tried again."""


def jobs_over(attempts: Sequence[tuple[str, str | None]]) -> list[str]:
    """Return the jobs of a row's attempts that are over.

    Those that failed are not, for a later run may end them, until one has passed.

    Args:
        attempts: The verdict of each, and its job, None where it never had one.
    """
    is_over = any(verdict in ACCEPTED for verdict, _ in attempts)
    return [job_id for verdict, job_id in attempts if job_id and (is_over or verdict != FAILED)]
