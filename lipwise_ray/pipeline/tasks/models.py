"""The models a worker keeps resident: loaded once, found again by what they are."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lipwise_ray.errors import SetupError
from lipwise_ray.lipsync.model import LipSync, Passthrough, Wav2LipSync
from lipwise_ray.lipsync.parsing import FaceParser
from lipwise_ray.lipsync.restore import Chain, ModelFaces, Restorer, TinyRestorer, check_restorer, check_upscaler
from lipwise_ray.models.checkpoints import Checkpoint, Checkpoints
from lipwise_ray.models.roles import PASSTHROUGH, ROLES, TINY_RESTORER, RoleName
from lipwise_ray.nets.image_models import load_image_model
from lipwise_ray.pipeline.analysis.transcription import Recogniser
from lipwise_ray.pipeline.tasks.model_pool import ModelKey, ModelPool, file_bytes, room_for_models
from lipwise_ray.settings.model import RestoreSettings, Settings

if TYPE_CHECKING:
    from lipwise_ray.faces.detections import FaceDetector
    from lipwise_ray.faces.sface import SFace
    from lipwise_ray.metrics.inception import Inception
    from lipwise_ray.metrics.sync import SpeakerExpert
    from lipwise_ray.metrics.sync_scorers import SyncScorer

_CPU_BATCH, _GPU_BATCH = 16, 128
_CPU_RESTORED, _GPU_RESTORED = 1, 8
_MEASURED = 16
_NO_BATCH = None

_Model = TypeVar("_Model")


@dataclass(frozen=True, slots=True)
class DetectorMaker:
    """Makes a face detector from its weights, where it is to run.

    Attributes:
        weights: Its checkpoints.
        min_score: Detections below this score are dropped.
    """

    weights: tuple[Checkpoint, ...]
    min_score: float

    def __call__(self, device: str = "cpu", threads: int = 1) -> FaceDetector:
        """Return the detector.

        Raises:
            WeightsError: A checkpoint cannot be used.
            SetupError: The detector's package is not installed.
        """
        networks = [one.network for one in self.weights]
        paths = [one.path for one in self.weights]
        if networks == ["yunet"]:
            from lipwise_ray.faces.yunet import YuNet

            return YuNet(paths[0], min_score=self.min_score, threads=threads)
        if networks == ["tiny_detector"]:
            from lipwise_ray.faces.tiny import TinyDetector

            return TinyDetector(paths[0], min_score=self.min_score, device=device)
        if networks == ["s3fd", "fan_2d"]:
            from lipwise_ray.faces.s3fd import S3fd

            return S3fd(paths[0], paths[1], min_score=self.min_score, device=device)
        raise SetupError(
            "no_detector", "detect.detector", got=f"this worker knows no detector of {' and '.join(networks)}"
        )


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """Request of a task for models.

    Attributes:
        settings: The job's.
        checkpoints: The job's.
        batch_halvings: Number of times that batches are halved, for want of memory.
    """

    settings: Settings
    checkpoints: Checkpoints
    batch_halvings: int = 0

    def batch(self, usual: int) -> int:
        """Return a batch for the memory there is."""
        return max(1, usual >> self.batch_halvings)


_Loader = TypeVar("_Loader", bound=Callable[["Models", ModelRequest], object])
LOADERS: dict[RoleName, list[Callable[[Models, ModelRequest], object]]] = {}
"""Loaders by role, which make models of its checkpoints."""


def loads(*roles: RoleName) -> Callable[[_Loader], _Loader]:
    """Register a loader by the roles of the checkpoints that it makes its model of."""

    def register(loader: _Loader) -> _Loader:
        for role in roles:
            LOADERS.setdefault(role, []).append(loader)
        return loader

    return register


class Models:
    """Makes models on first use and keeps them.

    Every loader raises WeightsError where a checkpoint cannot be used.

    Args:
        device: ``cpu`` or ``cuda``.
        threads: Threads a model may use on a CPU.
        locate: Says where a checkpoint is on this machine.
        room: Says how many bytes the checkpoints of models that are kept may have; it goes by the memory there is.
    """

    def __init__(
        self,
        device: str,
        threads: int,
        locate: Callable[[Checkpoint], Path] = attrgetter("path"),
        room: Callable[[], int] | None = None,
    ) -> None:
        self.device = device
        self._locate = locate
        self._threads = threads
        self._room = room or partial(room_for_models, device, threads)
        self._known_pool: ModelPool | None = None
        self._told_bfloat16: bool | None = None

    @property
    def _pool(self) -> ModelPool:
        """The models that are kept; a worker that asks for none does not ask the GPU for its memory."""
        if self._known_pool is None:
            self._known_pool = ModelPool(self._room())
        return self._known_pool

    def load(self, request: ModelRequest) -> None:
        """Load the models of all roles that have checkpoints."""
        for role in ROLES:
            if role in request.checkpoints:
                for loader in LOADERS[role]:
                    loader(self, request)

    @loads("lipsync")
    def lipsync(self, request: ModelRequest) -> LipSync:
        """Return the lip-sync model of a job."""
        settings = request.settings.lipsync
        batch = request.batch(settings.batch_frames or (_CPU_BATCH if self.device == "cpu" else _GPU_BATCH))
        if settings.model == PASSTHROUGH:
            return Passthrough(batch_faces=batch)
        checkpoint, precision, bfloat16 = request.checkpoints.needed("lipsync"), settings.precision, self._bfloat16
        path = self._locate(checkpoint)

        def make() -> LipSync:
            return Wav2LipSync(path, device=self.device, precision=precision, batch_faces=batch, bfloat16=bfloat16)

        key = ("lipsync", checkpoint.sha256, precision, bfloat16, batch)
        return self._kept(key, [checkpoint], make, request)

    @loads("restorer", "upscaler")
    def restorer(self, request: ModelRequest) -> Restorer | None:
        """Return the restorer of a job, its upscaler of faces behind it, or None where neither is asked for.

        Raises:
            SettingsError: A checkpoint is of another kind.
        """
        settings = request.settings.restore
        restorer = request.checkpoints.one("restorer")
        upscaler = request.checkpoints.one("upscaler") if settings.upscale.scope == "face" else None
        used = [one for one in (restorer, upscaler) if one]
        if not used:
            return None
        batch = self._restored_batch(request)
        hashes = (one and one.sha256 for one in (restorer, upscaler))
        key = ("restorer", *hashes, settings.precision, self._bfloat16, settings.fidelity, batch)
        return self._kept(key, used, lambda: self._make_restorer(settings, restorer, upscaler, batch), request)

    def _make_restorer(
        self, settings: RestoreSettings, restorer: Checkpoint | None, upscaler: Checkpoint | None, batch: int
    ) -> Restorer:
        made: Restorer | None = None
        if restorer and restorer.network == TINY_RESTORER:
            made = TinyRestorer(self._locate(restorer), device=self.device, batch_faces=batch)
        elif restorer:
            model = check_restorer(load_image_model(self._locate(restorer), settings.fidelity), str(restorer.path))
            made = ModelFaces(
                model, device=self.device, precision=settings.precision, batch_faces=batch, bfloat16=self._bfloat16
            )
        if upscaler is None:
            assert made is not None  # one of the two is asked for
            return made
        larger = self._upscaler(upscaler, settings, batch)
        return Chain(made, larger) if made else larger

    @loads("upscaler")
    def upscaler(self, request: ModelRequest) -> ModelFaces | None:
        """Return the network that enlarges a job's frames, or None where none is asked for.

        Raises:
            SettingsError: The checkpoint is of another kind.
        """
        settings, checkpoint = request.settings.restore, request.checkpoints.one("upscaler")
        if checkpoint is None or settings.upscale.scope == "face":
            return None
        batch, tile_px = self._restored_batch(request), settings.upscale.tile_px
        key = ("upscaler", checkpoint.sha256, settings.precision, self._bfloat16, tile_px, batch)
        return self._kept(key, [checkpoint], lambda: self._upscaler(checkpoint, settings, batch, tile_px), request)

    def _upscaler(self, checkpoint: Checkpoint, settings: RestoreSettings, batch: int, size_px: int = 0) -> ModelFaces:
        model = check_upscaler(load_image_model(self._locate(checkpoint)), str(checkpoint.path))
        return ModelFaces(
            model,
            device=self.device,
            precision=settings.precision,
            batch_faces=batch,
            size_px=size_px,
            bfloat16=self._bfloat16,
        )

    def _restored_batch(self, request: ModelRequest) -> int:
        usual = _CPU_RESTORED if self.device == "cpu" else _GPU_RESTORED
        return request.batch(request.settings.restore.batch_faces or usual)

    @loads("detector")
    def detector(self, request: ModelRequest) -> FaceDetector:
        """Return the face detector of a job.

        Raises:
            SetupError: The detector's package is not installed.
        """
        checkpoints, min_score = request.checkpoints.all("detector"), request.settings.detect.min_score

        def make() -> FaceDetector:
            here = tuple(replace(one, path=self._locate(one)) for one in checkpoints)
            return DetectorMaker(here, min_score)(device=self.device, threads=self._threads)

        key = ("detector", *(one.sha256 for one in checkpoints), min_score, _NO_BATCH)
        return self._kept(key, checkpoints, make, request)

    @loads("parser")
    def parser(self, request: ModelRequest) -> FaceParser | None:
        """Return the parser that keeps things in front of a job's faces out of their masks; None without one."""
        checkpoint = request.checkpoints.one("parser")
        if checkpoint is None:
            return None
        batch, precision, bfloat16 = self._restored_batch(request), request.settings.lipsync.precision, self._bfloat16
        path = self._locate(checkpoint)

        def make() -> FaceParser:
            return FaceParser(path, device=self.device, precision=precision, batch_faces=batch, bfloat16=bfloat16)

        key = ("parser", checkpoint.sha256, precision, bfloat16, batch)
        return self._kept(key, [checkpoint], make, request)

    @loads("expert")
    def speaker_expert(self, request: ModelRequest) -> SpeakerExpert:
        """Return the expert that tells who speaks."""
        checkpoint = request.checkpoints.needed("expert")

        def make() -> SpeakerExpert:
            from lipwise_ray.metrics.sync import SpeakerExpert

            return SpeakerExpert(self._locate(checkpoint), self.device)

        return self._kept(("expert", checkpoint.sha256, _NO_BATCH), [checkpoint], make, request)

    @loads("judge")
    def sync_scorer(self, request: ModelRequest) -> SyncScorer:
        """Return the network that scores finished videos."""
        checkpoint, batch = request.checkpoints.needed("judge"), request.batch(_MEASURED)

        def make() -> SyncScorer:
            from lipwise_ray.metrics.sync_scorers import load_sync_scorer

            return load_sync_scorer(checkpoint.network, self._locate(checkpoint), self.device, batch)

        return self._kept(("judge", checkpoint.sha256, batch), [checkpoint], make, request)

    @loads("embedder")
    def embedder(self, request: ModelRequest) -> SFace:
        """Return the network that tells people apart."""
        checkpoint = request.checkpoints.needed("embedder")

        def make() -> SFace:
            from lipwise_ray.faces.sface import SFace

            return SFace(self._locate(checkpoint), threads=self._threads)

        return self._kept(("embedder", checkpoint.sha256, _NO_BATCH), [checkpoint], make, request)

    @loads("inception")
    def inception(self, request: ModelRequest) -> Inception:
        """Return the network whose features the Fréchet distance is of."""
        checkpoint, batch = request.checkpoints.needed("inception"), request.batch(_MEASURED)

        def make() -> Inception:
            from lipwise_ray.metrics.inception import Inception

            return Inception(self._locate(checkpoint), self.device, batch)

        return self._kept(("inception", checkpoint.sha256, batch), [checkpoint], make, request)

    def recogniser(self, folder: Path) -> Recogniser:
        """Return the speech recogniser.

        Raises:
            SettingsError: The model cannot be used, or the extra is not installed.
        """

        def make() -> Recogniser:
            return Recogniser(folder, self.device, self._threads)

        return self._pool.get(("recogniser", str(folder)), lambda: self._made(make), lambda: file_bytes(folder))

    def _kept(
        self, key: ModelKey, checkpoints: Sequence[Checkpoint], make: Callable[[], _Model], request: ModelRequest
    ) -> _Model:
        """Return a model, made on first use; memory that ran short is given back first."""
        if request.batch_halvings and key not in self._pool:
            self._pool.give_up_other_batches(key)
        return self._pool.get(
            key, lambda: self._made(make), lambda: sum(file_bytes(self._locate(one)) for one in checkpoints)
        )

    def _made(self, make: Callable[[], _Model]) -> _Model:
        self._set_threads()
        return make()

    def begin_task(self, *, bfloat16: bool | None = None) -> None:
        """Let models go, should room be needed, that the task before has asked for.

        Args:
            bfloat16: True where number formats that are left to themselves may be bfloat16; None asks the hardware.
        """
        self._told_bfloat16 = bfloat16
        self._pool.begin_task()

    @property
    def _bfloat16(self) -> bool:
        if self._told_bfloat16 is not None:
            return self._told_bfloat16
        from lipwise_ray.nets.precision import has_bfloat16

        return has_bfloat16(self.device)

    def trim(self) -> None:
        """Give back what can be, after a task that ran out of memory: other tasks' models, the allocator's reserve.

        What the failed task's own frames hold cannot be given back: they have to be cleared before.
        """
        self._pool.give_up_unheld()
        gc.collect()
        if self.device == "cuda":
            import torch

            torch.cuda.empty_cache()

    def _set_threads(self) -> None:
        if self._threads and self.device == "cpu":
            import torch

            torch.set_num_threads(self._threads)
