"""Settings by which a service's own processes read what clients sent."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from lipwise_ray.runs.settings_source import SettingsSource

SourceT = TypeVar("SourceT", bound=SettingsSource)


def with_uploads(source: SourceT, uploads: str) -> SourceT:
    """Return settings by which files that were sent may be read, too; addresses of clients are checked before.

    Args:
        source: The service's settings, whose roots need not name its own folder.
        uploads: The service's own folder of inputs.
    """
    paths = source.for_run().paths
    schemes = tuple(dict.fromkeys(("file", *paths.schemes)))
    roots = (*paths.roots, uploads) if paths.roots else ()
    return replace(source, layers=[*source.layers, ("the service", {"paths": {"schemes": schemes, "roots": roots}})])
