"""Footage for tests of preparing: rules to prepare by, and faults that footage has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from lipwise_ray.settings.model import Settings
from lipwise_ray.training.curation import CurationRules
from lipwise_ray.training.prepare import PrepareSpec


def prepare_spec(*, truth: bool = False, size_px: int = 96, **rules: Any) -> PrepareSpec:
    """Rules by which clips are prepared, with small faces taken unless `rules` say otherwise."""
    sorting = CurationRules(**{"min_face_px": 32.0, **rules})
    return PrepareSpec(size_px, (0, 4, 0, 0), (0.0, 0.0, 0.0, 0.0), Settings(), sorting, 4, truth)


def with_moved_audio(source: Path, target: Path, later_s: float) -> Path:
    """Copy a video, its audio later by so much."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        streams = {s.index: new.add_stream_from_template(s) for s in (old.streams.video[0], old.streams.audio[0])}
        for packet in old.demux(*(old.streams[n] for n in streams)):
            if packet.dts is None:
                continue
            if packet.stream.type == "audio":
                packet.pts += round(later_s / packet.time_base)
                packet.dts += round(later_s / packet.time_base)
            packet.stream = streams[packet.stream.index]
            new.mux(packet)
    return target


def without_audio(source: Path, target: Path) -> Path:
    """Copy a video without its audio."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    return target


def with_changed_frames(source: Path, target: Path, change: Callable[[np.ndarray[Any, Any]], Any]) -> Path:
    """Write a video anew, each of its frames (RGB) changed, with its audio as it is."""
    with av.open(str(source)) as old:
        rate = old.streams.video[0].average_rate
        frames = [(f.pts, f.time_base, change(f.to_ndarray(format="rgb24"))) for f in old.decode(video=0)]
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        out = new.add_stream("libx264", rate=rate, options={"crf": "12"})
        out.height, out.width = frames[0][2].shape[:2]
        out.pix_fmt, out.time_base = "yuv420p", frames[0][1]
        sound = new.add_stream_from_template(old.streams.audio[0])
        for pts, time_base, image in frames:
            made = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            made.pts, made.time_base = pts, time_base
            new.mux(out.encode(made))
        new.mux(out.encode(None))
        for packet in old.demux(audio=0):
            if packet.dts is not None:
                packet.stream = sound
                new.mux(packet)
    return target


def side_by_side(source: Path) -> Callable[[np.ndarray[Any, Any]], Any]:
    """Return a change that shows the first frame of another video, still, beside each frame."""
    with av.open(str(source)) as other:
        still = next(other.decode(video=0)).to_ndarray(format="rgb24")

    def beside(image: np.ndarray[Any, Any]) -> Any:
        return np.concatenate([image, cv2.resize(still, (image.shape[1], image.shape[0]))], axis=1)

    return beside


def write_photograph(
    target: Path,
    image: np.ndarray[Any, Any],
    speech: Path,
    *,
    centre: tuple[int, int],
    scale: float,
    begin_s: float = 0.0,
) -> Path:
    """Write three seconds of a photograph (RGB) under a camera that moves and comes near, with speech over it."""
    width, height, frames = 320, 240, 75
    with av.open(str(target), "w") as new, av.open(str(speech)) as spoken:
        video, audio = new.add_stream("libx264", rate=25, options={"crf": "14"}), new.add_stream("aac", rate=16000)
        video.width, video.height, video.pix_fmt, audio.layout = width, height, "yuv420p", "mono"
        for number in range(frames):
            part = number / frames
            near = scale * (1 + 0.1 * part)
            x, y = centre[0] + 6 * np.sin(2 * np.pi * part), centre[1]
            place = np.array([[near, 0, width / 2 - near * x], [0, near, height / 2 - near * y]])
            view = cv2.warpAffine(image, place, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
            new.mux(video.encode(av.VideoFrame.from_ndarray(view, format="rgb24")))
        new.mux(video.encode(None))
        first, last = round(begin_s * 16000), round((begin_s + frames / 25) * 16000)
        resampler, at = av.AudioResampler("fltp", "mono", 16000), 0
        for decoded in spoken.decode(audio=0):
            for block in resampler.resample(decoded):
                samples = block.to_ndarray()[:, max(0, first - at) : max(0, last - at)]
                if samples.size:
                    heard = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout="mono")
                    heard.sample_rate, heard.pts = 16000, max(at, first) - first
                    new.mux(audio.encode(heard))
                at += block.samples
        new.mux(audio.encode(None))
    return target
