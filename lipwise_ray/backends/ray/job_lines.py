"""Jobs of Ray's as they are listed, and what they ended with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lipwise_ray.exit_codes import ExitCode

if TYPE_CHECKING:
    from ray.job_submission import JobDetails

MOST_MESSAGE = 300
WHAT = "what"
"""The metadata's key of the request."""

_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
_NOT_RUN = "JOB_ENTRYPOINT_COMMAND_START_ERROR"
"""Ray's word for a driver whose program is not there."""

_KNOWN_CODES = frozenset(ExitCode) - {ExitCode.DONE, ExitCode.KILLED}
"""Failures of this program over there."""


@dataclass(frozen=True, slots=True)
class JobLine:
    """A job as it is listed.

    Attributes:
        id: Its submission id.
        status: Ray's word for how it is.
        message: Why, where Ray says so.
        code: Exit code of its driver once that has ended; None also where its node was lost.
        began_s: Unix time, 0 before.
        what: Equal for runs of equal commands and files.
        has_run: Its driver was started.
    """

    id: str
    status: str
    message: str
    code: int | None
    began_s: float
    what: str = ""
    has_run: bool = False

    @property
    def ended(self) -> bool:
        """Tell whether nothing runs any more."""
        return self.status in _ENDED

    @property
    def exit_code(self) -> ExitCode:
        """Exit code of the command on this machine: the driver's own.

        A driver that was killed, or lost with its node, counts as stopped, one that never began as a wrong setup.
        """
        if self.status == "SUCCEEDED":
            return ExitCode.DONE
        if self.status != "FAILED":
            return ExitCode.STOPPED
        if self.code is None:
            return ExitCode.STOPPED if self.has_run else ExitCode.CANNOT_START
        return ExitCode(self.code) if self.code in _KNOWN_CODES else ExitCode.STOPPED

    @property
    def did_nothing(self) -> bool:
        """Tell whether it ended before anything was begun, so that nothing stands against sending it again."""
        return self.ended and self.exit_code is ExitCode.CANNOT_START


def job_line(details: JobDetails) -> JobLine:
    """Return the line of a job that Ray's client tells of."""
    error = getattr(details, "error_type", None)
    return JobLine(
        id=str(details.submission_id),
        status=str(getattr(details.status, "value", details.status)),
        message=(details.message or "").partition(", last available logs")[0].strip()[:MOST_MESSAGE],
        code=getattr(details, "driver_exit_code", None),
        began_s=(details.start_time or 0) / 1000,
        what=str((details.metadata or {}).get(WHAT, "")),
        has_run=bool(getattr(details, "driver_node_id", None)) and getattr(error, "value", error) != _NOT_RUN,
    )
