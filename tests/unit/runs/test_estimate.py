"""Estimates of rows: whose files state no length, and beside rows that cannot be estimated."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, BinaryIO, cast

import av
import pytest

from lipwise_ray.cli.app import main
from lipwise_ray.pipeline.inputs.resolver import media_of
from lipwise_ray.pipeline.manifest.dub_rows import read_manifest
from lipwise_ray.runs.estimate import Speeds, estimate_row
from lipwise_ray.settings.model import Settings
from lipwise_ray.storage.cache import Cache
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, tone, write_clip
from tests.support.dub import write_manifest

SECONDS = 3.0


class _Pipe:
    """Takes what a program writes that cannot go back: the length in the file's head is never filled in."""

    def __init__(self, file: BinaryIO) -> None:
        self.write = file.write


def _recorded(path: Path, kind: str, codec: str) -> None:
    """Write a tone as a recorder does that does not know when it will be stopped."""
    spec = ToneSpec(SECONDS, channels=1)
    with path.open("wb") as file, av.open(cast("Any", _Pipe(file)), "w", format=kind) as container:
        stream = container.add_stream(codec, rate=spec.rate_hz, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(spec), format="fltp", layout="mono")
        frame.rate = spec.rate_hz
        context = stream.codec_context
        packer = av.AudioResampler(context.format.name, "mono", spec.rate_hz, frame_size=context.frame_size or None)
        for piece in [*packer.resample(frame), *packer.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("name", "kind", "codec"),
    [
        ("a.webm", "webm", "libopus"),
        ("a.mka", "matroska", "aac"),
        ("a.flac", "flac", "flac"),
        ("a.aac", "adts", "aac"),
    ],
)
def test_audio_that_states_no_length_is_counted(name: str, kind: str, codec: str, tmp_path: Path) -> None:
    """A browser's recording has no length in its head, nor has ADTS; what is in it counts, to a frame or two."""
    write_clip(tmp_path / "v.mp4", ClipSpec(frames=50))
    _recorded(tmp_path / name, kind, codec)
    with av.open(str(tmp_path / name)) as container:
        assert container.duration is None or kind == "adts"
    row = {"id": "r", "video": "v.mp4", "audio": name, "output": "r.mp4", "faces": "box:0,64,0,64"}
    (one,) = read_manifest(write_manifest(tmp_path / "m.csv", [row]), str(tmp_path / "out"), []).rows
    estimate = estimate_row(one, Settings(), Speeds(), media_of(Settings(), Cache(tmp_path / "cache", 1)))
    assert estimate.frames == pytest.approx(25 * SECONDS, abs=2)


def test_a_plan_counts_the_rows_that_it_estimates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One whose audio is none, and one whose settings cannot be with the run's, are told and end nothing; audio of a
    video is as long as itself.
    """
    write_clip(tmp_path / "v.mp4", ClipSpec(frames=50, tone=ToneSpec(1.0)))
    (tmp_path / "t.wav").write_text("no audio")
    more = {
        "first": ("v.mp4", "AI"),
        "letters": ("v.mp4", "Übersetzt"),
        "text": ("t.wav", "AI"),
        "good": ("v.mp4", "AI"),
    }
    rows = [
        {"id": name, "video": "v.mp4", "audio": audio, "output": f"{name}.mp4", "marking.label_text": label}
        for name, (audio, label) in more.items()
    ]
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, getattr(sys, name))  # put back afterwards
    monkeypatch.setattr(sys, "argv", ["lipwise-ray", "plan", str(write_manifest(tmp_path / "m.csv", rows))])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == 1
    assert [line.partition(":")[0] for line in said.out.splitlines()[:2]] == ["first", "good"]
    assert said.out.splitlines()[2].startswith("2 rows, 50 frames")
    errors = [line.partition(")")[0] for line in said.err.splitlines() if line.startswith("error")]
    assert errors == ["error: line 3 (id=letters", "error: line 4 (id=text"]
