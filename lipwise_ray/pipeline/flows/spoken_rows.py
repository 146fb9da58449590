"""The first stage of rows whose audio is still a text: speech is made of it, and all that follows sees audio."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lipwise_ray.pipeline.dubbing.speeches import speak_id, spoken_job
from lipwise_ray.pipeline.dubbing.task_parts import RowPart
from lipwise_ray.pipeline.flows.row_tasks import MOST_REPAIRS, Result, RowTasks
from lipwise_ray.pipeline.flows.task_kinds import SPEAK, SpeakPayload, SpeakResult
from lipwise_ray.pipeline.inputs.made import LOST
from lipwise_ray.pipeline.manifest.speakers import has_text
from lipwise_ray.scheduler.task import Failure, Task


@dataclass(slots=True)
class SpokenRowTasks(RowTasks[Result]):
    """State of a row that may have texts in place of audio."""

    _texts: RowPart | None = None
    """The row with its texts, once there is speech in their place."""

    def _speech(self) -> list[Task]:
        """Return the task that speaks the row's texts; none for a row that has audio."""
        job = self.base.job
        if not has_text(job.script, job.speakers):
            return []
        self._enter("speaking")
        return [self._task(SPEAK, f"{speak_id(job, self.base.weights)}{self._again}", SpeakPayload(self.base))]

    @property
    def _again(self) -> str:
        """End of the ids of tasks that are done again because what they had made was lost."""
        return f"/{self._repairs}" if self._repairs else ""

    def _speak_again(self, failure: Failure) -> list[Task] | None:
        """Return the task that makes speech anew which the state has lost; None where that was not the failure."""
        if failure.code != LOST or self._texts is None or self._repairs >= MOST_REPAIRS:
            return None
        self._repairs += 1
        self.base, self._texts, self._open = self._texts, None, set()
        return self._speech()

    def _take_speech(self, result: SpeakResult) -> None:
        """Put the speech in place of the texts, for all tasks that follow."""
        self._texts = self.base
        self.base = replace(self.base, job=spoken_job(self.base.job, result.speeches, result.cues_id))
