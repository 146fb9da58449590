"""Sounds as they come: with holes, in opposite phase, with parameters that change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av

from lipwise_ray.media.audio_reader import AudioReader
from lipwise_ray.media.probe import probe_audio
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.support.dub import PASSTHROUGH, QUICK, UNJUDGED, dub


def _holed(folder: Path) -> Path:
    """Return an AAC of two seconds whose packets from 0.6 to 1.2 s are missing."""
    write_sound(folder / "whole.m4a", ToneSpec(2.0, channels=1))
    with av.open(str(folder / "whole.m4a")) as source, av.open(str(folder / "holed.m4a"), "w") as target:
        stream = source.streams.audio[0]
        into = target.add_stream_from_template(stream, opaque=True)
        for packet in source.demux(stream):
            if packet.size and packet.pts is not None and not 0.6 <= float(packet.pts * packet.time_base) < 1.2:
                packet.stream = into
                target.mux_one(packet)
    return folder / "holed.m4a"


def test_a_hole_is_delivered_as_silence_and_told(tmp_path: Path) -> None:
    """Lips, sound and picture keep time through a hole, and the result says what was heard and mended."""
    write_clip(tmp_path / "v.mp4", ClipSpec(frames=25, size=Size(160, 120)))
    holed = _holed(tmp_path)
    row = {"id": "a", "video": "v.mp4", "audio": holed.name, "output": "a.mp4", "faces": "box:10,100,10,100"}
    report = dub(tmp_path, [row], PASSTHROUGH, UNJUDGED, QUICK)
    assert report.failed == 0
    result: dict[str, Any] = json.loads(next((tmp_path / "out.state" / "jobs").glob("*/result.json")).read_text())
    assert result["frames"] == 50
    assert (result["sound"], result["audio_s"]) == ("aac", 2.0)
    (heard,) = result["heard"]
    assert (heard["mix"], heard["holes"]) == ("mono", 1)
    info = probe_audio(tmp_path / "out" / "a.mp4")
    reader = AudioReader(info)
    length = sum(block.shape[1] for block in reader.blocks(info.rate_hz, info.layout))
    assert (reader.findings.holes, length) == (0, 96000)
