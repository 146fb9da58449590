"""Runs on a real cluster of two nodes by Ray's Jobs API, as a user sends them from a laptop."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests

from lipwise_ray.scheduler.metrics import METRICS
from tests.conftest import ROOT
from tests.support.dub import command, run
from tests.support.ray_cluster import RayCluster, free_ports, ray_cluster

DEMO = ROOT / "manifests" / "demo.csv"
JOB = ROOT / "jobs" / "demo.toml"


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster() as found:
        yield found


def _call(cluster: RayCluster, *words: str | Path, **environment: str) -> Any:
    return run(*words, "--address", cluster.dashboard, **{**cluster.environment, **environment})


def _submit(cluster: RayCluster, out: Path, *more: str | Path, manifest: Path = DEMO) -> Any:
    return _call(cluster, "submit", manifest, "--job", JOB, "--out", out, *more)


def _status(cluster: RayCluster, name: str) -> dict[str, Any]:
    done = _call(cluster, "status", name, "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def _one_row(folder: Path) -> Path:
    """Write a manifest of the demo's still beside copies of its files; their paths are relative."""
    for name in ("still.png", "still.m4a"):
        shutil.copy(ROOT / "manifests" / "demo" / name, folder)
    (folder / "one.csv").write_text("id,video,audio,output\nstill,still.png,still.m4a,still.mp4\n")
    return folder / "one.csv"


@pytest.mark.slow
def test_from_a_laptop(cluster: RayCluster, tmp_path: Path) -> None:
    """Sent and left alone, found again when it is sent twice, followed to its end; its files and figures are there."""
    out, film = tmp_path / "out", ROOT / "manifests" / "demo" / "presenter"
    rows = [f"{name},{film}.mp4,{film}.m4a,{name}.mp4,0.6,video" for name in ("a", "b")]
    (tmp_path / "two.csv").write_text("\n".join(["id,video,audio,output,end,length", *rows, ""]))
    sent = _submit(cluster, out, "--detach", manifest=tmp_path / "two.csv")
    assert sent.returncode == 0, sent.stderr
    assert sent.stdout.startswith("sent: lipwise-")
    assert "must be a folder that all of the cluster's machines share" in sent.stderr
    name = sent.stdout.split()[1]
    again = _submit(cluster, out, "--detach", manifest=tmp_path / "two.csv")
    assert again.stdout.startswith(f"there already: {name}")
    other = _submit(cluster, out, "--detach", manifest=_one_row(tmp_path))
    assert other.returncode == 2
    assert "is a run with another manifest or other settings" in other.stderr
    _comes_line_by_line(cluster, name)
    followed = _call(cluster, "logs", name, "--follow")
    assert followed.returncode == 0, followed.stdout
    assert "2 done, 0 failed, 0 left" in followed.stdout
    assert followed.stdout.count("2 done, 0 failed") == 1
    assert sorted(path.name for path in out.iterdir()) == ["a.mp4", "b.mp4"]
    assert _status(cluster, name)["exit_code"] == 0
    assert "2 done, 0 failed" in _call(cluster, "logs", name).stdout
    nodes = {json.loads(line).get("node") for line in _events(out) if '"leased"' in line}
    assert len(nodes - {None}) == 1  # the head has no cores: all the work was the other node's
    _prometheus_finds_the_metrics(cluster, tmp_path)


def _comes_line_by_line(cluster: RayCluster, name: str) -> None:
    """What a run prints is here while it is at work; who stops reading leaves it alone."""
    words = command("logs", name, "--follow", "--address", cluster.dashboard)
    environment = {**os.environ, **cluster.environment}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        assert any("rows" in line for line in process.stdout)
        assert _status(cluster, name)["status"] == "RUNNING"
        process.stdout.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) != 0


def _events(out: Path) -> list[str]:
    return [line for path in out.with_name("out.state").rglob("*.jsonl") for line in path.read_text().splitlines()]


def _prometheus_finds_the_metrics(cluster: RayCluster, folder: Path) -> None:
    """Prometheus, configured as the repository says, scrapes what the run gave Ray; without it, this looks itself."""
    shown = requests.get(f"http://127.0.0.1:{cluster.metrics_port}/metrics", timeout=30).text
    assert "ray_lipwise_rows_total{" in shown
    prometheus = shutil.which("prometheus")
    if prometheus is None:
        pytest.skip("the run itself passed; no prometheus (Debian's package) to scrape its metrics")
    (port,) = free_ports(1)
    text = (ROOT / "cluster" / "metrics" / "prometheus.yml").read_text()
    text = text.replace("/tmp/ray/", f"{cluster.scratch}/h/ray/").replace("15s", "1s")
    (folder / "prometheus.yml").write_text(text)
    command = [
        prometheus, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wanted = {
            f"ray_{name}" + {"counter": "_total", "histogram": "_sum"}.get(m.kind, "") for name, m in METRICS.items()
        }
        wanted -= {"ray_lipwise_retries_total"}  # nothing failed
        deadline_s = time.monotonic() + 60
        names: set[str] = set()
        while not wanted <= names:
            assert time.monotonic() < deadline_s, (wanted - names, (folder / "prometheus.log").read_text()[-2000:])
            time.sleep(1)
            try:
                answer = requests.get(f"http://127.0.0.1:{port}/api/v1/label/__name__/values", timeout=5)
            except requests.ConnectionError:
                continue
            names = set(answer.json()["data"]) if answer.ok else set()
        query = {"query": 'sum({__name__=~"(ray_)?lipwise_rows_total",status="done"})'}
        found = requests.get(f"http://127.0.0.1:{port}/api/v1/query", params=query, timeout=5).json()
        assert float(found["data"]["result"][0]["value"][1]) >= 2
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.slow
def test_a_run_that_was_cancelled_goes_on_under_the_next_name(cluster: RayCluster, tmp_path: Path) -> None:
    """Cancel ends it with the documented code; the same command takes up what is left, relative paths too."""
    manifest, out = _one_row(tmp_path), tmp_path / "out"
    (tmp_path / "temporary").mkdir()
    sent = _call(
        cluster, "submit", manifest, "--job", JOB, "--out", out, "--detach", TMPDIR=str(tmp_path / "temporary")
    )
    assert sent.returncode == 0, sent.stderr
    assert not list((tmp_path / "temporary").iterdir())
    first = sent.stdout.split()[1]
    deadline_s = time.monotonic() + 90
    while "rows" not in _call(cluster, "logs", first).stdout:
        assert time.monotonic() < deadline_s
    cancelled = _call(cluster, "cancel", first)
    assert cancelled.returncode == 0, cancelled.stderr
    followed = _call(cluster, "logs", first, "--follow")
    assert followed.returncode == 3, followed.stdout
    assert "stopping: running chunks end first" in followed.stdout
    assert "run the same command again to go on" in followed.stdout
    assert "stopped" in followed.stderr
    assert _call(cluster, "cancel", first).returncode == 2
    second = _submit(cluster, out, manifest=manifest)
    assert second.returncode == 0, second.stdout + second.stderr
    assert second.stdout.split()[1] == first.replace(".1", ".2")
    assert (out / "still.mp4").is_file()


@pytest.mark.slow
def test_a_name_is_used_once(cluster: RayCluster, tmp_path: Path) -> None:
    """A scheduler that fires twice, or after the end, starts nothing again; the code is that of the run."""
    (tmp_path / "bad.csv").write_text("id,video,audio,output\na,missing.mp4,missing.wav,a.mp4\n")
    for word in ("sent", "there already"):
        done = _submit(cluster, tmp_path / "out", "--id", f"night-{tmp_path.name}", manifest=tmp_path / "bad.csv")
        assert done.returncode == 1, done.stdout + done.stderr
        assert done.stdout.startswith(word)
        assert f"{tmp_path}/missing.mp4: file not found" in done.stdout


@pytest.mark.slow
def test_a_gpu_that_is_not_there(cluster: RayCluster, tmp_path: Path) -> None:
    """The worker says so before anything begins."""
    done = _submit(cluster, tmp_path / "out", "--set", 'engine.device="cuda"', manifest=_one_row(tmp_path))
    assert done.returncode == 2
    assert re.search(r"engine\.device: no CUDA device on \S+; cuda needs one wherever workers run", done.stdout)


@pytest.mark.slow
def test_doctor_compares_both_sides(cluster: RayCluster, tmp_path: Path) -> None:
    """Versions of Python and Ray, packages, and each node's disk, checkpoints, clock and way to the places of a run; no
    trace of the question stays.
    """
    places = ("--out", tmp_path / "out", "--state", tmp_path / "state")
    done = _call(cluster, "doctor", "--job", JOB, *places)
    assert done.returncode == 0, done.stdout
    for word in ("node", "gpu", "disk", "weights", "clock"):
        count = 1 if word == "gpu" else 2  # the head computes nothing
        assert len(re.findall(rf"^ok   {word} +[\d.]+: ", done.stdout, re.MULTILINE)) == count, done.stdout
    for place in (tmp_path / "out", tmp_path / "state"):
        assert done.stdout.count(f": {place}: read, written and listed") == 2
        assert not list(place.iterdir())
    lacking = _call(cluster, "doctor", "--set", f"paths.models='{tmp_path}'", "--set", "lipsync.model='wav2lip'")
    assert lacking.returncode == 1
    missing = rf"^MISS weights +[\d.]+: model wav2lip: not installed: no file at {tmp_path}/"
    assert len(re.findall(missing, lacking.stdout, re.MULTILINE)) == 2
    for line in ("ok   python", "ok   ray", "ok   packages   are there", "ok   nodes      2 alive, no GPUs"):
        assert line in done.stdout
    assert "doctor" not in _call(cluster, "status").stdout


def test_tokens(cluster: RayCluster) -> None:
    """A wrong one and none are told apart; neither is shown."""
    wrong = _call(cluster, "status", RAY_AUTH_TOKEN="f" * 64)
    assert wrong.returncode == 2
    assert f"{cluster.dashboard}: refused the token. " in wrong.stderr
    assert "ffffffff" not in wrong.stderr
    none = run("status", "--address", cluster.dashboard, RAY_AUTH_TOKEN="", RAY_AUTH_MODE="disabled")
    assert none.returncode == 2
    assert f"{cluster.dashboard}: asks for a token, and none was given" in none.stderr
    assert _call(cluster, "status", RAY_AUTH_TOKEN="", RAY_AUTH_TOKEN_PATH="/nowhere").returncode == 2


def test_bad_usage(cluster: RayCluster, tmp_path: Path) -> None:
    """Every mistake is one line and exit code 2."""
    wrongs = [
        ("no-such-run: no such run on", _call(cluster, "logs", "no-such-run")),
        ("not named, but a cluster needs it", _call(cluster, "submit", DEMO)),
        (f"{tmp_path}/none.csv: file not found", _submit(cluster, tmp_path, manifest=tmp_path / "none.csv")),
        ("--id: 'a b' cannot be a run's id; an id has letters, digits", _submit(cluster, tmp_path, "--id", "a b")),
        ("http://127.0.0.1:9: cannot be reached: ", run("status", "--address", "http://127.0.0.1:9")),
        ("--address: ftp://x is not the address of a dashboard", run("status", "--address", "ftp://x")),
        ("neither a state nor --address", run("status")),
        (
            "--detach and --id: given without the address of a cluster. Add --address http",
            run("submit", DEMO, "--detach"),
        ),
        (
            "Only `submit` takes a dashboard's",
            _call(cluster, "evaluate", ROOT / "manifests/demo/cuts.mp4", "--job", JOB, "--out", tmp_path / "e"),
        ),
    ]
    for text, done in wrongs:
        assert done.returncode == 2, (text, done.stdout, done.stderr)
        assert text in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_another_version_of_ray_is_refused(tmp_path: Path) -> None:
    """A cluster that answers with a version outside the range is not sent anything."""

    class Old(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"version": "4", "ray_version": "2.40.0", "ray_commit": "", "session_name": ""}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Old)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_address[1]}"
        done = run("submit", DEMO, "--address", address, "--out", tmp_path)
        assert done.returncode == 2
        assert re.search(r"runs Ray 2\.40\.0; this version of lipwise-ray needs Ray \S*>=2\.57\b", done.stderr)
        assert "runs Ray 2.40.0" in run("doctor", "--address", address).stdout
    finally:
        server.shutdown()
