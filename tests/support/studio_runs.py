"""Runs of a studio's state in a test: rows that the command line dubbed, one of which fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lipwise_ray.service.studio.studio_door import studio_door
from lipwise_ray.state import layout
from lipwise_ray.state.store import LocalStore, to_json
from tests.support.dub import PASSTHROUGH, QUICK, Dubbed, dub
from tests.support.service import write_footage

FACE = "faces.select=box:30,90,60,120"
DOOR = studio_door()


def dubbed_run(folder: Path, out: str = "out") -> Dubbed:
    """Run three rows into the state of the service of a folder: two languages, and an id that is none."""
    footage = folder / "footage"
    if not footage.exists():
        write_footage(footage)
    given: dict[str, Any] = {"video": str(footage / "v.mp4"), "audio": str(footage / "s.wav")}
    rows = [
        {
            **given,
            "id": "anna-de",
            "video": footage / "v.mp4",
            "output": "anna.mp4",
            "language": "de",
            "tags": "news,a",
        },
        {**given, "id": "ben-fr", "output": "ben.mp4", "language": "fr", "tags": "news"},
        {**given, "id": "bad<b>", "output": "c.mp4", "language": "fr", "tags": "b"},
    ]
    return dub(folder, rows, PASSTHROUGH, QUICK, FACE, out=out, state=str(folder / "served" / "state"))


def write_run(folder: Path, run_id: str, **record: Any) -> None:
    """Write what a run was started with, as if it had been killed before any row ended."""
    store = LocalStore(folder / "served" / "state")
    store.write(layout.run_record(run_id), to_json({"run_id": run_id, "manifest": "other.csv", "rows": 5, **record}))
