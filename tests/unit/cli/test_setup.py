"""Settings as the command line puts them together."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipwise_ray.cli.setup import settings_source


def test_an_image_says_where_scratch_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """LIPWISE_SCRATCH is the place of scratch where neither job file nor option names one."""
    monkeypatch.setenv("LIPWISE_SCRATCH", str(tmp_path))
    assert settings_source(None, None, None).for_run().paths.scratch == str(tmp_path)
    job = tmp_path / "job.toml"
    job.write_text('[paths]\nscratch = "/of-the-job"\n')
    assert settings_source(job, None, None).for_run().paths.scratch == "/of-the-job"
    assert settings_source(job, ["paths.scratch=/told"], None).for_run().paths.scratch == "/told"
