"""Which jobs' frames come from a video engine, and that nothing looks different for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from lipwise_ray.cli.doctor import _engine_line
from lipwise_ray.lipsync.device_compositor import DeviceCompositor
from lipwise_ray.lipsync.device_light import DeviceLights
from lipwise_ray.lipsync.device_planes import DevicePlanes
from lipwise_ray.lipsync.device_resident import resident
from lipwise_ray.lipsync.device_surfaces import DeviceSurfaces
from lipwise_ray.lipsync.planes_check import PlanesChoice
from lipwise_ray.media.hardware_check import KINDS
from lipwise_ray.media.hardware_encoding import HardwareEncoding
from lipwise_ray.media.pixels import plane_array
from lipwise_ray.pipeline.dubbing.planner import recipe_of
from lipwise_ray.pipeline.flows.task_kinds import RenderPayload
from lipwise_ray.pipeline.tasks.render import render
from lipwise_ray.state.markers import read_marker
from tests.support.task_context import CHUNK, FRAMES, NOTHING_KNOWN, Bench
from tests.support.video_engine import software_engine

SEARCHED: dict[str, Any] = {"faces": {"select": "largest"}}
CASES = {
    "searched for faces": ({**SEARCHED}, True),
    "a box": ({}, False),
    "a box, on": ({"engine": {"hardware_frames": "on"}}, True),
    "searched, off": ({**SEARCHED, "engine": {"hardware_frames": "off"}}, False),
    "on, salvaged": ({"engine": {"hardware_frames": "on"}, "source": {"on_error": "salvage"}}, False),
}


@pytest.mark.parametrize("name", CASES)
def test_videos_that_may_be_damaged_are_left_to_software(name: str, tmp_path: Path) -> None:
    """An engine gets videos that were decoded once before, and others where the settings say so."""
    sections, is_used = CASES[name]
    bench = Bench(tmp_path, **sections)
    job = bench.context.open(RenderPayload(bench.row, bench.probed(), 0))
    with job.reader(recipe_of(job.spec.settings, job.video), 1, software_engine()) as reader:
        assert (reader._hardware is not None) == is_used


def test_a_chunk_is_the_same_file(tmp_path: Path) -> None:
    """Rendered from an engine's frames a segment is byte by byte that of software's, under the same job id."""
    found = []
    for told in ("off", "on"):
        folder = tmp_path / told
        folder.mkdir()
        bench = Bench(
            folder, {"lipsync": "tiny_generator"}, lipsync={"model": "tiny_generator"}, engine={"hardware_frames": told}
        )
        bench.context.models._known_engine = engine = software_engine()
        probed = bench.planned()
        render(bench.context, RenderPayload(bench.row, probed, 1), NOTHING_KNOWN)
        marker = read_marker(bench.store, probed.job_id, 1)
        assert marker is not None
        assert marker.frames == CHUNK
        assert bool(engine._problems) == (told == "on")
        found.append((marker.sha256, bench.row.job.settings.identity()))
    assert found[0] == found[1]


@pytest.mark.slow
def test_a_chunk_of_frames_on_the_device_is_the_same_file(tmp_path: Path) -> None:
    """With the device's planes a segment is byte by byte the same whether frames stay there or go up piece by piece."""
    found = []
    for room in (0, 1 << 30):
        folder = tmp_path / str(room)
        folder.mkdir()
        bench = Bench(
            folder, {"lipsync": "tiny_generator"}, lipsync={"model": "tiny_generator"}, engine={"hardware_frames": "on"}
        )
        models = bench.context.models
        models._known_engine = software_engine(resident_bytes=room)
        models._known_planes = PlanesChoice(
            DevicePlanes("cpu"), DeviceLights("cpu"), DeviceCompositor("cpu"), is_device=True, reason="a test"
        )
        probed = bench.rendered()
        markers = [read_marker(bench.store, probed.job_id, chunk) for chunk in range(FRAMES // CHUNK)]
        found.append([marker.sha256 for marker in markers if marker is not None])
    assert len(found[0]) == FRAMES // CHUNK
    assert found[0] == found[1]


def test_a_chunk_encoded_from_the_device_has_the_same_frames(tmp_path: Path) -> None:
    """Without loss its frames are sample by sample those of an encoder that gets them from this machine's memory."""
    found, names = [], [list[int](), list[int]()]
    for told, made in zip((False, True), names, strict=True):
        folder = tmp_path / str(told)
        folder.mkdir()
        sections: dict[str, Any] = {"lipsync": {"model": "tiny_generator"}, "engine": {"hardware_frames": "on"}}
        bench = Bench(
            folder,
            {"lipsync": "tiny_generator"},
            **sections,
            encode={"codec": "libx264", "quality": 0, "preset": "fast"},
        )
        models = bench.context.models
        models._known_engine = software_engine(resident_bytes=1 << 30)
        models._known_planes = PlanesChoice(
            DevicePlanes("cpu"), DeviceLights("cpu"), DeviceCompositor("cpu"), is_device=True, reason="a test"
        )

        class Counted(DeviceSurfaces):
            def filled(self, frame: Any, pts: int, made: list[int] = made) -> Any:
                made.append(resident(frame, torch.device("cpu")) is not None)
                return super().filled(frame, pts)

        models._known_encoding = HardwareEncoding(
            lambda size, surface_format, kind=Counted: kind("cpu", size, surface_format, None),
            ("libx264",) if told else (),
        )
        models._known_encoding._problems["libx264", "yuv420p"] = ""
        probed = bench.planned()
        render(bench.context, RenderPayload(bench.row, probed, 1), NOTHING_KNOWN)
        marker = read_marker(bench.store, probed.job_id, 1)
        assert marker is not None
        with av.open(str(bench.store.fetch(marker.segment))) as container:
            found.append([plane_array(frame, n).copy() for frame in container.decode(video=0) for n in range(3)])
    assert names == [[], [True] * CHUNK]
    assert len(found[0]) == len(found[1]) == 3 * CHUNK
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.skipif(torch.cuda.is_available(), reason="shows a machine without a GPU")
def test_doctor_says_why_software_decodes() -> None:
    """Each codec that the engine does not decode is named with its reason."""
    good, _, text = _engine_line()
    assert good
    assert text.startswith("the GPU decodes nothing and encodes nothing; h264 8 bit in software: ")
    assert all(f"{kind} in software" in text for kind in KINDS)
