"""A server whose state another one has taken over: it ends by itself, and nothing is lost."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
import requests

from lipwise_ray.errors import EngineError
from lipwise_ray.exit_codes import ExitCode, of_error
from lipwise_ray.state import layout
from lipwise_ray.state.store import open_store, to_json
from tests.support.dub import settings_arguments
from tests.support.service import QUIET, write_footage
from tests.support.service_site import running

_SERVER = """
import sys
from lipwise_ray.state import lease

name = sys.argv.pop(1)
lease._space = lambda: name  # as in a container of its own, where numbers of processes mean others
lease.DriverLease.__init__.__kwdefaults__.update(expiry_s=3.0, beat_s=0.5)
from lipwise_ray.cli.app import main

main()
"""


def test_a_server_that_has_lost_its_state_ends(tmp_path: Path) -> None:
    """With the exit code after which it may be run again, and with words that say who has the jobs."""
    with pytest.raises(EngineError, match="another server took this state over") as raised:
        _lose(tmp_path)
    assert of_error(raised.value) is ExitCode.STOPPED


def _lose(folder: Path) -> None:
    with running(folder) as site:
        state = open_store(f"{site.service.store.address}/{layout.SERVICE_LOCK}")
        state.write(layout.epoch(site.service._lease.epoch + 1), to_json({"run_id": "of another server"}))
        assert site.server is not None
        ended = threading.Event()
        while not site.server.has_closed:
            ended.wait(0.05)
        assert site.server.has_lost
        assert not any(line.startswith("stopping") for line in site.lines)


def _roots(folder: Path) -> str:
    """Return the setting by which a server reads what the other one was sent."""
    return f'paths.roots=["{folder.parent}"]'


class Server:
    """`lipwise-ray serve` in a process of its own, whose lines the test reads."""

    def __init__(self, name: str, folder: Path, state: Path, out: Path) -> None:
        places = ["--port", "0", "--state", str(state), "--out", str(out)]
        words = [
            sys.executable,
            "-c",
            _SERVER,
            name,
            "serve",
            str(folder),
            *places,
            *settings_arguments(*QUIET, _roots(folder)),
        ]
        self.process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        self.url = ""
        self._began = threading.Event()
        assert self.process.stderr is not None
        self._reading = threading.Thread(target=self._read, args=(self.process.stderr,), daemon=True)
        self._reading.start()
        assert self._began.wait(120), self.lines
        assert self.url, self.lines

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            self.lines.append(line)
            if found := re.search(r"listening on (http://127.0.0.1:\d+)", line):
                self.url = found[1]
                self._began.set()
        self._began.set()

    def ended(self) -> int:
        """Wait for its end; return its exit code."""
        code = self.process.wait(120)
        self._reading.join(20)
        return code

    def asked(self, method: str, path: str, **given: Any) -> dict[str, Any]:
        return requests.request(method, self.url + path, timeout=20, **given).json()

    def sent(self, file: Path) -> str:
        """Send a file; return its id."""
        body = file.read_bytes()
        told = self.asked("POST", "/v2/assets/upload", json={"fileName": file.name, "size": len(body)})
        requests.put(told["uploadUrl"], data=body, timeout=20).raise_for_status()
        return self.asked("POST", "/v2/assets", json={"url": told["url"]})["id"]


@contextmanager
def server(name: str, folder: Path, state: Path, out: Path) -> Generator[Server]:
    found = Server(name, folder, state, out)
    try:
        yield found
    finally:
        found.process.send_signal(signal.SIGCONT)
        found.process.kill()
        found.ended()


@pytest.mark.slow
def test_a_server_that_slept_ends_and_another_has_its_jobs(tmp_path: Path) -> None:
    """Two real servers of one state: the jobs of the first are done by the second, each once."""
    write_footage(tmp_path / "files", frames=500)
    state, out = tmp_path / "state", tmp_path / "out"
    with server("a", tmp_path / "a", state, out) as first:
        video, audio = first.sent(tmp_path / "files" / "v.mp4"), first.sent(tmp_path / "files" / "s.wav")
        asked = {
            "model": "lipsync-2",
            "input": [{"type": "video", "assetId": video}, {"type": "audio", "assetId": audio}],
        }
        jobs = [first.asked("POST", "/v2/generate", json=asked)["id"] for _ in range(3)]
        first.process.send_signal(signal.SIGSTOP)
        with server("b", tmp_path / "b", state, out) as second:
            first.process.send_signal(signal.SIGCONT)
            assert first.ended() == ExitCode.STOPPED
            assert "another server took this state over" in "".join(first.lines)
            deadline_s = time.monotonic() + 200
            found: list[str] = []
            while found != ["COMPLETED"] * 3:
                assert time.monotonic() < deadline_s, found
                assert "FAILED" not in found
                time.sleep(0.2)
                found = [second.asked("GET", f"/v2/generate/{job}")["status"] for job in jobs]
    assert len([*out.rglob("*.mp4")]) == 3
