"""A job's new audio is marked as its settings say, and the record tells what a detector finds of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from lipwise_ray.media.watermark import marked_wave
from lipwise_ray.nets.mark_reading import MarkReading
from lipwise_ray.pipeline.delivery.marked_sound import mark_sound, watermark_record
from lipwise_ray.pipeline.dubbing.job_audio import Sounds
from lipwise_ray.pipeline.dubbing.watermarked import SoundWatermark
from lipwise_ray.pipeline.flows.task_kinds import ProbePayload
from lipwise_ray.state.delivered_records import WatermarkRecord
from lipwise_ray.state.shapes import record_of
from lipwise_ray.values import F32Array
from tests.support.task_context import Bench


class _Constant:
    """Marks with a constant, a thousandth for each number of the message."""

    def marks(self, wave: Iterable[F32Array], message: int, on_window: Callable[[], None]) -> Iterator[F32Array]:
        for block in wave:
            on_window()
            yield np.full(len(block), message / 1000, np.float32)


class _Mean:
    """Reads such a mark in audio whose own mean is known, and says that a share of it is marked."""

    def __init__(self, share: float, own: float) -> None:
        self.share, self.own = share, own

    def detect(self, wave: Iterable[F32Array], on_window: Callable[[], None]) -> MarkReading:
        mean = float(np.concatenate([*wave]).mean())
        on_window()
        return MarkReading(self.share, round((mean - self.own) * 1000) if self.share >= 0.5 else None)


def _record(folder: Path, share: float | None) -> WatermarkRecord:
    bench = Bench(folder, marking={"watermark": "audioseal", "watermark_message": 8, "watermark_strength": 0.5})
    probed = bench.probed()
    job = bench.context.open_video(ProbePayload(bench.row), probed.video_id)
    assert job.watermark is None  # the row has no checkpoint of that role
    voice = Sounds(job, bench.context.scratch, probed.job_id, probed.identity).file()
    own = float(np.concatenate([*marked_wave(voice.info)]).mean())
    watermark = SoundWatermark("constant", _Constant, None if share is None else lambda: _Mean(share, own))
    target = folder / "marked.mka"
    marked = mark_sound(job, watermark, voice, target, lambda: None)
    return watermark_record(job, watermark, marked, target, lambda: None)


def test_a_mark_is_read_in_what_is_delivered(tmp_path: Path) -> None:
    """At half its strength the message of 8 reads as 4, as it was added."""
    record = _record(tmp_path, 0.75)
    assert (record.by, record.message, record.strength) == ("constant", 8, 0.5)
    assert (record.found, record.found_message) == (0.75, 4)
    assert record.snr_db is not None


@pytest.mark.parametrize(("share", "keys"), [(None, set[str]()), (0.25, {"found"})])
def test_what_nobody_reads_is_absent(share: float | None, keys: set[str], tmp_path: Path) -> None:
    """Without a detector there is no reading, and below half of the samples no message."""
    record = record_of(_record(tmp_path, share))
    assert {key for key in record if key.startswith("found")} == keys
