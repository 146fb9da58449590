"""A service that answers on 127.0.0.1, as `lipwise-ray serve` starts it."""

from __future__ import annotations

import io
import tempfile
import threading
import wave
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
import requests
from fastapi import APIRouter

import lipwise_ray
from lipwise_ray.service.asset_store import AssetStore
from lipwise_ray.service.door import MakeDoor
from lipwise_ray.service.job_record import JobDraft, ServiceBatch, ServiceJob
from lipwise_ray.service.output_routes import output_url
from lipwise_ray.service.server import ServerRequest, WebServer, serve
from lipwise_ray.service.service import Service
from lipwise_ray.service.signed_links import SignedLinks


class PlainDoor:
    """A door whose request is a row's columns."""

    name = "plain"

    def __init__(self, service: Service, assets: AssetStore, links: SignedLinks) -> None:
        self.service, self.assets, self.links = service, assets, links
        self.router = APIRouter()
        self.router.post("/plain")(self.submit)
        self.router.post("/plain/{job_id}/cancel")(self.cancel)

    def submit(self, columns: dict[str, Any]) -> dict[str, Any]:
        return {"id": self.service.submit(JobDraft(columns=columns, door=self.name)).id}

    def cancel(self, job_id: str) -> dict[str, Any]:
        return {"status": self.service.cancel(job_id).status}

    def told_of_job(self, job: ServiceJob) -> bytes:
        return f'{{"id": "{job.id}", "url": "{output_url(job, self.links)}"}}'.encode()

    def told_of_batch(self, batch: ServiceBatch) -> bytes:
        return f'{{"id": "{batch.id}"}}'.encode()


@dataclass
class Site:
    """A running service and a client of it."""

    folder: Path
    lines: list[str] = field(default_factory=list)
    doors: list[PlainDoor] = field(default_factory=list)
    server: WebServer | None = None
    failed: list[BaseException] = field(default_factory=list)

    @property
    def url(self) -> str:
        line = next(line for line in self.lines if line.startswith("listening on "))
        return line.removeprefix("listening on ").partition(";")[0]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def token(self) -> str:
        return (self.folder / "token").read_text().strip()

    @property
    def door(self) -> PlainDoor:
        return self.doors[0]

    @property
    def service(self) -> Service:
        return self.door.service

    def asked(self, method: str, path: str, **given: Any) -> requests.Response:
        return requests.request(method, path if "://" in path else self.url + path, timeout=20, **given)

    def sent(self, body: bytes, name: str = "a.mp4") -> str:
        """Send a file in two steps, and return its id."""
        told = self.asked("POST", "/v2/assets/upload", json={"fileName": name, "size": len(body)}).json()
        self.asked("PUT", told["uploadUrl"], data=body).raise_for_status()
        return self.asked("POST", "/v2/assets", json={"url": told["url"]}).json()["id"]

    def finished(self, name: str, body: bytes) -> ServiceJob:
        """Add a job of which the output is there, as the driver leaves it."""
        job = self.service.submit(JobDraft(columns=self.columns(), door="plain", name="clip"))
        output = Path(self.service.out) / job.id / name
        output.parent.mkdir(parents=True)
        output.write_bytes(body)
        return self.service._change(job, status="completed", output=str(output))

    def columns(self) -> dict[str, Any]:
        """Columns of a row whose files are there."""
        for name in ("v", "s"):
            (self.service.uploads / name).touch()
        return {"video": str(self.service.uploads / "v"), "audio": str(self.service.uploads / "s")}


@contextmanager
def running(
    folder: Path,
    *assignments: str,
    host: str = "127.0.0.1",
    public_url: str | None = None,
    doors: Sequence[MakeDoor] = (),
    out: str | None = None,
    works: bool = False,
) -> Generator[Site]:
    """Run a service as `lipwise-ray serve` does; without ``works`` its jobs wait."""
    site = Site(folder)
    begun = threading.Event()

    def plain(service: Service, assets: AssetStore, links: SignedLinks) -> PlainDoor:
        site.doors.append(PlainDoor(service, assets, links))
        return site.doors[-1]

    def note(server: WebServer) -> None:
        site.server = server
        begun.set()

    def work() -> None:
        request = ServerRequest(folder=folder, host=host, port=0, public_url=public_url, out=out)
        try:
            settings = lipwise_ray.load_settings(assignments=assignments)
            serve(request, settings, [plain, *doors], site.lines.append, note, works=works)
        except BaseException as error:  # noqa: BLE001  # raised again in the test's thread
            site.failed.append(error)
            begun.set()

    scratch = tempfile.tempdir
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    begun.wait(30)
    if site.failed:
        raise site.failed[0]
    try:
        yield site
    finally:
        assert site.server is not None
        site.server.stop()
        thread.join(30)
        tempfile.tempdir = scratch
        assert not thread.is_alive()
        if site.failed:
            raise site.failed[0]


def clip(frames: int = 8, size: int = 64) -> bytes:
    """A small video that is one."""
    file = io.BytesIO()
    file.name = "a.mp4"
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", 25)
        stream.width = stream.height = size
        for number in range(frames):
            picture = np.full((size, size, 3), number * 8, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())
    return file.getvalue()


def tone(seconds: float = 0.5) -> bytes:
    """A small sound."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16000)
        sound.writeframes(bytes(int(seconds * 16000) * 2))
    return file.getvalue()
