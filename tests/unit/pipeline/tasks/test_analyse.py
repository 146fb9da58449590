"""What is found in a stretch of the source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lipwise_ray.errors import StorageError
from lipwise_ray.faces.detections import DetectedFaces, Detections, FaceDetector
from lipwise_ray.pipeline.dubbing.task_parts import NumberedSpan
from lipwise_ray.pipeline.flows.task_kinds import ListenPayload, RecognisePayload, ScanPayload
from lipwise_ray.pipeline.tasks.analyse import compare_voices, embed_faces, find_faces
from lipwise_ray.roles.detector import DETECTOR
from lipwise_ray.scheduler.task import Hints
from lipwise_ray.state import layout
from lipwise_ray.state.store import load_file
from lipwise_ray.values import U8Array
from tests.conftest import ROOT
from tests.support.task_context import NOTHING_KNOWN, Bench

PRESENTER = str(ROOT / "manifests" / "demo" / "presenter.mp4")
PIECE = NumberedSpan(0, 0, 8)


def _bench(folder: Path) -> Bench:
    bench = Bench(
        folder,
        {"detector": "tiny_detector"},
        faces={"select": "largest"},
        detect={"detector": "tiny", "batch_frames": 4, "stride": 1},
    )
    bench.row = bench.with_spec(video=PRESENTER)
    return bench


class _Counted:
    """A detector, and how many images it was given at a time."""

    def __init__(self, detector: FaceDetector) -> None:
        self._detector = detector
        self.together = detector.together
        self.batches: list[int] = []

    def detect(self, images_bgr: Sequence[U8Array]) -> list[DetectedFaces]:
        self.batches.append(len(images_bgr))
        return self._detector.detect(images_bgr)


@pytest.mark.parametrize(("halvings", "most"), [(0, 4), (1, 2), (9, 1)])
def test_the_faces_of_a_chunk_are_found_once(
    halvings: int, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The presenter is in every frame, also where batches are halved for want of memory; nobody looks twice."""
    bench, hints = _bench(tmp_path), Hints(batch_halvings=halvings)
    payload = ScanPayload(bench.row, bench.probed(), PIECE)
    counted = _Counted(bench.context.models.needed(DETECTOR, bench.context.models_for(payload, hints)))
    monkeypatch.setattr(bench.context.models, "needed", lambda role, request: counted)
    find_faces(bench.context, payload, hints)
    found = load_file(
        bench.store, layout.scan_chunk(payload.probed.video_id, payload.probed.detector_id, 0), Detections.load
    )
    assert found is not None
    assert np.unique(found.frame).tolist() == found.looked.tolist()
    assert (len(found.change), bench.ticks, max(counted.batches)) == (8, 8, most)
    find_faces(bench.context, payload, hints)
    assert bench.ticks == 8


def test_work_on_faces_that_nobody_found_says_what_is_missing(tmp_path: Path) -> None:
    """Scans that are gone are made again before faces are compared, with audio or with a portrait."""
    bench = _bench(tmp_path)
    probed = replace(bench.probed(), voices_id="v", looks_id="l")
    heard = compare_voices(bench.context, ListenPayload(bench.row, probed, PIECE), NOTHING_KNOWN)
    seen = embed_faces(bench.context, RecognisePayload(bench.row, probed, PIECE), NOTHING_KNOWN)
    assert "the records of its scan are incomplete in the state" in heard.missing
    assert "the records of its scan are incomplete in the state" in seen.missing


def test_lips_are_not_compared_with_audio_that_is_not_there(tmp_path: Path) -> None:
    """A video whose audio cannot be used any more is a fault of the state, not of its faces."""
    bench = Bench(tmp_path)
    silent = str(ROOT / "manifests" / "demo" / "still.png")
    bench.row = bench.with_spec(video=silent)
    probed = replace(bench.probed(), voices_id="v")
    with pytest.raises(StorageError):
        compare_voices(bench.context, ListenPayload(bench.row, probed, NumberedSpan(0, 0, 1)), NOTHING_KNOWN)
