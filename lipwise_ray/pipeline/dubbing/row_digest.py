"""Digest of a row: a hash of all that its tasks are told, by which a later run knows that it asks for the same."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from dataclasses import asdict, fields
from operator import attrgetter

from lipwise_ray.models.checkpoints import Checkpoints
from lipwise_ray.pipeline.dubbing.job import JobSpec
from lipwise_ray.pipeline.dubbing.task_parts import RowPart
from lipwise_ray.settings.model import Settings
from lipwise_ray.state.ids import ID_CHARACTERS, PIPELINE_VERSION

_MOST_KNOWN = 256
_OF_THE_ROW = attrgetter(*(one.name for one in fields(JobSpec) if one.name != "settings"))
_as_text = json.JSONEncoder(default=asdict).encode

_KEEPS: dict[bool | str, bool | str] = {"auto": False, True: True, False: "never"}
"""Words for `engine.keep_segments`, whose default was false before there was ``auto``."""


class RowDigests:
    """Digests of a run's rows, which mostly share settings and checkpoints.

    How the engine works decides nothing but the runtime of networks, and what is kept; everything else counts, also
    where it decides no pixel: one that differs sends a row the long way, on which it is found done all the same.
    """

    def __init__(self) -> None:
        self._shared: OrderedDict[tuple[int, int], tuple[Settings, Checkpoints, bytes]] = OrderedDict()

    def of(self, row: RowPart) -> str:
        """Return a row's digest."""
        digest = hashlib.sha256(self._of_shared(row.job.settings, row.weights))
        digest.update(_as_text([row.device, *_OF_THE_ROW(row.job)]).encode())
        return digest.hexdigest()[:ID_CHARACTERS]

    def _of_shared(self, settings: Settings, checkpoints: Checkpoints) -> bytes:
        key = id(settings), id(checkpoints)  # which live as long as they are held here
        if key not in self._shared:
            decisive = settings.model_dump(mode="json", exclude={"engine"})
            engine = [settings.engine.cpu_runtime, _KEEPS[settings.engine.keep_segments]]
            record = [PIPELINE_VERSION, decisive, engine, checkpoints.record()]
            text = json.dumps(record, sort_keys=True, default=str).encode()
            self._shared[key] = settings, checkpoints, hashlib.sha256(text).digest()
            if len(self._shared) > _MOST_KNOWN:
                self._shared.popitem(last=False)
        return self._shared[key][2]
