"""Ways in which a job can be done, and workers that can."""

from __future__ import annotations

import pickle
from pathlib import Path

import av
import pytest

from lipwise_ray.errors import SettingsError
from lipwise_ray.models.checkpoints import Checkpoint, Checkpoints
from lipwise_ray.pipeline.dubbing.capabilities import Choice, RenderCapabilities, capabilities_of, choose
from lipwise_ray.pipeline.dubbing.task_parts import NumberedSpan
from lipwise_ray.pipeline.flows.dub import RowFlow
from lipwise_ray.pipeline.flows.task_kinds import (
    CHECK,
    PROBE,
    RENDER,
    SCAN,
    CheckResult,
    PlanResult,
    ProbeResult,
    ScanResult,
)
from lipwise_ray.scheduler.slot_choice import NO_WORKER_CAN
from lipwise_ray.scheduler.task import Failure, Task
from lipwise_ray.settings.layers import resolve
from lipwise_ray.settings.model import Settings
from lipwise_ray.state.ids import record_id
from lipwise_ray.values import Json, Span
from tests.support.tasks import probe_result, row_part

SOFTWARE = ("libx264", "libx265", "libsvtav1", "ffv1")
H100 = RenderCapabilities(SOFTWARE, True, "NVIDIA H100 80GB HBM3")
L4 = RenderCapabilities((*SOFTWARE, "h264_nvenc", "hevc_nvenc"), True, "NVIDIA L4")
T4 = RenderCapabilities((*SOFTWARE, "h264_nvenc"), False, "Tesla T4")


def _checkpoint(network: str) -> Checkpoint:
    return Checkpoint(network, network, Path(network), "a" * 64)


GFPGAN = Checkpoints({"restorer": _checkpoint("spandrel"), "lipsync": _checkpoint("wav2lip")})
TINY = Checkpoints({"restorer": _checkpoint("tiny_restorer")})


def _settings(codec: object = "auto", **more: object) -> Settings:
    return resolve([("test", {"encode": {"codec": codec}, **more})])


def _codecs(codec: object, *workers: RenderCapabilities, output: str = "o.mp4", are_all: bool = True) -> list[str]:
    return [
        one.codec for one in choose(_settings(codec), Checkpoints(), output, "cuda", workers, are_all=are_all).possible
    ]


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
    ("workers", "device", "formats"),
    [
        ([H100, L4], "cuda", [True, False]),
        ([L4, T4], "cuda", [False]),
        ([], "cuda", [True, False]),
        ([RenderCapabilities(SOFTWARE, False)], "cpu", [False]),
        ([RenderCapabilities(SOFTWARE, True)], "cpu", [True, False]),
        ([], "cpu", [False]),
    ],
)
def test_bfloat16_where_every_worker_has_it(
    workers: list[RenderCapabilities], device: str, formats: list[bool]
) -> None:
    """So that all of them can work at a job, whose chunks have one format."""
    ways = choose(_settings(), GFPGAN, "o.mp4", device, workers, are_all=True)
    assert [way.bfloat16 for way in ways.possible] == formats
    assert {way.bfloat16 for way in ways.known} == {True, False}


def test_a_format_that_is_named_is_no_choice() -> None:
    """Neither is that of networks which have one only."""
    named = _settings(lipsync={"precision": "float32"}, restore={"precision": "float32"})
    for settings, checkpoints in (
        (named, GFPGAN),
        (_settings(), TINY),
        (_settings(), Checkpoints()),
    ):
        assert [way.bfloat16 for way in choose(settings, checkpoints, "o.mp4", "cuda", [T4], are_all=True).known] == [
            None
        ]


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


def _runtimes(
    runtime: str, *workers: RenderCapabilities, device: str = "cpu", **lipsync: str
) -> list[tuple[object, str]]:
    settings = _settings(engine={"cpu_runtime": runtime}, lipsync=lipsync)
    lips = Checkpoints({"lipsync": _checkpoint("wav2lip")})
    return [
        (way.bfloat16, way.runtime) for way in choose(settings, lips, "o.mp4", device, workers, are_all=True).possible
    ]


def test_a_runtime_where_every_worker_has_it() -> None:
    """As with the format, so that all of them can work; a name is taken at its word, and a GPU is torch's."""
    with_it = RenderCapabilities(SOFTWARE, True, runtimes=("openvino",))
    without = RenderCapabilities(SOFTWARE, True)
    both = [(True, "openvino"), (True, "torch"), (False, "openvino"), (False, "torch")]
    assert _runtimes("auto", with_it, with_it) == both
    assert _runtimes("auto", with_it, without) == [(True, "torch"), (False, "torch")]
    assert _runtimes("auto") == [(False, "torch")]
    assert _runtimes("torch", with_it) == [(True, "torch"), (False, "torch")]
    assert _runtimes("openvino", without, precision="float32") == [(None, "openvino")]
    assert _runtimes("onnxruntime", with_it) == [(None, "onnxruntime")]
    assert _runtimes("auto", with_it, precision="float16") == [(None, "torch")]
    assert _runtimes("openvino", H100, device="cuda") == [(None, "torch")]
    with pytest.raises(SettingsError, match=r"engine\.cpu_runtime = onnxruntime: .*bfloat16") as refused:
        _runtimes("onnxruntime", with_it, precision="bfloat16")
    assert refused.value.code == "runtime_format"
    settings, nothing = _settings(engine={"cpu_runtime": "openvino"}), Checkpoints()
    assert [way.runtime for way in choose(settings, nothing, "o.mp4", "cpu", [], are_all=True).known] == ["torch"]


def test_another_runtime_is_another_job() -> None:
    """Its frames differ by rounding; what torch makes keeps its name, and workers without it cannot help."""
    identity: Json = {"settings": {"encode": {"codec": "auto"}}, "device": "cpu"}
    torch, openvino = (Choice("auto", "libx264", None, runtime) for runtime in ("torch", "openvino"))
    assert record_id(torch.identity(identity, "cpu")) == record_id(identity)
    assert openvino.identity(identity, "cpu") == {**identity, "runtime": "openvino"}
    assert not torch.same(openvino)
    assert (torch.needs, openvino.needs) == ({"libx264"}, {"libx264", "openvino"})
    assert openvino.needs <= RenderCapabilities(SOFTWARE, runtimes=("openvino",)).offers
    assert not openvino.needs <= RenderCapabilities(SOFTWARE).offers


def test_what_this_machine_can() -> None:
    """Encoders are opened, not looked up; the record survives the way between processes."""
    told = capabilities_of("cpu", [])
    assert {"libx264", "ffv1"} <= set(told.encoders)
    assert all(av.Codec(name, "w") for name in told.encoders)
    assert pickle.loads(pickle.dumps(told)) == told


def test_several_codecs_are_a_setting() -> None:
    """One or a list; a wrong one is named as the setting that it is of."""
    assert _settings(["h264_nvenc", "libx264"]).encode.codecs == ("h264_nvenc", "libx264")
    assert _settings("ffv1").encode.codecs == ("ffv1",)
    assert _settings("ffv1").model_dump(mode="json")["encode"]["codec"] == "ffv1"
    with pytest.raises(SettingsError, match=r"encode\.codec\.1 = 'h264': .*libx264"):
        _settings(["libx264", "h264"])
    with pytest.raises(SettingsError, match=r"encode\.codec = \[\]: "):
        _settings([])


def _flow(*codecs: str) -> RowFlow:
    return RowFlow(0, 0, 0, "", row_part(choices=tuple(Choice(codec, codec) for codec in codecs)))


def _probed(task: Task) -> ProbeResult:
    choice = task.payload.row.choices[0]
    check = choice.codec.endswith("nvenc")
    return probe_result(choice.codec, 9, scan=(NumberedSpan(0, 0, 9),), choice=choice, needs_check=check)


NOBODY = Failure("setup", NO_WORKER_CAN, "none")
PLANNED = PlanResult(chunks=(Span(0, 9),))


def test_a_hardware_encoder_is_tried_before_the_scan() -> None:
    """By a worker that has one; where it does not open for this video, the next choice is taken, and at last the row
    fails.
    """
    flow = _flow("hevc_nvenc", "h264_nvenc")
    (probe,) = flow.start()
    (check,) = flow.advance(probe, _probed(probe))
    assert (check.kind, check.lane, check.needs) == (CHECK, "gpu", {"hevc_nvenc"})
    (again,) = flow.on_failure(check, Failure("setup", "encoder", "it does not open")) or []
    assert again.kind is PROBE
    assert flow.is_past(check)
    (check,) = flow.advance(again, _probed(again))
    assert check.needs == {"h264_nvenc"}
    (scan,) = flow.advance(check, CheckResult())
    assert (scan.kind, scan.needs) == (SCAN, frozenset())
    (plan,) = flow.advance(scan, ScanResult())
    render, _ = flow.advance(plan, PLANNED)
    assert (render.kind, render.needs) == (RENDER, {"h264_nvenc"})
    assert flow.on_failure(render, NOBODY) is None


def test_a_software_encoder_needs_no_check() -> None:
    """It is opened where the files are looked at; a job that lost its workers goes on with the next choice."""
    flow = _flow("libx265", "libx264")
    (probe,) = flow.start()
    (scan,) = flow.advance(probe, _probed(probe))
    assert scan.kind is SCAN
    (plan,) = flow.advance(scan, ScanResult())
    render, _ = flow.advance(plan, PLANNED)
    assert flow.on_failure(render, Failure("application", "internal", "a bug")) is None
    (again,) = flow.on_failure(render, NOBODY) or []
    (scan,) = flow.advance(again, _probed(again))
    assert flow.job_id == "libx264"


def test_a_job_goes_on_by_another_runtime() -> None:
    """Where a network turns out not to be one that a runtime takes, its chunks are made by the next."""
    ways = tuple(Choice("libx264", "libx264", None, runtime) for runtime in ("openvino", "torch"))
    flow = RowFlow(0, 0, 0, "", row_part(choices=ways))
    (probe,) = flow.start()
    (scan,) = flow.advance(probe, _probed(probe))
    (plan,) = flow.advance(scan, ScanResult())
    render, _ = flow.advance(plan, PLANNED)
    assert render.needs == {"libx264", "openvino"}
    (again,) = flow.on_failure(render, Failure("setup", "runtime", "it does not take it")) or []
    assert [way.runtime for way in again.payload.row.choices] == ["torch"]
