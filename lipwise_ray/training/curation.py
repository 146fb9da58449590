"""Sorting of filmed faces: which are fit to train on, and why others are not."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lipwise_ray.errors import AudioError, FaceError, InputError, SettingsError
from lipwise_ray.settings.layers import in_words
from lipwise_ray.training.clip_record import FaceMeasures, SyncMeasures
from lipwise_ray.training.sync_offset import MOST_SHIFT_FRAMES

Amount = Annotated[float, Field(ge=0)]
Shift = Annotated[int, Field(ge=0, le=MOST_SHIFT_FRAMES)]


class CurationRules(BaseModel):
    """Rules by which faces are taken or refused; frames are those of 1/25 s."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    min_frames: Annotated[int, Field(ge=6)] = 25
    """Shortest stay of a face. A sample is 5 frames, and is told from another time of the same clip."""
    min_face_px: Amount = 48.0
    """Smallest face: the median of its shorter side, in pixels of the video. The default is half of what Wav2Lip draws:
    smaller faces would teach it blur."""
    max_yaw_deg: Annotated[float, Field(ge=0, le=90)] = 60.0
    """Faces that are turned further to a side in a tenth of their frames are refused: a profile has half a mouth."""
    min_score: Annotated[float, Field(ge=0, le=1)] = 0.85
    """Least confidence of the detector in the mean, less where its points are not those of a face. People have above
    0.9 by yunet; animals, hands and things that it takes for faces have less."""
    min_sharpness: Amount = 1.0
    """Least fine detail of a face, in levels of 255: of the strongest quarter of its edges, beyond its grain. Faces
    that are out of focus, or were enlarged, have less."""
    min_speech_share: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Least part of the time in which somebody speaks."""
    min_mouth_change: Annotated[float, Field(ge=0, le=1)] = 0.015
    """Least change of the mouth: 1 less the likeness of two frames' mouths, in the median. Photographs with speech over
    them have less than 0.01, and may fit the audio by chance; who speaks has 0.04 and more."""
    max_offset_frames: Shift = 1
    """Clips whose audio is off the lips by so many frames are in sync: no expert measures finer."""
    realign_frames: Shift = 5
    """Audio that is further off, up to so many frames, is moved to where it belongs, if both halves of the clip agree
    about it; what is further still is refused. Beyond 5 frames the next syllable may fit as well as the right one, and
    such offsets are mostly another take or a translation. 0 moves none."""
    max_distance: Amount = 0.0
    """Largest distance of lips and audio at the best offset, in the expert's own units; 0 for no limit. It leaves out
    who only listens, if the expert knows faces like these."""


def make_rules(values: Mapping[str, object]) -> CurationRules:
    """Return rules with some of the settings given.

    Raises:
        SettingsError: One is unknown or impossible.
    """
    for name in values:
        if name not in CurationRules.model_fields:
            near = difflib.get_close_matches(name, CurationRules.model_fields, n=1)
            hint = f' - did you mean "{near[0]}"?' if near else ""
            known = f"Known: {', '.join(CurationRules.model_fields)}"
            raise SettingsError("bad_value", "train prepare", got=f'unknown rule "{name}"{hint}', do=known)
    try:
        return CurationRules.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise SettingsError("bad_value", "train prepare", got=in_words(dict[str, Any](first), name)) from error


def shift_of(sync: SyncMeasures | None, rules: CurationRules) -> int:
    """Return the frames by which a clip's audio is moved earlier; 0 where it is left as it is."""
    if sync is None or abs(sync.offset_frames) <= rules.max_offset_frames:
        return 0
    return sync.offset_frames if sync.is_steady and abs(sync.offset_frames) <= rules.realign_frames else 0


def refusal(
    clip: str, face: FaceMeasures, sync: SyncMeasures | None, rules: CurationRules, *, is_judged: bool
) -> InputError | None:
    """Return the reason why a face is not fit to train on, None for one that is.

    Args:
        clip: Name of the clip, for the message.
        face: Measures of the face.
        sync: Agreement of its lips with the audio; None where it cannot be measured.
        rules: Rules of the sorting.
        is_judged: There is an expert to measure it.
    """
    return next(_reasons(clip, face, sync, rules, is_judged=is_judged), None)


def _reasons(
    clip: str, face: FaceMeasures, sync: SyncMeasures | None, rules: CurationRules, *, is_judged: bool
) -> Iterator[InputError]:
    if face.frames < rules.min_frames:
        yield FaceError(
            "short_clip", clip, got=f"shows a face in {face.frames} frames", must=f"{rules.min_frames} are needed",
            do="Leave it out, or set min_frames",
        )  # fmt: skip
    if face.score < rules.min_score:
        yield FaceError(
            "doubtful_face", clip, got=f"the detector is not sure that this is a face: {face.score:g}",
            must=f"{rules.min_score:g} is needed", do="Leave it out, or set min_score",
        )  # fmt: skip
    if face.size_px < rules.min_face_px:
        yield FaceError(
            "small_face", clip, got=f"the face is {face.size_px:g} pixels wide",
            must=f"{rules.min_face_px:g} are needed", do="Leave it out, give larger footage, or set min_face_px",
        )  # fmt: skip
    if face.yaw_deg > rules.max_yaw_deg:
        yield FaceError(
            "turned_face", clip, got=f"the face is turned by {face.yaw_deg:g} degrees or more in a tenth of its frames",
            must=f"at most {rules.max_yaw_deg:g} are allowed", do="Leave it out, or set max_yaw_deg",
        )  # fmt: skip
    if face.sharpness < rules.min_sharpness:
        yield FaceError(
            "blurred_face", clip, got=f"the face is blurred: its detail is {face.sharpness:g}",
            must=f"{rules.min_sharpness:g} is needed", do="Leave it out, or set min_sharpness",
        )  # fmt: skip
    if face.speech_share < rules.min_speech_share:
        yield AudioError(
            "little_speech", clip, got=f"speech is heard in {face.speech_share:.0%} of it",
            must=f"{rules.min_speech_share:.0%} is needed", do="Leave it out, or set min_speech_share",
        )  # fmt: skip
    if face.mouth_change < rules.min_mouth_change:
        yield FaceError(
            "still_mouth", clip, got=f"the mouth hardly moves: its change is {face.mouth_change:g}",
            must=f"{rules.min_mouth_change:g} is needed", do="Leave it out, or set min_mouth_change",
        )  # fmt: skip
    if is_judged:
        yield from _out_of_sync(clip, sync, rules)


def _out_of_sync(clip: str, sync: SyncMeasures | None, rules: CurationRules) -> Iterator[InputError]:
    if sync is None:
        yield InputError(
            "out_of_sync", clip, got="no five frames of the face in a row have audio, so sync cannot be measured",
            do="Leave it out, or add --expert none",
        )  # fmt: skip
        return
    off = abs(sync.offset_frames)
    if off > rules.max_offset_frames and not shift_of(sync, rules):
        why = ", and it is not moved because the two halves of the clip disagree" if off <= rules.realign_frames else ""
        yield InputError(
            "out_of_sync", clip, got=f"the audio is {sync.offset_frames} frames off the lips",
            must=f"at most {rules.max_offset_frames} is allowed{why}", do="Shift its audio, or leave it out",
        )  # fmt: skip
    if rules.max_distance and sync.distance > rules.max_distance:
        yield InputError(
            "unlike_lips", clip, got=f"lips and audio do not agree: their distance is {sync.distance:g}",
            must=f"at most {rules.max_distance:g} is allowed", do="Leave it out, or set max_distance",
        )  # fmt: skip
