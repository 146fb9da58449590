"""Background that is kept of a video's own audio: where the state has it, and which of it an output shows when."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np

from lipwise_ray.errors import AudioError, InputError, StorageError
from lipwise_ray.media.edits import Edit, edits_of
from lipwise_ray.media.probe import AudioInfo, probe_audio
from lipwise_ray.media.samples import Samples
from lipwise_ray.pipeline.dubbing.job_context import JobContext
from lipwise_ray.pipeline.dubbing.plan import Plan
from lipwise_ray.pipeline.inputs import records
from lipwise_ray.pipeline.inputs.whole_file import whole_file
from lipwise_ray.roles.separator import SEPARATOR
from lipwise_ray.state import layout
from lipwise_ray.state.ids import Identity, record_id
from lipwise_ray.values import round_half_up


def separator_id(identity: Identity) -> str:
    """Return the id of what a separator makes of audio, by a job's identity."""
    return record_id({SEPARATOR.name: identity["weights"][SEPARATOR.name]})


def own_stream(job: JobContext) -> AudioInfo:
    """Return the audio stream of a job's video.

    Raises:
        AudioError: It has none.
    """
    path, why = job.video.info.path, "it is not a video with audio"
    try:
        if not job.video.is_still and not path.is_dir():
            return probe_audio(path, job.spec.settings.limits)
    except InputError as error:
        why = error.happened
    raise AudioError(
        "no_own_background",
        str(path),
        got=f"has no audio whose background could be kept: {why}",
        do="Name a file in the column background, or leave it empty",
    )


def kept_background(job: JobContext, identity: Identity) -> Path:
    """Return the file with what a video's own audio holds beside voices.

    Raises:
        StorageError: It is gone.
    """
    folder = layout.backgrounds(job.video.id, separator_id(identity), salvage=job.salvage)
    found = whole_file(job.store, folder)
    if found is None:
        raise StorageError(
            "no_background", folder, got="missing or damaged in the state", do="Run the same command again"
        )
    return found


def shown_edits(job: JobContext, plan: Plan) -> tuple[Edit, ...]:
    """Return the stretches of the video's own audio, on its own clock, that an output shows, up to where it repeats."""
    edits = edits_of(job.video.index, plan.source, plan.timeline)
    info = job.video.info
    begin_s = info.start_s - records.lead_s(info)  # when its audio begins, on the container's clock
    return tuple(Edit(edit.start_s - begin_s, edit.stop_s - begin_s, edit.shift_s + begin_s) for edit in edits)


def spliced(blocks: Iterator[Samples], edits: Sequence[Edit], rate_hz: int) -> Generator[Samples]:
    """Yield audio as an output shows its stretches, with silence between them.

    Args:
        blocks: All of the audio, in blocks of shape (channels, N).
        edits: Stretches, by their beginnings; one may go back a little into the one before, as where a frame is shown
            twice.
        rate_hz: Its samples a second.
    """
    read = written = 0  # samples of the source up to the end of a block, and of what was yielded
    left = [
        [
            round_half_up(time_s * rate_hz)
            for time_s in (max(edit.start_s, Fraction(0), -edit.shift_s), edit.stop_s, edit.shift_s)
        ]
        for edit in edits
    ]
    most_back = max((before[1] - after[0] for before, after in pairwise(left)), default=0)
    kept: Samples | None = None
    for fresh in blocks:
        block = fresh if kept is None else np.concatenate([kept, fresh], axis=1)
        read += fresh.shape[1]
        begin, end = read - block.shape[1], read
        while left and left[0][0] < end:
            start, stop, shift = left[0]
            if start + shift > written:
                yield np.zeros((len(block), start + shift - written), block.dtype)
                written = start + shift
            piece = block[:, start - begin : min(stop, end) - begin]
            yield piece
            written += piece.shape[1]
            if stop > end:
                left[0][0] = end
                break
            left.pop(0)
        kept = block[:, max(0, block.shape[1] - most_back) :] if most_back > 0 else None
