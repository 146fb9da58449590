"""A run's settings from a preset, a job file and single assignments; or from settings made in code."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from lipwise_ray.errors import SettingsError
from lipwise_ray.resources import jobs_folder
from lipwise_ray.runs.settings_source import SettingsSource
from lipwise_ray.settings.layers import clipped, parse_assignment, read_toml
from lipwise_ray.settings.model import Settings

DEFAULT_PRESET = "quality"
EngineKind = Literal["ray", "inline"]


@dataclass(slots=True)
class LoadedSettings(SettingsSource):
    """The settings of a run and of each of its rows: preset, job file, assignments, and a row's own columns.

    Attributes:
        job: The job file; None without one.
        asked_preset: The preset that was asked for; None where it was left to the job file.
        assignments: Single settings, as ``section.key=value``; None where settings were made in code, which no command
            line can say.
        address: Of Ray, as an option of its own.
        workers: Render workers, as an option of its own.
    """

    job: Path | None = None
    asked_preset: str | None = None
    assignments: tuple[str, ...] | None = ()
    address: str | None = None
    workers: int | None = None

    def with_assignments(self, *assignments: str) -> LoadedSettings:
        """Return the same with further assignments, which go before all others."""
        kept = None if self.assignments is None else (*self.assignments, *assignments)
        layers = [*self.layers, *(_assigned(text) for text in assignments)]
        return replace(self, layers=layers, assignments=kept)


def load_settings(
    preset: str | None = None,
    *,
    job: str | Path | None = None,
    assignments: str | Iterable[str] = (),
    address: str | None = None,
    workers: int | None = None,
) -> LoadedSettings:
    """Load the settings of a run: later ones win over earlier ones, and a row's columns over all of them.

    Args:
        preset: ``quality``, ``fast`` or ``parity``; without it what the job file says, else ``quality``.
        job: A settings file (TOML), which may name its preset as a top-level ``preset = "fast"``.
        assignments: One or several single settings, each as ``section.key=value``, its value as in TOML.
        address: Of Ray, the same as ``engine.address``: ``local``, ``auto``, or ``ray://HOST:PORT``.
        workers: Render workers, the same as ``engine.workers``; 0 chooses.

    Returns:
        What `submit` and the like take as settings. `for_run()` returns those without any row's columns, checked.

    Raises:
        SettingsError: The job file or an assignment cannot be read.
    """
    given = (assignments,) if isinstance(assignments, str) else tuple(assignments)
    job = Path(job) if job is not None else None
    values: dict[str, Any] = read_toml(job) if job else {}
    named = values.pop("preset", None)
    if named is not None and not isinstance(named, str):
        raise SettingsError("preset", f"{job}: preset", got=f"{named!r} is not the name of a preset")
    options = [f"engine.address={json.dumps(address)}"] if address is not None else []
    options += [f"engine.workers={workers}"] if workers is not None else []
    layers: list[tuple[str, dict[str, Any]]] = [(str(job), values)] if job else []
    return LoadedSettings(
        jobs_folder(),
        preset or named or DEFAULT_PRESET,
        [*layers, *(_assigned(text) for text in (*given, *options))],
        job=job,
        asked_preset=preset,
        assignments=given,
        address=address,
        workers=workers,
    )


def _assigned(text: str) -> tuple[str, dict[str, Any]]:
    return f"--set {clipped(text)}", parse_assignment(text)


def loaded(settings: Settings | LoadedSettings | None, engine: EngineKind | None) -> LoadedSettings:
    """Return settings in whichever form they are given, with an engine that is named besides.

    Args:
        settings: What was loaded; or settings made in code, of which those that were set count; or None for the
            defaults.
        engine: Where the work runs.

    Raises:
        SettingsError: They are neither.
    """
    _refuse_others(settings)
    if settings is None:
        settings = load_settings()
    elif isinstance(settings, Settings):
        given = settings.model_dump(mode="json", exclude_unset=True)
        settings = LoadedSettings(jobs_folder(), DEFAULT_PRESET, [("settings", given)], assignments=None)
    return settings.with_assignments(f'engine.kind="{engine}"') if engine else settings


def _refuse_others(settings: object) -> None:
    """Refuse values of another type, which a caller without a type checker may give."""
    if settings is not None and not isinstance(settings, Settings | LoadedSettings):
        raise SettingsError(
            "settings",
            "settings",
            got=f"of type {type(settings).__name__}",
            must="Settings, or what load_settings returns, are expected",
        )
