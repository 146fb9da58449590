"""What probing finds of a row."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipwise_ray.errors import MediaError, SettingsError
from lipwise_ray.pipeline.dubbing.task_parts import NumberedSpan
from lipwise_ray.pipeline.dubbing.window import OutputWindow
from lipwise_ray.pipeline.flows.task_kinds import CheckPayload, CheckResult, ProbePayload, ToDo
from lipwise_ray.pipeline.tasks import probe
from tests.support.task_context import NOTHING_KNOWN, Bench


def _to_do(bench: Bench, **changes: object) -> ToDo:
    found = probe.probe(bench.context, ProbePayload(bench.with_spec(**changes)), NOTHING_KNOWN)
    assert found.published is None
    assert found.to_do is not None
    assert found.job_id == found.to_do.probed.job_id
    return found.to_do


def test_a_job_is_named_after_what_decides_its_frames(tmp_path: Path) -> None:
    """Equal inputs under other names are the same job; another start, or another byte of audio, is another."""
    bench = Bench(tmp_path)
    first = _to_do(bench)
    assert first.frames == 20
    assert not first.scan  # the face is in a box
    copy = tmp_path / "copy.wav"
    copy.write_bytes((tmp_path / "s.wav").read_bytes())
    assert _to_do(bench, row_id="other", audio=str(copy)).probed.job_id == first.probed.job_id
    assert _to_do(bench, start_s=0.2).probed.job_id != first.probed.job_id
    data = copy.read_bytes()
    copy.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert _to_do(bench, audio=str(copy)).probed.job_id != first.probed.job_id


def test_chunks_are_scanned_that_nobody_has_scanned(tmp_path: Path) -> None:
    """Faces that are chosen by size have to be found first; what an earlier run found is not looked for again."""
    bench = Bench(tmp_path, {"detector": "tiny_detector"}, faces={"select": "largest"}, detect={"detector": "tiny"})
    found = _to_do(bench)
    assert found.scan == (NumberedSpan(0, 0, 10), NumberedSpan(1, 10, 20))
    video_id, detector_id = found.probed.video_id, found.probed.detector_id
    bench.store.write(probe.layout.scan_chunk(video_id, detector_id, 0), b"found")
    assert _to_do(bench).scan == (NumberedSpan(1, 10, 20),)


@pytest.mark.parametrize(("rule", "looks_around"), [("largest", True), ("at:19,80,60", False)])
def test_a_preview_looks_where_its_rule_does(
    rule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, looks_around: bool
) -> None:
    """Of a long video faces are looked for around a preview alone, unless a frame is named, wherever that one lies."""
    monkeypatch.setattr(probe, "_FEW_FRAMES", 0)  # as if the video were long
    bench = Bench(tmp_path, {"detector": "tiny_detector"}, faces={"select": rule}, detect={"detector": "tiny"})
    assert (_to_do(bench, window=OutputWindow(0.0, 0.1)).looked is not None) is looks_around


def test_an_input_that_cannot_be_used_is_named_as_the_row_names_it(tmp_path: Path) -> None:
    """A file that is none, and audio without audio, fail the row before anything is made."""
    bench = Bench(tmp_path)
    with pytest.raises(MediaError) as caught:
        _to_do(bench, video=str(tmp_path / "gone.mp4"))
    assert (caught.value.code, caught.value.where) == ("missing_file", str(tmp_path / "gone.mp4"))
    (tmp_path / "text.wav").write_text("la la la\n" * 100)
    with pytest.raises(MediaError, match=r"text\.wav"):
        _to_do(bench, audio=str(tmp_path / "text.wav"))
    assert not bench.output.parent.exists()


def test_a_container_that_cannot_hold_the_codec_is_refused_early(tmp_path: Path) -> None:
    """Hours of rendering are not begun for a file that could not be written in the end."""
    bench = Bench(tmp_path)
    with pytest.raises(SettingsError):
        _to_do(bench, output="o.webm")


def test_an_encoder_is_tried_where_it_is(tmp_path: Path) -> None:
    """One that opens is no news."""
    bench = Bench(tmp_path)
    assert probe.check(bench.context, CheckPayload(bench.row, bench.probed()), NOTHING_KNOWN) == CheckResult()
