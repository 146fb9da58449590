"""Networks that score the agreement of lips and audio."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from lipwise_ray.lipsync.mel import MEL_BANDS
from lipwise_ray.lipsync.windows import WINDOW_COLUMNS, window
from lipwise_ray.metrics.lse import SYNCNET
from lipwise_ray.metrics.sync import stacked_lips
from lipwise_ray.nets.checkpoint import load_into, load_network
from lipwise_ray.nets.expert import FRAMES, LipSyncExpert
from lipwise_ray.nets.exports import Exportable
from lipwise_ray.nets.half import Half
from lipwise_ray.nets.layers import fold_batch_norms
from lipwise_ray.nets.precision import exact_float32
from lipwise_ray.nets.syncnet import CEPSTRA, COLUMNS, SIDE_PX, SyncNet
from lipwise_ray.nets.torch_threads import on_one_thread
from lipwise_ray.values import F32Array, F64Array, FloatArray, I64Array, U8Array

if TYPE_CHECKING:
    from torch import nn

    from lipwise_ray.nets.runtimes import CompiledNetwork

_EXPERT = "lipsync_expert"
BATCH = 16
_SLACK = 1e-6
_RGB = 3
_CROP_SCALE, _GREY = 0.4, 110
_EXPERT_SIDE_PX, _EXPERT_BELOW_PX = 96, 10


class LipCrops(Protocol):
    """Crops that a sync scorer takes of faces: they can be made without its network."""

    @property
    def side_px(self) -> int:
        """Their side."""
        ...

    @property
    def outside(self) -> int | None:
        """Level of what lies outside the image; None repeats the image's edge."""
        ...

    @property
    def region(self) -> Callable[[F32Array], F64Array]:
        """Function that returns the box that is looked at (left, top, right, bottom) for the box of a face."""
        ...


class SyncScorer(LipCrops, Protocol):
    """Embeds lips and audio.

    Attributes:
        hears: Features that it takes of an audio stream: ``mfcc`` or ``mel``.
        is_lse: Its figures are LSE-D and LSE-C.
    """

    hears: str
    is_lse: bool

    def lips(self, crops: U8Array) -> F32Array:
        """Return embeddings, shape (W, D), of BGR crops of shape (W, 5, side, side, 3)."""
        ...

    def column(self, seconds: F64Array) -> I64Array:
        """Return the first columns of audio windows at these times."""
        ...

    def sound(self, heard: FloatArray, columns: I64Array) -> F32Array:
        """Return embeddings of windows, shape (len(columns), D).

        Args:
            heard: Cepstra, shape (N, 13), or a mel, shape (N, 80).
            columns: Columns at which the windows begin.
        """
        ...


@dataclass(frozen=True, slots=True)
class Halves:
    """The halves of a scorer's network, as something computes them: each takes a batch and gives embeddings, (B, D).

    Attributes:
        lips: Embeds lips.
        sound: Embeds audio.
    """

    lips: Callable[[torch.Tensor], torch.Tensor]
    sound: Callable[[torch.Tensor], torch.Tensor]


class SyncNetScorer:
    """SyncNet v2, the scorer of the published figures.

    Args:
        weights: Its checkpoint.
        device: ``cpu`` or ``cuda``.
        batch: Windows a network call.
        halves: Its network, where something else than torch computes it; the checkpoint is not read then.

    Raises:
        WeightsError: The file holds another network.
    """

    side_px = SIDE_PX
    hears = "mfcc"
    outside: int | None = _GREY
    is_lse = True

    def __init__(self, weights: Path, device: str = "cpu", batch: int = BATCH, halves: Halves | None = None) -> None:
        self._device = device
        self._batch = batch
        self._halves = halves or _halves(_load_syncnet(weights), device)

    @staticmethod
    def region(face: F32Array) -> F64Array:
        """Return a square of 2.8 half-sides of the face, shifted down, as syncnet_python's run_pipeline crops it."""
        half = float(max(face[2] - face[0], face[3] - face[1])) / 2
        x, y = float(face[0] + face[2]) / 2, float(face[1] + face[3]) / 2
        wide, below = half * (1 + _CROP_SCALE), half * (1 + 2 * _CROP_SCALE)
        return np.array([x - wide, y - half, x + wide, y + below])

    def lips(self, crops: U8Array) -> F32Array:
        """Return embeddings of crops."""
        return _in_batches(
            crops, lambda part: self._halves.lips(part.permute(0, 4, 1, 2, 3).float()), self._device, self._batch
        )

    def column(self, seconds: F64Array) -> I64Array:
        """Return columns of 10 ms; a frame of 1/25 s is exactly four of them."""
        return np.floor(seconds * 100 + 0.5).astype(np.int64)

    def sound(self, heard: FloatArray, columns: I64Array) -> F32Array:
        """Return embeddings of windows of cepstra; past the audio's ends its first and last column are repeated."""
        place = np.clip(columns[:, None] + np.arange(COLUMNS), 0, len(heard) - 1)
        windows = heard[place].astype(np.float32, copy=False).transpose(0, 2, 1).reshape(-1, 1, CEPSTRA, COLUMNS)
        return _in_batches(windows, self._halves.sound, self._device, self._batch)


class ExpertScorer:
    """A lip-sync expert of Wav2Lip's kind, as it is bundled for drawn faces.

    Args:
        weights: Its checkpoint, of any width.
        device: ``cpu`` or ``cuda``.
        batch: Windows a network call.
        halves: Its network, where something else than torch computes it; the checkpoint is not read then.

    Raises:
        WeightsError: The file holds another network.
    """

    side_px = _EXPERT_SIDE_PX
    hears = "mel"
    outside: int | None = None
    is_lse = False

    def __init__(self, weights: Path, device: str = "cpu", batch: int = BATCH, halves: Halves | None = None) -> None:
        self._device = device
        self._batch = batch
        self._halves = halves or _halves(_load_expert(weights), device)

    @staticmethod
    def region(face: F32Array) -> F64Array:
        """Return the face's box and 10 pixels below it, as experts have seen in training."""
        return face.astype(np.float64) + np.array([0, 0, 0, _EXPERT_BELOW_PX])

    def lips(self, crops: U8Array) -> F32Array:
        """Return embeddings of the lower halves of crops, of length 1."""
        lower = crops[:, :, self.side_px // 2 :]
        with on_one_thread():
            return _in_batches(lower, lambda part: self._halves.lips(stacked_lips(part)), self._device, self._batch)

    def column(self, seconds: F64Array) -> I64Array:
        """Return columns of a mel of 80 a second."""
        return np.floor(seconds * 80 + _SLACK).astype(np.int64)

    def sound(self, heard: FloatArray, columns: I64Array) -> F32Array:
        """Return embeddings of windows of a mel, of length 1; there is silence past its ends."""
        mels = np.stack([window(heard, int(column)) for column in columns])[:, None]
        with on_one_thread():
            return _in_batches(mels, self._halves.sound, self._device, self._batch)


@torch.inference_mode()
def _in_batches(
    given: U8Array | F32Array, embed: Callable[[torch.Tensor], torch.Tensor], device: str, batch: int
) -> F32Array:
    """Return embeddings of what is given, a few at a time."""
    parts = (given[begin : begin + batch] for begin in range(0, len(given), batch))
    with exact_float32():
        return np.concatenate(
            [embed(torch.from_numpy(np.ascontiguousarray(part)).to(device)).cpu().numpy() for part in parts]
        )


_SCORERS: dict[str, type[SyncNetScorer | ExpertScorer]] = {SYNCNET: SyncNetScorer, _EXPERT: ExpertScorer}


@dataclass(frozen=True, slots=True)
class _Crops:
    side_px: int
    outside: int | None
    region: Callable[[F32Array], F64Array]


def lip_crops(network: str) -> LipCrops:
    """Return the crops that the scorer of a network takes; `network` is a registry's name of one."""
    scorer = _SCORERS[network]
    return _Crops(scorer.side_px, scorer.outside, scorer.region)


def load_sync_scorer(
    network: str, weights: Path, device: str = "cpu", batch: int = BATCH, halves: Halves | None = None
) -> SyncScorer:
    """Return the scorer that a network's weights make; `network` is a registry's name of one.

    Args:
        network: The registry's name of the network.
        weights: Its file.
        device: ``cpu`` or ``cuda``.
        batch: Windows a call.
        halves: Its network, where something else than torch computes it.

    Raises:
        WeightsError: The file holds another network.
    """
    return _SCORERS[network](weights, device, batch, halves)


def exported_halves(network: str, sha256: str, weights: Path) -> tuple[Exportable, Exportable]:
    """Return the halves of a scorer's network, lips and audio, for other runtimes.

    Args:
        network: The registry's name of the network.
        sha256: Hash of its file.
        weights: Its file.
    """

    def syncnet(embed: str) -> nn.Module:
        return Half(_load_syncnet(weights), embed)

    def expert(embed: str) -> nn.Module:
        return Half(_load_expert(weights), embed)

    if network == SYNCNET:
        frames, cepstra = (_RGB, FRAMES, SIDE_PX, SIDE_PX), (1, CEPSTRA, COLUMNS)
        return (
            Exportable("syncnet_lips", sha256, partial(syncnet, "embed_lips"), {"frames": frames}),
            Exportable("syncnet_sound", sha256, partial(syncnet, "embed_sound"), {"mfcc": cepstra}),
        )
    lips, mel = (_RGB * FRAMES, _EXPERT_SIDE_PX // 2, _EXPERT_SIDE_PX), (1, MEL_BANDS, WINDOW_COLUMNS)
    return (
        Exportable("expert_lips", sha256, partial(expert, "embed_face"), {"lips": lips}),
        Exportable("expert_sound", sha256, partial(expert, "embed_sound"), {"mel": mel}),
    )


def compiled_half(network: CompiledNetwork, batch: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the function of half a network that another runtime than torch computes.

    Args:
        network: The half, opened for a batch.
        batch: That batch; fewer inputs are filled up to it.
    """

    def embed(part: torch.Tensor) -> torch.Tensor:
        inputs = np.zeros((batch, *part.shape[1:]), np.float32)
        inputs[: len(part)] = part.numpy()
        return torch.from_numpy(network(inputs)[: len(part)].copy())

    return embed


def _halves(network: SyncNet | LipSyncExpert, device: str) -> Halves:
    network.to(device)
    lips = network.embed_lips if isinstance(network, SyncNet) else network.embed_face
    return Halves(lips, network.embed_sound)


def _load_syncnet(weights: Path) -> SyncNet:
    network = SyncNet()
    load_into(network, weights, "SyncNet v2")
    fold_batch_norms(network.eval())
    return network


def _load_expert(weights: Path) -> LipSyncExpert:
    network = load_network(LipSyncExpert, weights, "the lip-sync expert").eval()
    fold_batch_norms(network)
    return network
