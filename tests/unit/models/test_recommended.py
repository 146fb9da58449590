"""`models pull --recommended`: one licence step, and nothing fetched twice."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lipwise_ray.cli.models import app
from lipwise_ray.errors import SetupError
from lipwise_ray.models.registry import Registry
from lipwise_ray.models.role import Machines
from lipwise_ray.resources import models_folder
from lipwise_ray.roles.embedder import EMBEDDER
from lipwise_ray.roles.judge import JUDGE
from lipwise_ray.roles.restorer import RESTORER
from lipwise_ray.roles.table import RECOMMENDED
from lipwise_ray.runs import run_inputs
from lipwise_ray.settings.model import Settings

TERMS = {"wav2lip_gan": "research only", "gfpgan_1_4": "parts non-commercial"}


def _body(name: str) -> bytes:
    return name.encode() * 3000


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[str]]]:
    """A local server with made-up files of the recommended names, their registry, and what was asked of the server."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path[1:])
            body = _body(self.path[1:])
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    lines = []
    for name in RECOMMENDED.values():
        body = _body(name)
        lines += [f'[{name}]\nnetwork = "n"\nfile = "{name}"\nsha256 = "{hashlib.sha256(body).hexdigest()}"']
        lines += [f'bytes_total = {len(body)}\nurls = ["{address}/{name}"]\nlicence = "{TERMS.get(name, "MIT")}"']
        lines += ['commercial = "no"\nreason = "they say so"' if name in TERMS else 'commercial = "yes"']
    (tmp_path / "registry.toml").write_text("\n".join(lines))
    monkeypatch.setattr(run_inputs, "models_folder", lambda: tmp_path)
    yield address, asked
    server.shutdown()
    thread.join()
    server.server_close()


def _pull(folder: Path, *options: str) -> Any:
    return CliRunner().invoke(app, ["pull", *options, "--models", str(folder / "models")])


def test_one_consent_for_all(published: tuple[str, list[str]], tmp_path: Path) -> None:
    """Sizes and all terms come first; without consent nothing is fetched, with it everything is, once; a file that is
    damaged is fetched again.
    """
    asked = published[1]
    refused = _pull(tmp_path, "--recommended")
    assert isinstance(refused.exception, SetupError)
    assert all(text in str(refused.exception) for text in (*TERMS.values(), "--accept-licence"))
    assert "to fetch: 5 files, 0.1 MB" in refused.output
    assert asked == []
    done = _pull(tmp_path, "--recommended", "--accept-licence")
    assert (done.exit_code, sorted(asked)) == (0, sorted(RECOMMENDED.values())), done.output
    again = _pull(tmp_path, "--recommended")  # what is there has been accepted
    assert (again.exit_code, len(asked), again.output.count("there already")) == (0, 5, 5), again.output
    (tmp_path / "models" / "yunet").write_bytes(b"cut")
    assert _pull(tmp_path, "--recommended").exit_code == 0
    assert asked[5:] == ["yunet"]


@pytest.mark.slow
def test_offline(published: tuple[str, list[str]], tmp_path: Path) -> None:
    """Each file that cannot be had is told, with what to do; the exit code tells."""
    file = tmp_path / "registry.toml"
    file.write_text(file.read_text().replace(published[0], "http://127.0.0.1:9"))
    done = _pull(tmp_path, "--recommended", "--accept-licence")
    assert done.exit_code == 2
    assert done.output.count("no connection to that server") == 5
    assert done.output.count("Try --mirror, or download") == 5
    assert not list((tmp_path / "models").glob("[a-z]*[!t]"))


def test_names_or_what_is_recommended(tmp_path: Path) -> None:
    """Not both, and not neither."""
    for options in ((), ("--recommended", "yunet")):
        assert "Give one of them" in str(_pull(tmp_path, *options).exception)


def test_they_are_what_a_run_takes() -> None:
    """The shipped registry has them, and the settings name them, or take them where they are installed."""
    registry, everything = Registry(models_folder() / "registry.toml", Path("none")), Machines(True, lambda _: True)
    assert all(registry.entry(name).urls for name in RECOMMENDED.values())
    assert Settings().lipsync.model == RECOMMENDED["lipsync"]
    for role in (RESTORER, JUDGE, EMBEDDER):
        assert role.auto is not None
        assert role.auto(everything).name == RECOMMENDED[role.name]
