"""Original lips as a sync scorer embeds them: once for the frames that are shown, whatever they are dubbed to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from lipwise_ray.nets.runtimes import TORCH, Runtime
from lipwise_ray.pipeline.dubbing.job_context import JobContext
from lipwise_ray.pipeline.inputs.records import keep_record
from lipwise_ray.state import layout
from lipwise_ray.state.ids import PIPELINE_VERSION, record_id
from lipwise_ray.state.store import Store, load_file
from lipwise_ray.storage.arrays import ArraySpec, read_npz
from lipwise_ray.values import F32Array, I64Array

_ARRAYS = {"lips": ArraySpec("float32", ("W", "D"), is_finite=True)}


@dataclass(frozen=True, slots=True)
class FilmedLips:
    """Embeddings of original lips in the state, by all that decides them.

    A video that is dubbed to several languages shows the same frames in each, but for the ends. Whoever scores such a
    stretch first keeps what it found; those who begin at the same time do so each, and write the same.

    Attributes:
        store: The state.
        scratch: Folder for temporary files.
        judge_sha256: Hash of the sync scorer's checkpoint.
        device: Device that it computes on: devices differ in the last bits.
        runtime: Library that computes it: they differ so too.
    """

    store: Store
    scratch: Path
    judge_sha256: str
    device: str
    runtime: Runtime

    def of(
        self, job: JobContext, frames: I64Array, boxes: F32Array, width: int, embed: Callable[[], F32Array]
    ) -> F32Array:
        """Return the embeddings of windows, shape (W, D): known ones, or new ones that are then known.

        Args:
            job: Tells the video, and how its frames are prepared.
            frames: Source frames of the windows, shape (W, 5).
            boxes: Of the faces in them, shape (W, 5, 4).
            width: D, the length of an embedding.
            embed: Makes them.
        """
        key = layout.filmed_lips(job.video.id, self._lips_id(job, frames, boxes))
        lengths = {"W": len(frames), "D": width}
        known = load_file(self.store, key, lambda path: read_npz(path, _ARRAYS, lengths=lengths)["lips"])
        if known is not None:
            return known
        lips = embed()
        if np.isfinite(lips).all():  # what a scorer fails at is not kept
            keep_record(self.store, self.scratch, key, partial(np.savez, lips=lips))
        return lips

    def _lips_id(self, job: JobContext, frames: I64Array, boxes: F32Array) -> str:
        source = job.spec.settings.source
        shown = frames.astype("<i8").tobytes() + boxes.astype("<f4").tobytes()
        return record_id(
            {
                "pipeline": PIPELINE_VERSION,
                "judge": self.judge_sha256,
                "device": self.device,
                "source": source.model_dump(mode="json", exclude={"static"}),
                "windows": hashlib.sha256(shown).hexdigest(),
                **({} if self.runtime == TORCH else {"runtime": self.runtime}),
            }
        )
