"""Lip-sync networks that are ONNX files, of any name: told apart by what they take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from lipwise_ray.cpu_quota import usable_cores
from lipwise_ray.errors import WeightsError
from lipwise_ray.lipsync.audio_features import MEL
from lipwise_ray.lipsync.crop_alignment import Alignment
from lipwise_ray.lipsync.frame_windows import FRAME_BY_FRAME
from lipwise_ray.lipsync.model import CompiledWav2LipSync, LipSync
from lipwise_ray.nets.checkpoint import refuse_non_weights
from lipwise_ray.nets.onnx_layout import OnnxPort, ports_of
from lipwise_ray.nets.onnx_session import blamed_on_network, open_session
from lipwise_ray.nets.runtimes import OPENVINO, CompiledNetwork, Runtime, open_network, refusing
from lipwise_ray.storage.cache import machine_folder
from lipwise_ray.values import F32Array

LipKind = Literal["wav2lip", "edtalk"]

_HEARD = (1, *MEL.shape)
_PAIR, _IMAGE = 6, 3
_MOST_PX = 1024  # twice the largest that is published: a broken size must not fill the memory
_USUAL_WEIGHT = 0.5  # Source: FaceFusion's lip_syncer_weight


@dataclass(frozen=True, slots=True)
class LipLayout:
    """Layout of an ONNX lip-sync network.

    Attributes:
        kind: ``wav2lip`` takes mels (N, 1, 80, 16) and pairs of images (N, 6, S, S): BGR in [0, 1], first those with
            their lower half zeroed. ``edtalk`` takes one mel, one image (1, 3, S, S), RGB in [0, 1], aligned, and the
            weight of the mouth (1,). Both give images like theirs, (N, 3, S, S).
        size_px: Side of its images.
        batch: Faces that it takes at once; None for any number.
        order: Places of mels, images and weight among its inputs.
    """

    kind: LipKind
    size_px: int
    batch: int | None
    order: tuple[int, ...]


class EdTalkLipSync:
    """EDTalk as FaceFusion publishes it: one face a call, aligned as for restorers.

    Args:
        network: Takes a mel, an image and a weight.
        size_px: Side of its images.
        strength: Scale on its weight of the mouth, which is usually 0.5.

    Source: FaceFusion's lip_syncer, forward_edtalk and prepare_crop_frame; differs in: it hears Wav2Lip's own mel.
    """

    feature = MEL
    frames = FRAME_BY_FRAME
    alignment: Alignment = "ffhq"

    def __init__(self, network: CompiledNetwork, size_px: int, strength: float) -> None:
        self.size_px = size_px
        self.batch_faces = 1
        self._network = network
        self._weight = np.array([_USUAL_WEIGHT * strength], np.float32)

    def __call__(self, faces_bgr: F32Array, sounds: F32Array) -> F32Array:
        """Return the faces with new lips."""
        made = [self._drawn(face, mel) for face, mel in zip(faces_bgr, sounds, strict=True)]
        return np.stack(made)

    def _drawn(self, face_bgr: F32Array, mel: F32Array) -> F32Array:
        rgb_nchw = np.ascontiguousarray(face_bgr[None, ..., ::-1].transpose(0, 3, 1, 2), np.float32)
        made = self._network(np.ascontiguousarray(mel[None, None], np.float32), rgb_nchw, self._weight)[0]
        return np.ascontiguousarray(made.transpose(1, 2, 0)[..., ::-1], np.float32)


def open_onnx_lips(
    weights: Path, *, runtime: Runtime, device: str, threads: int, batch_faces: int, strength: float
) -> LipSync:
    """Return a lip-sync network that is an ONNX file, in float32.

    Args:
        weights: The file.
        runtime: ``openvino`` computes with that on a CPU; with any other it is ONNX Runtime.
        device: ``cpu``, or ``cuda`` where ONNX Runtime's build for GPUs is installed; another runs on the CPU.
        threads: Threads that it may use on a CPU; 0 for all cores.
        batch_faces: Faces a call of a network that takes any number.
        strength: Scale on the mouth's movements: of wav2lip on the mel, of edtalk on its weight.

    Raises:
        WeightsError: It is no whole ONNX file, or another network's.
        SetupError: The runtime is not installed, or does not take the network.
    """
    layout = layout_of(weights)
    batch = layout.batch or batch_faces
    if runtime == OPENVINO:
        network = open_network(weights, OPENVINO, batch=batch, threads=threads)
        judged = refusing(OPENVINO)  # ONNX Runtime, for which such files are made, may run it all the same
    else:
        network = _OnnxSession(weights, threads, device)
        judged = blamed_on_network(
            lambda error: _not_lips(weights, f"a network that does not run: {_first_line(error)}")
        )
    with judged:
        ordered = _Ordered(network, weights, layout, batch)
    if layout.kind == "edtalk":
        return EdTalkLipSync(ordered, layout.size_px, strength)
    return CompiledWav2LipSync(ordered, batch, size_px=layout.size_px, strength=strength)


def layout_of(weights: Path) -> LipLayout:
    """Return the layout of an ONNX lip-sync network, by the shapes that it takes.

    Raises:
        WeightsError: It is no whole ONNX file, or another network's.
    """
    refuse_non_weights(weights)
    inputs = ports_of(weights).inputs
    found = _known(inputs)
    if found is None:
        raise _not_lips(weights, f"a network that takes {', '.join(map(str, inputs)) or 'nothing'}")
    return found


def _known(inputs: Sequence[OnnxPort]) -> LipLayout | None:
    """Return the layout of a network by its inputs, None for another one."""
    if not all(one.is_float32 for one in inputs):
        return None
    shapes = [one.shape for one in inputs]
    mels = [place for place, shape in enumerate(shapes) if shape[1:] == _HEARD]
    images = [place for place, shape in enumerate(shapes) if _side_of(shape)]
    if len(mels) != 1 or len(images) != 1:
        return None
    heard, (batch, channels, side, _) = shapes[mels[0]][0], shapes[images[0]]
    others = [place for place in range(len(shapes)) if place not in (mels[0], images[0])]
    assert side is not None  # `_side_of` says so
    if channels == _PAIR and not others and heard == batch:
        return LipLayout("wav2lip", side, batch, (mels[0], images[0]))
    is_weighted = [shapes[place] for place in others] in ([(1,)], [(None,)])
    if channels == _IMAGE and is_weighted and {heard, batch} <= {None, 1}:
        return LipLayout("edtalk", side, 1, (mels[0], images[0], *others))
    return None


def _side_of(shape: tuple[int | None, ...]) -> int:
    """Return the side of square images that an input takes, 0 where it takes none."""
    match shape:
        case (_, 3 | 6, int(height), int(width)) if height == width <= _MOST_PX:
            return height
        case _:
            return 0


class _OnnxSession:
    """A session of ONNX Runtime, on the device that a worker has."""

    def __init__(self, weights: Path, threads: int, device: str) -> None:
        engines = machine_folder() / "engines" if device.startswith("cuda") else None
        self._session = open_session(weights, threads=threads or usable_cores(), device=device, engines=engines)
        self._inputs = [one.name for one in self._session.get_inputs()]
        self._output = self._session.get_outputs()[0].name

    def __call__(self, *inputs: F32Array) -> F32Array:
        """Return the network's first output."""
        (made,) = self._session.run([self._output], dict(zip(self._inputs, inputs, strict=True)))
        return np.asarray(made, np.float32)


class _Ordered:
    """A network that takes mels, images and weight in this order, and gives images in [0, 1].

    Raises:
        WeightsError: It gives something else.
    """

    def __init__(self, network: CompiledNetwork, weights: Path, layout: LipLayout, batch: int) -> None:
        self._network = network
        self._places = np.argsort(layout.order).tolist()
        channels = _PAIR if layout.kind == "wav2lip" else _IMAGE
        side = layout.size_px
        tried = np.zeros((batch, *_HEARD), np.float32), np.zeros((batch, channels, side, side), np.float32)
        made = self(*tried, np.ones(1, np.float32))
        if made.shape != (batch, _IMAGE, side, side):
            raise _not_lips(weights, f"a network that gives {' x '.join(map(str, made.shape))}")
        if not np.isfinite(made).all():
            raise _not_lips(weights, "a network that gives numbers that are not finite")

    def __call__(self, *inputs: F32Array) -> F32Array:
        """Return images in [0, 1]."""
        made = self._network(*(inputs[place] for place in self._places))
        return np.clip(np.asarray(made, np.float32), 0, 1)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _not_lips(weights: Path, got: str) -> WeightsError:
    return WeightsError(
        "not_lips",
        str(weights),
        got=got,
        must="a lip-sync network takes float32: wav2lip N x 1 x 80 x 16 and N x 6 x S x S; edtalk 1 x 1 x 80 x 16, "
        "1 x 3 x S x S and 1",
        do="Use one of the registry: `lipwise-ray models list`",
    )
