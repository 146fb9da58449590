"""Runs that are sent to a cluster without workers, whose nodes come later: how the cluster's files ship it."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from lipwise_ray.state import layout
from lipwise_ray.state.store import as_json, open_store
from lipwise_ray.storage.objects import Bucket
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.support.dub import PASSTHROUGH, QUICK, UNJUDGED, run, settings_arguments, write_manifest
from tests.support.ray_cluster import ray_cluster
from tests.support.s3 import BUCKET, s3_server

TIMES = 10


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_nodes_that_join_a_run_work_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times a run is sent first, its state in a bucket, and a node joins it: none is lost, nothing tried again."""
    write_clip(tmp_path / "v.mp4", ClipSpec(size=Size(160, 120), frames=12))
    write_sound(tmp_path / "s.wav", ToneSpec(0.48, codec="pcm_s16le", rate_hz=16000, channels=1))
    row = {"id": "a", "video": "v.mp4", "audio": "s.wav", "output": "a.mp4", "faces": "box:30,90,60,120"}
    manifest = write_manifest(tmp_path / "m.csv", [row])
    sets = [*settings_arguments(PASSTHROUGH, QUICK, UNJUDGED, "engine.workers=2")]
    with s3_server(monkeypatch.setenv), ray_cluster(workers=0) as cluster:
        there = ("--address", cluster.dashboard)
        for number in range(TIMES):
            out, state = f"s3://{BUCKET}/out{number}", f"s3://{BUCKET}/state{number}"
            places = ("--out", out, "--state", state)
            sent = run("submit", manifest, *places, "--detach", *sets, *there, **cluster.environment)
            assert sent.returncode == 0, sent.stderr
            name = sent.stdout.split()[1]
            _is_at_work(name, there, cluster.environment)
            node = cluster.add_node(f"late{number}")
            ended = run("logs", name, "--follow", *there, timeout_s=180, **cluster.environment)
            assert ended.returncode == 0, (number, ended.stdout, ended.stderr)
            store = open_store(state)
            (run_id,) = store.folders(layout.RUNS)
            events = [as_json(line) or {} for line in store.log(layout.events(run_id))]
            assert {event["attempt"] for event in events if event["event"] == "leased"} == {1}
            assert [one.key for one in Bucket(out).listing()] == ["a.mp4"]
            node.send_signal(signal.SIGTERM)
            node.wait(60)


def _is_at_work(name: str, there: tuple[str, str], environment: dict[str, str]) -> None:
    """Wait until the driver has asked for workers: it has taken the state."""
    deadline_s = time.monotonic() + 180
    while "CPU workers" not in run("logs", name, *there, **environment).stdout:
        assert time.monotonic() < deadline_s
        time.sleep(0.5)
