"""The models a worker keeps resident: loaded once, found again by what they are."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    from lipwise_ray.metrics.judges import Judge
    from lipwise_ray.metrics.sync import SyncJudge

_CPU_BATCH, _GPU_BATCH = 16, 128
_CPU_RESTORED, _GPU_RESTORED = 1, 8
TINY_RESTORER, SPANDREL = "tiny_restorer", "spandrel"
"""Networks of restorers, as the registry names them; the second stands for all that spandrel loads."""

EXPERT, PARSER, EMBEDDER, SYNCNET = "lipsync_expert", "bisenet", "sface", "syncnet"

PASSTHROUGH = "passthrough"


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
    """

    def __init__(self, device: str, threads: int) -> None:
        self.device = device
        self._threads = threads
        self._lipsync: dict[tuple[object, ...], LipSync] = {}
        self._restorers: dict[tuple[object, ...], Restorer] = {}
        self._upscalers: dict[tuple[object, ...], ModelFaces] = {}
        self._parsers: dict[tuple[object, ...], FaceParser] = {}
        self._judges: dict[str, SyncJudge] = {}
        self._scorers: dict[str, Judge] = {}
        self._embedders: dict[str, SFace] = {}
        self._detectors: dict[tuple[object, ...], FaceDetector] = {}
        self.load_s = 0.0

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
        key = (reference["sha256"], settings.lipsync.precision, batch)
        if key not in self._lipsync:
            _make_room(self._lipsync, key, squeeze)
            begin = time.perf_counter()
            self._set_threads()
            self._lipsync[key] = Wav2LipSync(
                Path(reference["path"]),
                device=self.device,
                precision=settings.lipsync.precision,
                batch_faces=batch,
            )
            self.load_s += time.perf_counter() - begin
        return self._lipsync[key]

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
        key = (*hashes, told.precision, told.fidelity, batch)
        if key not in self._restorers:
            _make_room(self._restorers, key, squeeze)
            begin = time.perf_counter()
            self._set_threads()
            self._restorers[key] = self._make_restorer(told, references[0], references[1], batch)
            self.load_s += time.perf_counter() - begin
        return self._restorers[key]

    def _make_restorer(self, told: Restore, restorer: Json | None, upscaler: Json | None, batch: int) -> Restorer:
        made: Restorer | None = None
        if restorer and restorer["network"] == TINY_RESTORER:
            made = TinyFaces(Path(restorer["path"]), device=self.device, batch_faces=batch)
        elif restorer:
            model = check_restorer(load_image_model(Path(restorer["path"]), told.fidelity), restorer["path"])
            made = ModelFaces(model, device=self.device, precision=told.precision, batch_faces=batch)
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
        key = (reference["sha256"], told.precision, told.upscale.tile_px, batch)
        if key not in self._upscalers:
            _make_room(self._upscalers, key, squeeze)
            begin = time.perf_counter()
            self._set_threads()
            self._upscalers[key] = self._upscaler(reference, told, batch, told.upscale.tile_px)
            self.load_s += time.perf_counter() - begin
        return self._upscalers[key]

    def _upscaler(self, reference: Json, told: Restore, batch: int, size_px: int = 0) -> ModelFaces:
        model = check_upscaler(load_image_model(Path(reference["path"])), reference["path"])
        return ModelFaces(model, device=self.device, precision=told.precision, batch_faces=batch, size_px=size_px)

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
        key = (*(ref["sha256"] for ref in references), settings.detect.min_score)
        if key not in self._detectors:
            begin = time.perf_counter()
            self._set_threads()
            maker = DetectorMaker(tuple(weights_of(ref) for ref in references), settings.detect.min_score)
            self._detectors[key] = maker(device=self.device, threads=self._threads)
            self.load_s += time.perf_counter() - begin
        return self._detectors[key]

    def parser(self, settings: Settings, weights: Json, *, squeeze: int = 0) -> FaceParser | None:
        """Return what keeps things in front of a job's faces out of their masks, or None where that is not asked for.

        Raises:
            WeightsError: The checkpoint cannot be used.
        """
        reference = weights.get("parser")
        if reference is None:
            return None
        batch = self._restored_batch(settings.restore, squeeze)
        key = (reference["sha256"], settings.lipsync.precision, batch)
        if key not in self._parsers:
            _make_room(self._parsers, key, squeeze)
            begin = time.perf_counter()
            self._set_threads()
            path, precision = Path(reference["path"]), settings.lipsync.precision
            self._parsers[key] = FaceParser(path, device=self.device, precision=precision, batch_faces=batch)
            self.load_s += time.perf_counter() - begin
        return self._parsers[key]

    def judge(self, weights: Json) -> SyncJudge:
        """Return the expert that tells who speaks.

        Raises:
            WeightsError: The checkpoint cannot be used.
        """
        reference = weights["expert"]
        if reference["sha256"] not in self._judges:
            from lipwise_ray.metrics.sync import SyncJudge  # noqa: PLC0415  # loads torch

            begin = time.perf_counter()
            self._set_threads()
            self._judges[reference["sha256"]] = SyncJudge(Path(reference["path"]), self.device)
            self.load_s += time.perf_counter() - begin
        return self._judges[reference["sha256"]]

    def scorer(self, weights: Json) -> Judge:
        """Return the network that scores finished videos.

        Raises:
            WeightsError: The checkpoint cannot be used.
        """
        reference = weights["judge"]
        if reference["sha256"] not in self._scorers:
            from lipwise_ray.metrics.judges import load_judge  # noqa: PLC0415  # loads torch

            begin = time.perf_counter()
            self._set_threads()
            self._scorers[reference["sha256"]] = load_judge(reference["network"], Path(reference["path"]), self.device)
            self.load_s += time.perf_counter() - begin
        return self._scorers[reference["sha256"]]

    def embedder(self, weights: Json) -> SFace:
        """Return the network that tells people apart.

        Raises:
            WeightsError: The file cannot be used.
        """
        reference = weights["embedder"]
        if reference["sha256"] not in self._embedders:
            from lipwise_ray.faces.sface import SFace  # noqa: PLC0415  # only where faces are compared

            begin = time.perf_counter()
            self._embedders[reference["sha256"]] = SFace(Path(reference["path"]), threads=self._threads)
            self.load_s += time.perf_counter() - begin
        return self._embedders[reference["sha256"]]

    def trim(self) -> None:
        """Give back what the GPU's allocator keeps for later, after a task that ran out of memory."""
        if self.device == "cuda":
            import torch  # noqa: PLC0415  # only where a network runs

            torch.cuda.empty_cache()

    def _set_threads(self) -> None:
        if self._threads and self.device == "cpu":
            import torch  # noqa: PLC0415  # only where a network runs

            torch.set_num_threads(self._threads)


def _make_room(kept: dict[tuple[object, ...], Any], key: tuple[object, ...], squeeze: int) -> None:
    """When memory ran short, give up models that differ from a wanted one in their batches alone.

    Batches are what keys end with.
    """
    if squeeze:
        for other in [other for other in kept if other[:-1] == key[:-1]]:
            del kept[other]
