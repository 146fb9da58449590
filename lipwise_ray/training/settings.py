"""Settings of a training run; written beside its checkpoints."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lipwise_ray.errors import SettingsError, StateError
from lipwise_ray.settings.layers import in_words, unknown_setting
from lipwise_ray.storage.digest import sha256_of
from lipwise_ray.training.dataset import NOTE
from lipwise_ray.values import Json

Network = Literal["visemes", "expert", "generator", "detector", "restorer"]
NonNegativeInt = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, le=1)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Weight = Annotated[float, Field(ge=0, le=1)]

RECORD = "settings.json"
WEIGHTS = ("init", "disc_init", "expert", "sound")
"""Settings that name a file of weights."""

FIRST_WEIGHTS = ("init", "disc_init", "sound")
"""Those that only the beginning of a run reads; the files may be gone when it goes on."""

_MAY_CHANGE = frozenset({"steps", "save_every", "keep_every", "threads", "data", "minutes"})
_EVALUATION = frozenset({"eval_every", "eval_batches"})


class TrainSettings(BaseModel):
    """Settings of one run.

    Source: Wav2Lip's hparams.py and training scripts for the defaults of expert and generator.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)

    network: Network
    data: str
    """A prepared data set; a corpus of scenes for the detector, of speech for the visemes."""
    width: Annotated[float, Field(ge=1 / 512, le=1)] = 1.0
    """Factor on the network's channels; 1 is the original."""
    seed: Annotated[int, Field(ge=0, lt=1 << 31)] = 0
    batch: Annotated[int, Field(ge=2, le=65_536)] = 16
    """Samples a step and worker; batch normalisation needs two."""
    lr: Rate = 1e-4
    halve_lr_after: NonNegativeInt = 0
    """From this step on the learning rate is halved every `halve_lr_every` steps; 0 for never."""
    halve_lr_every: Positive = 10_000
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    norm_momentum: Rate = 0.1
    """Share of a batch in the running statistics that a finished network works with; smaller is steadier."""
    clip_norm: Annotated[float, Field(ge=0)] = 0.0
    """Longest gradient; longer ones are shortened to it. 0 for no limit, as the original. The sync loss is steep where
    the expert believes nothing."""
    norm_frozen: bool = False
    """Normalise by the running statistics, not by the batch's: for going on from `init` with small batches, or with
    batches of frames that are alike."""
    steps: Positive = 200_000
    eval_every: Positive = 3_000
    eval_batches: Positive = 40
    save_every: Positive = 3_000
    keep_every: NonNegativeInt = 0
    """Steps after which a checkpoint is kept for good beside the last and the best one; 0 keeps none."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    threads: Annotated[int, Field(ge=0, le=1024)] = 0
    """CPU threads; 0 leaves the choice to torch."""
    minutes: Annotated[float, Field(ge=0)] = 0.0
    """Save and end after this time; 0 for no limit."""
    init: str = ""
    """Weights to start from: a name of the registry, or a file, of the original too."""
    init_optimizer: bool = True
    """Start from the optimiser's state too, of `init` and of `disc_init`, where it is in the file and fits, as the
    original does; without it from an empty one."""

    augment: bool = False
    """Vary what is learnt from by chance: mirror, move and relight the expert's lips, bend the spectrum of its and the
    mouth reader's sound. The original does not."""

    # The generator's.
    expert: str = ""
    """The frozen expert behind the sync loss."""
    sound: str = ""
    """A mouth reader's weights (`train visemes`): the half that listens is taken from it and kept as it is. It
    has heard more speech than can be drawn."""
    lead_frames: Annotated[int, Field(ge=-5, le=5)] = 1
    """Frames by which a frame's mel window begins before it; the original trains with 1 and infers with 0."""
    window_frames: Literal[1, 5] = 5
    """Consecutive frames a sample; 1 only without a sync loss."""
    take_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of samples drawn from the same moment of another take, as inference does; see `synth corpus --takes`."""
    same_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of samples whose reference is the target itself: a mouth that fits the audio already is to be kept. The
    original has none."""
    lower_weight: Annotated[float, Field(ge=1, le=100)] = 1.0
    """Weight of the lower half, where the mouth is, in the L1 loss; the original's is 1."""
    change_weight: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """Further weight of a pixel in the L1 loss where the reference is wrong, per unit of its error: the mouth, when
    the reference is another take. The original's is 0."""
    edge_weight: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Weight of the L1 loss of neighbouring pixels' differences beside the L1 loss; an image right on average is
    blurred, and this is dear there. The original has none."""
    structure_weight: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Weight of 1 - SSIM beside the L1 loss: likeness in contrast and structure, which blur lacks. The original
    has none."""
    sync_weight: Weight = 0.03
    sync_below: Annotated[float, Field(gt=0)] = 0.75
    """The sync loss counts once its value on the validation clips is below this."""
    disc_weight: Weight = 0.0
    """Weight of the discriminator's loss; 0 trains without one. The original's is 0.07."""
    disc_width: Annotated[float, Field(gt=0, le=1)] = 1.0
    disc_init: str = ""
    """Weights that the discriminator starts from, as `init`; or a run's checkpoint, whose discriminator is taken."""
    disc_after: NonNegativeInt = 0
    """First step with the discriminator."""


DEFAULTS: dict[str, dict[str, Any]] = {
    "visemes": {"batch": 256, "lr": 1e-3, "steps": 20_000, "eval_every": 1_000, "save_every": 1_000},
    "expert": {"batch": 64, "eval_every": 10_000},
    "generator": {"batch": 16, "sync_weight": 0.01},
    "detector": {"batch": 16, "lr": 1e-3, "steps": 6_000, "eval_every": 500, "save_every": 500},
    "restorer": {"batch": 16, "lr": 1e-3, "steps": 6_000, "eval_every": 500, "save_every": 500},
}
"""Defaults of networks that differ. Source: hparams.py for the first two."""

_WITH_DISC: dict[str, Any] = {"sync_weight": 0.03, "betas": (0.5, 0.999)}
"""The generator's defaults with a discriminator. Source: hq_wav2lip_train.py."""


def make_settings(network: Network, values: dict[str, Any]) -> TrainSettings:
    """Return a run's settings.

    Raises:
        SettingsError: One is unknown or impossible.
    """
    if values.get("network", network) != network:
        raise SettingsError(
            "bad_value", f"train {network}: network", got=f"cannot be {values['network']!r}: the command chooses it"
        )
    for name, value in values.items():
        field = TrainSettings.model_fields.get(name)
        if isinstance(value, bool) and field is not None and field.annotation is not bool:
            raise SettingsError(
                "bad_value",
                f"train {network}: {name}",
                got=f"{value!r} is true or false, which this setting does not take",
            )
    defaults = DEFAULTS[network]
    if network == "generator" and values.get("disc_weight"):
        defaults = {**defaults, **_WITH_DISC}
    try:
        settings = TrainSettings.model_validate({**defaults, **values, "network": network})
    except ValidationError as error:
        first = error.errors()[0]
        path = [str(part) for part in first["loc"]]
        if first["type"] == "extra_forbidden":
            got = unknown_setting(path, list(TrainSettings.model_fields))
        else:
            got = in_words(dict(first), ".".join(path))
        raise SettingsError("bad_value", f"train {network}", got=got) from error
    if settings.network == "generator":
        _check_losses(settings)
    return settings


def _check_losses(settings: TrainSettings) -> None:
    """Refuse settings of a generator's losses that do not go together."""
    if settings.sync_weight + settings.disc_weight >= 1:
        raise SettingsError(
            "bad_value", "train generator: sync_weight + disc_weight", must="it must be below 1",
            got=f"{settings.sync_weight + settings.disc_weight:g} leaves no weight for L1",
        )  # fmt: skip
    if settings.window_frames == 1 and (settings.sync_weight or settings.disc_weight):
        raise SettingsError(
            "bad_value", "train generator: window_frames",
            got="1 does not work with a sync or discriminator loss, which needs 5",
            do="Set sync_weight=0 and disc_weight=0, or window_frames=5",
        )  # fmt: skip
    if settings.sync_weight and not settings.expert:
        raise SettingsError(
            "no_expert", "train generator: expert", got="not named, but the sync loss needs it",
            do="Add --set expert=FILE, or --set sync_weight=0",
        )  # fmt: skip
    if settings.disc_init and not settings.disc_weight:
        raise SettingsError(
            "bad_value", "train generator: disc_init", got="without a discriminator, for disc_weight is 0",
            do="Add --set disc_weight=0.07, or leave disc_init out",
        )  # fmt: skip


def _may_change(settings: TrainSettings) -> frozenset[str]:
    """Return the settings that do not touch the numbers of a run, so that a resumed run may have others."""
    return _MAY_CHANGE if settings.sync_weight and settings.network == "generator" else _MAY_CHANGE | _EVALUATION


def record_of(settings: TrainSettings, workers: int) -> Json:
    """Return all that decides a run's numbers: settings, how many share each step, the clips, and the weights it takes.

    Clips and weights go by their contents: another file at the same path is another run, the same one elsewhere is not.
    """
    clips = Path(settings.data) / "train.txt"
    record: Json = json.loads(settings.model_dump_json())
    record["workers"] = workers
    record["clips_sha256"] = sha256_of(clips) if clips.is_file() else None
    record["notes_sha256"] = _hash_of_notes(clips)
    for name in WEIGHTS:
        path = getattr(settings, name)
        record[f"{name}_sha256"] = sha256_of(Path(path)) if path and Path(path).is_file() else None
    return record


def _hash_of_notes(clips: Path) -> str | None:
    """Return a hash of what the clips were prepared from; None where they were not prepared."""
    if not clips.is_file():
        return None
    digest, notes = hashlib.sha256(), 0
    for name in clips.read_text("utf-8").split():
        note = clips.parent / name / NOTE
        if note.is_file():
            digest.update(note.read_bytes())
            notes += 1
    return digest.hexdigest() if notes else None


def first_weights_of(folder: Path) -> dict[str, str]:
    """Return the files of the weights that a folder's run began with, by setting; empty where none has begun."""
    try:
        record: Any = json.loads((folder / RECORD).read_text())
        return {name: str(record[name]) for name in FIRST_WEIGHTS if record.get(name)}
    except (OSError, ValueError, AttributeError):
        return {}


def compare(settings: TrainSettings, record: Json, folder: Path) -> Json:
    """Compare with what the folder's run was started with; return the record to keep.

    Args:
        settings: Settings of this start.
        record: Their record, of `record_of`.
        folder: Folder of the run.

    Raises:
        SettingsError: It was started with other settings.
        StateError: The record is damaged or missing.
    """
    path = folder / RECORD
    try:
        old: Any = json.loads(path.read_text())
        # Earlier records have no hashes of the weights: there their paths decide.
        changeable = _may_change(settings) | {name for name in WEIGHTS if f"{name}_sha256" in old}
        for name in (f"{setting}_sha256" for setting in FIRST_WEIGHTS if record[setting]):
            if record[name] is None and name in old:  # the file is gone, and not needed any more
                record = {**record, name: old[name]}
        changed = [n for n in record if n not in changeable and old.get(n, record[n]) != record[n]]
    except (OSError, ValueError, AttributeError) as error:
        raise StateError(
            "bad_record",
            str(path),
            got="the record of the run's settings is damaged or missing",
            do="Begin another run with init=FILE and this run's weights",
        ) from error
    if changed:
        raise SettingsError(
            "other_settings",
            str(folder),
            got=f"was started with {', '.join(f'{name} = {old.get(name)!r}' for name in changed)}",
            must=f"this command has {', '.join(f'{name} = {record[name]!r}' for name in changed)}",
            do="Resume with the same settings, or begin another run with init=FILE and this run's weights",
        )
    return record
