"""A task that is rebuilt from its dead letter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.errors import StateError
from lipwise_ray.models.checkpoints import Checkpoint, Checkpoints
from lipwise_ray.models.registry import Registry
from lipwise_ray.pipeline.dubbing.task_parts import NumberedSpan, Probed
from lipwise_ray.pipeline.flows.task_kinds import RECOGNISE, SCAN, RecognisePayload, ScanPayload
from lipwise_ray.pipeline.manifest.speakers import Speaker
from lipwise_ray.pipeline.tasks.reproduce import rebuild
from lipwise_ray.resources import models_folder
from lipwise_ray.settings.layers import resolve
from lipwise_ray.state.shapes import FailedTry, Letter
from tests.support.tasks import row_part

REGISTRY = Registry(models_folder() / "registry.toml", Path("/none"))
PROBED = Probed("j", {}, "v", "d", portraits={"s3://b/p.png": "p"})


def _letter(payload: Any, kind: Any = SCAN) -> Letter:
    attempt = FailedTry(message="broke")
    return Letter(f"{kind.name}:x/0", kind.name, "x", kind.record_of(payload), [attempt])


def test_a_task_is_done_as_it_was_told_with_this_machines_checkpoints() -> None:
    """Of a published checkpoint the own copy is taken; one that this machine has not is named, to be asked about."""
    mine = REGISTRY.resolve("tiny_detector")
    moved = Checkpoint(mine.name, mine.network, Path("/elsewhere/tiny"), mine.sha256)
    theirs = Checkpoint("custom", "sface", Path("/theirs.onnx"), "0" * 64)
    weights = Checkpoints({"detector": (moved,), "embedder": theirs})
    payload = ScanPayload(row_part(weights=weights), PROBED, NumberedSpan(3, 30, 40))
    rebuilt = rebuild(_letter(payload), REGISTRY)
    assert rebuilt.kind is SCAN
    assert isinstance(rebuilt.payload, ScanPayload)
    assert rebuilt.payload.piece == NumberedSpan(3, 30, 40)
    assert rebuilt.payload.row.weights.needed("detector").path == mine.path
    assert rebuilt.foreign == (("embedder", "/theirs.onnx"),)


def test_everything_that_is_read_and_written_is_named() -> None:
    """Inputs, speakers, portraits and the output, so that nobody is surprised by what a letter makes him open."""
    row = row_part()
    speakers = (Speaker("left", "/one.wav"), Speaker("right", "/two.wav"))
    row = replace(row, job=replace(row.job, speakers=speakers))
    payload = RecognisePayload(row, PROBED, portrait=("s3://b/q.png", "q"))
    places = rebuild(_letter(payload, RECOGNISE), REGISTRY).places
    assert {("video", "v.mp4"), ("audio", "/one.wav"), ("audio", "/two.wav"), ("output", "/out/o.mp4")} <= {*places}
    assert {("portrait", "s3://b/p.png"), ("portrait", "s3://b/q.png")} <= {*places}


def test_the_engine_of_the_run_is_not_taken_over() -> None:
    """A letter of a cluster is done in this process; only whether segments stay is the job's own wish."""
    settings = resolve([("t", {"engine": {"address": "ray://theirs:10001", "workers": 9, "keep_segments": True}})])
    payload = ScanPayload(row_part(settings=settings), PROBED, NumberedSpan(0, 0, 9))
    engine = rebuild(_letter(payload), REGISTRY).payload.row.job.settings.engine
    assert (engine.address, engine.workers, engine.keep_segments) == ("local", 0, True)


@pytest.mark.parametrize("changes", [{"kind": "render"}, {"kind": "none"}, {"task": "render:x/0"}, {"payload": {}}])
def test_a_letter_that_contradicts_itself_is_refused(changes: dict[str, Any]) -> None:
    """A name of another kind, a kind that there is not, a payload that is none."""
    payload = ScanPayload(row_part(), PROBED, NumberedSpan(0, 0, 9))
    with pytest.raises(StateError) as caught:
        rebuild(replace(_letter(payload), **changes), REGISTRY)
    assert caught.value.code == "bad_letter"
