"""Words that a shell can complete: presets and settings, which need nothing of a manifest or a state."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from lipwise_ray.settings.model import Settings


def presets(incomplete: str) -> list[str]:
    """Return the presets that begin so."""
    from lipwise_ray.resources import jobs_folder
    from lipwise_ray.settings.layers import preset_names

    return sorted(name for name in preset_names(jobs_folder()) if name.startswith(incomplete))


def settings_keys(incomplete: str) -> list[str]:
    """Return the settings that begin so, each with the sign before its value."""
    return [f"{name}=" for name in _keys(Settings, "") if name.startswith(incomplete)]


def _keys(section: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _keys(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
