"""The Ray engine on a cluster that is already there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lipwise_ray.media.index import build_index
from lipwise_ray.media.probe import probe_video
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.support.dub import PASSTHROUGH, run, settings_arguments, write_manifest


@pytest.mark.slow
def test_a_run_on_a_cluster_with_an_address(tmp_path: Path) -> None:
    """`--address HOST:PORT` joins a running cluster, spreads its workers, and leaves the cluster running."""
    from ray.cluster_utils import Cluster

    write_clip(tmp_path / "v.mp4", ClipSpec(size=Size(160, 120), frames=40))
    write_sound(tmp_path / "s.wav", ToneSpec(1.6, codec="pcm_s16le"))
    row = {"id": "a", "video": "v.mp4", "audio": "s.wav", "output": "a.mp4", "faces": "box:60,110,50,110"}
    manifest = write_manifest(tmp_path / "m.csv", [row])
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        done = run(
            "submit", manifest, "--out", tmp_path / "out", "--address", cluster.address, "--workers", "2",
            *settings_arguments(PASSTHROUGH, "chunk.frames=10"),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert f"Ray at {cluster.address}: 2 CPU workers of 1 threads" in done.stderr
        assert "4 chunks rendered" in done.stderr
        assert len(build_index(probe_video(tmp_path / "out" / "a.mp4"))) == 40
        assert all(node.any_processes_alive() for node in cluster.list_all_nodes())
    finally:
        cluster.shutdown()


def test_a_cluster_that_is_not_there(tmp_path: Path) -> None:
    """An address where nobody answers is a set-up error with exit code 2, in one line."""
    write_clip(tmp_path / "v.mp4", ClipSpec(size=Size(160, 120), frames=4))
    write_sound(tmp_path / "s.wav", ToneSpec(0.2, codec="pcm_s16le"))
    row = {"id": "a", "video": "v.mp4", "audio": "s.wav", "output": "a.mp4", "faces": "box:60,110,50,110"}
    manifest = write_manifest(tmp_path / "m.csv", [row])
    done = run("submit", manifest, "--address", "127.0.0.1:1", *settings_arguments(PASSTHROUGH), timeout_s=120)
    assert done.returncode == 2
    assert re.search(r"^error: Ray at 127\.0\.0\.1:1: cannot be joined: \S", done.stderr, re.MULTILINE)
    assert "Traceback" not in done.stderr
