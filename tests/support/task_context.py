"""Context of a task in a worker, in this process: over one small clip whose face is in a box."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from lipwise_ray.models.checkpoints import Checkpoints
from lipwise_ray.models.registry import Registry
from lipwise_ray.pipeline.dubbing.job import JobSpec
from lipwise_ray.pipeline.dubbing.planner import Planner
from lipwise_ray.pipeline.dubbing.task_parts import Probed, RowPart
from lipwise_ray.pipeline.flows.task_kinds import PlanPayload, ProbePayload, RenderPayload
from lipwise_ray.pipeline.inputs.resolver import cache_of, media_of
from lipwise_ray.pipeline.tasks.context import TaskContext
from lipwise_ray.pipeline.tasks.models import Models
from lipwise_ray.pipeline.tasks.plan import plan
from lipwise_ray.pipeline.tasks.probe import probe
from lipwise_ray.pipeline.tasks.render import render
from lipwise_ray.resources import models_folder
from lipwise_ray.roles.table import ROLES
from lipwise_ray.scheduler.task import Hints
from lipwise_ray.settings.layers import resolve
from lipwise_ray.state.store import LocalStore
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.threads import ThreadBudget
from lipwise_ray.values import Size

FRAMES, CHUNK = 20, 10
NOTHING_KNOWN = Hints()
_SECTIONS: dict[str, dict[str, Any]] = {
    "lipsync": {"model": "passthrough"},
    "faces": {"select": "box:60,110,50,110"},
    "chunk": {"frames": CHUNK},
    "encode": {"codec": "libx264", "preset": "ultrafast"},
}


class Bench:
    """A row of 20 frames, its state, and what a worker does its tasks with.

    Args:
        folder: Everything lies here.
        weights: Bundled checkpoints by role.
        sections: Settings beside those of a quick row.
    """

    def __init__(self, folder: Path, weights: dict[str, str] | None = None, **sections: dict[str, Any]) -> None:
        if not (folder / "v.mkv").exists():
            spec = ClipSpec(size=Size(160, 120), frames=FRAMES, tone=ToneSpec(FRAMES / 25, codec="flac"))
            write_clip(folder / "v.mkv", spec)
            write_sound(folder / "s.wav", ToneSpec(FRAMES / 25, codec="pcm_s16le", rate_hz=16_000, channels=1))
        self.folder, self.output = folder, folder / "out" / "o.mkv"
        names = dict.fromkeys([*_SECTIONS, *sections])
        told = {name: _SECTIONS.get(name, {}) | sections.get(name, {}) for name in names}
        settings = resolve([("test", told)])
        registry = Registry(models_folder() / "registry.toml", folder / "no-models")
        files = {role: registry.resolve(name) for role, name in (weights or {}).items()}
        known = Checkpoints({role: (file,) if ROLES[role].several_files else file for role, file in files.items()})
        video, audio = str(folder / "v.mkv"), str(folder / "s.wav")
        spec = JobSpec("r", video, audio, "o.mkv", str(self.output), None, 0.0, None, None, (), settings)
        self.row = RowPart(spec, known, "cpu")
        self.store, scratch = LocalStore(folder / "state"), folder / "scratch"
        scratch.mkdir(exist_ok=True)
        models = Models("cpu", 1, lambda one: one.path)
        self.ticks = 0
        media = media_of(settings, cache_of(settings.paths), store=self.store)
        planner = Planner(self.store, scratch)
        self.context = TaskContext(
            self.store, scratch, media, models, planner, ThreadBudget.of(1), self._tick, lambda: None
        )

    def _tick(self) -> None:
        self.ticks += 1

    def with_spec(self, **changes: Any) -> RowPart:
        """Return the row with another specification."""
        return replace(self.row, job=replace(self.row.job, **changes))

    def probed(self) -> Probed:
        """Probe the row; return what its other tasks are told."""
        found = probe(self.context, ProbePayload(self.row), NOTHING_KNOWN)
        assert found.to_do is not None
        return found.to_do.probed

    def planned(self) -> Probed:
        """Probe and plan the row."""
        probed = self.probed()
        found = plan(self.context, PlanPayload(self.row, probed), NOTHING_KNOWN)
        assert len(found.chunks) == FRAMES // CHUNK
        return probed

    def rendered(self) -> Probed:
        """Probe, plan and render the row."""
        probed = self.planned()
        for chunk in range(FRAMES // CHUNK):
            render(self.context, RenderPayload(self.row, probed, chunk), NOTHING_KNOWN)
        return probed
