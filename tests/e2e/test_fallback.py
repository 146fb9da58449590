"""GPU workers whose planes are of no use: the CPU does their work, and every place that people look at says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.lipsync.device_compositor import DeviceCompositor
from lipwise_ray.lipsync.device_light import DeviceLights
from lipwise_ray.lipsync.device_planes import DevicePlanes
from lipwise_ray.lipsync.device_resident import hold
from lipwise_ray.lipsync.planes_check import choose_planes
from lipwise_ray.reports.rows import collect, joined
from lipwise_ray.reports.write import write_report
from lipwise_ray.state import layout
from lipwise_ray.state.store import open_store, read_json
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.support.dub import LOSSLESS, dub, run


class Unlit(DeviceLights):
    """A device that gives no face its light."""

    def relit(self, faces: Any, shifts: Any) -> Any:
        """Return the faces as they were."""
        return super().relit(faces, [0 * shift for shift in shifts])


def _raising() -> Any:
    raise RuntimeError("CUDA error: no kernel image is available\nfor this device")


DRAWN_LIPS = 'lipsync.model="tiny_generator"'


def _dubbed(folder: Path) -> Any:
    write_clip(folder / "v.mp4", ClipSpec(size=Size(160, 120), frames=10))
    write_sound(folder / "s.wav", ToneSpec(0.4, codec="pcm_s16le"))
    row = {"id": "a", "video": "v.mp4", "audio": "s.wav", "output": "a.mkv", "faces": "box:60,110,50,110"}
    done = dub(folder, [row], DRAWN_LIPS, LOSSLESS)
    assert done.done == 1
    return done


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: (DevicePlanes("cpu"), Unlit("cpu"), DeviceCompositor("cpu")), "frames differ by"),
        (_raising, "no kernel image is available"),
    ],
)
def test_a_fallback_is_told_of_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any, says: str
) -> None:
    """A device that differs, or raises, costs no row; the run says so once, `status` and both reports afterwards."""
    monkeypatch.setattr(
        "lipwise_ray.pipeline.tasks.models.planes_for", lambda _: choose_planes(make, lambda frame: hold(frame, "cpu"))
    )
    done = _dubbed(tmp_path)
    (text,) = done.fallbacks
    assert says in text
    assert "faces are cropped on the CPU" in text
    assert [line for line in done.lines if text in line] == [f"note: {text}"]
    assert f"slower: {text}" in run("status", done.state).stdout.splitlines()
    store = open_store(done.state)
    ended = read_json(store, f"{layout.run(done.run_id)}/report.json")
    assert ended is not None
    assert ended["fallbacks"] == [text]
    page = Path(write_report(store, folder=tmp_path / "page")).read_text()
    assert says in page
    night = joined("night", [collect(store, done.run_id)] * 2, 0)
    assert night.run.fallbacks == (text,)


def test_a_worker_without_a_gpu_is_none(tmp_path: Path) -> None:
    """On a CPU nothing is slower than it has to be, and nothing is said."""
    done = _dubbed(tmp_path)
    assert done.fallbacks == ()
    assert "slower" not in run("status", done.state).stdout
    store = open_store(done.state)
    for name in ("run", "report"):
        assert "fallbacks" not in json.loads(store.read(f"{layout.run(done.run_id)}/{name}.json") or b"")
