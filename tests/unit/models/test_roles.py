"""The table of roles: whole, and the only one."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import get_args

import pytest

import lipwise_ray
from lipwise_ray.models.registry import Registry
from lipwise_ray.models.roles import ROLES, Machines, ModelRole, RoleName, RowFacts, Wanted
from lipwise_ray.pipeline.tasks.models import LOADERS
from lipwise_ray.resources import models_folder
from lipwise_ray.settings.layers import parse_assignment, resolve
from lipwise_ray.settings.model import Settings

PACKAGE = Path(lipwise_ray.__file__).parent
_TABLE = PACKAGE / "models" / "roles.py"
_TRAINED = PACKAGE / "training"  # it has networks to train, some of which are called as the roles that they can have


def _lacks(role: ModelRole, loaders: Mapping[RoleName, object]) -> Iterator[str]:
    """Yield what a role has to have and has not."""
    if role.name not in loaders:
        yield "a loader"
    for setting in (role.setting, role.file_setting):
        try:
            attrgetter(setting)(Settings())
        except AttributeError:
            yield f"the setting {setting}"
    if not role.in_job_id:
        yield "a place in a job's id, or a reason why not"
    if not role.networks:
        yield "a network"
    if not (role.dubs or role.evaluates):
        yield "somebody who needs it"


@pytest.mark.parametrize("name", ROLES)
def test_a_role_is_whole(name: RoleName) -> None:
    """It can be loaded, asked for, and counts in ids or says why not."""
    assert list(_lacks(ROLES[name], LOADERS)) == []


def test_a_role_that_is_not_whole_is_found() -> None:
    """Whoever adds one and forgets its loader, its settings or its ids is told."""
    role = replace(ROLES["embedder"], setting="faces.embeder", in_job_id="")
    assert list(_lacks(role, {})) == [
        "a loader",
        "the setting faces.embeder",
        "a place in a job's id, or a reason why not",
    ]


def test_every_name_has_an_entry() -> None:
    """What the type checker knows as a role is one, and the other way round."""
    assert tuple(ROLES) == get_args(RoleName)


def test_networks_are_the_registrys() -> None:
    """A role is played by networks for which there are checkpoints."""
    known = {entry.network for entry in Registry(models_folder() / "registry.toml", Path()).entries.values()}
    assert {network for role in ROLES.values() for network in role.networks} <= known


def _listed(tree: ast.Module) -> Iterator[tuple[int, set[str]]]:
    """Yield the strings side by side in a module's literals, keys of dicts among them, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            parts = node.elts
        elif isinstance(node, ast.Dict):
            parts = [key for key in node.keys if key]
        else:
            continue
        yield node.lineno, {str(one.value) for one in parts if isinstance(one, ast.Constant)}


def test_nothing_else_lists_roles() -> None:
    """A second list would be forgotten when a role is added."""
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {', '.join(sorted(words & set(ROLES)))}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path != _TABLE and not path.is_relative_to(_TRAINED)
        for line, words in _listed(ast.parse(path.read_text("utf-8")))
        if len(words & set(ROLES)) > 1
    ]
    assert found == []


def _wanted(role: RoleName, *sets: str, installed: tuple[str, ...] = (), gpu: bool = False) -> tuple[Wanted, ...]:
    settings = resolve([("test", parse_assignment(text)) for text in sets])
    return ROLES[role].requirement(ROLES[role], settings, Machines(gpu, installed.__contains__)).wanted


def test_auto_goes_by_what_is_there() -> None:
    """Heavy networks are taken where they are installed and workers have GPUs; the bundled scorer is always there."""
    gfpgan, heavy = ("gfpgan_1_4",), ("s3fd", "fan_2d")
    assert [one.name for one in _wanted("restorer", installed=gfpgan, gpu=True)] == ["gfpgan_1_4"]
    assert _wanted("restorer", installed=gfpgan) == _wanted("restorer", gpu=True) == ()
    assert [one.name for one in _wanted("judge")] == ["tiny_judge"]
    assert [one.name for one in _wanted("judge", installed=("syncnet_v2",))] == ["syncnet_v2"]
    assert [one.name for one in _wanted("detector", installed=heavy)] == ["yunet"]
    assert [one.name for one in _wanted("detector", "detect.detector='s3fd'")] == ["s3fd", "fan_2d"]


def test_a_users_file_comes_first() -> None:
    """It is taken whatever is named, as one of the role's usual network."""
    (found,) = _wanted("restorer", "restore.model='none'", "restore.checkpoint='/x.pth'")
    assert (found.file, found.networks[0]) == ("/x.pth", "spandrel")
    (found,) = _wanted("detector", "detect.detector='tiny'", "detect.checkpoint='/x.pth'")
    assert (found.file, found.networks[0]) == ("/x.pth", "tiny_detector")


def test_none_is_a_name_like_others_where_a_role_is_needed() -> None:
    """Without a lip-sync network nothing is dubbed: `passthrough` says that, and `none` is a slip."""
    assert [one.name for one in _wanted("lipsync", "lipsync.model='none'")] == ["none"]
    assert not ROLES["lipsync"].needed(resolve([("t", {"lipsync": {"model": "passthrough"}})]), RowFacts())
    assert _wanted("parser", "composite.parser='none'") == ()
