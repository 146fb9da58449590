"""What the tree at hand promises to others: names in records, figures, codes, flags, settings, columns.

The only imports of the product that the frozen state's tests need stand here: whoever moves a module changes these.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from typer.main import get_command

from lipwise_ray.cli.app import app
from lipwise_ray.error_codes import find_codes
from lipwise_ray.exit_codes import ExitCode
from lipwise_ray.pipeline.manifest.dub_rows import DUBBED
from lipwise_ray.pipeline.manifest.evaluation_rows import EVALUATED
from lipwise_ray.resources import jobs_folder
from lipwise_ray.runs.settings_source import SettingsSource
from lipwise_ray.scheduler.metrics import METRICS, NIGHT_METRICS
from lipwise_ray.settings.layers import preset_names
from lipwise_ray.settings.model import Settings
from lipwise_ray.state.store import as_json, to_json

ROOT = Path(__file__).resolve().parents[2]
__all__ = [
    "PARTS",
    "ROOT",
    "as_json",
    "contracts",
    "key_paths",
    "names_in_state",
    "plain_key",
    "record_kind",
    "to_json",
]

_NAMED_ANEW = (
    (re.compile(r"\d{8}T\d{6}-[0-9a-f]{6}"), "MOMENT"),
    (re.compile(r"(?<=segments/)(\d{5})\.[^/]+\.mkv"), r"\1.ATTEMPT.mkv"),
    (re.compile(r"(?<=sound/copied/)[0-9a-f]{64}"), "SHA256"),
    (re.compile(r"(epoch|beat)-\d{8}"), r"\1-NUMBER"),
)
_OF_ONE_KIND = (
    (re.compile(r"[0-9a-f]{24,64}"), "ID"),
    (re.compile(r"(?<=[-/])\d{5,6}(?=[-.])"), "NUMBER"),
)


PARTS = ("records", "lines", "arrays", "columns")


def plain_key(key: str) -> str:
    """Return a record's key without what every run names anew."""
    for pattern, word in _NAMED_ANEW:
        key = pattern.sub(word, key)
    return key


def record_kind(key: str) -> str:
    """Return a record's key without what tells it from others of its kind."""
    key = plain_key(key)
    for pattern, word in _OF_ONE_KIND:
        key = pattern.sub(word, key)
    return key


def key_paths(value: Any, path: str = "") -> set[str]:
    """Return the paths of all keys in a JSON value; places in lists count as one."""
    if isinstance(value, dict):
        inner = {f"{path}.{key}".lstrip("."): one for key, one in value.items()}
        return set(inner).union(*(key_paths(one, name) for name, one in inner.items()))
    if isinstance(value, list):
        return set().union(*(key_paths(one, f"{path}[]") for one in value))
    return set()


def names_in_state(state: Path) -> dict[str, Any]:
    """Return all names in a state that do not change from run to run.

    Returns:
        ``keys`` of records and files; `PARTS`: the names in them by their kind, lines also by their event; ``tasks``:
        what ledgers call them.
    """
    keys: set[str] = set()
    found: dict[str, dict[str, set[str]]] = {name: defaultdict(set) for name in PARTS}
    tasks: set[str] = set()
    for path in state.rglob("*"):
        key = path.relative_to(state).as_posix()
        if not path.is_file() or key.startswith("."):
            continue
        keys.add(plain_key(key))
        if path.suffix == ".json":
            found["records"][record_kind(key)] |= key_paths(json.loads(path.read_bytes()))
        elif path.suffix == ".jsonl":
            for line in map(json.loads, path.read_text("utf-8").splitlines()):
                found["lines"][f"{record_kind(key)} {line.get('event', '')}".strip()] |= key_paths(line)
                tasks |= {line["task"]} if "task" in line else set()
        elif path.suffix == ".npz":
            with np.load(path) as arrays:
                found["arrays"][record_kind(key)] |= set(arrays.files)
        elif path.suffix == ".csv":
            found["columns"][record_kind(key)] |= set(path.read_text("utf-8").splitlines()[0].split(","))
    plain = {name: {kind: sorted(one) for kind, one in kinds.items()} for name, kinds in found.items()}
    return {"keys": sorted(keys), **plain, "tasks": sorted(tasks)}


def contracts() -> dict[str, Any]:
    """Return what scripts, dashboards, job files and manifests of others rely on."""
    return {
        "metrics": {name: [one.kind, *one.all_labels] for name, one in (METRICS | NIGHT_METRICS).items()},
        "error_codes": {one.code: one.kind for one in find_codes()},
        "exit_codes": {one.name: one.value for one in ExitCode},
        "commands": _commands(get_command(app), "lipwise-ray"),
        "settings": _flat(Settings().model_dump(mode="json")),
        "presets": {
            name: _flat(SettingsSource(jobs_folder(), name, []).for_run().model_dump(mode="json"))
            for name in sorted(preset_names(jobs_folder()))
        },
        "columns": {
            name: {
                "required": list(one.required),
                "optional": dict.fromkeys(one.optional, ""),
                "instead": dict(one.instead),
            }
            for name, one in (("submit", DUBBED), ("evaluate", EVALUATED))
        },
    }


def _commands(command: Any, words: str) -> dict[str, Any]:
    """Return what a command and those below it take, by the words that call it."""
    found = {
        words: {
            "/".join([*one.opts, *one.secondary_opts]): {
                "kind": one.param_type_name,
                "required": one.required,
                "default": None if callable(one.default) or one.default is None else str(one.default),
                "takes": one.nargs,
                "repeats": bool(getattr(one, "multiple", False)),
                "variable": one.envvar,
            }
            for one in command.params
        }
    }
    for name, inner in getattr(command, "commands", {}).items():
        found |= _commands(inner, f"{words} {name}")
    return found


def _flat(values: dict[str, Any], path: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _flat(value, f"{path}{name}.") if isinstance(value, dict) else {f"{path}{name}": value}
    return found
