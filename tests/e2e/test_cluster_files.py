"""`lipwise-ray cluster init`: the files that the package brings, written once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from lipwise_ray.runs.cluster_files import Cloud, write_cluster_files
from tests.conftest import ROOT
from tests.support.dub import run

MAIN = {"aws": "aws-gpu-spot.yaml", "gcp": "gcp-gpu-spot.yaml", "k8s": "kuberay/rayjob.yaml"}


@pytest.mark.parametrize("cloud", ["aws", "gcp", "k8s"])
def test_the_files_of_a_cloud(cloud: str, tmp_path: Path) -> None:
    """They are those of the repository and of no other cloud; the lines that are told are those to fill in, and the
    files and sections that the next steps name are there.
    """
    done = run("cluster", "init", cloud, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = {path.relative_to(tmp_path / "cluster").as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert {MAIN[cloud], "README.md", "prices.toml", "image/Dockerfile"} <= found
    assert not found & ({*MAIN.values()} - {MAIN[cloud]})
    for name in found:
        assert (tmp_path / "cluster" / name).read_bytes() == (ROOT / "cluster" / name).read_bytes()
    told = re.search(rf"written cluster/{MAIN[cloud]}  lines ([\d, ]+) to fill in", done.stdout)
    assert told, done.stdout
    lines = (tmp_path / "cluster" / MAIN[cloud]).read_text().splitlines()
    assert all("FILL IN" in lines[int(number) - 1] for number in told[1].split(", "))
    readme = (tmp_path / "cluster" / "README.md").read_text()
    for section in re.findall(r'section "([\w ]+)"', done.stdout):
        assert f"\n## {section}\n" in readme
    for place in re.findall(r"cluster/[\w./-]*\w", done.stdout):
        assert (tmp_path / place).exists(), place


def test_nothing_is_written_over(tmp_path: Path) -> None:
    """What was filled in stays, nothing else is written beside it, and --force begins anew; a second time changes
    nothing.
    """
    write_cluster_files(Cloud.GCP, tmp_path)
    assert not any(one.is_new for one in write_cluster_files(Cloud.GCP, tmp_path))
    filled = tmp_path / "gcp-gpu-spot.yaml"
    whole = filled.read_text()
    filled.write_text(whole.replace("my-project", "mine"))
    (tmp_path / "prices.toml").unlink()
    done = run("cluster", "init", "gcp", tmp_path)
    assert (done.returncode, str(filled) in done.stderr, "--force" in done.stderr) == (2, True, True)
    assert "mine" in filled.read_text()
    assert not (tmp_path / "prices.toml").exists()
    assert run("cluster", "init", "gcp", tmp_path, "--force").returncode == 0
    assert filled.read_text() == whole


def test_bad_places(tmp_path: Path) -> None:
    """An unknown cloud, and a folder that cannot be one."""
    assert run("cluster", "init", "azure", cwd=tmp_path).returncode == 2
    (tmp_path / "cluster").write_text("a file")
    done = run("cluster", "init", "aws", cwd=tmp_path)
    assert (done.returncode, "cannot be written" in done.stderr) == (2, True)


def test_the_wheel_has_them() -> None:
    """Also a program that was installed, without a checkout, writes them."""
    held = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    for name in (*MAIN.values(), "README.md", "image/Dockerfile", "image/requirements.lock"):
        assert f"lipwise_ray/_data/cluster/{name}" in held
