"""Settings as they are put together for a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipwise_ray.runs.load_settings import load_settings, loaded
from lipwise_ray.settings.model import Settings, TimingSettings


def test_a_machines_scratch_is_no_setting_of_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """LIPWISE_SCRATCH is this machine's and is sent to no other; what job file and option name is everybody's."""
    monkeypatch.setenv("LIPWISE_SCRATCH", str(tmp_path))
    assert load_settings().for_run().paths.scratch is None
    job = tmp_path / "job.toml"
    job.write_text('[paths]\nscratch = "/of-the-job"\n')
    assert load_settings(job=job).for_run().paths.scratch == "/of-the-job"
    assert load_settings(job=job, assignments=["paths.scratch=/told"]).for_run().paths.scratch == "/told"


def test_files_of_the_signer_are_the_same_wherever_a_worker_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Their links stay, by which a certificate is renewed, and each machine has its own home folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chain.pem").symlink_to(tmp_path / "chain-of-today.pem")
    told = ["marking.certificate=chain.pem", "marking.key=~/key.pem", "marking.folder=own"]
    marking = load_settings(assignments=told).for_run().marking
    assert (marking.certificate, marking.key) == (str(tmp_path / "chain.pem"), "~/key.pem")
    assert marking.folder == str(tmp_path / "own")


def test_settings_made_in_code_are_a_layer() -> None:
    """What was set wins over the preset, what was left alone is the preset's, and an engine named besides over all."""
    made = loaded(Settings(timing=TimingSettings(length="video")), "inline")
    settings = made.for_run()
    assert (settings.timing.length, settings.engine.kind) == ("video", "inline")
    assert settings.composite == load_settings().for_run().composite
    assert made.assignments is None  # no command line can say it


def test_one_assignment_is_as_good_as_a_list() -> None:
    """A text is no list of its letters."""
    assert load_settings(assignments="timing.length=video").assignments == ("timing.length=video",)


def test_an_engine_named_besides_is_remembered_for_a_retry() -> None:
    """It counts as one more assignment, after the others."""
    given = load_settings(assignments=['engine.kind="ray"'])
    assert given.for_run().engine.kind == "ray"  # which it keeps, and its copy does not
    found = loaded(given, "inline")
    assert found.for_run().engine.kind == "inline"
    assert (given.for_run().engine.kind, given == loaded(given, None)) == ("ray", True)
    assert found.assignments == ('engine.kind="ray"', 'engine.kind="inline"')
