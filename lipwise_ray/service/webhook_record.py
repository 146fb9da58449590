"""A call that the service owes to whoever asked to be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pydantic import ConfigDict

from lipwise_ray.state.shapes import STRICT, Count, Id, NonNegative


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookCall:
    """Record of a call: whom it tells of what is in the job's own record.

    Attributes:
        id: Its name, by which it is owed once.
        job_id: The job, or the batch, that it tells of.
        created: Seconds since 1970.
        due: When it is to be tried next.
        tries: Times that it was tried.
        is_over: It was taken, or is given up.
        problem: Reason for which the last try failed; empty where none did.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    id: Id
    job_id: Id
    created: NonNegative
    due: NonNegative
    tries: Count = 0
    is_over: bool = False
    problem: str = ""
