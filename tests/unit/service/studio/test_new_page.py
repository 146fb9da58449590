"""The studio's page of a new video, over HTTP: the form, its plan, its faults beside their fields, whole manifests."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import pytest

from lipwise_ray.runs.costs import Machine, Prices
from lipwise_ray.service.studio.studio_door import studio_door
from tests.support.dub import PASSTHROUGH
from tests.support.service_site import Site, clip, running, tone

PRICES = Prices(currency="EUR", as_of="2026-11", machine=(Machine(name="l4", spot=0.3, on_demand=0.8),))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Generator[Site]:
    folder = tmp_path_factory.mktemp("new") / "s"
    settings = (
        PASSTHROUGH,
        'detect.detector="tiny"',
        "faces.select=box:8,40,8,40",
        'tts.engine="command"',
        'tts.command=["cat"]',
    )
    with running(folder, *settings, "service.queue=6", doors=[studio_door(PRICES)]) as found:
        yield found


@pytest.fixture(scope="module")
def files(site: Site) -> dict[str, str]:
    return {"video_asset": site.sent(clip(), "My clip.mp4"), "audio_asset": site.sent(tone(), "s.wav")}


def posted(site: Site, step: str, **body: Any) -> tuple[int, dict[str, Any]]:
    answer = site.asked("POST", f"/studio/new/{step}", json=body)
    return answer.status_code, answer.json()


def test_the_page_shows_settings_by_their_own_texts_and_forbids_what_is_not_its_own(site: Site) -> None:
    """Every setting of a single video has its field and text, and the policy allows nothing inline."""
    page = site.asked("GET", "/")
    assert page.status_code == 200
    assert "'unsafe-inline'" not in page.headers["Content-Security-Policy"]
    assert 'data-setting="composite.feather"' in page.text
    assert "Share of the box over which the mask fades at its rim" in page.text
    assert 'data-setting="lipsync.checkpoint"' not in page.text  # files of the server's
    assert " style=" not in page.text
    assert " onclick=" not in page.text
    assert str(site.folder) not in page.text


def test_the_plan_tells_time_and_price_before_anything_is_submitted(site: Site, files: dict[str, str]) -> None:
    """A form that can be done is answered with its frames, its time, and its price on each machine."""
    status, told = posted(site, "check", **files)
    assert status == 200
    assert told["plan"]["frames"] == 13  # of half a second
    assert 0 < told["plan"]["least_s"] < told["plan"]["most_s"]
    assert told["plan"]["costs"][0].startswith("l4: ")
    assert not site.service.find()


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"video_asset": ""}, "video", "no video was chosen"),
        ({"video_asset": "a0"}, "video", "none has the id"),
        ({"audio_asset": "", "audio_url": "/etc/passwd"}, "audio", "not read for clients"),
        ({"faces": "lefty"}, "faces", "lefty"),
        ({"preset": "slowest"}, "preset", "slowest"),
        ({"speech": "text", "text": " "}, "text", "is empty"),
        ({"settings": "feather ="}, "settings", "not TOML"),
        ({"settings": "[composite]\nfeather = 7"}, "settings", "composite.feather"),
        ({"settings": "[engine]\nkind = 'ray'"}, "settings", "engine.kind"),
        ({"settings": "[lipsync]\nmodel = 'nobody'"}, "settings", "nobody"),
    ],
)
@pytest.mark.parametrize("step", ["check", "submit"])
def test_a_fault_belongs_to_its_field(
    site: Site, files: dict[str, str], step: str, change: dict[str, str], field: str, words: str
) -> None:
    """Whatever cannot be is refused with the field and a sentence, and nothing is submitted."""
    status, told = posted(site, step, **{**files, **change})
    assert status in (404, 422), told
    assert (told["field"], words.lower() in told["message"].lower()) == (field, True), told
    assert str(site.folder) not in told["message"]
    assert not site.service.find()


def test_audio_is_no_video(site: Site, files: dict[str, str]) -> None:
    """A sound in the place of the video is told so beside that field."""
    status, told = posted(site, "check", **{**files, "video_asset": files["audio_asset"]})
    assert (status, told["field"]) == (422, "video")
    assert "audio" in told["message"]


def test_a_form_becomes_a_job_of_the_queue(site: Site, files: dict[str, str]) -> None:
    """The face, the language and the settings are columns of the job, which is called as its video is."""
    toml = '[composite]\nfeather = 0.15\n[encode.audio]\ncodec = "aac"'
    status, told = posted(site, "submit", **files, faces="at:3,10,12", language="de", settings=toml)
    assert status == 201, told
    job = site.service.job(told["id"])
    assert told["page"] == f"/rows/{job.id}"
    assert (job.door, job.name, job.status) == ("studio", "My-clip", "pending")
    assert job.columns["faces"] == "at:3,10,12"
    assert job.columns["composite.feather"] == 0.15
    assert job.columns["encode.audio"] == '{codec = "aac"}'
    assert site.asked("GET", told["page"]).status_code == 200
    site.service.cancel(job.id)


def test_a_manifest_is_told_by_line_and_column_and_its_good_rows_are_submitted(
    site: Site, files: dict[str, str]
) -> None:
    """Faulty rows are named; the others become one batch, with their ids as names."""
    video, audio = (str(site.service.uploads / files[name]) for name in ("video_asset", "audio_asset"))
    lines = ["id,video,audio,faces,output", f"ep1,{video},{audio},left,x/ep1.mp4", f"ep2,{video},{audio},lefty,"]
    text = "\n".join([*lines, f"ep1,{video},{audio},left,", f"ep4,{video},{audio}"])
    status, told = posted(site, "manifest/check", text=text)
    assert status == 200
    assert told["rows"] == [{"line": 2, "name": "ep1"}]
    assert [(one["line"], one["column"]) for one in told["problems"]] == [(3, "faces"), (4, "id"), (5, "")]
    before = len(site.service.find())
    status, told = posted(site, "manifest/submit", text=text)
    assert (status, told["jobs"], told["page"]) == (201, 1, "/queue")
    (job,) = site.service.jobs(batch=told["id"])
    assert (job.name, job.columns["faces"], len(site.service.find())) == ("ep1", "left", before + 1)
    site.service.cancel(job.id)


def test_json_lines_are_taken_as_csv_is(site: Site, files: dict[str, str]) -> None:
    """A text that begins with a brace is JSON lines, and neither id nor output is needed."""
    row = {"video": str(site.service.uploads / files["video_asset"]), "audio": "/etc/hostname", "priority": "high"}
    _, told = posted(site, "manifest/check", text=f"{json.dumps(row)}\n{{broken")
    assert told["good"] == 0
    found = [(one["line"], one["column"]) for one in told["problems"]]
    assert found == [(1, "audio"), (1, "priority"), (2, "")]
    assert (told["bad"], told["bad_rows"]) == (3, 2)


def test_all_faults_of_a_row_are_told_at_once(site: Site, files: dict[str, str]) -> None:
    """Whoever mends a row need not be told of its next fault afterwards, in a manifest as in the form."""
    text = "video,audio,faces,length,priority\n/etc/passwd,/etc/passwd,lefty,longer,high"
    _, told = posted(site, "manifest/check", text=text)
    assert (told["good"], told["bad_rows"]) == (0, 1)
    assert {one["column"] for one in told["problems"]} == {"video", "audio", "faces", "length", "priority"}
    status, told = posted(site, "check", **files, faces="lefty", preset="slowest")
    assert status == 422
    assert {"faces", "preset"} <= {one["field"] for one in told["problems"]}
    assert told["message"] == told["problems"][0]["message"]


def _told_of_preview(site: Site, **body: Any) -> list[dict[str, Any]]:
    answer = site.asked("POST", "/studio/new/preview", json=body)
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines() if line]


def test_a_preview_tells_of_its_frames_and_begins_where_it_is_asked_to(site: Site, files: dict[str, str]) -> None:
    """Its progress comes before its address; one that begins past the end is refused beside its field."""
    *progress, made = _told_of_preview(site, form=files, at_s=0.2)
    assert progress
    assert {*progress[-1]} == {"stage", "done", "total"}
    shown = site.asked("GET", made["video"])
    assert (shown.status_code, shown.headers["content-type"]) == (200, "video/mp4")
    *_, refused = _told_of_preview(site, form=files, at_s=7)
    assert (refused["field"], "past the end" in refused["message"]) == ("at", True), refused
    status, told = posted(site, "preview", form={**files, "faces": "lefty"})
    assert (status, told["field"]) == (422, "faces")


def test_faces_are_shown_of_a_video_that_is_named_by_its_place(site: Site, files: dict[str, str]) -> None:
    """An address takes an upload's place; one that clients may not read is refused without a word on what is there."""
    status, told = posted(site, "faces", video_url=str(site.service.uploads / files["video_asset"]))
    assert (status, told["frame"]) == (200, 0)
    assert site.asked("GET", told["still"]).headers["content-type"] == "image/jpeg"
    for place in ("/etc/passwd", "/etc/nobody", "https://10.0.0.1/a.mp4"):
        status, told = posted(site, "faces", video_url=place)
        assert status == 422
        assert "not found" not in told["message"]
    status, told = posted(site, "faces")
    assert (status, told["field"]) == (422, "video")


def test_a_manifest_without_a_good_row_submits_nothing(site: Site) -> None:
    """A wrong header is one fault of the first line, and is no batch."""
    status, told = posted(site, "manifest/submit", text="video;audio;vidoe\na;b;c")
    assert (status, told["problems"][0]["line"]) == (422, 1)
    assert "vidoe" in told["problems"][0]["message"]
    assert all(len(one.items) for one in site.service.batches())


def test_only_what_was_made_is_sent(site: Site) -> None:
    """Neither the token nor anything else beside the pictures and previews can be asked for."""
    for path in ("stills/..%2F..%2Ftoken", "stills/nothing.jpg", "previews/..%2F..%2Ftoken/x.mp4", "previews/x/y.mp4"):
        assert site.asked("GET", f"/studio/new/{path}").status_code == 404
