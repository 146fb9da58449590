"""The first stage of rows whose audio is still a text: speech is made of it, and all that follows sees audio."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lipwise_ray.pipeline.dubbing.speeches import speak_id, spoken_job
from lipwise_ray.pipeline.flows.row_tasks import Result, RowTasks
from lipwise_ray.pipeline.flows.task_kinds import SPEAK, SpeakPayload, SpeakResult
from lipwise_ray.pipeline.manifest.speakers import has_text
from lipwise_ray.scheduler.task import Task


@dataclass(slots=True)
class SpokenRowTasks(RowTasks[Result]):
    """State of a row that may have texts in place of audio."""

    def _speech(self) -> list[Task]:
        """Return the task that speaks the row's texts; none for a row that has audio."""
        job = self.base.job
        if not has_text(job.script, job.speakers):
            return []
        self._enter("speaking")
        return [self._task(SPEAK, speak_id(job, self.base.weights), SpeakPayload(self.base))]

    def _take_speech(self, result: SpeakResult) -> None:
        """Put the speech in place of the texts, for all tasks that follow."""
        self.base = replace(self.base, job=spoken_job(self.base.job, result.speeches, result.cues_id))
