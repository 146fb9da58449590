"""Drivers that share a manifest and a state: every row once, one report, one status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lipwise_ray.state.shards import Shard
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.support.dub import INLINE, PASSTHROUGH, QUICK, UNJUDGED, UNSIGNED, run, settings_arguments, write_manifest


def test_two_shards_make_one_manifest(tmp_path: Path) -> None:
    """Each row is dubbed by the driver of its video's shard and by nobody else; they have one status and one report."""
    names = [f"v{number}.mp4" for number in range(20)]
    one = next(name for name in names if Shard(1, 2).has(name))
    two = next(name for name in names if Shard(2, 2).has(name))
    for name in (one, two):
        write_clip(tmp_path / name, ClipSpec(size=Size(160, 112), frames=10))
    write_sound(tmp_path / "s.wav", ToneSpec(0.4, codec="pcm_s16le", rate_hz=16000, channels=1))
    rows = [
        {"id": name, "video": video, "audio": "s.wav", "output": f"{name}.mp4", "faces": "box:20,80,40,100"}
        for name, video in (("a", one), ("b", two), ("c", one))
    ]
    rows.append({**rows[0], "id": "bad", "video": two, "output": "bad.mp4", "faces": "nobody"})
    manifest = write_manifest(tmp_path / "m.csv", rows)
    sets = settings_arguments(INLINE, PASSTHROUGH, QUICK, UNJUDGED, UNSIGNED)
    words = ["submit", manifest, "--out", tmp_path / "out", "--state", tmp_path / "s", *sets]
    first = run(*words, "--shard", "1/2")
    assert first.returncode == 0, first.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.mp4", "c.mp4"]
    told = json.loads(run("status", tmp_path / "s", "--json").stdout)
    assert (told["rows"], told["done"], told["left"], told["not_begun"]) == (4, 2, 2, ["2/2"])
    second = run(*words, "--shard", "2/2")
    assert second.returncode == 1, second.stderr
    told = json.loads(run("status", tmp_path / "s", "--json").stdout)
    assert (told["rows"], told["done"], told["failed"], told["left"]) == (4, 3, 1, 0)
    report = run("report", tmp_path / "s", "--out", tmp_path / "report")
    assert report.returncode == 0, report.stderr
    lines = [json.loads(line) for line in (tmp_path / "report" / "results.jsonl").read_text().splitlines()]
    assert [(line["row_id"], line["status"]) for line in lines] == [
        ("a", "done"),
        ("b", "done"),
        ("c", "done"),
        ("bad", "failed"),
    ]


@pytest.mark.parametrize("text", ["3", "4/3"])
def test_what_is_no_shard(text: str, tmp_path: Path) -> None:
    """A plain error before anything is read."""
    found = run("submit", tmp_path / "none.csv", "--shard", text)
    assert found.returncode == 2
    assert f"--shard: {text!r} is not a shard; one is NUMBER/COUNT" in found.stderr
