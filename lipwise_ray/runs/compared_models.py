"""Columns of a comparison of lip models: models that dub a manifest, and folders of other tools' files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from lipwise_ray.errors import SettingsError
from lipwise_ray.runs.load_settings import LoadedSettings
from lipwise_ray.runs.settings_source import Layer

_OTHER_MODEL = "Give one of them a label: --models first=NAME,second=FILE"
_OTHER_FOLDER = "Give one of them another label: --files first=FOLDER --files second=FOLDER"
_LABEL = re.compile(r"[A-Za-z0-9_][\w.+-]{0,63}")
_WEIGHTS = frozenset({".pth", ".pt", ".ckpt", ".safetensors", ".bin", ".onnx"})
_VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi")
_FEWEST = 2


@dataclass(frozen=True, slots=True)
class ModelColumn:
    """A lip model that dubs the manifest.

    Attributes:
        label: Its name in the comparison, and of the folder of its outputs.
        model: A name of the registry; None where the settings' own goes with `checkpoint`.
        checkpoint: A file of weights instead of the registry's; None for that.
    """

    label: str
    model: str | None
    checkpoint: str | None

    @property
    def assignments(self) -> tuple[str, ...]:
        """Its settings, as ``--set`` takes them."""
        values = {"model": self.model, "checkpoint": self.checkpoint}
        return tuple(f"lipsync.{key}={json.dumps(value)}" for key, value in values.items() if value is not None)


@dataclass(frozen=True, slots=True)
class FilesColumn:
    """A folder with another tool's videos of the manifest's rows.

    Attributes:
        label: Its name in the comparison.
        folder: The folder.
    """

    label: str
    folder: Path

    def file_of(self, row_id: str, output: str) -> Path | None:
        """Return a row's video: named as its output, or after the row's id or its output with another ending.

        Args:
            row_id: The row's id.
            output: Its output, relative to the outputs' folder.
        """
        stem = output.rpartition(".")[0]
        names = [output, *(f"{name}{ending}" for name in (row_id, stem) for ending in _VIDEOS)]
        return next((path for name in names if (path := self.folder / name).is_file()), None)


def model_columns(entries: str | Iterable[str]) -> list[ModelColumn]:
    """Return the columns that ``--models`` names: ``[LABEL=]NAME``, ``[LABEL=]FILE`` or ``[LABEL=]NAME@FILE`` each.

    Args:
        entries: The entries, or one text of them between commas.

    Raises:
        SettingsError: An entry is none, or two have the same label.
    """
    listed = entries.split(",") if isinstance(entries, str) else list(entries)
    columns = [_model(entry.strip()) for entry in listed if entry.strip()]
    if not columns:
        raise SettingsError("bad_usage", "--models", got="no model", do="Name two or more, between commas")
    return columns


def listed_models(source: LoadedSettings) -> tuple[LoadedSettings, list[str]]:
    """Take a list of models out of settings, where ``lipsync.model = ["a", "b"]`` stands in place of ``--models``.

    Args:
        source: Settings of a comparison, in which each column has a model of its own.

    Returns:
        The settings without it, and its entries; none where the last word on the model is a name.
    """
    entries: list[str] = []
    layers: list[Layer] = []
    for where, values in source.layers:
        section = values.get("lipsync")
        kept = values
        if isinstance(section, Mapping) and "model" in section:
            given = cast("Mapping[str, object]", section)
            listed = given["model"] if isinstance(given["model"], list) else []
            entries = [str(entry) for entry in cast("list[object]", listed)]
            if entries:
                kept = {**values, "lipsync": {name: value for name, value in given.items() if name != "model"}}
        layers.append((where, kept))
    return replace(source, layers=layers), entries


def _model(entry: str) -> ModelColumn:
    label, equals, rest = entry.partition("=")
    rest = rest if equals else entry
    if _is_file(rest):
        name, at, file = rest.partition("@")
        is_beside = bool(at) and not _is_file(name)
        model, checkpoint = (name, file) if is_beside else (None, rest)
    else:
        model, checkpoint = rest, None
    if not rest or model == "":
        raise SettingsError("bad_usage", f"--models {entry}", got="names no model", do="Write LABEL=NAME or LABEL=FILE")
    usual = Path(checkpoint).stem if checkpoint else str(model)
    return ModelColumn(_label("--models", label if equals else usual), model, checkpoint)


def _is_file(text: str) -> bool:
    return "/" in text or Path(text).suffix.lower() in _WEIGHTS


def files_columns(entries: Iterable[str]) -> list[FilesColumn]:
    """Return the columns that ``--files`` names: ``LABEL=FOLDER`` each.

    Raises:
        SettingsError: An entry is none, or its folder is not there.
    """
    columns: list[FilesColumn] = []
    for entry in entries:
        label, equals, folder = entry.partition("=")
        if not equals or not folder:
            raise SettingsError("bad_usage", f"--files {entry}", got="no LABEL=FOLDER", do="Write echomimic=their/out")
        path = Path(folder).expanduser()
        if not path.is_dir():
            raise SettingsError("bad_usage", f"--files {entry}", got="there is no such folder", do="Check the path")
        columns.append(FilesColumn(_label("--files", label), path))
    return columns


def check_columns(columns: Sequence[ModelColumn | FilesColumn]) -> None:
    """Refuse columns that cannot be told apart, or too few.

    Raises:
        SettingsError: Two have one label, or there is one alone.
    """
    labels = [column.label.lower() for column in columns]
    twin = next((label for label in labels if labels.count(label) > 1), None)
    if twin is not None:
        twins = [column for column in columns if column.label.lower() == twin]
        is_of_files = all(isinstance(column, FilesColumn) for column in twins)
        option, do = ("--files", _OTHER_FOLDER) if is_of_files else ("--models", _OTHER_MODEL)
        raise SettingsError("bad_usage", option, got=f"two columns are called {twin}", do=do)
    if len(columns) < _FEWEST:
        do = "Name another model, or other tools' files with --files"
        raise SettingsError("bad_usage", "--models", got="one column, with nothing to compare it with", do=do)


def _label(option: str, label: str) -> str:
    if not _LABEL.fullmatch(label):
        must = "a label has letters, digits and ._+- alone, 64 at most"
        raise SettingsError("bad_usage", option, got=f"{label!r} is not a label", must=must, do="Write LABEL=NAME")
    return label
