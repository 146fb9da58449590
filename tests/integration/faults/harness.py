"""Runs under injected faults, and what must hold after every one of them."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import av
import numpy as np

from lipwise_ray.synth.clips import ClipSpec, ToneSpec, codes, write_clip, write_sound
from lipwise_ray.values import Size
from tests.conftest import ROOT
from tests.dub import LOSSLESS, PASSTHROUGH, command, settings_arguments, write_manifest

INJECT = Path(__file__).parent / "inject"
FRAMES, CHUNK = 40, 10
CHUNKS = FRAMES // CHUNK
QUICK = ("engine.backoff_s=0.05", "chunk.frames=10", "engine.threads_per_worker=1")


@dataclass(frozen=True, slots=True)
class Fault:
    """One rule of injection; see `inject/sitecustomize.py`."""

    task: str
    at: str
    do: str
    times: int = 1
    node: str | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """Rows lost, chunks done twice, frames that are wrong."""

    lost: int = 0
    duplicated: int = 0
    wrong: int = 0


class Site:
    """A folder with a few rows to dub, and faults to meet on the way.

    Args:
        folder: Where.
        rows: Names of the rows.
    """

    def __init__(self, folder: Path, rows: tuple[str, ...] = ("a", "b")) -> None:
        self.folder = folder
        self.rows = rows
        self.address = ""
        self.state, self.out = folder / "out.state", folder / "out"
        self.faults = folder / "faults"
        self.faults.mkdir()
        self.inject()
        write_clip(folder / "v.mp4", ClipSpec(size=Size(240, 160), frames=FRAMES, gop=8))
        write_sound(folder / "s.wav", ToneSpec(FRAMES / 25, codec="pcm_s16le", rate_hz=16_000, channels=1))
        self.manifest = write_manifest(
            folder / "m.csv",
            [
                {"id": row, "video": "v.mp4", "audio": "s.wav", "output": f"{row}.mkv", "faces": "box:80,140,60,160"}
                for row in rows
            ],
        )

    def inject(self, *faults: Fault) -> None:
        """Set the faults of the next runs; what was struck before is forgotten."""
        for hit in self.faults.glob("hit-*"):
            hit.unlink()
        rules = [{"task": f.task, "at": f.at, "do": f.do, "times": f.times, "node": f.node} for f in faults]
        (self.faults / "rules.json").write_text(json.dumps(rules))

    @property
    def hits(self) -> int:
        """Faults injected so far."""
        return len(list(self.faults.glob("hit-*")))

    @property
    def environment(self) -> dict[str, str]:
        """The environment that carries the faults into every process."""
        path = os.pathsep.join([str(INJECT), str(ROOT), os.environ.get("PYTHONPATH", "")])
        return {
            **os.environ, "PYTHONPATH": path, "LIPWISE_TEST_FAULTS": str(self.faults),
            "LIPWISE_TEST_STATE": str(self.state),
        }  # fmt: skip

    def words(self, *sets: str, workers: int = 1) -> list[str]:
        """Return the command line of a run."""
        settings = [*settings_arguments(PASSTHROUGH, LOSSLESS, *QUICK, *sets)]
        settings += ["--address", self.address] if self.address else []
        return command("submit", self.manifest, "--out", self.out, "--workers", str(workers), *settings)

    def run(self, *sets: str, workers: int = 1, timeout_s: float = 150) -> subprocess.CompletedProcess[str]:
        """Run to the end."""
        return subprocess.run(
            self.words(*sets, workers=workers), env=self.environment, capture_output=True, text=True,
            timeout=timeout_s, check=False,
        )  # fmt: skip

    def run_to_the_end(self, *sets: str, workers: int = 1, most_runs: int = 8) -> int:
        """Run again and again while the driver dies or stops; return the last exit code."""
        code = 3
        for _ in range(most_runs):
            code = self.run(*sets, workers=workers).returncode
            if code in (0, 1, 2):
                break
        return code

    def begin(self, *sets: str, workers: int = 1) -> subprocess.Popen[str]:
        """Begin a run."""
        return subprocess.Popen(
            self.words(*sets, workers=workers), env=self.environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, start_new_session=True,
        )  # fmt: skip

    def events(self, event: str | None = None) -> list[dict[str, Any]]:
        """Return what all runs of the state noted, in order."""
        logs = sorted(self.state.glob("runs/*/events.jsonl"))
        found = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
        return [one for one in found if event in (None, one["event"])]

    def letters(self) -> list[dict[str, Any]]:
        """Return the dead letters."""
        return [json.loads(path.read_text()) for path in sorted(self.state.glob("quarantine/*.json"))]

    def check(self, *rows: str) -> None:
        """See that these rows are there, frame by frame, with nothing lost, partial or done twice."""
        assert self.tally(*rows) == Tally()
        there = {path.name for path in self.out.rglob("*") if path.is_file()}
        assert there <= {f"{row}.mkv" for row in self.rows}, there
        assert not list(self.state.rglob("*.part*"))

    def tally(self, *rows: str) -> Tally:
        """Count what went wrong with these rows."""
        lost = wrong = 0
        for row in rows:
            path = self.out / f"{row}.mkv"
            if not path.is_file():
                lost += 1
                continue
            with av.open(str(path)) as container:
                shown = codes(container.decode(video=0))
            wrong += sum(a != b for a, b in zip_longest(shown, range(FRAMES)))
        done = Counter(event["task"] for event in self.events("done") if event["task"].startswith("render:"))
        return Tally(lost, sum(count - 1 for count in done.values()), wrong)

    def frames(self, row: str) -> np.ndarray[Any, Any]:
        """Return a finished row's luma."""
        with av.open(str(self.out / f"{row}.mkv")) as container:
            return np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)])
