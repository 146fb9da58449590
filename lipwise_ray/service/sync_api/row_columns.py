"""The columns of a row that do what a request asks for. Nothing that is asked for is passed over silently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from lipwise_ray.errors import RequestError
from lipwise_ray.service.job_record import JsonObject
from lipwise_ray.service.sync_api.chosen_face import face_rule
from lipwise_ray.service.sync_api.request import (
    AudioInput,
    GenerationRequest,
    ImageInput,
    Options,
    PictureInput,
    SoundInput,
    TextInput,
    VideoInput,
)
from lipwise_ray.service.sync_api.segments import speakers_of

FACE_FIELD = "options.active_speaker_detection"
_USUAL_TEMPERATURE = 0.5
_LENGTHS: Mapping[str, JsonObject] = {
    "bounce": {"length": "audio", "extend": "pingpong"},
    "loop": {"length": "audio", "extend": "loop"},
    "cut_off": {"length": "shortest"},
    "silence": {"length": "longest", "extend": "hold"},
    "remap": {"length": "fit", "timing.fit": "video"},
}
_OF_SEGMENTS: Mapping[str, JsonObject] = {
    "cut_off": {"length": "video"},
    "silence": {"length": "video"},
    "remap": {"length": "fit"},
}
"""Segments are times of the video, which keeps its length: what is too long for its segment is cut, or made to fit."""

_OF_IMAGES = ("bounce", "loop")
Input = TypeVar("Input", bound=PictureInput | SoundInput)


@dataclass(frozen=True, slots=True)
class NamedAsset:
    """An asset that a request names, the field that does, and the type of that input."""

    asset_id: str
    field: str
    type: str


def row_columns(request: GenerationRequest, preset: str, usual_faces: str, files: Mapping[str, str]) -> JsonObject:
    """Return the columns, as manifests of JSON lines have them, but for the tracks file of its boxes.

    Args:
        request: The request.
        preset: The preset that its model means.
        usual_faces: Rule of the server's settings for the face that is dubbed.
        files: Addresses of the assets that it names, by id.

    Raises:
        RequestError: An option means nothing here, or goes not with another.
    """
    options = request.options or Options()
    _refuse_unoffered(options)
    picture_field, picture = _the_picture(request)
    sounds = [
        (field, sound, _cells_of(sound, field, files)) for field, sound in _of_kinds(request, (AudioInput, TextInput))
    ]
    if not sounds:
        raise RequestError("invalid_request", "input", got="has neither audio nor text")
    columns: JsonObject = {"preset": preset, "video": _address(picture, picture_field, files)}
    rule = face_rule(options.active_speaker_detection, FACE_FIELD)
    if request.segments:
        if isinstance(picture, ImageInput):
            raise RequestError("invalid_request", "segments", got="an image has no times that they could name")
        columns["speakers"] = [*speakers_of(request.segments, sounds, rule or usual_faces)]
    else:
        if len(sounds) > 1:
            got = f"{len(sounds)} audio or text inputs without segments"
            raise RequestError("invalid_request", "segments", got=got, do="Say which is heard at what time")
        columns |= sounds[0][2]
        columns |= {"faces": rule} if rule else {}
    columns |= _lengths(options, has_segments=bool(request.segments), is_image=isinstance(picture, ImageInput))
    if options.occlusion_detection_enabled is not None:
        columns["composite.occlusion"] = options.occlusion_detection_enabled
        columns["composite.parser"] = "face_parsing" if options.occlusion_detection_enabled else "none"
    return columns


def named_assets(request: GenerationRequest) -> list[NamedAsset]:
    """Return the assets that a request names."""
    inputs = _of_kinds(request, (VideoInput, ImageInput, AudioInput))
    return [NamedAsset(one.asset_id, f"{field}.assetId", one.type) for field, one in inputs if one.asset_id is not None]


def _refuse_unoffered(options: Options) -> None:
    """Refuse options that this server cannot do.

    Raises:
        RequestError: One is asked for.
    """
    if options.temperature not in (None, _USUAL_TEMPERATURE):
        got = f"{options.temperature:g}: the expression of lips cannot be chosen here"
        raise RequestError("not_offered", "options.temperature", got=got, do="Leave it out, or send 0.5")
    if options.model_mode not in (None, "lips"):
        got = f"{options.model_mode}: lips alone are dubbed here"
        raise RequestError("not_offered", "options.model_mode", got=got, do="Leave it out, or send lips")
    if options.prompt is not None:
        raise RequestError("not_offered", "options.prompt", got="emotions are not changed here", do="Leave it out")


def _the_picture(request: GenerationRequest) -> tuple[str, PictureInput]:
    pictures = _of_kinds(request, (VideoInput, ImageInput))
    if len(pictures) != 1:
        got = f"has {len(pictures)} videos or images" if pictures else "has no video"
        raise RequestError("invalid_request", "input", got=got, must="it needs one")
    field, picture = pictures[0]
    if isinstance(picture, VideoInput):
        for name, value in (("segments_secs", picture.segments_secs), ("segments_frames", picture.segments_frames)):
            if value:
                do = "Name the stretches, and what is heard in them, in segments"
                raise RequestError("not_offered", f"{field}.{name}", got="is deprecated, and not read here", do=do)
    return field, picture


def _of_kinds(request: GenerationRequest, kinds: tuple[type[Input], ...]) -> list[tuple[str, Input]]:
    return [(f"input[{number}]", one) for number, one in enumerate(request.input) if isinstance(one, kinds)]


def _cells_of(sound: SoundInput, field: str, files: Mapping[str, str]) -> JsonObject:
    if isinstance(sound, AudioInput):
        return {"audio": _address(sound, field, files)}
    provider, field = sound.provider, f"{field}.provider"
    for name, value in (("stability", provider.stability), ("similarityBoost", provider.similarity_boost)):
        if value is not None:
            got = "this server's voices have no such setting"
            raise RequestError("not_offered", f"{field}.{name}", got=got, do="Leave it out")
    if provider.script.lstrip().startswith("@"):
        raise RequestError("invalid_request", f"{field}.script", got="begins with @, which is not spoken")
    return {"text": provider.script, "voice": provider.voice_id}


def _address(one: PictureInput | AudioInput, field: str, files: Mapping[str, str]) -> str:
    if (one.url is None) == (one.asset_id is None):
        got = "has neither url nor assetId" if one.url is None else "has both url and assetId"
        raise RequestError("invalid_request", field, got=got, must="it needs one of them")
    return one.url if one.url is not None else files[str(one.asset_id)]


def _lengths(options: Options, *, has_segments: bool, is_image: bool) -> JsonObject:
    mode, field = options.sync_mode, "options.sync_mode"
    if has_segments:
        if mode is not None and mode not in _OF_SEGMENTS:
            got = f"{mode} beside segments, which are times of the video as it is"
            raise RequestError("not_offered", field, got=got, do=f"Send {', '.join(_OF_SEGMENTS)}, or leave it out")
        return {**_OF_SEGMENTS[mode or "cut_off"]}
    if is_image:
        if mode is not None and mode not in _OF_IMAGES:
            got = f"{mode} with an image, which has no length"
            raise RequestError("invalid_request", field, got=got, do="Leave it out")
        return {"length": "audio"}
    return {**_LENGTHS[mode]} if mode else {}
