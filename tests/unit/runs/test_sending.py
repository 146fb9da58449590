"""A run that is packed up for a cluster: the command over there, and the files that it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lipwise_ray.errors import ManifestError, SettingsError, SetupError
from lipwise_ray.runs import sending
from lipwise_ray.runs.load_settings import load_settings
from lipwise_ray.runs.sending import RunToSend, SmokeTestToSend, connect, packed


class _Jobs:
    """A cluster that takes whatever fits."""

    def __init__(self, *, fits: bool = True) -> None:
        self._fits = fits
        self.taken: list[tuple[Any, ...]] = []

    def must_fit(self) -> None:
        if not self._fits:
            raise SetupError("other_version", "cluster", got="has another version of Ray")

    def submit(self, *told: Any) -> tuple[str, bool]:
        self.taken.append(told)
        return "job-1", True


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> _Jobs:
    found = _Jobs()
    monkeypatch.setattr(sending, "connect", lambda address: found)
    return found


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("id,video,audio,output\n")
    return path


def _options(words: list[str]) -> dict[str, str]:
    return {word: words[place + 1] for place, word in enumerate(words[:-1]) if word.startswith("--")}


def test_the_command_over_there_says_what_was_asked_for_here(jobs: _Jobs, manifest: Path, tmp_path: Path) -> None:
    """With the small files beside it, whole paths for what lies on a shared disk, and that cluster's own Ray."""
    job = tmp_path / "my job.toml"
    job.write_text('[paths]\nstate = "/shared/state"\n')
    settings = load_settings("fast", job=job, assignments=["chunk.length_s=5"], address="http://head:8265", workers=3)
    run = RunToSend(str(manifest), settings, "s3://b/out", fail_above=0.1, as_json=True, verify=True, shard="2/4")
    with packed(run) as parcel:
        assert parcel.words[:2] == ["submit", "rows.csv"]
        options = _options(parcel.words)
        assert options["--copy-of"] == str(manifest)
        assert (options["--job"], options["--job-of"]) == ("job.toml", str(job))
        assert (options["--preset"], options["--set"], options["--workers"]) == ("fast", "chunk.length_s=5", "3")
        assert (options["--out"], options["--state"], options["--address"]) == ("s3://b/out", "/shared/state", "auto")
        assert (options["--shard"], options["--fail-above"]) == ("2/4", "0.1")
        assert {"--json", "--verify"} <= {*parcel.words}
        assert sorted(path.name for path in parcel.folder.iterdir()) == ["job.toml", "rows.csv"]
        assert (parcel.folder / "job.toml").read_bytes() == job.read_bytes()
        assert parcel.key == "/shared/state 2/4"
        assert (parcel.program[0] / "api.py").is_file()
        assert parcel.send("mine") == ("job-1", True)
        assert jobs.taken[0][:3] == ("mine", parcel.key, parcel.words)
        folder = parcel.folder
    assert not folder.exists()


def test_a_manifest_in_a_bucket_is_read_over_there(jobs: _Jobs) -> None:
    """Nothing of it is copied, and two runs of one state have one key, whatever they are called."""
    del jobs
    run = RunToSend("s3://b/rows.csv", load_settings(), "s3://b/out")
    with packed(run) as parcel:
        assert parcel.words[:2] == ["submit", "s3://b/rows.csv"]
        assert list(parcel.folder.iterdir()) == []
        assert parcel.key == parcel.places["--state"] == "s3://b/out.state"


@pytest.mark.parametrize(
    ("change", "kind", "code"),
    [
        ({"out": None}, SettingsError, "no_place"),
        ({"manifest": "/none.csv"}, ManifestError, "manifest_unreadable"),
        ({"shard": "9/4"}, SettingsError, None),
    ],
)
def test_what_the_cluster_could_not_know_is_refused_here(
    change: dict[str, Any], kind: type[Exception], code: str | None, jobs: _Jobs, manifest: Path
) -> None:
    """An output that has no place, a manifest that is not there, a shard that is none: before anything is sent."""
    told = {"manifest": str(manifest), "settings": load_settings(), "out": "s3://b/out", **change}
    with pytest.raises(kind) as caught, packed(RunToSend(**told)):
        pass
    assert code is None or getattr(caught.value, "code", "") == code
    assert jobs.taken == []


def test_a_cluster_that_does_not_fit_gets_nothing(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked before the program is packed up for it."""
    monkeypatch.setattr(sending, "connect", lambda address: _Jobs(fits=False))
    with (
        pytest.raises(SetupError, match="version of Ray"),
        packed(RunToSend(str(manifest), load_settings(), "s3://b/out")),
    ):
        pass


def test_what_is_no_dashboard_is_not_asked() -> None:
    """An address of Ray's own is told from that of a dashboard."""
    with pytest.raises(SettingsError, match="http://HOST:PORT"):
        connect("ray://head:10001")


def test_a_smoke_test_goes_with_its_clip(jobs: _Jobs) -> None:
    """The same command over there, on that cluster's own Ray, and a program that has the demo's inputs."""
    settings = load_settings(assignments=["engine.place=gpu"], address="http://head:8265")
    with packed(SmokeTestToSend(settings, "s3://b/smoke", as_json=True)) as parcel:
        assert parcel.words[:3] == ["demo", "s3://b/smoke", "--smoke"]
        assert _options(parcel.words)["--set"] == "engine.place=gpu"
        assert _options(parcel.words)["--state"] == parcel.key == "s3://b/smoke.state"
        assert _options(parcel.words)["--address"] == "auto"
        assert "--json" in parcel.words
        manifests = parcel.program[0] / "_data" / "manifests"
        assert {"demo.csv", "demo/presenter.mp4", "demo/presenter.m4a"} <= {
            file.relative_to(manifests).as_posix() for file in manifests.rglob("*.*")
        }
