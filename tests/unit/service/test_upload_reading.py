"""Settings by which a service's own processes read what was sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipwise_ray.errors import InputError
from lipwise_ray.pipeline.inputs.resolver import policy_of
from lipwise_ray.runs.load_settings import load_settings
from lipwise_ray.service.upload_reading import with_uploads


def test_uploads_are_read_whatever_the_roots_are(tmp_path: Path) -> None:
    """The folder of uploads joins the roots where there are any; what else lay outside them stays there."""
    uploads, outside = tmp_path / "uploads", tmp_path / "outside"
    for assignments in (
        (f"paths.roots=['{tmp_path / 'media'}']",),
        (f"paths.roots=['{tmp_path}/m']", "paths.schemes=[]"),
    ):
        source = load_settings(assignments=assignments)
        with pytest.raises(InputError):
            policy_of(source.for_run().paths).check(str(uploads / "a.mp4"))
        policy = policy_of(with_uploads(source, str(uploads)).for_run().paths)
        policy.check(str(uploads / "a.mp4"))
        with pytest.raises(InputError):
            policy.check(str(outside / "a.mp4"))


def test_settings_without_roots_keep_having_none(tmp_path: Path) -> None:
    """Rows of such a service were checked by the rules for clients; its processes read what those let through."""
    source = with_uploads(load_settings(), str(tmp_path / "uploads"))
    assert tuple(source.for_run().paths.roots) == ()
