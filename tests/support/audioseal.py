"""Made-up checkpoints of AudioSeal, as its authors publish theirs: seeded tensors beside settings of OmegaConf."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.support.seeded import seeded_weights

_KINDS = ("omegaconf.dictconfig.DictConfig", "omegaconf.base.ContainerMetadata", "omegaconf.nodes.AnyNode")


@contextmanager
def pretended_omegaconf() -> Iterator[list[type]]:
    """Yield classes of these names, which a pickle can name though the package is not there."""
    before = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "omegaconf"}
    kinds: list[type] = []
    for path in ("omegaconf", *(kind.rpartition(".")[0] for kind in _KINDS)):
        sys.modules[path] = ModuleType(path)
    for kind in _KINDS:
        module, _, name = kind.rpartition(".")
        kinds.append(type(name, (), {"__module__": module}))
        setattr(sys.modules[module], name, kinds[-1])
    try:
        yield kinds
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "omegaconf"]:
            del sys.modules[name]
        sys.modules.update(before)


def write_generator(path: Path) -> Path:
    """Write a generator of seeded weights, whose marks are loud."""
    return _write(path, "audioseal")


def write_detector(path: Path) -> Path:
    """Write a detector of seeded weights, whose readings mean nothing."""
    return _write(path, "audioseal_detector")


def _write(path: Path, golden: str) -> Path:
    import torch

    with pretended_omegaconf() as (settings, metadata, node):
        held, facts, value = settings(), metadata(), node()
        facts.__dict__.update({"ref_type": Any, "object_type": dict, "flags": defaultdict(list, x=[int])})
        value.__dict__["_val"] = 16
        held.__dict__.update({"_metadata": facts, "_content": {"nbits": value}})
        torch.save({"xp.cfg": held, "model": seeded_weights(golden)}, path)
    return path
