"""Settings of the service: its bounds. None of them decides what a finished file looks like."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from lipwise_ray.settings.execution import Section


class ServiceSettings(Section):
    """Bounds of `lipwise-ray serve`."""

    queue: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Jobs that may wait or be worked on; more are refused until some have ended."""
    upload_gb: Annotated[float, Field(gt=0, le=1e6)] = 5.0
    """Of an uploaded file, in 1e9 bytes."""
    body_mb: Annotated[float, Field(gt=0, le=1e4)] = 8.0
    """Of a request without files, in 1e6 bytes."""
    requests_per_minute: Annotated[int, Field(ge=0, le=1_000_000)] = 600
    """Of a client; 0 for no bound."""
    keep_days: Annotated[float, Field(gt=0, le=36_500)] = 7.0
    """Days for which an uploaded file stays that no unfinished job needs."""
