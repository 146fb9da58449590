"""Runs whose state, inputs or outputs lie in a bucket, over the real S3 protocol."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.state.remote import RemoteStore
from lipwise_ray.storage import objects
from lipwise_ray.storage.cache import Cache
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.support.dub import (
    EMBEDDED,
    INLINE,
    PASSTHROUGH,
    QUICK,
    UNJUDGED,
    UNSIGNED,
    packets,
    run,
    settings_arguments,
    write_manifest,
)
from tests.support.s3 import BUCKET, Line, point_to, s3_server

STATE = f"s3://{BUCKET}/nights/one"
FRAMES, CHUNK = 200, 10


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Generator[str]:
    """A bucket, and a folder for temporary files of this test alone."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    with s3_server(monkeypatch.setenv):
        yield f"s3://{BUCKET}"


def _arguments(folder: Path, out: str, state: str, *sets: str) -> tuple[str | Path, ...]:
    if not (folder / "v.mp4").exists():  # made again it might differ by a few bytes
        write_clip(folder / "v.mp4", ClipSpec(size=Size(480, 320), frames=50, gop=10))
        write_sound(folder / "s.wav", ToneSpec(8.0, codec="pcm_s16le", rate_hz=16000, channels=1))
    row = {"id": "a", "video": "v.mp4", "audio": "s.wav", "output": "a.mp4", "faces": "box:150,300,120,320"}
    manifest = write_manifest(folder / "m.csv", [row])
    settings = settings_arguments(
        PASSTHROUGH, QUICK, UNJUDGED, UNSIGNED, f"chunk.frames={CHUNK}", "engine.threads_per_worker=1", EMBEDDED, *sets
    )
    return ("submit", manifest, "--out", folder / out, "--state", state, "--workers", "1", *settings)


def _events(store: RemoteStore) -> list[dict[str, Any]]:
    runs = sorted({key.split("/")[1] for key in store.names("runs")})
    return [json.loads(line) for name in runs for line in store.log(f"runs/{name}/events.jsonl")]


def test_a_bucket_that_is_not_there_is_one_clear_error(bucket: str, tmp_path: Path) -> None:
    """Exit code 2, the address, what is wrong, and nothing else."""
    found = run(*_arguments(tmp_path, "out", "s3://no-such-bucket/state"))
    assert found.returncode == 2, found.stderr
    assert "s3://no-such-bucket/state" in found.stderr
    assert "Traceback" not in found.stderr
    assert bucket


def test_everything_in_a_bucket(bucket: str, tmp_path: Path) -> None:
    """Manifest, inputs, state and outputs are objects: the result is what a local run gives, a second run does nothing,
    an output that was lost is made again, and nothing but the cache is left on the machine.
    """
    write_clip(tmp_path / "v.mp4", ClipSpec(size=Size(240, 160), frames=30, gop=10))
    write_sound(tmp_path / "s.wav", ToneSpec(1.2, codec="pcm_s16le", rate_hz=16000, channels=1))
    _upload(bucket, "in/footage/v.mp4", tmp_path / "v.mp4")
    far = {"id": "a", "video": "footage/v.mp4", "output": "de/a.mp4"}  # beside the manifest
    far |= {"audio": _upload(bucket, "in/s.wav", tmp_path / "s.wav"), "faces": "box:60,110,50,110"}
    manifest = _upload(bucket, "in/m.csv", write_manifest(tmp_path / "m.csv", [far]))
    sets = list(settings_arguments(INLINE, PASSTHROUGH, QUICK, UNJUDGED, UNSIGNED, "chunk.frames=10"))
    out = f"{bucket}/dubs"
    arguments = ("submit", manifest, "--out", out, "--json", *sets)
    first = run(*arguments)
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout.splitlines()[0])["output"] == f"{out}/de/a.mp4"
    made = objects.Bucket(bucket)
    near = write_manifest(tmp_path / "near.csv", [{**far, "video": "v.mp4", "audio": "s.wav"}])
    local = run("submit", near, "--out", tmp_path / "out", *sets)
    assert local.returncode == 0, local.stderr
    assert packets(made.read("dubs/de/a.mp4")) == packets(tmp_path / "out" / "de" / "a.mp4")
    written = made.facts("dubs.state/driver/epoch-00000001.json")
    assert written is not None
    again = run(*arguments)
    assert "0 chunks rendered" in again.stderr
    assert f" of {manifest}: 1 done, 0 failed, 0 left" in run("status", f"{out}.state").stdout
    made.remove("dubs/de/a.mp4")
    repaired = run(*arguments)
    assert repaired.returncode == 0, repaired.stderr
    assert packets(made.read("dubs/de/a.mp4")) == packets(tmp_path / "out" / "de" / "a.mp4")
    nowhere = run("submit", f"{bucket}/in/none.csv", "--out", out, *sets)
    assert nowhere.returncode == 2
    assert f"{bucket}/in/none.csv: no such object. Check the path." in nowhere.stderr
    left = [path for path in (tmp_path / "tmp").rglob("*") if path.is_file() and path.parent.name != "cache"]
    assert left == []


@pytest.mark.slow
def test_a_shaky_line_changes_nothing(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fifth request is refused and every seventh answer lost: the row is done in one run, each chunk
    once, and its file is the same.
    """
    write_clip(tmp_path / "v.mp4", ClipSpec(size=Size(240, 160), frames=30, gop=10))
    write_sound(tmp_path / "s.wav", ToneSpec(1.2, codec="pcm_s16le", rate_hz=16000, channels=1))
    row = {"id": "a", "video": _upload(bucket, "in/v.mp4", tmp_path / "v.mp4"), "output": "a.mp4"}
    row |= {"audio": _upload(bucket, "in/s.wav", tmp_path / "s.wav"), "faces": "box:60,110,50,110"}
    manifest = write_manifest(tmp_path / "m.csv", [row])
    sets = list(settings_arguments(INLINE, PASSTHROUGH, QUICK, "chunk.frames=5"))
    calm = run("submit", manifest, "--out", f"{bucket}/calm", *sets)
    assert calm.returncode == 0, calm.stderr
    port = int(os.environ["AWS_ENDPOINT_URL"].rpartition(":")[2])
    with Line(port, refuse_each=5, swallow_each=7, method=b"") as line:
        point_to(line.port, monkeypatch.setenv)
        shaken = run("submit", manifest, "--out", f"{bucket}/shaken", *sets)
        assert line.hits >= 10
    point_to(port, monkeypatch.setenv)
    assert shaken.returncode == 0, shaken.stderr
    made = objects.Bucket(bucket)
    assert packets(made.read("shaken/a.mp4")) == packets(made.read("calm/a.mp4"))  # credentials are signed anew
    leased = [e["task"] for e in _events(RemoteStore(f"{bucket}/shaken.state", Cache())) if e["event"] == "leased"]
    assert len(leased) == len(set(leased))
    assert not [key for key in made.names("shaken.state/jobs") if "/segments/" in key]


@pytest.mark.parametrize("output", ["../a.mp4", "x/../../a.mp4", "/etc/a.mp4", "."])
def test_outputs_stay_under_their_prefix(output: str, tmp_path: Path) -> None:
    """An object's name is followed like a path."""
    (tmp_path / "v.mp4").touch()
    row = {"id": "a", "video": "v.mp4", "audio": "v.mp4", "output": output}
    found = run("validate", write_manifest(tmp_path / "m.csv", [row]), "--out", "s3://bucket/dubs")
    assert found.returncode == 1
    assert "leaves the output root s3://bucket/dubs" in found.stdout
    refused = run("validate", tmp_path / "m.csv", "--out", "ftp://host/dubs")
    assert refused.returncode == 2
    assert "is neither a folder nor a prefix in a bucket" in refused.stderr


def _upload(bucket: str, key: str, path: Path) -> str:
    objects.Bucket(bucket).upload(key, path)
    return f"{bucket}/{key}"


def test_inputs_in_a_bucket(bucket: str, tmp_path: Path) -> None:
    """Objects are fetched once a machine and give what files give; a row that is done fetches nothing; errors name
    objects, not the copies of them.
    """
    write_clip(tmp_path / "v.mp4", ClipSpec(size=Size(240, 160), frames=30, gop=10))
    write_sound(tmp_path / "s.wav", ToneSpec(1.2, codec="pcm_s16le", rate_hz=16000, channels=1))
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "v.mp4").read_bytes()[:3000])
    video = _upload(bucket, "in/my video.mp4", tmp_path / "v.mp4")
    sound = _upload(bucket, "in/s.wav", tmp_path / "s.wav")
    cut = _upload(bucket, "in/cut.mp4", tmp_path / "cut.mp4")
    rows = [
        {"id": "far", "video": video, "audio": sound, "output": "far.mp4"},
        {"id": "near", "video": "v.mp4", "audio": "s.wav", "output": "near.mp4"},
        {"id": "cut", "video": cut, "audio": sound, "output": "cut.mp4"},
        {"id": "none", "video": f"{bucket}/in/none.mp4", "audio": sound, "output": "none.mp4"},
        {"id": "out", "video": f"{bucket}/other/v.mp4", "audio": sound, "output": "out.mp4"},
    ]
    rows = [{**row, "faces": "box:60,110,50,110"} for row in rows]
    sets = (PASSTHROUGH, QUICK, UNJUDGED, UNSIGNED, f'paths.roots=["{bucket}/in", "{tmp_path}"]', "chunk.frames=10")
    manifest = write_manifest(tmp_path / "m.csv", rows)
    arguments = ("submit", manifest, "--out", tmp_path / "out", "--json", *settings_arguments(INLINE, *sets))
    first = run(*arguments)
    assert first.returncode == 1, first.stderr
    ended = {row["row_id"]: row for row in map(json.loads, first.stdout.splitlines()) if "row_id" in row}
    assert packets(tmp_path / "out" / "far.mp4") == packets(tmp_path / "out" / "near.mp4")
    assert cut in ended["cut"]["message"]
    assert "cache" not in ended["cut"]["message"]
    assert ended["none"]["code"] == "missing_file"
    assert "in/none.mp4" in ended["none"]["message"]
    assert f"lies under none of {bucket}/in" in ended["out"]["message"]
    copies = [path for path in tmp_path.glob("tmp/lipwise-ray-*/cache/*") if not path.name.startswith(".")]
    assert sorted(path.name.split("-", 1)[1] for path in copies) == ["cut.mp4", "my video.mp4", "s.wav"]
    for path in copies:
        path.unlink()
    write_manifest(tmp_path / "m.csv", rows[:1])
    again = run(*arguments)
    assert again.returncode == 0, again.stderr
    assert not any(path.exists() for path in copies)
    assert "1 row" in run("plan", manifest, "--out", tmp_path / "out", *settings_arguments(*sets)).stdout
