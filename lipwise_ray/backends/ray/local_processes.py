"""Processes of an embedded Ray: those that serve people or other nodes are left out, for nobody here uses them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from ray._private import parameter, services


@contextmanager
def without_services() -> Generator[None]:
    """Let Ray start here without its autoscaler, its reader of logs and the server of its dashboard.

    `ray.init` has options for none of them: without a dashboard it starts the dashboard's server all the same, and
    waits until that answers. Its agents stay: the raylet waits for both, and ends with them.
    """
    # Private: a version that decides otherwise starts them again, and the test of this fails.
    every, start_server = parameter.RayParams, services.start_api_server

    class OfThisMachine(every):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.no_monitor, self.include_log_monitor = True, False

    parameter.RayParams, services.start_api_server = OfThisMachine, _no_server  # type: ignore[misc,assignment]  # see above
    try:
        yield
    finally:
        parameter.RayParams, services.start_api_server = every, start_server  # type: ignore[misc]  # as they were


def _no_server(*arguments: object, **options: object) -> tuple[str, None]:
    """Start nothing: Ray takes an empty address, and no process, for a server that did not come up."""
    del arguments, options
    return "", None
