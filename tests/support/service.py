"""A service in a test: settings that need no network, drafts, and waiting for what it tells."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lipwise_ray.runs.load_settings import LoadedSettings, load_settings
from lipwise_ray.service.changes import Change
from lipwise_ray.service.job_record import JobDraft
from lipwise_ray.service.service import Service
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.support.dub import INLINE, PASSTHROUGH, QUICK, UNJUDGED, UNSIGNED

QUIET = (INLINE, PASSTHROUGH, UNJUDGED, UNSIGNED, QUICK, "faces.select=box:30,90,60,120")
_PATIENCE_S = 120.0


def quiet_settings(*more: str) -> LoadedSettings:
    """Return settings by which jobs are done without networks, in the driver's own process."""
    return load_settings(assignments=[*QUIET, *more])


def draft(folder: Path, **columns: Any) -> JobDraft:
    """Return a draft of a job on the footage of a folder."""
    given = {"video": str(folder / "v.mp4"), "audio": str(folder / "s.wav")}
    about = {name: columns.pop(name) for name in JobDraft.__slots__ if name in columns}
    return JobDraft(columns={**given, **columns}, **{"door": "test", **about})


def write_footage(folder: Path, frames: int = 12) -> None:
    """Write a clip and a sound of the same length, as an upload leaves them."""
    folder.mkdir(parents=True, exist_ok=True)
    write_clip(folder / "v.mp4", ClipSpec(size=Size(160, 120), frames=frames))
    write_sound(folder / "s.wav", ToneSpec(frames / 25, codec="pcm_s16le", rate_hz=16000, channels=1))


class Watcher:
    """Hears what a service tells, and waits until something holds."""

    def __init__(self, service: Service) -> None:
        self.changes: list[Change] = []
        self._told = threading.Condition()
        service.listen(self._hear)

    def _hear(self, change: Change) -> None:
        with self._told:
            self.changes.append(change)
            self._told.notify_all()

    def until(self, holds: Callable[[], object]) -> None:
        """Wait until it holds; it is looked at after each change."""
        with self._told:
            assert self._told.wait_for(holds, _PATIENCE_S), self.changes[-20:]

    def until_ended(self, service: Service) -> None:
        """Wait until no job waits or is worked on."""
        self.until(lambda: not (service.counts()["pending"] or service.counts()["processing"]))
