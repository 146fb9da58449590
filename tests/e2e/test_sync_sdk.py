"""sync.so's own SDK, pointed at this service, over HTTP."""

from __future__ import annotations

import datetime as dt
import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from lipwise_ray.runs.costs import Machine, Prices
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.support.dub import BY_LEVEL, NOTHING_IN_FRONT, PASSTHROUGH, UNJUDGED
from tests.support.sync_server import TOKEN, Served, served

sync = pytest.importorskip("sync", reason="needs the package syncsdk")

FRAMES, SOUND_S = 30, 1.6
_ENDED = ("COMPLETED", "FAILED", "REJECTED")
_WAIT_S = 120.0


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    write_clip(folder / "v.mp4", ClipSpec(size=Size(160, 120), frames=FRAMES, rate=Fraction(25), gop=20))
    write_sound(folder / "a.wav", ToneSpec(SOUND_S, codec="pcm_s16le", rate_hz=16000, channels=1))
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    prices = Prices(currency="USD", as_of="2026-01", machine=(Machine(name="one", spot=1.0, on_demand=3600.0),))
    settings = [
        PASSTHROUGH,
        UNJUDGED,
        BY_LEVEL,
        NOTHING_IN_FRONT,
        'engine.kind="inline"',
        'detect.detector="tiny"',
        'faces.select="box:60,110,50,110"',
        "encode.preset=ultrafast",
    ]
    with served(tmp_path_factory.mktemp("service"), settings, prices=prices) as one:
        yield one


@pytest.fixture(scope="module")
def client(server: Served) -> Any:
    return sync.Sync(base_url=server.url, api_key=TOKEN)


@pytest.fixture(scope="module")
def inputs(client: Any, clips: Path) -> list[Any]:
    """Both files as assets, sent as the documents say: announced, sent, and taken."""
    found = [_sent(client, clips / "v.mp4", "video/mp4"), _sent(client, clips / "a.wav", "audio/wav")]
    return [sync.Video(asset_id=found[0]), sync.Audio(asset_id=found[1])]


def _ask(method: str, url: str, body: bytes | None = None, **headers: str) -> Any:
    asked = urllib.request.Request(url, body, {"x-api-key": TOKEN, **headers}, method=method)
    with urllib.request.urlopen(asked) as answer:
        return json.loads(answer.read() or b"null")


def _sent(client: Any, file: Path, kind: str) -> str:
    url, data = client._client_wrapper.get_base_url(), file.read_bytes()
    facts = {"fileName": file.name, "contentType": kind, "size": len(data)}
    json_type = {"Content-Type": "application/json"}
    upload = _ask("POST", f"{url}/v2/assets/upload", json.dumps(facts).encode(), **json_type)
    put = urllib.request.Request(upload["uploadUrl"], data, method="PUT")
    urllib.request.urlopen(put).close()
    return _ask("POST", f"{url}/v2/assets", json.dumps({"url": upload["url"]}).encode(), **json_type)["id"]


def _until(look: Callable[[], Any], is_done: Callable[[Any], bool]) -> Any:
    """Ask as clients do: the SDK has nothing that waits."""
    end_s = time.monotonic() + _WAIT_S
    while not is_done(found := look()):
        assert time.monotonic() < end_s, found
        time.sleep(0.1)
    return found


def _ended(client: Any, generation_id: str) -> Any:
    return _until(lambda: client.generations.get(generation_id), lambda one: one.status in _ENDED)


def _frames(url: str, into: Path) -> int:
    """Count the frames of a video that is fetched without the key."""
    with urllib.request.urlopen(url) as answer:
        into.write_bytes(answer.read())
    with av.open(str(into)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_a_job_of_assets_is_finished(client: Any, inputs: list[Any], tmp_path: Path) -> None:
    """The SDK makes a job of two assets, sees it end, and its link gives the video: as long as the audio, looped."""
    options = sync.GenerationOptions(sync_mode="loop", temperature=0.5)
    made = client.generations.create(model="fast", input=inputs, options=options, output_file_name="my_dub")
    assert (made.status, made.output_url, made.model) in {("PENDING", None, "fast"), ("PROCESSING", None, "fast")}
    done = _ended(client, made.id)
    assert done.status == "COMPLETED", done.error
    assert done.output_url.partition("?")[0].endswith("/my_dub.mp4")
    assert done.output_duration == pytest.approx(SOUND_S, abs=0.05)
    assert _frames(done.output_url, tmp_path / "out.mp4") == round(SOUND_S * 25)
    assert done.options.sync_mode == "loop"
    assert [one.type for one in done.input] == ["video", "audio"]
    assert done.created_at <= dt.datetime.now(dt.UTC)


@pytest.mark.slow
def test_bytes_make_a_job(client: Any, server: Served, clips: Path, tmp_path: Path) -> None:
    """Files as bare bytes and options as a text of JSON go through; the video's rest is cut off."""
    made = client.generations.create_with_files(
        model="fast",
        video=(clips / "v.mp4").read_bytes(),
        audio=(clips / "a.wav").read_bytes(),
        options='{"sync_mode": "cut_off"}',
    )
    done = _ended(client, made.id)
    assert done.status == "COMPLETED", done.error
    assert _frames(done.output_url, tmp_path / "out.mp4") == FRAMES
    assert done.input[0].asset_id in {one.id for one in client.assets.list().items}
    assert server.service.job(made.id).door == "sync"


@pytest.mark.slow
def test_segments_put_audio_at_their_times(client: Any, inputs: list[Any], tmp_path: Path) -> None:
    """A segment's audio begins where it says, and the video keeps its length."""
    video, audio = inputs
    named = sync.Audio(asset_id=audio.asset_id, ref_id="a")
    heard = sync.SegmentAudioInput(ref_id="a", start_time=0, end_time=0.4)
    segments = [sync.GenerationSegment(start_time=0.4, end_time=1.0, audio_input=heard)]
    made = client.generations.create(model="fast", input=[video, named], segments=segments)
    done = _ended(client, made.id)
    assert done.status == "COMPLETED", done.error
    assert _frames(done.output_url, tmp_path / "out.mp4") == FRAMES
    assert done.segments[0].audio_input.end_time == pytest.approx(0.4)


@pytest.mark.slow
def test_boxes_mark_the_face(client: Any, inputs: list[Any]) -> None:
    """A box a frame is a face that is dubbed; as many as frames are asked for."""
    boxes: list[Any] = [[50, 60, 110, 110]] * FRAMES
    chosen = sync.ActiveSpeaker(bounding_boxes=boxes)
    made = client.generations.create(
        model="fast", input=inputs, options=sync.GenerationOptions(active_speaker_detection=chosen)
    )
    done = _ended(client, made.id)
    assert done.status == "COMPLETED", done.error
    few = sync.GenerationOptions(active_speaker_detection=sync.ActiveSpeaker(bounding_boxes=boxes[:-1]))
    with pytest.raises(sync.core.ApiError) as refused:
        client.generations.create(model="fast", input=inputs, options=few)
    assert refused.value.status_code == 422
    assert "29 entries; the video has 30 frames" in refused.value.body["message"]


@pytest.mark.slow
def test_the_same_key_is_the_same_job(client: Any, inputs: list[Any], clips: Path) -> None:
    """A key makes one job however often it is sent, with files too; another request under it is refused."""
    keyed = {"additional_headers": {"Idempotency-Key": "night-7"}}
    first = client.generations.create(model="fast", input=inputs, request_options=keyed)
    assert client.generations.create(model="fast", input=inputs, request_options=keyed).id == first.id
    with pytest.raises(sync.core.ApiError) as refused:
        client.generations.create(model="parity", input=inputs, request_options=keyed)
    assert (refused.value.status_code, refused.value.body["errorCode"]) == (409, "idempotency")
    sent = {"model": "fast", "audio": (clips / "a.wav").read_bytes(), "video": (clips / "v.mp4").read_bytes()}
    keyed = {"additional_headers": {"Idempotency-Key": "night-8"}}
    ids = {client.generations.create_with_files(**sent, request_options=keyed).id for _ in range(2)}
    assert len(ids) == 1
    with pytest.raises(sync.BadRequestError):
        client.generations.create(
            model="fast", input=inputs, request_options={"additional_headers": {"Idempotency-Key": "a b"}}
        )


@pytest.mark.slow
def test_generations_are_listed_and_filtered(client: Any, inputs: list[Any]) -> None:
    """Lists come as repeated keys or with commas; the newest is first; an unknown status is refused."""
    ids = [client.generations.create(model="fast", input=inputs).id for _ in range(2)]
    for one in ids:
        _ended(client, one)
    assert [one.id for one in client.generations.list(ids=ids)] == ids[::-1]
    assert [one.id for one in client.generations.list(ids=",".join(ids), status=["COMPLETED", "FAILED"])] == ids[::-1]
    assert client.generations.list(ids=ids, status="PENDING") == []
    with pytest.raises(sync.core.ApiError) as refused:
        client.generations.list(status="DONE")
    assert refused.value.status_code == 422


def test_costs_are_frames_and_prices(client: Any, inputs: list[Any]) -> None:
    """The frames are those of the output, and the price is the price list's for the slowest likely way."""
    (cost,) = client.generations.estimate_cost(model="fast", input=inputs)
    assert cost.estimated_frame_count == round(SOUND_S * 25)
    assert cost.estimated_generation_cost > 0
    (fitted,) = client.generations.estimate_cost(
        model="fast", input=inputs, options=sync.GenerationOptions(sync_mode="cut_off")
    )
    assert fitted.estimated_frame_count == FRAMES


@pytest.mark.slow
def test_a_batch_is_done_and_its_results_are_a_file(client: Any, inputs: list[Any]) -> None:
    """A dry run makes nothing; a batch's results are JSON lines behind a link, one for each request."""
    given = [{"type": "video", "assetId": inputs[0].asset_id}, {"type": "audio", "assetId": inputs[1].asset_id}]
    names = ["one", "two"]
    lines = [
        json.dumps({"request_id": name, "endpoint": "/v2/generate", "payload": {"model": "fast", "input": given}})
        for name in names
    ]
    before = len(client.generations.list())
    tried = client.batch.create(input="\n".join(lines).encode(), dry_run="true")
    assert tried.status == "VALIDATED"
    assert len(client.generations.list()) == before
    made = client.batch.create(input=("\n".join(lines)).encode())
    assert (made.metrics.total_generations, made.output_url) == (2, "")
    done = _until(lambda: client.batch.get(made.id), lambda one: one.status in _ENDED)
    assert (done.status, done.metrics.success_count, done.metrics.pending_count) == ("COMPLETED", 2, 0)
    with urllib.request.urlopen(done.output_url) as answer:
        results = [json.loads(line) for line in answer.read().splitlines()]
        assert answer.url.partition("?")[0].endswith(".jsonl")
    assert [(one["requestId"], one["status"]) for one in results] == [(name, "COMPLETED") for name in names]
    assert all(client.generations.get(one["generationId"]).output_url for one in results)
    assert client.batch.list()[0].id == made.id
    assert client.batch.list(created_after=done.created_at + dt.timedelta(days=1)) == []
    broken = lines[0].replace("fast", "slow")
    with pytest.raises(sync.core.ApiError) as refused:
        client.batch.create(input=broken.encode())
    assert refused.value.status_code == 422
    assert "request one: model: unknown model 'slow'" in refused.value.body["message"]


def test_models_are_listed(client: Any) -> None:
    """What may be named in a request is there, of the type that clients look for."""
    found = client.models.list()
    assert {"quality", "fast", "parity", "lipsync-2"} <= {one.name for one in found}
    assert {one.type for one in found} == {"lipsync"}


def test_a_failed_job_says_why_without_a_path(client: Any, server: Served, inputs: list[Any]) -> None:
    """The reason and its code are in the answer, and none of the server's folders."""
    far = sync.GenerationOptions(active_speaker_detection=sync.ActiveSpeaker(frame_number=5000, coordinates=[10, 10]))
    made = client.generations.create(model="fast", input=inputs, options=far)
    done = _ended(client, made.id)
    assert done.status == "FAILED"
    assert done.error_code
    assert str(server.service.folder) not in done.error


def test_a_job_that_waits_is_cancelled(client: Any, server: Served, inputs: list[Any]) -> None:
    """Cancelling is ours, not the SDK's; what was cancelled is rejected."""
    made = client.generations.create(model="fast", input=inputs)
    answer = _ask("POST", f"{server.url}/v2/generate/{made.id}/cancel", b"")
    assert answer["id"] == made.id
    assert _ended(client, made.id).status in {"REJECTED", "COMPLETED"}


@pytest.mark.parametrize(
    ("model", "video", "status", "words"),
    [
        ("nosuch", None, 422, "model: unknown model 'nosuch'"),
        ("fast", {"type": "video", "assetId": "nosuch"}, 404, "input[0].assetId"),
        ("fast", {"type": "video", "url": "/etc/passwd"}, 422, "the video in input"),
        ("fast", {"type": "video", "url": "http://127.0.0.1:1/v.mp4"}, 422, "the video in input"),
    ],
)
def test_what_cannot_be_done_is_refused(
    client: Any, inputs: list[Any], model: str, video: Any, status: int, words: str
) -> None:
    """The SDK's error has the status, and words that name the field."""
    with pytest.raises(sync.core.ApiError) as refused:
        client.generations.create(model=model, input=[video or inputs[0], inputs[1]])
    assert refused.value.status_code == status
    assert words in refused.value.body["message"]
    assert "/etc" not in refused.value.body["message"]


def test_unknown_ids_and_wrong_keys_are_typed_errors(client: Any, server: Served) -> None:
    """The SDK raises the classes that programs catch."""
    with pytest.raises(sync.NotFoundError):
        client.generations.get("nosuch")
    with pytest.raises(sync.UnauthorizedError):
        sync.Sync(base_url=server.url, api_key="wrong").generations.list()
    with pytest.raises(sync.BadRequestError):  # the form lost its fields, as when the SDK sends it again
        client.generations.create_with_files(model=None, video=b"x", audio=b"y")
