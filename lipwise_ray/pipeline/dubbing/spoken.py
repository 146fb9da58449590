"""Speech in what a face says: a mask over the columns of its mel."""

from __future__ import annotations

from lipwise_ray.pipeline.dubbing.job_audio import Dialogue
from lipwise_ray.pipeline.dubbing.job_context import JobContext
from lipwise_ray.pipeline.inputs import records
from lipwise_ray.pipeline.inputs.lines import line_voices
from lipwise_ray.state import layout
from lipwise_ray.values import BoolArray


def spoken_columns(job: JobContext, line: Dialogue) -> BoolArray:
    """Return a mask of the mel columns of a face's sound that hold speech, shape (columns,).

    Args:
        job: The job.
        line: All that the face says.

    Raises:
        StorageError: A record of it is gone.
    """
    store, salvage, min_pause_s = job.store, job.salvage, job.spec.settings.lipsync.min_pause_s
    if not line.clips:
        return records.voices(store, line.sound_id, min_pause_s, salvage=salvage, speech=job.speech)
    columns = len(records.open_columns(store, layout.mel(line.sound_id, salvage=salvage)))
    return line_voices(store, line.clips, columns, min_pause_s, salvage=salvage, speech=job.speech)
