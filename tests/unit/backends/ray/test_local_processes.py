"""What an embedded Ray goes without."""

from __future__ import annotations

import pytest
from ray._private import parameter, services

from lipwise_ray.backends.ray.local_processes import without_services


def _start_late() -> None:
    server = services.start_api_server
    with without_services():
        made = parameter.RayParams()
        assert (made.no_monitor, made.include_log_monitor) == (True, False)
        assert services.start_api_server is not server
        raise RuntimeError("late")


def test_ray_is_as_it_was_afterwards() -> None:
    """Parameters that are made meanwhile ask for no monitor and no log monitor; then Ray's own ways are back, after an
    error too.
    """
    before = parameter.RayParams, services.start_api_server
    with pytest.raises(RuntimeError, match="late"):
        _start_late()
    assert (parameter.RayParams, services.start_api_server) == before
