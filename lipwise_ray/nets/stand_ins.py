"""Empty stand-ins for the settings of a training that checkpoints hold beside their tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

_SETTINGS = (
    *("omegaconf.dictconfig.DictConfig", "omegaconf.listconfig.ListConfig"),
    *("omegaconf.base.ContainerMetadata", "omegaconf.base.Metadata"),
    *(
        f"omegaconf.nodes.{kind}Node"
        for kind in ("Any", "Boolean", "Bytes", "Enum", "Float", "Integer", "Path", "String")
    ),
    *("typing.Any", "pathlib.PosixPath", "pathlib.Path"),
    *(f"builtins.{kind}" for kind in ("dict", "list", "tuple", "int", "float", "str", "bool")),
)
"""Names of a pickle that has settings of OmegaConf in it, which Meta's trainers keep there."""

_DICTS = ("collections.defaultdict",)
"""Beside them, those whose items the pickle sets one by one."""


class _SettingsShell:
    """Takes whatever a pickle gives to the object in whose place it stands, and keeps nothing."""

    def __new__(cls, *_: object) -> Self:
        """Return an empty one."""
        return super().__new__(cls)

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


def stand_ins() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """Return a stand-in for each of these names, as `torch.serialization.safe_globals` takes them.

    A file that names anything else is refused by torch, as ever; no module is imported and nothing is run.
    """
    return [*((_SettingsShell, name) for name in _SETTINGS), *((_empty_dict, name) for name in _DICTS)]


def _empty_dict(*_: object) -> dict[object, object]:
    return {}
