"""What decides whether figures compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.models.checkpoints import Checkpoint, Checkpoints
from lipwise_ray.pipeline.dubbing.identity import detector_id_of, protocol_of
from lipwise_ray.pipeline.dubbing.job import JobSpec
from lipwise_ray.settings.layers import parse_assignment, resolve


def _checkpoint(name: str, sha256: str) -> tuple[Checkpoint]:
    return (Checkpoint(name, name, Path(name), sha256),)


YUNET = Checkpoints({"detector": _checkpoint("yunet", "a" * 64), "judge": _checkpoint("x", "c" * 64)})


def _protocol(
    *assignments: str, checkpoints: Checkpoints = YUNET, tracks: str | None = None, dubs: bool = True, **more: Any
) -> str:
    settings = resolve([("test", parse_assignment(text)) for text in assignments])
    spec = JobSpec("a", "v", "s", "o.mp4", "/o/o.mp4", tracks, 0.0, None, None, (), settings, **more)
    return protocol_of(spec, checkpoints, tracks, dubs=dubs)


@pytest.mark.parametrize(
    "assignment",
    [
        "chunk.length_s=3.0",
        "chunk.frames=7",
        "detect.batch_frames=2",
        "engine.workers=2",
        'lipsync.model="passthrough"',
        "faces.pads=[0,20,0,0]",
        'restore.model="none"',
        "encode.quality=30",
        "source.static=true",
    ],
)
def test_what_does_not_change_figures_does_not_keep_runs_apart(assignment: str) -> None:
    """How work is cut and done, and how lips are made, which is what runs are compared for."""
    assert _protocol(assignment) == _protocol()


@pytest.mark.parametrize(
    "assignment",
    [
        "detect.stride=1",
        "detect.size_px=320",
        "detect.min_score=0.5",
        "faces.max_gap_s=1.0",
        "faces.smooth_s=0.0",
        "faces.min_confidence=0.5",
        'faces.select="left"',
        "source.crop=[0,-1,0,99]",
    ],
)
def test_what_changes_figures_keeps_runs_apart(assignment: str) -> None:
    """Whose face it is, and where it is found: the crops that are scored."""
    assert _protocol(assignment) != _protocol()


def test_what_tells_people_apart_keeps_runs_apart() -> None:
    """It decides who is dubbed, and whether somebody of each shot or of the whole video.

    It does not for `evaluate`, which takes the people of each shot, by their places.
    """

    def with_embedder(sha256: str) -> Checkpoints:
        return Checkpoints({**YUNET.by_role, "embedder": _checkpoint("sface", sha256)})

    one, other = with_embedder("d" * 64), with_embedder("e" * 64)
    shot = 'faces.follow="shot"'
    followed = [_protocol(checkpoints=one), _protocol(checkpoints=other), _protocol(shot, checkpoints=one), _protocol()]
    assert len(set(followed)) == 4
    assert _protocol(shot) == _protocol()
    everybody = 'faces.select="all"'
    assert _protocol(everybody, shot, checkpoints=one) == _protocol(everybody, checkpoints=one)
    assert _protocol(checkpoints=one, dubs=False) == _protocol(dubs=False) == _protocol()


def test_what_is_not_asked_does_not_count() -> None:
    """A detector counts where it looks; a user's own tracks and a box do without."""
    other = Checkpoints({"detector": _checkpoint("s3fd", "b" * 64)})
    assert _protocol(checkpoints=other) != _protocol()
    assert (
        _protocol("detect.stride=1", tracks="t1")
        == _protocol("faces.min_confidence=0.5", tracks="t1")
        == _protocol(tracks="t1", checkpoints=Checkpoints())
        != _protocol(tracks="t2")
    )
    box = 'faces.select="box:1,2,3,4"'
    assert (
        _protocol(box, "detect.stride=1")
        == _protocol(box, checkpoints=Checkpoints())
        != _protocol('faces.select="box:1,2,3,5"')
    )


def test_records_of_detection_are_named_as_before() -> None:
    """What was scanned before by this version of the pipeline is not scanned again."""
    settings = resolve([("test", {"lipsync": {"model": "passthrough"}})])
    assert detector_id_of(settings, YUNET) == "9ff1583ac6132e5da907e164"
