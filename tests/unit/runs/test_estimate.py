"""Estimates of rows whose files state no length."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO, cast

import av
import pytest

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
    ("name", "kind", "codec"), [("a.webm", "webm", "libopus"), ("a.mka", "matroska", "aac"), ("a.flac", "flac", "flac")]
)
def test_audio_that_states_no_length_is_counted(name: str, kind: str, codec: str, tmp_path: Path) -> None:
    """A browser's recording has no length in its head; its row is estimated by what is in it, to a frame or two."""
    write_clip(tmp_path / "v.mp4", ClipSpec(frames=50))
    _recorded(tmp_path / name, kind, codec)
    with av.open(str(tmp_path / name)) as container:
        assert container.duration is None
    row = {"id": "r", "video": "v.mp4", "audio": name, "output": "r.mp4", "faces": "box:0,64,0,64"}
    (one,) = read_manifest(write_manifest(tmp_path / "m.csv", [row]), str(tmp_path / "out"), []).rows
    estimate = estimate_row(one, Settings(), Speeds(), media_of(Settings(), Cache(tmp_path / "cache", 1)))
    assert estimate.frames == pytest.approx(25 * SECONDS, abs=2)
