"""Render workers of a single machine, and when one of them is this process."""

from __future__ import annotations

from typing import Any

import pytest

from lipwise_ray.backends import factory
from lipwise_ray.backends.factory import engine_for
from lipwise_ray.backends.local_workers import local_workers
from lipwise_ray.nets.visible_gpus import VisibleGpus
from lipwise_ray.settings.model import EngineSettings


@pytest.mark.parametrize(
    ("settings", "cores", "gpus", "expected"),
    [
        ({}, 1, 0, 1),
        ({}, 3, 0, 1),
        ({}, 16, 0, 8),
        ({}, 16, 1, 1),
        ({"gpus_per_worker": 0.5}, 16, 2, 4),
        ({"gpus_per_worker": "auto"}, 16, 2, 4),
        ({"gpus_per_worker": "auto"}, 2, 1, 1),
        ({"workers": 3}, 2, 1, 3),
    ],
)
def test_workers_go_by_gpus_or_else_by_cores(settings: dict[str, Any], cores: int, gpus: int, expected: int) -> None:
    """One a GPU or a part of one, else one for every two cores; what is asked for counts first."""
    assert local_workers(EngineSettings.model_validate(settings), cores, gpus) == expected


@pytest.mark.parametrize(
    ("settings", "rows", "attended", "cores", "kind"),
    [
        ({}, 1, True, 2, "inline"),
        ({}, 0, True, 2, "inline"),
        ({}, 2, True, 2, "ray"),
        ({}, 1, False, 2, "ray"),
        ({}, 1, True, 8, "ray"),
        ({"workers": 1}, 1, True, 8, "inline"),
        ({"workers": 2}, 1, True, 2, "ray"),
        ({"cpu_workers": 2}, 1, True, 2, "ray"),
        ({"address": "auto"}, 1, True, 2, "ray"),
        ({"kind": "ray"}, 1, True, 2, "ray"),
        ({"kind": "inline"}, 9, False, 8, "inline"),
    ],
)
def test_one_row_for_one_worker_needs_no_ray(
    settings: dict[str, Any], rows: int, *, attended: bool, cores: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several rows, workers or machines need processes of their own, and so does a night; what is set counts first."""
    monkeypatch.setattr(factory, "usable_cores", lambda: cores)
    monkeypatch.setattr(factory, "visible_gpus", lambda _: VisibleGpus((), False, False, None, None))
    given = EngineSettings.model_validate(settings)
    assert engine_for(given, rows, is_attended=attended).kind == kind
