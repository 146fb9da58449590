"""MediaPipe's Face Landmarker, through LiteRT or ONNX Runtime: 478 points of a face, of which the lower half counts."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lipwise_ray.errors import SetupError, WeightsError
from lipwise_ray.faces.landmarker import FaceView
from lipwise_ray.nets.checkpoint import refuse_non_weights
from lipwise_ray.nets.onnx_session import broken_networks, open_session
from lipwise_ray.values import F32Array

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_MEMBER = "face_landmarks_detector.tflite"
_SIDE_PX, _POINTS = 256, 478
_PRESENT_LOGIT, _PRESENT = 0.0, 0.5
_VIEW = FaceView(4.2, (0.0, -0.28, -0.35))  # the middle of a detector's box, of which it shows 1.4
_LEAST_EXTENT_PX = 2.0
_FLOAT = "tensor(float)"
_LEFT = (
    *(234, 93, 132, 58, 172, 136, 150, 149, 176, 148),
    *(61, 146, 91, 181, 84, 185, 40, 39, 37),
    *(101, 207, 48, 50, 214, 206, 210, 194, 208),
)
_MIDDLE = (4, 19, 2, 164, 0, 17, 18, 200, 199, 152)
_RIGHT = (
    *(454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(291, 375, 321, 405, 314, 409, 270, 269, 267),
    *(330, 427, 278, 280, 434, 426, 430, 418, 428),
)
MESH = np.array([*_LEFT, *_MIDDLE, *_RIGHT])
"""Numbers of the points of `lower_face.LOWER_FACE` in MediaPipe's face mesh."""


class MediaPipeLandmarker:
    """The `face_landmarker` network, on one thread of the CPU.

    Args:
        weights: MediaPipe's task file, or the network for landmarks that is in it.

    Raises:
        SetupError: The package ai-edge-litert is not installed.
        WeightsError: The file is no such network.
    """

    size_px = _SIDE_PX
    view = _VIEW

    def __init__(self, weights: Path) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise SetupError(
                "no_litert",
                "faces.landmarks",
                got=f"the package ai-edge-litert cannot be imported ({error})",
                do="Run `pip install 'lipwise-ray[landmarks]'`, or use faces.landmarks = none",
            ) from error
        refuse_non_weights(weights)
        try:
            self._network: Any = Interpreter(model_content=_model_in(weights), num_threads=1)
            self._network.allocate_tensors()
            self._input, self._mesh, self._presence = _tensors(self._network)
        except (ValueError, RuntimeError, zipfile.BadZipFile) as error:
            raise WeightsError(
                "not_face_landmarker",
                str(weights),
                got=f"not MediaPipe's Face Landmarker: {str(error).splitlines()[0] if str(error) else error!r}",
                must=f"its network takes 1 x {_SIDE_PX} x {_SIDE_PX} x 3 and gives {_POINTS} points",
                do="Run `lipwise-ray models pull face_landmarker`",
            ) from error

    def __call__(self, view_bgr: F32Array) -> F32Array | None:
        """Return the points of the mesh of the lower face, in pixels of the view, shape (M, 2); None without a face."""
        self._network.set_tensor(self._input, np.ascontiguousarray(view_bgr[None, ..., ::-1], np.float32))
        self._network.invoke()
        if float(self._network.get_tensor(self._presence).ravel()[0]) < _PRESENT_LOGIT:
            return None
        points = self._network.get_tensor(self._mesh).reshape(_POINTS, 3)
        return np.asarray(points[MESH, :2], np.float32)


class OnnxLandmarker:
    """The same network as an ONNX file, on the CPU, or on a GPU where ONNX Runtime's build for those is installed.

    It takes an RGB image in [0, 1] with its channels last or first, and gives the points in pixels and, where it has a
    second output of one number, the presence of a face: a logit, or, if it is not below 0 for a black image, a
    probability.

    Args:
        weights: The ONNX file.
        device: ``cpu`` or ``cuda``.

    Raises:
        WeightsError: The file is no such network.
    """

    size_px = _SIDE_PX
    view = _VIEW

    def __init__(self, weights: Path, *, device: str = "cpu") -> None:
        refuse_non_weights(weights)
        self._session = open_session(weights, device=device)
        self._input, self._channels_first = _image_input(weights, self._session)
        names = sorted(one.name for one in self._session.get_outputs())
        black = np.zeros((_SIDE_PX, _SIDE_PX, 3), np.float32)
        try:
            given = {name: self._run([name], black)[0] for name in names}
        except broken_networks() as error:
            raise _other_layout(weights, f"does not run: {str(error).splitlines()[0]}") from error
        meshes = [name for name, array in given.items() if array.squeeze().shape in {(3 * _POINTS,), (_POINTS, 3)}]
        if len(meshes) != 1:
            raise _other_layout(weights, f"gives {', '.join(_sides(array.shape) for array in given.values())} numbers")
        extent_px = float(np.ptp(given[meshes[0]].reshape(_POINTS, 3)[:, :2]))
        if not extent_px >= _LEAST_EXTENT_PX:  # NaN is not either
            raise _other_layout(weights, f"gives points within {extent_px:.2g} px of each other")
        presence = [name for name in names if given[name].size == 1][:1]
        self._outputs = [*meshes, *presence]
        is_logit = bool(presence) and float(given[presence[0]].ravel()[0]) < _PRESENT_LOGIT
        self._present = _PRESENT_LOGIT if is_logit else _PRESENT

    def __call__(self, view_bgr: F32Array) -> F32Array | None:
        """Return the points of the mesh of the lower face, in pixels of the view, shape (M, 2); None without a face."""
        mesh, *presence = self._run(self._outputs, np.asarray(view_bgr[..., ::-1], np.float32))
        if presence and float(presence[0].ravel()[0]) < self._present:
            return None
        return np.asarray(mesh.reshape(_POINTS, 3)[MESH, :2], np.float32)

    def _run(self, names: list[str], view_rgb: F32Array) -> list[F32Array]:
        image = view_rgb.transpose(2, 0, 1) if self._channels_first else view_rgb
        return [np.asarray(one) for one in self._session.run(names, {self._input: np.ascontiguousarray(image[None])})]


def _image_input(weights: Path, session: InferenceSession) -> tuple[str, bool]:
    """Return the name of a network's one input, and whether its channels come first.

    Raises:
        WeightsError: It takes something else.
    """
    taken = session.get_inputs()
    shape = list(taken[0].shape)
    layouts = {(_SIDE_PX, _SIDE_PX, 3): False, (3, _SIDE_PX, _SIDE_PX): True}
    is_one = not isinstance(shape[0], int) or shape[0] in {1, -1}
    if len(taken) != 1 or taken[0].type != _FLOAT or not is_one or tuple(shape[1:]) not in layouts:
        what = ", ".join(f"{_sides(one.shape)} {one.type.removeprefix('tensor')[1:-1]}s" for one in taken)
        raise _other_layout(weights, f"takes {what}")
    return taken[0].name, layouts[tuple(shape[1:])]


def _sides(shape: Sequence[object]) -> str:
    return " x ".join(str(one) for one in shape) or "1"


def _other_layout(weights: Path, what: str) -> WeightsError:
    side = _SIDE_PX
    return WeightsError(
        "not_face_landmarker",
        str(weights),
        got=f"not MediaPipe's Face Landmarker: it {what}",
        must=f"one takes 1 x {side} x {side} x 3 or 1 x 3 x {side} x {side} floats and gives {_POINTS} x 3, in pixels",
        do="Convert face_landmarks_detector.tflite of its task file, or leave faces.landmarks_checkpoint out",
    )


def _model_in(weights: Path) -> bytes:
    """Return the bytes of the network for landmarks: the file's, unless it is an archive that holds one.

    Networks may be archives too: of what is said about them.

    Raises:
        BadZipFile: It is damaged.
    """
    if zipfile.is_zipfile(weights):
        with zipfile.ZipFile(weights) as archive:
            if _MEMBER in archive.namelist():
                return archive.read(_MEMBER)
    return weights.read_bytes()


def _tensors(network: Any) -> tuple[int, int, int]:  # noqa: ANN401  # the package has no types
    """Return the numbers of the tensors for the image, the points and their presence.

    Raises:
        ValueError: The network is of another layout.
    """
    images = [one["index"] for one in network.get_input_details() if tuple(one["shape"]) == (1, _SIDE_PX, _SIDE_PX, 3)]
    sizes = {one["index"]: int(np.prod(one["shape"])) for one in network.get_output_details()}
    meshes = [index for index, size in sizes.items() if size == 3 * _POINTS]
    logits = sorted((one["name"], one["index"]) for one in network.get_output_details() if sizes[one["index"]] == 1)
    if len(images) != 1 or len(meshes) != 1 or not logits:
        shapes = [tuple(int(n) for n in one["shape"]) for one in network.get_input_details()]
        raise ValueError(f"it takes {shapes} and gives {sorted(sizes.values())} numbers")
    return images[0], meshes[0], logits[0][1]
