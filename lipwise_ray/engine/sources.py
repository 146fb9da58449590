"""Where a run's settings and weights come from."""

from __future__ import annotations

import importlib.util
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lipwise_ray.dubbing.models import (
    EMBEDDER,
    EXPERT,
    INCEPTION,
    PARSER,
    PASSTHROUGH,
    SPANDREL,
    SYNCNET,
    TINY_RESTORER,
)
from lipwise_ray.dubbing.row_table import Row
from lipwise_ray.dubbing.speakers import listens, needs_detector, portraits, rules_of
from lipwise_ray.dubbing.transcribing import AUTO, check_recogniser
from lipwise_ray.errors import InputError, LipwiseError, SettingsError
from lipwise_ray.faces.select import LIKE, parse_selection
from lipwise_ray.layers import fallbacks, read_preset, resolve
from lipwise_ray.nets.registry import Registry, Weights
from lipwise_ray.settings import Settings
from lipwise_ray.storage.address import is_local, whole_path
from lipwise_ray.values import Json

_MOST_KNOWN = 256
_NOTHING = "none"
_AUTO_RESTORER, _SYNCNET, _TINY_JUDGE = "gfpgan_1_4", "syncnet_v2", "tiny_judge"
Layer = tuple[str, Mapping[str, Any]]


@dataclass(slots=True)
class SettingsSource:
    """Settings of a run and of each of its rows: preset, job file, command line, row columns.

    Attributes:
        presets: Folder of preset files.
        preset: The run's preset.
        layers: Job file and command line, in rising precedence.
    """

    presets: Path
    preset: str
    layers: list[Layer]
    _known: OrderedDict[str, Settings] = field(default_factory=OrderedDict[str, Settings])

    def for_run(self) -> Settings:
        """Return the settings without any row's columns.

        Raises:
            SettingsError: A setting is unknown or impossible.
        """
        return self._resolve(self.preset, {})

    def for_row(self, row: Row) -> Settings:
        """Return a row's settings."""
        return self._resolve(row.preset or self.preset, row.overrides)

    def _resolve(self, preset: str, overrides: Mapping[str, Any]) -> Settings:
        key = f"{preset} {sorted((s, sorted(v.items())) for s, v in overrides.items())}"
        if key not in self._known:
            base: Layer = (f"preset {preset}", read_preset(self.presets, preset))
            settings = resolve([base, *self.layers, ("the row", overrides)])
            for fallback in fallbacks(settings):
                _with_whole_paths(fallback)  # to find mistakes before any work
            self._known[key] = _with_whole_paths(settings)
            if len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
        return self._known[key]


def _check_hearing(settings: Settings) -> None:
    """Find out whether a row's language can be heard.

    Raises:
        SettingsError: It cannot.
    """
    if settings.asr.model is None:
        raise SettingsError(
            "no_asr_model",
            "asr.model",
            f"must be set for rows whose language is {AUTO}",
            "nothing",
            "Name the folder of a Whisper model",
        )
    check_recogniser(Path(settings.asr.model))


def further_attempts(settings: Settings) -> list[Settings]:
    """Return the settings of a row's attempts after the first."""
    return [_with_whole_paths(fallback) for fallback in fallbacks(settings)]


def _with_whole_paths(settings: Settings) -> Settings:
    """Return settings whose rule of faces can be understood; a portrait and a speech model by their whole paths.

    Raises:
        SettingsError: The rule is none.
    """
    try:
        rule = parse_selection(settings.faces.select)
    except InputError as error:
        raise SettingsError("faces", "faces.select", error.must, error.got) from error
    if settings.asr.model is not None:
        asr = settings.asr.model_copy(update={"model": str(whole_path(settings.asr.model))})
        settings = settings.model_copy(update={"asr": asr})
    if rule.kind == LIKE and is_local(rule.image):  # of a job file or --set; rows name absolute paths
        faces = settings.faces.model_copy(update={"select": f"{LIKE}:{whole_path(rule.image)}"})
        return settings.model_copy(update={"faces": faces})
    return settings


class WeightsTable:
    """Finds the checkpoints that settings ask for; each file is hashed once.

    Args:
        registry: Where named ones are.
        gpu: Workers have a GPU, so that ``auto`` may take the heavier detector.
    """

    def __init__(self, registry: Registry, *, gpu: bool) -> None:
        self._registry = registry
        self._gpu = gpu
        self._known: dict[tuple[str, str | None, str], Weights] = {}
        self._unusable: dict[tuple[str, str | None, str], LipwiseError] = {}
        self._choices: dict[str, None] = {}

    def all_of(
        self, source: SettingsSource, rows: Iterable[Row], of: Callable[[Settings, Row], Json] | None = None
    ) -> list[Json]:
        """Return what the workers have to load for these rows, each combination once.

        Args:
            source: Their settings.
            rows: The rows.
            of: Says what a row needs; what dubbing does without it.

        Rows whose checkpoints cannot be used are left out, for they are refused when their turn comes.

        Raises:
            WeightsError: No row is left: the first one's checkpoint is missing or damaged.
        """
        found: dict[str, Json] = {}
        problem: LipwiseError | None = None
        told_of: list[Settings] = []
        for row in rows:
            settings = source.for_row(row)
            if settings.gate.retry and settings not in told_of[-_MOST_KNOWN:]:
                told_of.append(settings)
                self._tell_of(further_attempts(settings), row, of or self.of)
            try:
                weights = (of or self.of)(settings, row)
            except LipwiseError as error:
                problem = problem or error
                continue
            key = f"{weights} {settings.lipsync} {settings.restore} {settings.detect} {settings.composite}"
            if key not in found:
                found[key] = {"settings": settings.model_dump_json(), "weights": weights}
        if problem and not found:
            raise problem
        return list(found.values())

    def _tell_of(self, attempts: list[Settings], row: Row, of: Callable[[Settings, Row], Json]) -> None:
        """Find the checkpoints of further attempts, for their terms; those that cannot be used are told of later."""
        for told in attempts:
            with suppress(LipwiseError):
                of(told, row)

    @property
    def notes(self) -> list[str]:
        """What is to be known of the checkpoints found so far.

        What ``auto`` chose and why; networks that were made for other pictures than photographed ones; terms that
        forbid commerce or leave it unclear.
        """
        words = {"no": "is not for commercial use", "unclear": "may not be for commercial use"}
        found = self._known.values()
        terms = {f"{one.name} {words[one.commercial]}: {one.reason}" for one in found if one.commercial != "yes"}
        made_for = {
            f"{one.name} was made for {one.made_for}, and not for photographed ones" for one in found if one.made_for
        }
        return [*self._choices, *sorted(made_for), *sorted(terms)]

    def _chose(self, setting: str, choice: str, why: str = "") -> None:
        """Note what ``auto`` stands for."""
        self._choices[f"{setting} = auto: {choice}{f' ({why})' if why else ''}"] = None

    def of(self, settings: Settings, row: Row) -> Json:
        """Return a row's weights as records."""
        record: Json = {}
        if row.language == AUTO:
            _check_hearing(settings)
        if settings.lipsync.model != PASSTHROUGH:
            weights = self._get(settings.lipsync.model, settings.lipsync.checkpoint, "wav2lip")
            record["lipsync"] = weights.record()
        restorer = self._restorer(settings)
        if restorer is not None:
            record["restorer"] = restorer.record()
        upscale = settings.restore.upscale
        if upscale.model != _NOTHING or upscale.checkpoint is not None:
            record["upscaler"] = self._get(upscale.model, upscale.checkpoint, SPANDREL).record()
        composite = settings.composite
        if composite.mask != "box" and (composite.parser != _NOTHING or composite.parser_checkpoint is not None):
            record["parser"] = self._get(composite.parser, composite.parser_checkpoint, PARSER).record()
        judge = self.judge(settings)
        if judge is not None:
            record["judge"] = judge.record()
        rules = rules_of(row.speakers, settings)
        if portraits(rules):
            told = settings.faces
            record["embedder"] = self._get(told.embedder, told.embedder_checkpoint, EMBEDDER).record()
        if listens(rules):
            record["expert"] = self._get(settings.faces.expert, settings.faces.expert_checkpoint, EXPERT).record()
        if needs_detector(rules, row.tracks):
            record["detector"] = [one.record() for one in self.detector(settings)]
        return record

    def for_evaluation(self, settings: Settings, row: Row) -> tuple[Json, dict[str, str]]:
        """Return the weights that measure a row's video, and by figure why what is not installed cannot be told.

        Raises:
            WeightsError: A checkpoint is damaged, or one without which nothing can be told is not installed.
        """
        record: Json = {}
        absent: dict[str, str] = {}
        judge = self.judge(settings)
        if judge is not None:
            record["judge"] = judge.record()
        if needs_detector(rules_of((), settings), row.tracks):
            record["detector"] = [one.record() for one in self.detector(settings)]
        if row.reference is None:
            return record, absent
        faces, score = settings.faces, settings.score
        for figure, role, name, checkpoint, network in (
            ("identity_distance", "embedder", faces.embedder, faces.embedder_checkpoint, EMBEDDER),
            ("fid", "inception", score.inception, score.inception_checkpoint, INCEPTION),
        ):
            if checkpoint is None and not self._registry.installed(name):
                absent[figure] = f"{name} is not installed: run `lipwise-ray models pull {name}`"
            else:
                record[role] = self._get(name, checkpoint, network).record()
        return record, absent

    def _restorer(self, settings: Settings) -> Weights | None:
        told = settings.restore
        if told.checkpoint is not None:
            return self._get(told.model, told.checkpoint, SPANDREL)
        if told.model == "auto":
            if not self._registry.installed(_AUTO_RESTORER):
                self._chose("restore.model", _NOTHING, f"{_AUTO_RESTORER} is not installed")
                return None
            if not self._gpu:
                self._chose("restore.model", _NOTHING, f"workers have no GPU for {_AUTO_RESTORER}")
                return None
            self._chose("restore.model", _AUTO_RESTORER)
            return self._get(_AUTO_RESTORER, None, SPANDREL)
        if told.model == _NOTHING:
            return None
        return self._get(told.model, None, SPANDREL if told.model != TINY_RESTORER else TINY_RESTORER)

    def judge(self, settings: Settings) -> Weights | None:
        """Return what scores finished videos, None where nothing is to.

        Raises:
            WeightsError: It is not installed, or damaged.
        """
        told = settings.score
        if told.checkpoint is not None:
            return self._get(told.judge, told.checkpoint, SYNCNET)
        if told.judge == _NOTHING:
            return None
        is_there = self._registry.installed(_SYNCNET)
        name = told.judge
        if name == "auto":
            name = _SYNCNET if is_there else _TINY_JUDGE
            self._chose("score.judge", name, "" if is_there else f"{_SYNCNET} is not installed: figures are no LSE")
        network = self._registry.entry(name).network
        return self._get(name, None, network if network in (SYNCNET, EXPERT) else SYNCNET)

    def detector(self, settings: Settings) -> list[Weights]:
        """Return the checkpoints of the face detector.

        Raises:
            WeightsError: One is not installed, or damaged.
        """
        if settings.detect.detector == "tiny":
            return [self._get("tiny_detector", settings.detect.checkpoint, "tiny_detector")]
        heavy = settings.detect.detector == "s3fd"
        if settings.detect.detector == "auto" and settings.detect.checkpoint is None and self._gpu:
            installed = self._registry.installed("s3fd") and self._registry.installed("fan_2d")
            heavy = installed and importlib.util.find_spec("face_alignment") is not None
        if settings.detect.detector == "auto":
            self._chose("detect.detector", "s3fd" if heavy else "yunet")
        if heavy:
            return [self._get("s3fd", None, "s3fd"), self._get("fan_2d", None, "fan_2d")]
        return [self._get("yunet", settings.detect.checkpoint, "yunet")]

    def _get(self, name: str, checkpoint: str | None, network: str) -> Weights:
        key = (name, checkpoint, network)
        if key in self._unusable:
            raise self._unusable[key]
        if key not in self._known:
            try:
                if checkpoint is not None:
                    self._known[key] = self._registry.own_file(whole_path(checkpoint), network)
                else:
                    self._known[key] = self._registry.resolve(name, network)
            except LipwiseError as error:
                self._unusable[key] = error
                raise
        return self._known[key]
