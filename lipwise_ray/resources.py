"""Files that ship with the package: beside it in a checkout, inside it when installed."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _folder(name: str) -> Path:
    installed = _PACKAGE / "_data" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def import_root() -> Path:
    """Return the folder on `sys.path` in which this package is found."""
    return _PACKAGE.parent


def jobs_folder() -> Path:
    """Return the folder of presets."""
    return _folder("jobs")


def cluster_folder() -> Path:
    """Return the folder of files for clusters."""
    return _folder("cluster")


def models_folder() -> Path:
    """Return the folder of the registry."""
    return _folder("models")
