"""Inspection of files, with networks that are loaded once."""

from __future__ import annotations

from pathlib import Path

from lipwise_ray.faces.embedders import load_embedder
from lipwise_ray.lipsync.silero import SileroVad
from lipwise_ray.lipsync.voice_activity import SpeechDetector
from lipwise_ray.models.role import AUTO, NOTHING
from lipwise_ray.pipeline.analysis.transcription import Recogniser
from lipwise_ray.pipeline.dubbing.watermarked import MarkReader
from lipwise_ray.pipeline.quality.inspection import inspect as inspect_file
from lipwise_ray.pipeline.quality.inspection_facts import InspectionFacts, facts_of
from lipwise_ray.pipeline.quality.sync_scores import scorer_of
from lipwise_ray.roles.detector import DETECTOR, DetectorMaker
from lipwise_ray.roles.embedder import EMBEDDER
from lipwise_ray.roles.judge import JUDGE
from lipwise_ray.roles.vad import VAD
from lipwise_ray.roles.watermark import WATERMARK_DETECTOR
from lipwise_ray.runs.forked import check_not_forked
from lipwise_ray.runs.load_settings import LoadedSettings, loaded
from lipwise_ray.runs.model_requirements import ModelRequirements
from lipwise_ray.runs.run_inputs import registry_of
from lipwise_ray.settings.model import Settings
from lipwise_ray.state.shapes import record_of


class Inspector:
    """Inspects files, with networks that are loaded once.

    Args:
        settings: As for `submit`. `asr.model` adds what is said, and in which language.
        models: As for `submit`.

    Raises:
        SetupError: Settings or weights are wrong.
    """

    def __init__(self, settings: Settings | LoadedSettings | None = None, *, models: str | Path | None = None) -> None:
        from lipwise_ray.metrics.sync_scorers import load_sync_scorer

        check_not_forked()
        self._settings = loaded(settings, None).for_run()
        requirements = ModelRequirements(registry_of(self._settings, models), gpu=False)
        self._recogniser = Recogniser(Path(self._settings.asr.model)) if self._settings.asr.model else None
        vad = next(iter(requirements.for_role(VAD, self._settings)), None)
        self._speech = SpeechDetector(vad.name, SileroVad(vad.path)) if vad else None
        self._detector = DetectorMaker(
            requirements.for_role(DETECTOR, self._settings), self._settings.detect.min_score
        )()
        embedder = next(iter(requirements.for_role(EMBEDDER, self._settings)), None)
        self._embedder = load_embedder(embedder.network, embedder.path) if embedder else None
        self._chosen = next(iter(requirements.for_role(JUDGE, self._settings)), None)
        self._scorer = load_sync_scorer(self._chosen.network, self._chosen.path) if self._chosen else None

        self._marks = self._mark_reader(requirements)

    def _mark_reader(self, requirements: ModelRequirements) -> MarkReader | None:
        """Return the detector of marks in audio, where one was named: it takes a tenth of the audio's length."""
        from lipwise_ray.nets.watermark import AudioSealReader

        marking = self._settings.marking
        if marking.watermark_detector in (AUTO, NOTHING) and marking.watermark_detector_checkpoint is None:
            return None
        (checkpoint,) = requirements.for_role(WATERMARK_DETECTOR, self._settings)
        return AudioSealReader(checkpoint.path)

    def __call__(self, file: str | Path) -> InspectionFacts:
        """Inspect a file: a video, an image or audio.

        Raises:
            MediaError: It is no media file.
        """
        found = inspect_file(
            Path(file),
            self._settings,
            self._detector,
            self._scorer,
            self._recogniser,
            embedder=self._embedder,
            speech=self._speech,
            marks=self._marks,
        )
        if self._chosen and "sync" in found.record:
            found.record["sync"] |= record_of(scorer_of(self._chosen))
        return facts_of(found.record, found.faces)


def inspect(
    file: str | Path, *, settings: Settings | LoadedSettings | None = None, models: str | Path | None = None
) -> InspectionFacts:
    """Report on a file: streams, rates, loudness, speech, shots, faces, and the agreement of lips and audio.

    `Inspector` does the same with many files, and loads its networks once.

    Args:
        file: A video, an image or audio.
        settings: As for `submit`. `asr.model` adds what is said, and in which language.
        models: As for `submit`.

    Raises:
        MediaError: It is no media file.
        SetupError: Settings or weights are wrong.
    """
    return Inspector(settings, models=models)(file)
