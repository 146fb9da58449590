"""Runs under injected faults, and what must hold after every one of them."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil

from lipwise_ray.credentials.claim import SIDE_CAR
from lipwise_ray.state import layout
from lipwise_ray.state.store import LocalStore, open_store
from lipwise_ray.storage.cache import Cache
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, codes, write_clip, write_sound
from lipwise_ray.values import Size
from tests.conftest import ROOT
from tests.support.dub import (
    EMBEDDED,
    LOSSLESS,
    PASSTHROUGH,
    UNSIGNED,
    command,
    run,
    settings_arguments,
    write_manifest,
)

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
    """Rows lost, chunks done twice, frames that are wrong, rows of another sound, and publications after the first."""

    lost: int = 0
    duplicated: int = 0
    wrong: int = 0
    other_sound: int = 0
    republished: int = 0


class Site:
    """A folder with a few rows to dub, and faults to meet on the way.

    Args:
        folder: Where.
        rows: Names of the rows.
        state: Where the state is, a folder or a prefix of a bucket; a folder beside the outputs without it.

    Attributes:
        address: Of a Ray cluster; runs have a Ray of their own without it.
        variables: Go into the environment of the runs.
        scratch: Where runs keep what is in the making.
    """

    def __init__(self, folder: Path, rows: tuple[str, ...] = ("a", "b"), state: str = "") -> None:
        self.rows = rows
        self.address = ""
        self.out = folder / "out"
        self.state = state or str(folder / "out.state")
        self.store = open_store(self.state, Cache(folder / "seen"))
        self.faults = folder / "faults"
        self.faults.mkdir()
        path = os.pathsep.join([str(INJECT), str(ROOT), os.environ.get("PYTHONPATH", "")])
        self.variables = {"PYTHONPATH": path, "LIPWISE_TEST_FAULTS": str(self.faults), "LIPWISE_TEST_STATE": self.state}
        if isinstance(self.store, LocalStore):
            self.scratch = self.store.root / ".lipwise-scratch"
        else:
            self.scratch = folder / "tmp"
            self.scratch.mkdir()
            self.variables["TMPDIR"] = str(self.scratch)
        self.inject()
        write_clip(folder / "v.mp4", ClipSpec(size=Size(240, 160), frames=FRAMES, gop=8))
        self.sound = folder / "s.wav"
        write_sound(self.sound, ToneSpec(FRAMES / 25, codec="pcm_s16le", rate_hz=16_000, channels=1))
        self.manifest = write_manifest(
            folder / "m.csv",
            [
                {"id": row, "video": "v.mp4", "audio": "s.wav", "output": f"{row}.mkv", "faces": "box:80,140,60,160"}
                for row in rows
            ],
        )

    def inject(self, *faults: Fault) -> None:
        """Set the faults of the next runs; what was struck before is forgotten, and clocks are right again."""
        for old in (*self.faults.glob("hit-*"), *self.faults.glob("clock")):
            old.unlink()
        rules = [{"task": f.task, "at": f.at, "do": f.do, "times": f.times, "node": f.node} for f in faults]
        (self.faults / "rules.json").write_text(json.dumps(rules))

    @property
    def hits(self) -> int:
        """Faults injected so far."""
        return len(list(self.faults.glob("hit-*")))

    def end_stopped(self) -> None:
        """End the processes that a fault stopped and that outlived their node."""
        for mark in self.faults.glob("stopped-*"):
            with suppress(psutil.Error):
                process = psutil.Process(int(mark.name.removeprefix("stopped-")))
                if process.environ().get("LIPWISE_TEST_FAULTS") == str(self.faults):
                    process.kill()

    @property
    def environment(self) -> dict[str, str]:
        """The environment that carries the faults into every process."""
        return {**os.environ, **self.variables}

    def words(self, *sets: str, workers: int = 1) -> list[str | Path]:
        """Return the arguments of a run."""
        settings = [*settings_arguments(PASSTHROUGH, LOSSLESS, UNSIGNED, EMBEDDED, *QUICK, *sets)]
        settings += ["--address", self.address] if self.address else []
        places = ("--out", self.out, "--state", self.state)
        return ["submit", self.manifest, *places, "--workers", str(workers), *settings]

    def run(self, *sets: str, workers: int = 1, most_bytes: int = 0) -> subprocess.CompletedProcess[str]:
        """Run to the end; with `most_bytes` no file may grow beyond that, as if the disk were full."""
        words = self.words(*sets, workers=workers)
        if not most_bytes:
            return run(*words, timeout_s=150, **self.environment)
        return subprocess.run(
            command(*words), env=self.environment, capture_output=True, text=True, timeout=150,
            preexec_fn=partial(_limit_files, most_bytes), check=False,
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
            command(*self.words(*sets, workers=workers)), env=self.environment, stderr=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def events(self, event: str | None = None) -> list[dict[str, Any]]:
        """Return what all runs of the state noted, in order."""
        runs = dict.fromkeys(key.split("/")[1] for key in self.store.names("runs"))
        found = [json.loads(line) for run in runs for line in self.store.log(layout.events(run))]
        return [one for one in found if event in (None, one["event"])]

    def records(self, folder: str, pattern: str = "*") -> dict[str, bytes]:
        """Return the records of the state in a folder whose keys fit a pattern."""
        keys = [key for key in self.store.names(folder) if fnmatch(key, pattern)]
        return dict(zip(keys, (data or b"" for data in self.store.read_all(keys)), strict=True))

    def markers(self) -> dict[str, bytes]:
        """Return the markers of all finished chunks: one that is done again gets another."""
        return self.records("jobs", "*/chunks/*")

    def results(self) -> list[dict[str, Any]]:
        """Return the results of the finished jobs."""
        return [json.loads(data) for data in self.records("jobs", "*/result.json").values()]

    def letters(self) -> list[dict[str, Any]]:
        """Return the dead letters."""
        return [json.loads(data) for data in self.records("quarantine").values()]

    def check(self, *rows: str, again: int = 0) -> None:
        """See that these rows are there, frame by frame, with nothing lost, partial or done twice."""
        assert self.tally(*rows, again=again) == Tally()
        there = {path.name for path in self.out.rglob("*") if path.is_file()}
        assert there <= {f"{row}.mkv{end}" for row in self.rows for end in ("", SIDE_CAR)}, there
        finished = {result["job_id"] for result in self.results()}
        segments = [key for key in self.store.names("jobs") if "/segments/" in key]
        assert not [key for key in segments if key.split("/")[1] in finished], segments
        if isinstance(self.store, LocalStore):
            assert not list(self.store.root.rglob("*.part*"))
        if not self.hits:  # the next driver sweeps what a killed process left
            made = [path for path in self.scratch.rglob("*") if path.suffix in (".part", ".mkv")]
            assert not [path for path in made if path.parent.name != "cache"], made

    def tally(self, *rows: str, again: int = 0) -> Tally:
        """Count what went wrong with these rows; so many chunks had to be done again."""
        lost = wrong = other_sound = republished = 0
        for row in rows:
            path = self.out / f"{row}.mkv"
            if not path.is_file():
                lost += 1
                continue
            with av.open(str(path)) as container:
                shown = codes(container.decode(video=0))
            wrong += sum(a != b for a, b in zip_longest(shown, range(FRAMES)))
            other_sound += not _sounds_alike(path, self.sound)
            republished += max(0, len(list(self.faults.glob(f"published-{path.name}-*"))) - 1)
        done = Counter(event["task"] for event in self.events("done") if event["task"].startswith("render:"))
        return Tally(lost, sum(count - 1 for count in done.values()) - again, wrong, other_sound, republished)

    def frames(self, row: str) -> np.ndarray[Any, Any]:
        """Return a finished row's luma."""
        with av.open(str(self.out / f"{row}.mkv")) as container:
            return np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)])


def _sounds_alike(video: Path, sound: Path) -> bool:
    """Tell whether a video plays a sound from its first sample to its last; codecs may pad, and lose a little."""
    with av.open(str(video)) as one, av.open(str(sound)) as other:
        played, given = (
            np.concatenate([piece.to_ndarray().mean(axis=0) for piece in _mono(container)])
            for container in (one, other)
        )
    size = len(given)
    if not size <= len(played) < size + 2048:
        return False
    return float(np.abs(played[:size] - given).mean()) < 0.02 * float(np.abs(given).mean())


def _mono(container: av.container.InputContainer) -> Iterator[av.AudioFrame]:
    resampler = av.AudioResampler(format="flt", layout="mono", rate=16_000)
    for frame in container.decode(audio=0):
        yield from resampler.resample(frame)
    yield from resampler.resample(None)


def _limit_files(most_bytes: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))


def wait_for(condition: Callable[[], object], run: subprocess.Popen[str]) -> None:
    """Wait until something is so, while a run goes on."""
    deadline_s = time.monotonic() + 90
    while not condition():
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def end_of(run: subprocess.Popen[str], code: int = 0) -> str:
    """Wait for a run's end, see its exit code, and return what it said."""
    _, errors = run.communicate(timeout=120)
    assert run.returncode == code, errors
    return errors
