"""What each option of a request becomes in a row, or why it is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lipwise_ray.errors import RequestError
from lipwise_ray.service.job_record import JsonObject
from lipwise_ray.service.sync_api.request import parse_request
from lipwise_ray.service.sync_api.row_columns import named_assets, row_columns
from lipwise_ray.service.web_errors import status_of

FILES = {"v1": "/up/v1", "a1": "/up/a1", "a2": "/up/a2"}
VIDEO = {"type": "video", "assetId": "v1"}
SOUND = {"type": "audio", "assetId": "a1"}
TEXT = {"type": "text", "provider": {"name": "elevenlabs", "voiceId": "F1", "script": "Good evening"}}
IMAGE = {"type": "image", "url": "https://media.example.com/face.png"}
BOXES = [[1, 2, 30, 40], None]


def _request(options: Any = None, inputs: Any = None, **others: Any) -> dict[str, Any]:
    return {"model": "quality", "input": inputs or [VIDEO, SOUND], "options": options, **others}


def _columns(body: dict[str, Any]) -> JsonObject:
    return row_columns(parse_request(json.dumps(body)), "quality", "left", FILES)


def _segment(start: float, end: float, ref: str = "one", **audio: Any) -> dict[str, Any]:
    return {"startTime": start, "endTime": end, "audioInput": {"refId": ref, **audio}}


TWO_SOUNDS = [VIDEO, {**SOUND, "refId": "one"}, {"type": "audio", "assetId": "a2", "refId": "two"}]


@pytest.mark.parametrize(
    ("options", "columns"),
    [
        (None, {}),
        ({}, {}),
        ({"sync_mode": None, "temperature": None, "active_speaker_detection": None, "prompt": None}, {}),
        ({"sync_mode": "bounce"}, {"length": "audio", "extend": "pingpong"}),
        ({"sync_mode": "loop"}, {"length": "audio", "extend": "loop"}),
        ({"sync_mode": "cut_off"}, {"length": "shortest"}),
        ({"sync_mode": "silence"}, {"length": "longest", "extend": "hold"}),
        ({"sync_mode": "remap"}, {"length": "fit", "timing.fit": "video"}),
        ({"temperature": 0.5, "model_mode": "lips"}, {}),
        ({"active_speaker_detection": {"auto_detect": False}}, {}),
        ({"active_speaker_detection": {"auto_detect": True}}, {"faces": "speaking"}),
        (
            {"active_speaker_detection": {"frame_number": 12, "coordinates": [100, 50.4]}},
            {"faces": "at:12,100,50"},
        ),
        ({"occlusion_detection_enabled": True}, {"composite.occlusion": True, "composite.parser": "face_parsing"}),
        ({"occlusion_detection_enabled": False}, {"composite.occlusion": False, "composite.parser": "none"}),
    ],
)
def test_an_option_is_honoured(options: Any, columns: JsonObject) -> None:
    """Each option that can be done has its columns, and one that is null or absent has none."""
    assert _columns(_request(options)) == {"preset": "quality", "video": "/up/v1", "audio": "/up/a1", **columns}


def test_all_faces_of_boxes_are_dubbed() -> None:
    """The tracks file made of the boxes holds that face alone."""
    assert _columns(_request({"active_speaker_detection": {"bounding_boxes": BOXES}}))["faces"] == "all"


@pytest.mark.parametrize(
    ("inputs", "columns"),
    [
        ([VIDEO, TEXT], {"video": "/up/v1", "text": "Good evening", "voice": "F1"}),
        ([SOUND, IMAGE], {"video": IMAGE["url"], "audio": "/up/a1", "length": "audio"}),
        (
            [{"type": "video", "url": "https://a.example/v.mp4", "assetId": None}, SOUND],
            {"video": "https://a.example/v.mp4", "audio": "/up/a1"},
        ),
    ],
)
def test_inputs_of_each_kind_are_read(inputs: Any, columns: JsonObject) -> None:
    """Videos, images, audio and texts stand in their columns, in whatever order."""
    assert _columns(_request(inputs=inputs)) == {"preset": "quality", **columns}


@pytest.mark.parametrize(
    ("options", "columns"),
    [
        (None, {"length": "video"}),
        ({"sync_mode": "cut_off"}, {"length": "video"}),
        ({"sync_mode": "silence"}, {"length": "video"}),
        ({"sync_mode": "remap"}, {"length": "fit"}),
    ],
)
def test_segments_become_speakers(options: Any, columns: JsonObject) -> None:
    """Every segment has its audio at its time, and ends where it or the part of its audio does."""
    segments = [
        _segment(4, 9, "two", startTime=0, endTime=2.5),
        _segment(0, 4),
        {**_segment(9, 10), "optionsOverride": {"active_speaker_detection": {"auto_detect": True}}},
    ]
    assert _columns(_request(options, TWO_SOUNDS, segments=segments)) == {
        "preset": "quality",
        "video": "/up/v1",
        **columns,
        "speakers": [
            {"faces": "left", "audio": "/up/a2", "start": 4, "end": 6.5},
            {"faces": "left", "audio": "/up/a1", "start": 0, "end": 4},
            {"faces": "speaking", "audio": "/up/a1", "start": 9, "end": 10},
        ],
    }


def test_a_segment_says_a_text() -> None:
    """A text that a segment names is spoken at its time, by the face that the options choose."""
    inputs = [VIDEO, {**TEXT, "refId": "one"}]
    options = {"active_speaker_detection": {"frame_number": 0, "coordinates": [5, 6]}}
    columns = _columns(_request(options, inputs, segments=[_segment(1, 3)]))
    said = {"faces": "at:0,5,6", "text": "Good evening", "voice": "F1", "start": 1, "end": 3}
    assert columns["speakers"] == [said]


FACE = "options.active_speaker_detection"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (_request({"sync_mode": "stretch"}), "was sent; input should be 'bounce'"),
        (_request({"sync_modes": "loop"}), "options.sync_modes: unknown field"),
        (_request({"temperature": 0.8}), "options.temperature: 0.8"),
        (_request({"temperature": 2}), "options.temperature: 2 was sent; input should be less than or equal to 1"),
        (_request({"temperature": "0.5"}), 'options.temperature: "0.5" was sent; input should be a valid number'),
        (_request({"model_mode": "head"}), "options.model_mode: head"),
        (_request({"prompt": "happy"}), "options.prompt: emotions"),
        (_request({"occlusion_detection_enabled": "yes"}), "options.occlusion_detection_enabled"),
        (_request({"active_speaker_detection": {"frame_number": 1}}), f"{FACE}.coordinates: missing"),
        (_request({"active_speaker_detection": {"coordinates": [1, 2]}}), f"{FACE}.frame_number: missing"),
        (_request({"active_speaker_detection": {"frame_number": 1, "coordinates": [1]}}), f"{FACE}.coordinates"),
        (_request({"active_speaker_detection": {"frame_number": 1, "coordinates": [-4, 2]}}), "outside every frame"),
        (
            _request({"active_speaker_detection": {"auto_detect": True, "bounding_boxes": BOXES}}),
            f"{FACE}: auto_detect beside bounding_boxes",
        ),
        (_request({"active_speaker_detection": {"bounding_boxes": [[1, 2, 3]]}}), f"{FACE}.bounding_boxes[0]"),
        (_request(dubParams={"language": "de"}), "dubParams: unknown field"),
        (_request(inputs=[VIDEO]), "input: has neither audio nor text"),
        (_request(inputs=[SOUND]), "input: has no video"),
        (_request(inputs=[VIDEO, VIDEO, SOUND]), "input: has 2 videos or images"),
        (_request(inputs=[VIDEO, SOUND, SOUND]), "segments: 2 audio or text inputs without segments"),
        (_request(inputs=[{"type": "video"}, SOUND]), "input[0]: has neither url nor assetId"),
        (_request(inputs=[{**VIDEO, "url": "https://a/v"}, SOUND]), "input[0]: has both url and assetId"),
        (
            _request(inputs=[{"type": "clip", "url": "x"}, SOUND]),
            "input[0].type: none of video, image, audio and text was sent",
        ),
        (_request(inputs=[{**VIDEO, "adress": "x"}, SOUND]), "input[0].adress: unknown field"),
        (_request(inputs=[{**VIDEO, "segments_secs": [[0, 1]]}, SOUND]), "input[0].segments_secs: is deprecated"),
        (_request(inputs=[{**VIDEO, "segments_frames": [[0, 9]]}, SOUND]), "input[0].segments_frames: is deprecated"),
        (
            _request(inputs=[VIDEO, {**TEXT, "provider": {**TEXT["provider"], "stability": 0.4}}]),
            "input[1].provider.stability: this server's voices have no such setting",
        ),
        (
            _request(inputs=[VIDEO, {**TEXT, "provider": {**TEXT["provider"], "similarityBoost": 0.4}}]),
            "input[1].provider.similarityBoost",
        ),
        (
            _request(inputs=[VIDEO, {**TEXT, "provider": {**TEXT["provider"], "script": " @/etc/a.srt"}}]),
            "input[1].provider.script: begins with @",
        ),
        (
            _request(inputs=[VIDEO, {**TEXT, "provider": {**TEXT["provider"], "name": "other"}}]),
            "input[1].provider.name",
        ),
        (_request({"sync_mode": "silence"}, [IMAGE, SOUND]), "options.sync_mode: silence with an image"),
        (_request(inputs=[IMAGE, {**SOUND, "refId": "one"}], segments=[_segment(0, 1)]), "segments: an image"),
        (_request({"sync_mode": "loop"}, TWO_SOUNDS, segments=[_segment(0, 1), _segment(1, 2, "two")]), "loop beside"),
        (_request(inputs=TWO_SOUNDS, segments=[_segment(0, 1)]), "input[2]: no segment names it"),
        (_request(inputs=TWO_SOUNDS, segments=[_segment(0, 1, "ten")]), "segments[0].audioInput.refId: no audio"),
        (_request(inputs=TWO_SOUNDS, segments=[_segment(2, 1)]), "segments[0].endTime: 1 s is not after the start"),
        (
            _request(inputs=TWO_SOUNDS, segments=[_segment(0, 2), _segment(1.5, 3, "two")]),
            "segments[1].startTime: 1.5 s is before the end of segments[0]",
        ),
        (
            _request(inputs=TWO_SOUNDS, segments=[_segment(0, 2, startTime=1, endTime=2), _segment(2, 3, "two")]),
            "segments[0].audioInput.startTime: the beginning of an audio cannot be left out",
        ),
        (
            _request(inputs=TWO_SOUNDS, segments=[_segment(0, 2, endTime=2)]),
            "segments[0].audioInput.startTime: missing",
        ),
        (
            _request(inputs=TWO_SOUNDS, segments=[_segment(0, 2, startTime=0)]),
            "segments[0].audioInput.endTime: missing",
        ),
        (_request(inputs=[VIDEO, SOUND], segments=[_segment(0, 1)]), "input[1].refId: missing"),
        (
            _request(inputs=[VIDEO, {**SOUND, "refId": "one"}, {**SOUND, "refId": "one"}], segments=[_segment(0, 1)]),
            "input[2].refId: 'one' appears twice",
        ),
        (
            _request(inputs=TWO_SOUNDS, segments=[{**_segment(0, 1), "optionsOverride": {"sync_mode": "loop"}}]),
            "segments[0].optionsOverride.sync_mode: unknown field",
        ),
        (_request(outputFileName="../up"), "outputFileName"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(body: dict[str, Any], message: str) -> None:
    """Nothing is passed over silently: the answer is 422 and names the field."""
    with pytest.raises(RequestError) as refused:
        _columns(body)
    assert message in str(refused.value)
    assert status_of(refused.value) == 422


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", "the body: not JSON"),
        (b"\xff\xfe", "the body: not JSON"),
        (b"{}", "has no model and no input"),
        (b'{"model": "quality"}', "has no input"),
        (b'{"model": null, "input": null}', "has no model and no input"),
        (json.dumps({"input": [VIDEO, SOUND]}).encode(), "has no model"),
    ],
)
def test_a_request_without_its_parts_is_no_request(data: bytes, message: str) -> None:
    """Broken JSON, no model and no input are 400; no model is guessed for a form that lost its fields."""
    with pytest.raises(RequestError, match=message) as refused:
        parse_request(data)
    assert status_of(refused.value) == 400


def test_assets_are_named_with_their_fields() -> None:
    """An asset that is not there can be reported by the field that names it."""
    request = parse_request(json.dumps(_request(inputs=TWO_SOUNDS)))
    assert [(one.asset_id, one.field, one.type) for one in named_assets(request)] == [
        ("v1", "input[0].assetId", "video"),
        ("a1", "input[1].assetId", "audio"),
        ("a2", "input[2].assetId", "audio"),
    ]
