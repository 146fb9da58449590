"""Encoding what a job's faces say, for lip-sync networks that hear an encoder's states."""

from __future__ import annotations

from lipwise_ray.pipeline.dubbing.job_audio import Sounds
from lipwise_ray.pipeline.flows.task_kinds import HEAR, HearPayload, HearResult
from lipwise_ray.pipeline.tasks.context import TaskContext
from lipwise_ray.pipeline.tasks.handlers import handles
from lipwise_ray.scheduler.task import Hints


@handles(HEAR)
def hear(context: TaskContext, payload: HearPayload, hints: Hints) -> HearResult:
    """Leave in the state what an encoder makes of each audio stream that a face says, unless it is there and whole.

    Raises:
        MediaError: An audio stream cannot be used.
        WeightsError: The encoder cannot be used.
        StorageError: The disk is full.
    """
    del hints  # rows of one audio share its states, so they are looked for
    job, probed = context.open(payload), payload.probed
    told = (job, context.scratch, probed.job_id, probed.identity, context.on_block)
    sounds = Sounds(*told)
    sounds.delivered()  # a sound that is fitted has its length from there
    said = frozenset(line.sound_id for line in sounds.lines())
    encoded = Sounds(*told, encodes=said)
    encoded.delivered()
    encoded.lines()
    return HearResult()
