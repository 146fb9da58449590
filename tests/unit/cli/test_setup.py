"""Settings as the command line puts them together."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipwise_ray.cli.setup import settings_source


def test_a_machines_scratch_is_no_setting_of_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """LIPWISE_SCRATCH is this machine's and is sent to no other; what job file and option name is everybody's."""
    monkeypatch.setenv("LIPWISE_SCRATCH", str(tmp_path))
    assert settings_source(None, None, None).for_run().paths.scratch is None
    job = tmp_path / "job.toml"
    job.write_text('[paths]\nscratch = "/of-the-job"\n')
    assert settings_source(job, None, None).for_run().paths.scratch == "/of-the-job"
    assert settings_source(job, ["paths.scratch=/told"], None).for_run().paths.scratch == "/told"
