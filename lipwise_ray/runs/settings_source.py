"""Sources of a run's settings."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lipwise_ray.errors import InputError, SettingsError
from lipwise_ray.faces.select import LIKE, parse_selection_rule
from lipwise_ray.pipeline.manifest.row_table import Row
from lipwise_ray.settings.layers import fallbacks, read_preset, resolve
from lipwise_ray.settings.model import Settings
from lipwise_ray.settings.renamed import RENAMED, Renames, with_new_names
from lipwise_ray.storage.address import is_local, whole_path

_MOST_KNOWN = 256
Layer = tuple[str, Mapping[str, Any]]


@dataclass(slots=True)
class SettingsSource:
    """Settings of a run and of each of its rows: preset, job file, command line, row columns.

    Attributes:
        presets: Folder of preset files.
        preset: The run's preset.
        layers: Job file and command line, in rising precedence, by the settings' new names.
        renames: Settings that got new names, and columns of the rows that did.
    """

    presets: Path
    preset: str
    layers: list[Layer]
    renames: Renames = RENAMED
    _known: OrderedDict[str, Settings] = field(
        default_factory=OrderedDict[str, Settings], init=False, repr=False, compare=False
    )  # of these layers alone: a copy with others begins anew

    def __post_init__(self) -> None:
        """Put new names in place of old ones."""
        self.layers = [self._renewed(where, values) for where, values in self.layers]

    def _renewed(self, where: str, values: Mapping[str, Any]) -> Layer:
        return where, with_new_names(where, values, self.renames)

    def for_run(self) -> Settings:
        """Return the settings without any row's columns.

        Raises:
            SettingsError: A setting is unknown or impossible.
        """
        return self._resolve(self.preset, {})

    def layers_of_run(self) -> list[Layer]:
        """Return the layers of `for_run`, in rising precedence.

        Raises:
            SettingsError: There is no such preset.
        """
        return self._layers_of(self.preset)

    def _layers_of(self, preset: str) -> list[Layer]:
        return [self._renewed(f"preset {preset}", read_preset(self.presets, preset)), *self.layers]

    def for_preset(self, preset: str) -> Settings:
        """Return the settings of rows that name a preset, without their columns."""
        return self._resolve(preset, {})

    def for_row(self, row: Row) -> Settings:
        """Return a row's settings."""
        return self._resolve(row.preset or self.preset, row.overrides)

    def _resolve(self, preset: str, overrides: Mapping[str, Any]) -> Settings:
        key = f"{preset} {sorted((s, sorted(v.items())) for s, v in overrides.items())}"
        if key not in self._known:
            settings = resolve([*self._layers_of(preset), ("the row", overrides)])
            for fallback in fallbacks(settings):
                _with_whole_paths(fallback)  # to find mistakes before any work
            self._known[key] = _with_whole_paths(settings)
            if len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
        return self._known[key]


def further_attempts(settings: Settings) -> list[Settings]:
    """Return the settings of a row's attempts after the first."""
    return [_with_whole_paths(fallback) for fallback in fallbacks(settings)]


def _with_whole_paths(settings: Settings) -> Settings:
    """Return settings whose rule of faces can be understood; its files by their whole paths.

    Raises:
        SettingsError: The rule is none.
    """
    try:
        rule = parse_selection_rule(settings.faces.select)
    except InputError as error:
        raise SettingsError("faces", "faces.select", got=error.got, must=error.must) from error
    if settings.asr.model is not None:
        asr = settings.asr.model_copy(update={"model": str(whole_path(settings.asr.model))})
        settings = settings.model_copy(update={"asr": asr})
    marking = settings.marking
    signer = {"certificate": marking.certificate, "key": marking.key, "folder": marking.folder}
    # Each machine puts in its own home folder, and follows its own links.
    whole = {name: str(Path(told).absolute()) for name, told in signer.items() if told and not told.startswith("~")}
    if marking.label_font is not None:
        whole["label_font"] = str(whole_path(marking.label_font))
    if whole:
        settings = settings.model_copy(update={"marking": marking.model_copy(update=whole)})
    if rule.kind == LIKE and is_local(rule.image):  # of a job file or --set; rows name absolute paths
        faces = settings.faces.model_copy(update={"select": f"{LIKE}:{whole_path(rule.image)}"})
        return settings.model_copy(update={"faces": faces})
    return settings
