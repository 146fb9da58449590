"""Dashboard of a cluster towards Ray's own client: its Jobs API, as far as runs are sent and found."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

_NOTHING: dict[str, Any] = {
    "type": "SUBMISSION", "job_id": None, "message": None, "error_type": None, "start_time": 1000, "end_time": None,
    "runtime_env": {}, "driver_info": None, "driver_agent_http_address": None, "driver_node_id": None,
    "driver_exit_code": None,
}  # fmt: skip


@dataclass
class Dashboard:
    """It, with its jobs by their names."""

    address: str = ""
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    on_submit: Callable[[], bool] = lambda: True
    """Is called once a job is taken; False closes the line without an answer."""
    on_delete: Callable[[], None] = lambda: None
    """Is called before a job is removed; one that runs by then stays."""
    is_away: bool = False

    def end(self, name: str, **how: Any) -> None:
        """Let a job end."""
        self.jobs[name] |= how


class _Handler(BaseHTTPRequestHandler):
    board: Dashboard

    def _answer(self, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_GET(self) -> None:
        if self.board.is_away:  # who returns without a word closes the line
            return
        versions = {"version": "4", "ray_version": "2.60.0", "ray_commit": "", "session_name": ""}
        jobs = [*self.board.jobs.values()]
        self._answer({"/api/version": versions, "/api/jobs/": jobs}.get(self.path, {}))

    def do_POST(self) -> None:
        sent = json.loads(self._body())
        name = sent["submission_id"]
        if name in self.board.jobs:
            self.send_error(500, f"Job with submission_id {name} already exists")
            return
        told = {"submission_id": name, "entrypoint": sent["entrypoint"], "metadata": sent["metadata"]}
        self.board.jobs[name] = {**_NOTHING, **told, "status": "RUNNING"}
        if self.board.on_submit():
            self._answer({"job_id": name, "submission_id": name})

    def do_DELETE(self) -> None:
        name = self.path.rsplit("/", 1)[-1]
        self.board.on_delete()
        if self.board.jobs[name]["status"] == "RUNNING":
            self.send_error(500, f"Job {name} is in a non-terminal state")
            return
        del self.board.jobs[name]
        self._answer({"deleted": True})

    def do_PUT(self) -> None:
        self._body()
        self._answer({})

    def log_message(self, *_: object) -> None: ...


@contextmanager
def dashboard() -> Iterator[Dashboard]:
    """Serve one."""
    board = Dashboard()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"board": board}))
    board.address = f"http://127.0.0.1:{server.server_address[1]}"
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield board
    finally:
        server.shutdown()
        server.server_close()
