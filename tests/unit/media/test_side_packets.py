"""Packets of what goes along, on their way from one container into another."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from lipwise_ray.media.samples import frame_of
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, draw_frame, write_sound
from lipwise_ray.values import Size
from tests.support.dub import PASSTHROUGH, QUICK, dub


def test_short_packets_go_along_whole(tmp_path: Path) -> None:
    """As those of TrueHD they may be shorter than a tick of Matroska: each goes along, so all samples are there."""
    with av.open(str(tmp_path / "film.mkv"), "w") as output:
        video: Any = output.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
        sounds: list[Any] = [output.add_stream("pcm_s16le", rate=48_000, layout="stereo") for _ in range(2)]
        noise = np.random.default_rng(7).normal(0, 3000, (2, 48_000)).astype(np.int16)
        packets: list[Any] = []
        for number in range(25):
            frame = draw_frame(ClipSpec(size=Size(160, 120)), number)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            packets += video.encode(frame)
        packets += video.encode(None)
        for sound, block in zip(sounds, (1000, 40), strict=True):
            sound.codec_context.open()
            for first in range(0, noise.shape[1], block):
                piece = frame_of(noise[:, first : first + block], "s16", "stereo", 48_000)
                piece.pts, piece.time_base = first, Fraction(1, 48_000)
                packets += sound.encode(piece)
            packets += sound.encode(None)
        for packet in sorted(packets, key=lambda one: one.dts * one.time_base):
            output.mux_one(packet)
    write_sound(tmp_path / "dub.wav", ToneSpec(1.0, 16_000, 1, codec="pcm_s16le"))
    row = {"id": "a", "video": "film.mkv", "audio": "dub.wav", "output": "a.mkv", "faces": "box:10,100,20,110"}
    assert dub(tmp_path, [row], PASSTHROUGH, QUICK).done == 1
    (result,) = (tmp_path / "out.state" / "jobs").glob("*/result.json")
    heard = []
    for film in (tmp_path / "film.mkv", tmp_path / "out" / "a.mkv"):
        with av.open(str(film)) as found:
            heard.append(np.concatenate([frame.to_ndarray() for frame in found.decode(found.streams.audio[1])], axis=1))
    assert np.array_equal(*heard)
    assert json.loads(result.read_text())["left_behind"] == []
