"""Checkpoints that a full dub takes: one of each role that a first user needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lipwise_ray.errors import SetupError
from lipwise_ray.models.registry import Registry, RegistryEntry
from lipwise_ray.storage.digest import sha256_of


@dataclass(frozen=True, slots=True)
class RecommendedModel:
    """A recommended checkpoint.

    Attributes:
        role: Its role.
        name: The registry's name.
        entry: What was published.
        is_there: The published file is on this machine.
    """

    role: str
    name: str
    entry: RegistryEntry
    is_there: bool


def recommended_models(registry: Registry, names: Mapping[str, str]) -> list[RecommendedModel]:
    """Return the recommended checkpoints; files that are there are hashed.

    Args:
        registry: The published checkpoints.
        names: The registry's names by role: what settings name, or take by themselves where it is installed.

    Raises:
        WeightsError: The registry lacks one of them.
    """
    found: list[RecommendedModel] = []
    for role, name in names.items():
        entry, path = registry.entry(name), registry.path_of(name)
        there = path if path.is_file() else entry.packaged
        found.append(RecommendedModel(role, name, entry, there is not None and sha256_of(there) == entry.sha256))
    return found


def check_consent(models: Iterable[RecommendedModel], *, accept_licence: bool) -> None:
    """Refuse to fetch anything before the terms of all are accepted; those of files that are there have been.

    Args:
        models: What is recommended.
        accept_licence: The user accepts terms that forbid commercial use.

    Raises:
        SetupError: Some need consent, and there is none.
    """
    needing = [one for one in models if one.entry.needs_consent and not one.is_there]
    if needing and not accept_licence:
        raise SetupError(
            "licence",
            "models pull --recommended",
            got="these licences need your consent: " + "; ".join(f"{one.name}: {one.entry.licence}" for one in needing),
            do="If these terms fit your use, run the command again with --accept-licence",
        )
