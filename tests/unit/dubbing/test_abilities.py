"""Ways in which a job can be done, and workers that can."""

from __future__ import annotations

import av
import pytest

from lipwise_ray.dubbing.abilities import Abilities, Choice, abilities_in, abilities_of, choose
from lipwise_ray.dubbing.flow import RowFlow
from lipwise_ray.dubbing.ids import record_id
from lipwise_ray.dubbing.tasks import NO_WORKER_CAN, Task
from lipwise_ray.errors import SettingsError
from lipwise_ray.layers import resolve
from lipwise_ray.settings import Settings
from lipwise_ray.values import Json

SOFTWARE = ("libx264", "libx265", "libsvtav1", "ffv1")
H100 = Abilities(SOFTWARE, True, "NVIDIA H100 80GB HBM3", (9, 0), 80 << 30)
L4 = Abilities((*SOFTWARE, "h264_nvenc", "hevc_nvenc"), True, "NVIDIA L4", (8, 9), 24 << 30)
T4 = Abilities((*SOFTWARE, "h264_nvenc"), False, "Tesla T4", (7, 5), 16 << 30)
GFPGAN = {"restorer": {"network": "spandrel"}, "lipsync": {"network": "wav2lip"}}


def _settings(codec: object = "auto", **more: object) -> Settings:
    return resolve([("test", {"encode": {"codec": codec}, **more})])


def _codecs(codec: object, *able: Abilities, output: str = "o.mp4", are_all: bool = True) -> list[str]:
    return [one.codec for one in choose(_settings(codec), {}, output, "cuda", able, are_all=are_all).possible]


def test_the_first_encoder_that_a_worker_opens() -> None:
    """Choices keep their order; what no worker opens, or the container does not carry, is left out."""
    several = ["hevc_nvenc", "h264_nvenc", "libx264"]
    assert _codecs(several, H100) == ["libx264"]
    assert _codecs(several, H100, L4) == several
    assert _codecs(several, T4) == ["h264_nvenc", "libx264"]
    assert _codecs(["libx264", "libsvtav1"], H100, output="o.webm") == ["libsvtav1"]
    assert _codecs("auto", H100, output="o.webm") == ["auto"]


def test_what_no_worker_can_is_refused_at_once() -> None:
    """With the encoder, and what is there; not before all workers have told."""
    with pytest.raises(SettingsError, match=r"encode\.codec = h264_nvenc.*1 workers .NVIDIA H100.*libx264") as refused:
        _codecs("h264_nvenc", H100)
    assert refused.value.code == "no_encoder"
    assert _codecs("h264_nvenc", H100, are_all=False) == ["h264_nvenc"]
    assert _codecs("h264_nvenc") == ["h264_nvenc"]


@pytest.mark.parametrize(
    ("able", "device", "formats"),
    [
        ([H100, L4], "cuda", [True, False]),
        ([L4, T4], "cuda", [False]),
        ([], "cuda", [True, False]),
        ([Abilities(SOFTWARE, False)], "cpu", [False]),
        ([Abilities(SOFTWARE, True)], "cpu", [True, False]),
        ([], "cpu", [False]),
    ],
)
def test_bfloat16_where_every_worker_has_it(able: list[Abilities], device: str, formats: list[bool]) -> None:
    """So that all of them can work at a job, whose chunks have one format."""
    ways = choose(_settings(), GFPGAN, "o.mp4", device, able, are_all=True)
    assert [way.bfloat16 for way in ways.possible] == formats
    assert {way.bfloat16 for way in ways.known} == {True, False}


def test_a_format_that_is_named_is_no_choice() -> None:
    """Neither is that of networks which have one only."""
    named = _settings(lipsync={"precision": "float32"}, restore={"precision": "float32"})
    for settings, weights in (
        (named, GFPGAN),
        (_settings(), {"restorer": {"network": "tiny_restorer"}}),
        (_settings(), {}),
    ):
        assert [way.bfloat16 for way in choose(settings, weights, "o.mp4", "cuda", [T4], are_all=True).known] == [None]


def test_ids_of_today_stay() -> None:
    """Jobs in float32 on a processor and in bfloat16 on a GPU keep their names; the other format is another job."""
    identity: Json = {"settings": {"encode": {"codec": "auto"}}, "device": "cpu"}
    for device, usual in (("cpu", False), ("cuda", True)):
        today = {**identity, "device": device}
        ids = {
            one: record_id(Choice("auto", "libx264", one).identity(today, device)) for one in (None, usual, not usual)
        }
        assert ids[None] == ids[usual] == record_id(today)
        assert ids[not usual] != ids[usual]
    several: Json = {"settings": {"encode": {"codec": ["h264_nvenc", "libx264"]}}}
    one: Json = {"settings": {"encode": {"codec": "libx264"}}}
    assert Choice("libx264", "libx264").identity(several, "cpu") == one


def test_what_this_machine_can() -> None:
    """Encoders are opened, not looked up; the record survives the way between processes."""
    told = abilities_of("cpu")
    assert {"libx264", "ffv1"} <= set(told.encoders)
    assert all(av.Codec(name, "w") for name in told.encoders)
    assert told.torch
    assert abilities_in(told.record()) == told


def test_several_codecs_are_a_setting() -> None:
    """One or a list; a wrong one is named as the setting that it is of."""
    assert _settings(["h264_nvenc", "libx264"]).encode.codecs == ("h264_nvenc", "libx264")
    assert _settings("ffv1").encode.codecs == ("ffv1",)
    assert _settings("ffv1").model_dump(mode="json")["encode"]["codec"] == "ffv1"
    with pytest.raises(SettingsError, match=r"encode\.codec\.1: .*libx264"):
        _settings(["libx264", "h264"])
    with pytest.raises(SettingsError, match=r"encode\.codec: "):
        _settings([])


def _flow(*codecs: str) -> RowFlow:
    choices = [Choice(codec, codec).record() for codec in codecs]
    return RowFlow(0, 0, 0, "", {"weights": {}, "job": {"language": None, "tags": []}, "choices": choices})


def _probed(task: Task) -> Json:
    choice = task.payload["choices"][0]
    names = ("identity", "video_id", "detector_id", "voices_id", "looks_id")
    rest = {"published": None, "scan": [[0, 0, 9]], "listen": [], "recognise": [], "portraits": {}, "to_look_at": {}}
    check = choice["codec"].endswith("nvenc")
    return {
        **dict.fromkeys(names, "x"),
        **rest,
        "job_id": choice["codec"],
        "frames": 9,
        "choice": choice,
        "check": check,
    }


def test_a_hardware_encoder_is_tried_before_the_scan() -> None:
    """By a worker that has one; where it does not open for this video, the next choice is taken, and at last the row
    fails.
    """
    flow = _flow("hevc_nvenc", "h264_nvenc")
    (probe,) = flow.start()
    (check,) = flow.advance(probe, _probed(probe))
    assert (check.kind, check.lane, check.needs) == ("check", "gpu", {"hevc_nvenc"})
    (again,) = flow.after_loss(check, "encoder", "it does not open") or []
    assert again.kind == "probe"
    (check,) = flow.advance(again, _probed(again))
    assert check.needs == {"h264_nvenc"}
    (scan,) = flow.advance(check, {})
    assert (scan.kind, scan.needs) == ("scan", frozenset())
    (plan,) = flow.advance(scan, {})
    render, _ = flow.advance(plan, {"chunks": [[0, 9]], "done": []})
    assert (render.kind, render.needs) == ("render", {"h264_nvenc"})
    assert flow.after_loss(render, NO_WORKER_CAN, "none") is None


def test_a_software_encoder_needs_no_check() -> None:
    """It is opened where the files are looked at; a job that lost its workers goes on with the next choice."""
    flow = _flow("libx265", "libx264")
    (probe,) = flow.start()
    (scan,) = flow.advance(probe, _probed(probe))
    assert scan.kind == "scan"
    (plan,) = flow.advance(scan, {})
    render, _ = flow.advance(plan, {"chunks": [[0, 9]], "done": []})
    assert flow.after_loss(render, "internal", "a bug") is None
    (again,) = flow.after_loss(render, NO_WORKER_CAN, "none") or []
    (scan,) = flow.advance(again, _probed(again))
    assert flow.job_id == "libx264"
