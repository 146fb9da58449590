"""Rows as their tasks are told of them, for tests that do none of the work."""

from __future__ import annotations

from typing import Any

from lipwise_ray.models.checkpoints import Checkpoints
from lipwise_ray.pipeline.dubbing.capabilities import Choice
from lipwise_ray.pipeline.dubbing.job import JobSpec
from lipwise_ray.pipeline.dubbing.task_parts import NumberedSpan, Probed, RowPart
from lipwise_ray.pipeline.flows.task_kinds import ProbeResult, ToDo
from lipwise_ray.settings.model import Settings

SETTINGS = Settings()


def row_part(row_id: str = "r0", **more: Any) -> RowPart:
    """Return the part of a payload that every task of a row gets."""
    settings: Settings = more.pop("settings", SETTINGS)
    spec = JobSpec(row_id, "v.mp4", "a.wav", "o.mp4", "/out/o.mp4", None, 0.0, None, None, (), settings)
    return RowPart(spec, more.pop("weights", Checkpoints()), "cpu", **more)


def probe_result(
    job_id: str, frames: int, scan: tuple[NumberedSpan, ...] = (), choice: Choice | None = None, **more: Any
) -> ProbeResult:
    """Return the probe's result for a row that nothing was done for."""
    probed = Probed(job_id, {"tracks": None}, "v", "d", "x", "y", choice=choice)
    return ProbeResult(job_id=job_id, to_do=ToDo(probed=probed, frames=frames, scan=scan, **more))
