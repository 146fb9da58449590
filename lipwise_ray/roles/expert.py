"""The network that tells whose lips go with the audio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lipwise_ray.models.loading import ModelHost, of_one_file
from lipwise_ray.models.role import InId, Machines, ModelRole, Requirement
from lipwise_ray.roles.active_speaker import ACTIVE_SPEAKER
from lipwise_ray.settings.model import Settings

if TYPE_CHECKING:
    from lipwise_ray.metrics.sync import SpeakerExpert
    from lipwise_ray.models.checkpoints import Checkpoint


def _make(checkpoint: Checkpoint, host: ModelHost) -> SpeakerExpert:
    from lipwise_ray.metrics.sync import SpeakerExpert

    return SpeakerExpert(host.locate(checkpoint), host.device)


def _requirement(settings: Settings, machines: Machines) -> Requirement:
    required = EXPERT.required_by_name(settings, machines)
    (wanted,) = required.wanted
    is_usual = wanted.file is None and wanted.name == EXPERT.networks[0]
    if is_usual and not machines.installed(wanted.name) and ACTIVE_SPEAKER.required(settings, machines).wanted:
        return Requirement(())  # it only has to decide where several people's lips move
    return required


EXPERT = ModelRole(
    "expert",
    "faces.expert",
    "faces.expert_checkpoint",
    networks=("lipsync_expert",),
    load=of_one_file("expert", _make),
    order=60,
    in_job_id=InId.HASH,
    needed=lambda _, row: row.seeks_speaker,
    requirement=_requirement,
    finds_speaker=True,
)
