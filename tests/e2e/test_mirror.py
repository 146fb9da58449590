"""Checkpoints that only a mirror has: fetched by the machine that needs them, once."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.dub import run
from tests.support.s3 import BUCKET, s3_server

FILE = "face_detection_yunet_2023mar.onnx"
SETS = ("lipsync.model='passthrough'", "score.judge='none'", "engine.kind='inline'", "encode.preset='ultrafast'")


def _submit(shared: Path, folder: Path, mirror: str) -> str:
    manifest = folder / "m.csv"
    clips = shared / "clips"
    manifest.write_text(f"id,video,audio,output,length\na,{clips}/grid_woman.mpg,{clips}/speech_en.wav,a.mp4,video\n")
    sets = [*SETS, f"paths.mirror='{mirror}'", f"paths.models='{folder}/none'", f"paths.scratch='{folder}/scratch'"]
    done = run("submit", manifest, "--out", folder / "out", *(word for text in sets for word in ("--set", text)))
    return f"{done.returncode} {done.stdout}{done.stderr}"


@pytest.mark.slow
def test_a_bucket_is_a_mirror(shared: Path, yunet_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real S3 server has YuNet, this machine has not: the run fetches it into its cache and goes on with it."""
    import boto3

    with s3_server(monkeypatch.setenv):
        assert "not installed" in _submit(shared, tmp_path, f"s3://{BUCKET}/models")  # the mirror is empty
        client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
        client.upload_file(str(yunet_file), BUCKET, f"models/{FILE}")
        said = _submit(shared, tmp_path, f"s3://{BUCKET}/models")
        assert said.startswith("0 "), said
    copies = [path.name for path in (tmp_path / "scratch" / "weights").iterdir() if FILE in path.name]
    assert len(copies) == 1
    assert (tmp_path / "out" / "a.mp4").is_file()


def test_a_mirror_with_another_file_is_refused(shared: Path, tmp_path: Path) -> None:
    """A file that is not the published one stops the run before it begins, and names the mirror."""
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / FILE).write_bytes(b"something else")
    said = _submit(shared, tmp_path, f"{tmp_path}/mirror")
    assert said.startswith("2 "), said
    found = sha256(b"something else").hexdigest()[:12]
    assert f"{tmp_path}/mirror/{FILE}: is not the published file: its sha256 is {found}..., not " in said
