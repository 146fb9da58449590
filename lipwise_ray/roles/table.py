"""The table of all roles, made of the modules of this package.

Whoever looks for checkpoints, loads models, names a job or reads a task goes through it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from operator import attrgetter
from typing import Any

from lipwise_ray import roles
from lipwise_ray.models.checkpoints import Checkpoints
from lipwise_ray.models.role import ModelRole


def _found() -> Iterator[ModelRole[Any]]:
    names = [module.name for module in pkgutil.iter_modules(roles.__path__, f"{roles.__name__}.")]
    for module in (importlib.import_module(name) for name in names if name != __name__):
        yield from (value for value in vars(module).values() if isinstance(value, ModelRole))


def _by_name() -> dict[str, ModelRole[Any]]:
    found: dict[str, ModelRole[Any]] = {}
    for role in sorted(_found(), key=attrgetter("order", "name")):
        if found.setdefault(role.name, role) is not role:  # a module may have another's role beside its own
            raise ValueError(f"two roles of one name: {role.name}")
    return found


ROLES = _by_name()
"""The roles by their names."""

RECOMMENDED = {role.name: role.recommended for role in ROLES.values() if role.recommended}
"""The registry's names, by role, of what a first user is to have."""


def with_known_roles(checkpoints: Checkpoints) -> Checkpoints:
    """Return the checkpoints of a record whose roles are known, each with as many files as it may have.

    Raises:
        ValueError: One is not.
    """
    for name, found in checkpoints.by_role.items():
        if name not in ROLES:
            raise ValueError(f"{name}: no such role")
        if isinstance(found, tuple) != ROLES[name].several_files:
            raise ValueError(f"{name}: not {'a list' if ROLES[name].several_files else 'one checkpoint'}")
    return checkpoints
