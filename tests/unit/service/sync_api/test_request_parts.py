"""Models, boxes and batch files of the API."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from lipwise_ray.errors import RequestError
from lipwise_ray.faces.tracks import read_tracks
from lipwise_ray.service.sync_api.batch_lines import batch_lines
from lipwise_ray.service.sync_api.box_tracks import BoxTracks, tracks_of_boxes
from lipwise_ray.service.sync_api.catalogue import listed_models, preset_of
from lipwise_ray.service.sync_api.request import parse_request
from lipwise_ray.service.web_errors import status_of
from lipwise_ray.values import Size

PRESETS = ["demo", "fast", "parity", "quality"]
SIZE = Size(640, 360)
BOX = [100.0, 80.0, 200.0, 190.0]


@pytest.mark.parametrize(
    ("model", "preset"),
    [("quality", "quality"), ("fast", "fast"), ("lipsync-2-pro", "quality"), ("lipsync-1.9.0-beta", "fast")],
)
def test_a_model_means_a_preset(model: str, preset: str) -> None:
    """Our presets and the names that programs send already are models."""
    assert preset_of(model, PRESETS) == preset
    assert model in {one.name for one in listed_models(PRESETS)}


@pytest.mark.parametrize("model", ["react-1", "lipsync-9", "Quality", "demo"])
def test_an_unknown_model_is_refused_with_those_that_are_there(model: str) -> None:
    """The answer lists what may be named."""
    with pytest.raises(RequestError, match=r"model: .*Known: quality, fast, parity") as refused:
        preset_of(model, PRESETS)
    assert status_of(refused.value) == 422


def test_boxes_are_tracks_of_the_stretches_in_which_the_face_stays() -> None:
    """A gap and a jump begin a new track, so that nothing is smoothed over a cut; boxes end at the frame's edge."""
    far = [400.0, 80.0, 700.0, 190.0]
    tracks = tracks_of_boxes([BOX, BOX, None, BOX, far], 5, SIZE)
    assert tracks.track.tolist() == [0, 0, 1, 2]
    assert tracks.frame.tolist() == [0, 1, 3, 4]
    assert tracks.box[-1].tolist() == [400, 80, 640, 190]


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([BOX], "1 entries; the video has 2 frames"),
        ([None, None], "no frame has a box"),
        ([None, [5.0, 5.0, 5.0, 9.0]], r"bounding_boxes\[1\]: 5, 5, 5, 9 is not a box"),
        ([[900.0, 5.0, 950.0, 9.0], None], "is not a box .* in 640x360"),
    ],
)
def test_boxes_that_cannot_be_are_refused(boxes: Any, message: str) -> None:
    """They must be as many as the frames, and each inside."""
    with pytest.raises(RequestError, match=message):
        tracks_of_boxes(boxes, 2, SIZE)


def test_a_file_of_boxes_is_one_that_rows_take(tmp_path: Path) -> None:
    """What is written is read as any tracks file is."""
    path = tmp_path / "tracks.npz"
    tracks_of_boxes([BOX, None, BOX], 3, SIZE).save(path)
    tracks = read_tracks(path)
    assert (tracks.frames, tracks.size, len(tracks.numbers)) == (3, SIZE, 2)
    assert np.array_equal(tracks.box[0], np.array(BOX, np.float32))


def test_old_files_of_boxes_go_unless_a_job_reads_them(tmp_path: Path) -> None:
    """Files stay for their time, and for as long as an unfinished job names them."""
    for name in ("a.npz", "b.npz"):
        (tmp_path / name).touch()
    boxes = BoxTracks(tmp_path, _uncounted)
    assert boxes.expire(3600, lambda _: False) == 0
    assert boxes.expire(-1, lambda path: path.endswith("b.npz")) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["b.npz"]


def test_a_file_that_goes_while_others_are_looked_at_is_no_fault(tmp_path: Path) -> None:
    """Another request gives its draft the name it is to have."""
    (tmp_path / "a.1.npz").symlink_to(tmp_path / "gone")
    assert BoxTracks(tmp_path, _uncounted).expire(-1, lambda _: False) == 0


def _uncounted(*_: object) -> NoReturn:
    pytest.fail("nothing is to be counted")


def _line(name: str, **payload: Any) -> str:
    inputs = [{"type": "video", "assetId": "v"}, {"type": "audio", "assetId": "a"}]
    body = {"model": "fast", "input": inputs, **payload}
    return json.dumps({"request_id": name, "endpoint": "/v2/generate", "payload": body})


def test_a_batch_is_a_request_a_line() -> None:
    """Each line has the client's own name; empty lines are none."""
    lines = batch_lines(f"{_line('one')}\n\n{_line('two', outputFileName='b')}\n".encode())
    assert [(name, request.output_file_name) for name, request in lines] == [("one", None), ("two", "b")]


@pytest.mark.parametrize(
    ("data", "message", "status"),
    [
        ("", "0 lines", 400),
        (f"{_line('a')}\n" * 501, "501 lines", 400),
        ("{}\n{", "line 1: line.request_id: missing.*line 2: line: not JSON", 422),
        (f"{_line('a')}\n{_line('a')}", "line 2: request_id: 'a' appears twice", 422),
        (_line("a").replace("/v2/generate", "/v2/other"), "line 1: line.endpoint", 422),
        (_line("a", options={"temprature": 1}), "line 1: payload.options.temprature: unknown field", 422),
        (_line("a", note="x" * (5 << 20)), "at most 5242880 are taken", 413),
    ],
)
def test_lines_that_are_no_requests_are_named(data: str, message: str, status: int) -> None:
    """All of a file's faults are told together, by their lines."""
    with pytest.raises(RequestError, match=message) as refused:
        batch_lines(data.encode())
    assert status_of(refused.value) == status


def test_a_body_of_many_faults_is_answered_with_little_memory() -> None:
    """A list with a fault in each place is refused by its first: a client cannot fill the memory by a small body."""
    zeros = f'{{"active_speaker_detection": {{"bounding_boxes": [{",".join("0" * 60_000)}]}}}}'
    body = f'{{"model": "fast", "input": [{{"type": "video", "url": "x"}}], "options": {zeros}}}'
    tracemalloc.start()
    try:
        with pytest.raises(RequestError) as refused:
            parse_request(body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(refused.value).count("bounding_boxes") == 1
    assert peak < 1_000_000
