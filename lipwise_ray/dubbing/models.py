"""The models a worker keeps resident: loaded once, found again by what they are."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lipwise_ray.dubbing.model_pool import ModelKey, ModelPool, file_bytes, room_for_models
from lipwise_ray.dubbing.transcribing import Recogniser
from lipwise_ray.errors import SetupError
from lipwise_ray.lipsync.model import LipSync, Passthrough, Wav2LipSync
from lipwise_ray.lipsync.parsing import FaceParser
from lipwise_ray.lipsync.restore import Chain, ModelFaces, Restorer, TinyFaces, check_restorer, check_upscaler
from lipwise_ray.nets.image_models import load_image_model
from lipwise_ray.nets.registry import Weights, weights_of
from lipwise_ray.settings import Restore, Settings
from lipwise_ray.values import Json

if TYPE_CHECKING:
    from lipwise_ray.faces.detections import FaceDetector
    from lipwise_ray.faces.sface import SFace
    from lipwise_ray.metrics.inception import Inception
    from lipwise_ray.metrics.judges import Judge
    from lipwise_ray.metrics.sync import SyncJudge

_CPU_BATCH, _GPU_BATCH = 16, 128
_CPU_RESTORED, _GPU_RESTORED = 1, 8
_MEASURED = 16
TINY_RESTORER, SPANDREL = "tiny_restorer", "spandrel"
"""Networks of restorers, as the registry names them; the second stands for all that spandrel loads."""

EXPERT, PARSER, EMBEDDER, SYNCNET = "lipsync_expert", "bisenet", "sface", "syncnet"
INCEPTION = "inception"

PASSTHROUGH = "passthrough"
_Model = TypeVar("_Model")


@dataclass(frozen=True, slots=True)
class DetectorMaker:
    """Makes a face detector from its weights, where it is to run.

    Attributes:
        weights: Its checkpoints.
        min_score: Detections below this score are dropped.
    """

    weights: tuple[Weights, ...]
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
            from lipwise_ray.faces.yunet import YuNet  # noqa: PLC0415  # one detector a worker is loaded

            return YuNet(paths[0], min_score=self.min_score, threads=threads)
        if networks == ["tiny_detector"]:
            from lipwise_ray.faces.tiny import TinyFaces  # noqa: PLC0415  # one detector a worker is loaded

            return TinyFaces(paths[0], min_score=self.min_score, device=device)
        if networks == ["s3fd", "fan_2d"]:
            from lipwise_ray.faces.s3fd import S3fd  # noqa: PLC0415  # one detector a worker is loaded

            return S3fd(paths[0], paths[1], min_score=self.min_score, device=device)
        raise SetupError("no_detector", "detect.detector", "must be one that the worker knows", str(networks))


class Models:
    """Makes models on first use and keeps them.

    Args:
        device: ``cpu`` or ``cuda``.
        threads: Threads a model may use on a CPU.
        place: Says where a checkpoint is on this machine.
        room: Says how many bytes the checkpoints of models that are kept may have; it goes by the memory there is.
    """

    def __init__(
        self,
        device: str,
        threads: int,
        place: Callable[[Json], Path] = lambda one: Path(one["path"]),
        room: Callable[[], int] | None = None,
    ) -> None:
        self.device = device
        self._place = place
        self._threads = threads
        self._room = room or partial(room_for_models, device, threads)
        self._known_pool: ModelPool | None = None
        self._told_bfloat16: bool | None = None
        self.load_s = 0.0

    @property
    def _pool(self) -> ModelPool:
        """The models that are kept; a worker that asks for none does not ask the GPU for its memory."""
        if self._known_pool is None:
            self._known_pool = ModelPool(self._room())
        return self._known_pool

    def lipsync(self, settings: Settings, weights: Json, *, squeeze: int = 0) -> LipSync:
        """Return the lip-sync model of a job.

        Args:
            settings: The job's.
            weights: Its checkpoints.
            squeeze: How often its batches are halved, for want of memory.

        Raises:
            WeightsError: The checkpoint cannot be used.
        """
        batch = settings.lipsync.batch_frames or (_CPU_BATCH if self.device == "cpu" else _GPU_BATCH)
        batch = max(1, batch >> squeeze)
        if settings.lipsync.model == PASSTHROUGH:
            return Passthrough(batch_faces=batch)
        reference = weights["lipsync"]
        bfloat16 = self._bfloat16
        key = ("lipsync", reference["sha256"], settings.lipsync.precision, bfloat16, batch)
        path, precision = self._place(reference), settings.lipsync.precision

        def make() -> LipSync:
            return Wav2LipSync(path, device=self.device, precision=precision, batch_faces=batch, bfloat16=bfloat16)

        return self._kept(key, [reference], make, squeeze)

    def restorer(self, settings: Settings, weights: Json, *, squeeze: int = 0) -> Restorer | None:
        """Return the restorer of a job, its upscaler of faces behind it, or None where neither is asked for.

        Args:
            settings: The job's.
            weights: Its checkpoints.
            squeeze: How often its batches are halved, for want of memory.

        Raises:
            WeightsError: A checkpoint cannot be used.
            SettingsError: It is of another kind.
        """
        told = settings.restore
        references = [weights.get("restorer"), weights.get("upscaler") if told.upscale.scope == "face" else None]
        if not any(references):
            return None
        batch = self._restored_batch(told, squeeze)
        hashes = (reference and reference["sha256"] for reference in references)
        key = ("restorer", *hashes, told.precision, self._bfloat16, told.fidelity, batch)
        restorer, upscaler = references
        used = [reference for reference in references if reference]
        return self._kept(key, used, lambda: self._make_restorer(told, restorer, upscaler, batch), squeeze)

    def _make_restorer(self, told: Restore, restorer: Json | None, upscaler: Json | None, batch: int) -> Restorer:
        made: Restorer | None = None
        if restorer and restorer["network"] == TINY_RESTORER:
            made = TinyFaces(self._place(restorer), device=self.device, batch_faces=batch)
        elif restorer:
            model = check_restorer(load_image_model(self._place(restorer), told.fidelity), restorer["path"])
            made = ModelFaces(
                model, device=self.device, precision=told.precision, batch_faces=batch, bfloat16=self._bfloat16
            )
        if upscaler is None:
            assert made is not None  # one of the two is asked for
            return made
        larger = self._upscaler(upscaler, told, batch)
        return Chain(made, larger) if made else larger

    def upscaler(self, settings: Settings, weights: Json, *, squeeze: int = 0) -> ModelFaces | None:
        """Return the network that enlarges a job's frames, or None where none is asked for.

        Raises:
            WeightsError: The checkpoint cannot be used.
            SettingsError: It is of another kind.
        """
        told, reference = settings.restore, weights.get("upscaler")
        if reference is None or told.upscale.scope == "face":
            return None
        batch = self._restored_batch(told, squeeze)
        key = ("upscaler", reference["sha256"], told.precision, self._bfloat16, told.upscale.tile_px, batch)
        tile_px = told.upscale.tile_px
        return self._kept(key, [reference], lambda: self._upscaler(reference, told, batch, tile_px), squeeze)

    def _upscaler(self, reference: Json, told: Restore, batch: int, size_px: int = 0) -> ModelFaces:
        model = check_upscaler(load_image_model(self._place(reference)), reference["path"])
        return ModelFaces(
            model,
            device=self.device,
            precision=told.precision,
            batch_faces=batch,
            size_px=size_px,
            bfloat16=self._bfloat16,
        )

    def _restored_batch(self, told: Restore, squeeze: int) -> int:
        batch = told.batch_faces or (_CPU_RESTORED if self.device == "cpu" else _GPU_RESTORED)
        return max(1, batch >> squeeze)

    def detector(self, settings: Settings, weights: Json) -> FaceDetector:
        """Return the face detector of a job.

        Raises:
            WeightsError: The checkpoint cannot be used.
            SetupError: The detector's package is not installed.
        """
        references = weights["detector"]
        key = ("detector", *(ref["sha256"] for ref in references), settings.detect.min_score)
        found = tuple(replace(weights_of(reference), path=self._place(reference)) for reference in references)
        maker = DetectorMaker(found, settings.detect.min_score)
        return self._kept(key, references, lambda: maker(device=self.device, threads=self._threads))

    def parser(self, settings: Settings, weights: Json, *, squeeze: int = 0) -> FaceParser | None:
        """Return what keeps things in front of a job's faces out of their masks, or None where that is not asked for.

        Raises:
            WeightsError: The checkpoint cannot be used.
        """
        reference = weights.get("parser")
        if reference is None:
            return None
        batch = self._restored_batch(settings.restore, squeeze)
        bfloat16 = self._bfloat16
        key = ("parser", reference["sha256"], settings.lipsync.precision, bfloat16, batch)
        path, precision = self._place(reference), settings.lipsync.precision

        def make() -> FaceParser:
            return FaceParser(path, device=self.device, precision=precision, batch_faces=batch, bfloat16=bfloat16)

        return self._kept(key, [reference], make, squeeze)

    def judge(self, weights: Json) -> SyncJudge:
        """Return the expert that tells who speaks.

        Raises:
            WeightsError: The checkpoint cannot be used.
        """
        reference = weights["expert"]

        def make() -> SyncJudge:
            from lipwise_ray.metrics.sync import SyncJudge  # noqa: PLC0415  # loads torch

            return SyncJudge(self._place(reference), self.device)

        return self._kept(("judge", reference["sha256"]), [reference], make)

    def scorer(self, weights: Json, *, squeeze: int = 0) -> Judge:
        """Return the network that scores finished videos.

        Args:
            weights: The job's.
            squeeze: How often its batches are halved, for want of memory.

        Raises:
            WeightsError: The checkpoint cannot be used.
        """
        reference = weights["judge"]
        batch = max(1, _MEASURED >> squeeze)

        def make() -> Judge:
            from lipwise_ray.metrics.judges import load_judge  # noqa: PLC0415  # loads torch

            return load_judge(reference["network"], self._place(reference), self.device, batch)

        return self._kept(("scorer", reference["sha256"], batch), [reference], make, squeeze)

    def embedder(self, weights: Json) -> SFace:
        """Return the network that tells people apart.

        Raises:
            WeightsError: The file cannot be used.
        """
        reference = weights["embedder"]

        def make() -> SFace:
            from lipwise_ray.faces.sface import SFace  # noqa: PLC0415  # only where faces are compared

            return SFace(self._place(reference), threads=self._threads)

        return self._kept(("embedder", reference["sha256"]), [reference], make)

    def inception(self, weights: Json, *, squeeze: int = 0) -> Inception:
        """Return the network whose features the Fréchet distance is of.

        Args:
            weights: The row's.
            squeeze: How often its batches are halved, for want of memory.

        Raises:
            WeightsError: The file cannot be used.
        """
        reference = weights["inception"]
        batch = max(1, _MEASURED >> squeeze)

        def make() -> Inception:
            from lipwise_ray.metrics.inception import Inception  # noqa: PLC0415  # loads torch

            return Inception(self._place(reference), self.device, batch)

        return self._kept(("inception", reference["sha256"], batch), [reference], make, squeeze)

    def recogniser(self, folder: Path) -> Recogniser:
        """Return what tells what is said.

        Raises:
            SettingsError: The model cannot be used, or the extra is not installed.
        """

        def make() -> Recogniser:
            return Recogniser(folder, self.device, self._threads)

        return self._pool.get(("recogniser", str(folder)), lambda: self._made(make), lambda: file_bytes(folder))

    def _kept(self, key: ModelKey, references: list[Json], make: Callable[[], _Model], squeeze: int = 0) -> _Model:
        """Return a model, made on first use; memory that ran short is given back first."""
        if squeeze and key not in self._pool:
            self._pool.give_up_other_batches(key)
        return self._pool.get(
            key, lambda: self._made(make), lambda: sum(file_bytes(self._place(reference)) for reference in references)
        )

    def _made(self, make: Callable[[], _Model]) -> _Model:
        begin = time.perf_counter()
        self._set_threads()
        model = make()
        self.load_s += time.perf_counter() - begin
        return model

    def begin_task(self, *, bfloat16: bool | None = None) -> None:
        """Let models go, should room be needed, that the task before has asked for.

        Args:
            bfloat16: Whether number formats that are left to themselves may be bfloat16; None asks the hardware.
        """
        self._told_bfloat16 = bfloat16
        self._pool.begin_task()

    @property
    def _bfloat16(self) -> bool:
        if self._told_bfloat16 is not None:
            return self._told_bfloat16
        from lipwise_ray.nets.precision import has_bfloat16  # noqa: PLC0415  # loads torch

        return has_bfloat16(self.device)

    def trim(self) -> None:
        """Give back what can be, after a task that ran out of memory: other tasks' models, the allocator's reserve.

        What the failed task's own frames hold cannot be given back: they have to be cleared before.
        """
        self._pool.give_up_unheld()
        gc.collect()
        if self.device == "cuda":
            import torch  # noqa: PLC0415  # only where a network runs

            torch.cuda.empty_cache()

    def _set_threads(self) -> None:
        if self._threads and self.device == "cpu":
            import torch  # noqa: PLC0415  # only where a network runs

            torch.set_num_threads(self._threads)
