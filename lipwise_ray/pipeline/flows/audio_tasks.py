"""The tasks of a job's delivered audio, while its chunks are rendered: what it keeps of the video's own comes first."""

from __future__ import annotations

from lipwise_ray.pipeline.dubbing.separated import separator_id
from lipwise_ray.pipeline.dubbing.task_parts import JobPayload, Probed, RowPart
from lipwise_ray.pipeline.flows.task_kinds import SEPARATE, SOUND, SeparatePayload, SoundPayload
from lipwise_ray.pipeline.manifest.background import KEEP
from lipwise_ray.scheduler.task import AnyKind


def audio_task(base: RowPart, probed: Probed, *, is_separated: bool) -> tuple[AnyKind, str, JobPayload]:
    """Return the kind, name and payload of the next task of a job's audio; rows of one video share its separation.

    Args:
        base: Part of the payload that every task of the row gets.
        probed: Findings of its probe.
        is_separated: The background has been separated.
    """
    if base.job.background == KEEP and not is_separated:
        salvage = "-salvage" if base.job.settings.source.salvage else ""
        name = f"{probed.video_id}/{separator_id(probed.identity)}{salvage}"
        return SEPARATE, name, SeparatePayload(base, probed)
    return SOUND, probed.job_id, SoundPayload(base, probed)
