"""The networks that are trained: how the registry names them, and which of them a file of weights is of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from lipwise_ray.errors import WeightsError
from lipwise_ray.nets.checkpoint import OTHER_DO, check_fit
from lipwise_ray.nets.expert import LipSyncExpert
from lipwise_ray.nets.mouth_reader import MouthReader
from lipwise_ray.nets.quality_disc import VisualQualityDisc
from lipwise_ray.nets.tiny_detector import TinyDetectorNetwork
from lipwise_ray.nets.tiny_restorer import TinyRestorerNetwork
from lipwise_ray.nets.wav2lip import Wav2Lip

DISC = "disc"
"""The discriminator, which is trained beside a generator."""


@dataclass(frozen=True, slots=True)
class TrainedNetwork:
    """A network that can be trained here.

    Attributes:
        words: Its name in messages.
        registered: Its name in the registry, empty where that has none.
        build: Makes it, of a width.
        width_of: Reads the width off a checkpoint's tensors; None where there is one width.
    """

    words: str
    registered: str
    build: Callable[[float], nn.Module]
    width_of: Callable[[Mapping[str, Tensor]], float] | None = None


NETWORKS: dict[str, TrainedNetwork] = {
    "visemes": TrainedNetwork("the mouth reader", "", MouthReader, MouthReader.width_of),
    "expert": TrainedNetwork("the lip-sync expert", "lipsync_expert", LipSyncExpert, LipSyncExpert.width_of),
    "generator": TrainedNetwork("the generator", "wav2lip", Wav2Lip, Wav2Lip.width_of),
    "detector": TrainedNetwork("the small detector", "tiny_detector", lambda _: TinyDetectorNetwork()),
    "restorer": TrainedNetwork("the small restorer", "tiny_restorer", lambda _: TinyRestorerNetwork()),
    DISC: TrainedNetwork(
        "the discriminator", "visual_quality_disc", VisualQualityDisc, VisualQualityDisc.width_of
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recognised:
    """The network that a file of weights is of, by its key in `NETWORKS`, and its width."""

    name: str
    width: float


def recognise(tensors: Mapping[str, Tensor]) -> Recognised | None:
    """Return the network that tensors are of; None where they are of none that is trained here."""
    for name, network in NETWORKS.items():
        try:
            width = network.width_of(tensors) if network.width_of else 1.0
            if not 0 < width <= 1:
                continue
            with torch.device("meta"):  # a shape in a file does not decide how much memory is taken
                check_fit(network.build(width), tensors, Path(), network.words)
        except (WeightsError, IndexError):  # a number where a layer's weights belong
            continue
        return Recognised(name, width)
    return None


def load_weights(network: nn.Module, tensors: Mapping[str, Tensor], path: Path, name: str, width: float) -> None:
    """Load tensors into a network, all or none.

    Args:
        network: The module.
        tensors: Of the file.
        path: The file, for messages.
        name: The network's key in `NETWORKS`.
        width: Its width.

    Raises:
        WeightsError: They are of another network, or of another width.
    """
    words = f"{NETWORKS[name].words} at width {width:g}" if NETWORKS[name].width_of else NETWORKS[name].words
    try:
        check_fit(network, tensors, path, words)
    except WeightsError as error:
        found = recognise(tensors)
        if found is None:
            raise
        raise WeightsError(
            "other_network",
            str(path),
            got=f"holds {NETWORKS[found.name].words}" + (f" at width {found.width:g}" if found.name == name else ""),
            must=f"{words} is needed",
            do=f"Set the width to {found.width:g}, or choose another file" if found.name == name else OTHER_DO,
        ) from error
    network.load_state_dict({**network.state_dict(), **tensors})


def disc_within(contents: object) -> tuple[object, object] | None:
    """Return the discriminator's weights and optimiser in a checkpoint of a generator's run; None in other files."""
    parts = cast("Mapping[str, Any]", contents).get("parts") if isinstance(contents, Mapping) else None
    if not isinstance(parts, Mapping) or DISC not in parts:
        return None
    return parts[DISC], parts.get("disc_optimizer")


def optimizer_of(contents: object) -> object:
    """Return the optimiser's state in a checkpoint's contents, None where there is none."""
    return cast("Mapping[str, object]", contents).get("optimizer") if isinstance(contents, Mapping) else None


def step_of(contents: object) -> int:
    """Return the steps that a checkpoint's network has taken, 0 where the file does not say."""
    step = cast("Mapping[str, object]", contents).get("global_step", 0) if isinstance(contents, Mapping) else 0
    return step if isinstance(step, int) else 0
