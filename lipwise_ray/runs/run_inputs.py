"""Inputs of a run before it starts: its manifest, the addresses of outputs and state, the registry of checkpoints."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from lipwise_ray.errors import LipwiseError, SettingsError
from lipwise_ray.models.locator import mirror_of
from lipwise_ray.models.registry import Registry
from lipwise_ray.pipeline.inputs import resolver
from lipwise_ray.pipeline.manifest import dub_rows as manifests
from lipwise_ray.pipeline.manifest import evaluation_rows
from lipwise_ray.pipeline.manifest.formats import READERS
from lipwise_ray.pipeline.manifest.languages import TracksRule
from lipwise_ray.pipeline.manifest.manifest import MOST_BYTES, Manifest
from lipwise_ray.resources import models_folder
from lipwise_ray.runs.settings_source import SettingsSource
from lipwise_ray.settings.layers import preset_names
from lipwise_ray.settings.model import Settings
from lipwise_ray.storage.address import (
    STORES,
    Policy,
    bucket_and_key,
    is_local,
    is_store,
    local_path,
    shown,
    whole_path,
)

_LOST_SLASH = re.compile(r"^[a-z][a-z0-9+.-]+:/")


def default_models_folder() -> Path:
    """Return the folder of pulled checkpoints where nobody names another one: in the user's cache."""
    return Path.home() / ".cache" / "lipwise-ray" / "models"


def registry_of(settings: Settings, models: str | Path | None = None) -> Registry:
    """Return the registry of checkpoints.

    Args:
        settings: `paths.models` names the folder of pulled ones before anything else, `paths.mirror` where others are.
        models: The folder of pulled checkpoints; None for the one in the user's cache.
    """
    told = settings.paths.models or models
    folder = whole_path(told) if told else default_models_folder()
    path, mirror = models_folder() / "registry.toml", mirror_of(settings.paths)
    return Registry(path, folder, mirror.has) if mirror else Registry(path, folder)


def out_address(out: str | None, settings: Settings, manifest: str) -> str:
    """Return the folder or prefix that outputs go under: as named, `paths.out`, or ``out`` beside the manifest.

    Args:
        out: The user's choice; empty or None for none.
        settings: Of the run.
        manifest: Path or address of the manifest.

    Raises:
        SettingsError: It is an address of another kind.
    """
    beside = str(whole_path(manifest).parent) if is_local(manifest) else manifest.rpartition("/")[0]
    return _place(out or settings.paths.out or f"{beside}/out", "--out")


def state_address(state: str | None, settings: Settings, out: str) -> str:
    """Return the state's address: as named, `paths.state`, or beside the outputs, never among them.

    Args:
        state: The user's choice; empty or None for none.
        settings: Of the run.
        out: Address of the outputs.

    Raises:
        SettingsError: It is an address of another kind.
    """
    return _place(state or settings.paths.state or f"{out}.state", "--state")


def local_folder(out: str) -> Path:
    """Return the folder on this machine that an evaluation's page and tables go to.

    Raises:
        SettingsError: It is an address.
    """
    if not is_local(out) or _LOST_SLASH.match(out):
        raise SettingsError("no_place", "--out", got=f"{shown(out)} is not a folder on this machine")
    return Path(out)


def local_file(out: str | Path) -> Path:
    """Return the path, from the root on, of a file of this machine that is to be made.

    Raises:
        SettingsError: It is an address.
        InputError: It leads nowhere.
    """
    told = str(out)
    if not is_local(told) or _LOST_SLASH.match(told):
        raise SettingsError("no_place", "--out", got=f"{shown(told)} is not a file on this machine")
    return whole_path(told)


def _place(address: str, option: str) -> str:
    if is_local(address) and not _LOST_SLASH.match(address):
        whole_path(address)
        return str(local_path(address))
    if not is_store(address) or not bucket_and_key(address)[1]:
        happened = f"{shown(address)} is neither a folder nor a prefix in a bucket of s3, gs or az"
        raise SettingsError("no_place", option, got=happened)
    return address.rstrip("/")


def read_manifest(
    manifest: str, source: SettingsSource, settings: Settings, out: str, copy_of: str | None = None
) -> Manifest:
    """Read and check a manifest of rows that are to be dubbed: a file, or an object, of which a copy is read.

    Args:
        manifest: Its path or address.
        source: The settings of its rows.
        settings: Those of the run.
        out: Where outputs go.
        copy_of: The file that `manifest` is a copy of: relative paths go by where that one is.

    Raises:
        ManifestError: It cannot be used as a whole.
        StorageError: The store refused.
    """
    presets, policy = preset_names(source.presets), resolver.policy_of(settings.paths)
    keeps_extra = settings.manifest.extra == "keep"

    def tracks_of(preset: str | None) -> TracksRule:
        return settings.encode.tracks if preset not in presets else source.for_preset(preset).encode.tracks

    def read(path: Path, at: str | None) -> Manifest:
        return manifests.read_manifest(
            path,
            out,
            presets,
            policy,
            copy_of or at,
            keeps_extra=keeps_extra,
            tracks_of=tracks_of,
            renames=source.renames,
        )

    return _read(manifest, settings, read)


def read_evaluation(files: Sequence[str], references: Sequence[str], settings: Settings) -> Manifest:
    """Read and check videos that are to be evaluated: named one by one, or by a manifest.

    Args:
        files: Videos, at least one; or one manifest.
        references: Videos to compare with: one for all, or one for each.
        settings: Of the run.

    Raises:
        SettingsError: A manifest is not alone, or there are too few references.
        ManifestError: The manifest cannot be used as a whole.
        StorageError: The store refused.
    """
    policy = resolver.policy_of(settings.paths)
    listed = [file for file in files if Path(file).suffix.lower() in READERS]
    if listed:
        if len(files) > 1 or references:
            beside = f"{len(files) - 1} more" if len(files) > 1 else "--reference"
            do = "Name a manifest alone; it has a column for references"
            raise SettingsError("bad_usage", f"evaluate {listed[0]}", got=f"a manifest beside {beside}", do=do)
        keeps_extra = settings.manifest.extra == "keep"

        def read(path: Path, at: str | None) -> Manifest:
            return evaluation_rows.read_evaluation(path, policy, at, keeps_extra=keeps_extra)

        return _read(listed[0], settings, read)
    if len(references) not in (0, 1, len(files)):
        happened = f"{len(references)} references for {len(files)} videos"
        raise SettingsError("bad_usage", "--reference", got=happened, do="Give one, or one for each video")
    return evaluation_rows.rows_of(files, references, policy)


def _read(manifest: str, settings: Settings, read: Callable[[Path, str | None], Manifest]) -> Manifest:
    if is_local(manifest):
        return read(Path(manifest), None)
    # Whoever runs this names it: what manifests may name does not bound it.
    inputs = resolver.Media(Policy(STORES), MOST_BYTES, resolver.cache_of(settings.paths))
    copy = inputs.local(manifest, inputs.identity(manifest))
    try:
        return read(copy, manifest)
    except LipwiseError as error:
        raise inputs.named(error) from error
