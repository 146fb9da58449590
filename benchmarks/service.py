"""The service under many clients: is every job done once, how long does a look at one take, what memory is held.

    python -m benchmarks.service [--jobs 200] [--clients 20] [--look-every-s 1]

`lipwise-ray serve` runs as a child, on the inline engine and without networks. Each client sends its jobs as forms,
with a small video and a sound that no other job has, as fast as they are taken, and then looks at its unfinished jobs
again and again until all have ended. Memory is that of the web process, and of the process that does the jobs.
"""

# pyright: basic
# Scripts: what they hand to the product is checked, every value of their own is not.

from __future__ import annotations

import argparse
import http.client
import io
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from urllib3.filepost import encode_multipart_formdata

from lipwise_ray.synth.clips import ClipSpec, write_clip
from lipwise_ray.values import Size

SETTINGS = (
    'engine.kind="inline"',
    'lipsync.model="passthrough"',
    'lipsync.vad="none"',
    'score.judge="none"',
    'restore.model="none"',
    'detect.detector="tiny"',
    "composite.occlusion=false",
    'encode.preset="ultrafast"',
    "faces.select=box:30,90,60,120",
    "service.requests_per_minute=0",
)
_ENDED = ("COMPLETED", "FAILED", "REJECTED")
_RATE_HZ, _SECONDS, _FRAMES = 16000, 0.2, 5
_PATIENCE_S = 900.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory after so many jobs had ended, in MiB, and the threads of both processes."""

    jobs: int
    web_mib: float
    driver_mib: float
    web_threads: int
    driver_threads: int


@dataclass(slots=True)
class Seen:
    """What was seen of a load."""

    statuses: Counter[str] = field(default_factory=Counter)
    outputs: int = 0
    renders: Counter[int] = field(default_factory=Counter)
    """Tasks that render, by the times that they were begun."""
    looks_ms: list[float] = field(default_factory=list)
    sends_ms: list[float] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    wall_s: float = 0.0
    web_cpu_s: float = 0.0
    driver_cpu_s: float = 0.0


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run `lipwise-ray serve` on a free port; yield its process and the port. Its log goes to ``serve.log``."""
    words = [sys.executable, "-m", "lipwise_ray", "serve", str(folder), "--port", "0", *arguments]
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = folder.parent / "serve.log"
    with log.open("w") as lines, subprocess.Popen(words, stderr=lines, text=True) as process:
        try:
            while not (found := re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())):
                if process.poll() is not None:
                    raise SystemExit(log.read_text())
                time.sleep(0.05)
            yield process, int(found[1])
            process.terminate()
            process.wait(60)
        finally:
            process.kill()


def sound_of(number: int) -> bytes:
    """Return a short sound that is unlike that of any other number."""
    times = np.arange(int(_RATE_HZ * _SECONDS)) / _RATE_HZ
    wanted = np.sin(2 * np.pi * (200 + number) * times) * 8000
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(_RATE_HZ)
        sound.writeframes(wanted.astype("<i2").tobytes())
    return file.getvalue()


class Client:
    """A client with a connection of its own."""

    def __init__(self, port: int, look_every_s: float) -> None:
        self._line = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self._look_every_s = look_every_s
        self.looks_ms: list[float] = []
        self.sends_ms: list[float] = []

    def run(self, video: bytes, numbers: range) -> dict[str, str]:
        """Send jobs and look at them until all have ended; return their statuses by their ids."""
        ids = [self._send(video, number) for number in numbers]
        ended: dict[str, str] = {}
        end_s = time.monotonic() + _PATIENCE_S
        while len(ended) < len(ids) and time.monotonic() < end_s:
            for job_id in ids:
                if job_id not in ended:
                    status = self._look(job_id)
                    if status in _ENDED:
                        ended[job_id] = status
            time.sleep(self._look_every_s)
        self._line.close()
        return {job_id: ended.get(job_id, "LATE") for job_id in ids}

    def _send(self, video: bytes, number: int) -> str:
        fields = {
            "model": "fast",
            "video": ("v.mp4", video, "video/mp4"),
            "audio": ("s.wav", sound_of(number), "audio/wav"),
        }
        body, kind = encode_multipart_formdata(fields)
        begun_s = time.perf_counter()
        status, told = self._asked("POST", "/v2/generate", body, {"Content-Type": kind})
        self.sends_ms.append(1000 * (time.perf_counter() - begun_s))
        assert status == 201, (status, told)
        return told["id"]

    def _look(self, job_id: str) -> str:
        begun_s = time.perf_counter()
        status, told = self._asked("GET", f"/v2/generate/{job_id}")
        self.looks_ms.append(1000 * (time.perf_counter() - begun_s))
        assert status == 200, (status, told)
        return told["status"]

    def _asked(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict]:
        self._line.request(method, path, body, headers or {})
        answer = self._line.getresponse()
        return answer.status, json.loads(answer.read())


class Watch:
    """Looks at the memory of both processes when so many jobs have ended."""

    def __init__(self, web: psutil.Process, out: Path, at: list[int]) -> None:
        self._web, self._out, self._at = web, out, [*at]
        self.memory: list[Memory] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def driver(self) -> psutil.Process:
        """Return the process that does the jobs."""
        (driver,) = [one for one in self._web.children() if "lipwise_ray.service.driver" in one.cmdline()]
        return driver

    def close(self) -> None:
        """End; the last figure is that of now."""
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        while self._at:
            is_over = self._over.wait(0.2)
            done = sum(1 for _ in self._out.glob("*/*.mp4"))
            if done >= self._at[0] or is_over:
                self._at.pop(0)
                driver = self.driver()
                self.memory.append(
                    Memory(
                        done,
                        self._web.memory_info().rss / 2**20,
                        driver.memory_info().rss / 2**20,
                        self._web.num_threads(),
                        driver.num_threads(),
                    )
                )


def renders(state: Path) -> Counter[str]:
    """Return how often each task that renders was begun, by the events of all runs."""
    lines = [line for file in state.glob("runs/*/events.jsonl") for line in file.read_text().splitlines()]
    events = [json.loads(line) for line in lines]
    return Counter(one["task"] for one in events if one["event"] == "leased" and one["task"].startswith("render:"))


def measured(folder: Path, jobs: int, clients: int, look_every_s: float) -> Seen:
    """Serve, send, look, stop; return what was seen."""
    write_clip(folder / "v.mp4", ClipSpec(size=Size(160, 120), frames=_FRAMES))
    video = (folder / "v.mp4").read_bytes()
    served = folder / "served"
    seen = Seen()
    arguments = [word for text in SETTINGS for word in ("--set", text)]
    with serving(served, *arguments) as (process, port):
        web = psutil.Process(process.pid)
        watch = Watch(web, served / "out", sorted({min(20, jobs // 4), jobs // 2, jobs}))
        begun_s = time.monotonic()
        parts = [range(number * jobs // clients, (number + 1) * jobs // clients) for number in range(clients)]
        several = [Client(port, look_every_s) for _ in parts]
        with ThreadPoolExecutor(clients) as pool:
            ended = list(pool.map(lambda one: one[0].run(video, one[1]), zip(several, parts, strict=True)))
        seen.wall_s = time.monotonic() - begun_s
        watch.close()
        seen.memory = watch.memory
        seen.web_cpu_s, seen.driver_cpu_s = (sum(one.cpu_times()[:2]) for one in (web, watch.driver()))
    statuses = {job_id: status for one in ended for job_id, status in one.items()}
    seen.statuses = Counter(statuses.values())
    seen.outputs = sum((served / "out" / job_id / "video.mp4").exists() for job_id in statuses)
    seen.renders = Counter(renders(served / "state").values())
    seen.looks_ms = sorted(took for one in several for took in one.looks_ms)
    seen.sends_ms = sorted(took for one in several for took in one.sends_ms)
    return seen


def _part(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--look-every-s", type=float, default=1.0, help="pause between two rounds of looks")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lipwise-bench-") as folder:
        seen = measured(Path(folder), options.jobs, options.clients, options.look_every_s)
    print(f"{options.jobs} jobs of {options.clients} clients: {dict(seen.statuses)}, {seen.outputs} outputs")
    print(f"tasks that render, by the times that they were begun: {dict(seen.renders)}")
    for name, values in (("GET /v2/generate/{id}", seen.looks_ms), ("POST /v2/generate", seen.sends_ms)):
        figures = "  ".join(f"{share:.0%} {_part(values, share):.1f}" for share in (0.5, 0.95, 0.99, 1.0))
        print(f"{name}: {len(values)} requests, ms: {figures}")
    for one in seen.memory:
        print(
            f"after {one.jobs} jobs: web {one.web_mib:.0f} MiB, {one.web_threads} threads; "
            f"driver {one.driver_mib:.0f} MiB, {one.driver_threads} threads"
        )
    print(f"wall {seen.wall_s:.1f} s; CPU: web {seen.web_cpu_s:.1f} s, driver {seen.driver_cpu_s:.1f} s")


if __name__ == "__main__":
    main()
