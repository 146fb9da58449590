"""Requests for a generation, with the names that sync.so's API gives them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from lipwise_ray.errors import RequestError
from lipwise_ray.settings.layers import clipped

_MOST_INPUTS, _MOST_SEGMENTS, _MOST_BOXES = 100, 100, 2_000_000
_MOST_NAME = 251  # with its suffix a name fits into what usual file systems bear
_MOST_PROBLEMS = 20
_NEEDED = ("model", "input")
_UNION_TAGS = frozenset({"video", "image", "audio", "text"})
_OTHER_TYPES = frozenset({"union_tag_invalid", "union_tag_not_found"})
Parsed = TypeVar("Parsed")

Address: TypeAlias = Annotated[str, Field(min_length=1, max_length=8192)]
AssetId: TypeAlias = Annotated[str, Field(min_length=1, max_length=200, pattern="^[A-Za-z0-9_-]+$")]
RefId: TypeAlias = Annotated[str, Field(min_length=1, max_length=255)]
OutputName: TypeAlias = Annotated[str, Field(pattern="^[A-Za-z0-9_-]+$", max_length=_MOST_NAME)]
Second: TypeAlias = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Pixel: TypeAlias = Annotated[float, Field(ge=-1_000_000, le=1_000_000, allow_inf_nan=False)]
Box: TypeAlias = Annotated[list[Pixel], Field(min_length=4, max_length=4)]
# Of a long list the first fault is enough: to tell of each takes five hundred times the memory of the request.
BoxList: TypeAlias = Annotated[list[Box | None], Field(min_length=1, max_length=_MOST_BOXES, fail_fast=True)]


class RequestPart(BaseModel):
    """A part of a request: names that it does not have are refused, and null is as good as absent."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class VideoInput(RequestPart):
    """The video whose lips are to follow new audio: by its address, or an asset."""

    type: Literal["video"]
    url: Address | None = None
    asset_id: AssetId | None = Field(default=None, alias="assetId")
    # Of which nothing is used: whoever names them is told of their successor.
    segments_secs: JsonValue = None
    segments_frames: JsonValue = None


class ImageInput(RequestPart):
    """A still image that is shown as long as the audio lasts."""

    type: Literal["image"]
    url: Address | None = None
    asset_id: AssetId | None = Field(default=None, alias="assetId")


class AudioInput(RequestPart):
    """New audio, or a video with it; segments name it by its ``refId``."""

    type: Literal["audio"]
    url: Address | None = None
    asset_id: AssetId | None = Field(default=None, alias="assetId")
    ref_id: RefId | None = Field(default=None, alias="refId")


class VoiceProvider(RequestPart):
    """A text and the voice that says it: one of the server's, whatever the provider's name."""

    name: Literal["elevenlabs"]
    voice_id: Annotated[str, Field(min_length=1, max_length=100)] = Field(alias="voiceId")
    script: Annotated[str, Field(min_length=1, max_length=10_000)]
    stability: Annotated[float, Field(ge=0, le=1)] | None = None
    similarity_boost: Annotated[float, Field(ge=0, le=1)] | None = Field(default=None, alias="similarityBoost")


class TextInput(RequestPart):
    """A text that is spoken, in place of audio."""

    type: Literal["text"]
    provider: VoiceProvider
    ref_id: RefId | None = Field(default=None, alias="refId")


AnyInput: TypeAlias = Annotated[
    VideoInput | ImageInput | AudioInput | TextInput,
    Field(discriminator="type"),
]
SoundInput: TypeAlias = AudioInput | TextInput
PictureInput: TypeAlias = VideoInput | ImageInput


class ActiveSpeaker(RequestPart):
    """The person who is dubbed: found by who speaks, at a point of a frame, or in boxes, one a frame."""

    auto_detect: bool | None = None
    frame_number: Annotated[int, Field(ge=0, le=99_999_999)] | None = None
    coordinates: Annotated[list[Pixel], Field(min_length=2, max_length=2)] | None = None
    bounding_boxes: BoxList | None = None


class Options(RequestPart):
    """Options of a generation."""

    sync_mode: Literal["bounce", "loop", "cut_off", "silence", "remap"] | None = None
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    active_speaker_detection: ActiveSpeaker | None = None
    occlusion_detection_enabled: bool | None = None
    model_mode: Literal["lips", "face", "head"] | None = None
    prompt: Annotated[str, Field(max_length=1000)] | None = None


class SegmentAudio(RequestPart):
    """The audio, or text, of a segment, and the part of it that is heard."""

    ref_id: RefId = Field(alias="refId")
    start_time: Second | None = Field(default=None, alias="startTime")
    end_time: Second | None = Field(default=None, alias="endTime")


class SegmentOptions(RequestPart):
    """Options of one segment alone."""

    active_speaker_detection: ActiveSpeaker | None = None


class VideoSegment(RequestPart):
    """A stretch of the video, in its seconds, and what is heard in it."""

    start_time: Second = Field(alias="startTime")
    end_time: Second = Field(alias="endTime")
    audio_input: SegmentAudio = Field(alias="audioInput")
    options_override: SegmentOptions | None = Field(default=None, alias="optionsOverride")


class GenerationRequest(RequestPart):
    """Request for a generation."""

    model: Annotated[str, Field(min_length=1, max_length=100)]
    input: Annotated[list[AnyInput], Field(min_length=1, max_length=_MOST_INPUTS)]
    options: Options | None = None
    segments: Annotated[list[VideoSegment], Field(max_length=_MOST_SEGMENTS)] | None = None
    webhook_url: Annotated[str, Field(max_length=2048)] | None = Field(default=None, alias="webhookUrl")
    output_file_name: OutputName | None = Field(default=None, alias="outputFileName")


def parse_request(data: bytes | str) -> GenerationRequest:
    """Read a request.

    Args:
        data: A JSON object.

    Raises:
        RequestError: It is no JSON, has no model or input, or a field is unknown or impossible; each is named.
    """
    return checked(TypeAdapter(GenerationRequest), data)


def checked(adapter: TypeAdapter[Parsed], data: bytes | str, field: str = "") -> Parsed:
    """Read a value of a request.

    Args:
        adapter: What it has to be.
        data: JSON.
        field: Name of the field that it is; empty for the whole body.

    Raises:
        RequestError: It is not; every wrong field is named.
    """
    try:
        return adapter.validate_json(data, strict=True)
    except ValidationError as error:
        problems = error.errors(include_url=False)
    if problems[0]["type"] == "json_invalid":
        what = f"{field}: " if field else ""
        got = f"not JSON: {problems[0].get('ctx', {}).get('error', '')}"
        raise RequestError("bad_json", what.rstrip(": ") or "the body", got=got, do="Send a JSON object")
    missing = [one["loc"][0] for one in problems if one["type"] == "missing" and one["loc"] in {(n,) for n in _NEEDED}]
    # Null is as good as absent where nothing else is wrong with it.
    missing += [one["loc"][0] for one in problems if one["loc"] in {(n,) for n in _NEEDED} and one["input"] is None]
    if missing and not field:
        raise RequestError("bad_request", "the request", got=f"has no {' and no '.join(map(str, missing))}")
    told = problems[:_MOST_PROBLEMS]
    words = [_in_words(field, one["loc"], one["type"], one["msg"], one["input"]) for one in told]
    raise RequestError("invalid_request", "", got="; ".join(words))


def named(field: str, place: Sequence[int | str]) -> str:
    """Return the name of a field as a client spells it: ``input[0].url``.

    Args:
        field: The field that it is in; empty for none.
        place: The way to it.
    """
    text, before = field, ""
    for step in place:
        if isinstance(step, int):
            text += f"[{step}]"
        elif not (isinstance(before, int) and step in _UNION_TAGS):  # pydantic names the kind of an input besides
            text += f".{step}" if text else step
        before = step
    return text


def _in_words(field: str, place: Sequence[int | str], kind: str, message: str, value: object) -> str:
    name = named(field, place) or "the body"
    if kind == "extra_forbidden":
        return f"{name}: unknown field"
    if kind == "missing":
        return f"{name}: missing"
    if kind in _OTHER_TYPES:
        return f"{name}.type: none of video, image, audio and text was sent"
    text = message[0].lower() + message[1:]
    if isinstance(value, dict | list):
        return f"{name}: {text}"
    return f"{name}: {clipped(json.dumps(value, default=str))} was sent; {text}"
