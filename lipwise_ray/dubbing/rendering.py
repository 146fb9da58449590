"""Rendering one chunk of the output to a segment file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lipwise_ray.dubbing import inputs
from lipwise_ray.dubbing.context import JobContext, read_plan
from lipwise_ray.dubbing.plan import Plan
from lipwise_ray.lipsync.compose import paste_mask
from lipwise_ray.lipsync.model import LipSync
from lipwise_ray.lipsync.renderer import FrameJob, Renderer
from lipwise_ray.lipsync.windows import window
from lipwise_ray.media.encode import EncodeSpec, SegmentWriter, encoded_size, encoder_formats
from lipwise_ray.media.frames import FrameRecipe
from lipwise_ray.media.join import codec_for, container_for
from lipwise_ray.media.pixels import planar_format, working_format
from lipwise_ray.media.probe import VideoInfo
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.state import layout
from lipwise_ray.state.markers import Marker
from lipwise_ray.values import Json, Span

if TYPE_CHECKING:
    from lipwise_ray.settings import Settings

_DIGITS = 6


def encode_spec(
    settings: Settings, output: str, recipe: FrameRecipe, plan: Plan, info: VideoInfo, threads: int
) -> EncodeSpec:
    """Return how a job's segments are encoded.

    Raises:
        SettingsError: The container cannot carry the codec.
    """
    codec = codec_for(settings.encode.codec, container_for(Path(output)))
    canvas, source_format = recipe.canvas, info.pixel_format
    name = _pixel_format(settings.encode.pixel_format, codec, canvas.format.name, source_format)
    shape = planar_format(name) or working_format(name)
    return EncodeSpec(
        codec=codec,
        quality=settings.encode.quality,
        preset=settings.encode.preset,
        keyframe_frames=max(1, round(settings.encode.keyframe_s * float(plan.rate))),
        pixel_format=name,
        size=encoded_size(canvas.size, codec, shape),
        rate=plan.rate,
        time_base=plan.timeline.time_base,
        color=canvas.color,
        sample_aspect_ratio=info.sample_aspect_ratio,
        threads=threads,
    )


def _pixel_format(wanted: str, codec: str, working: str, source: str) -> str:
    """Return the format to encode: the source's, or the nearest one that the encoder takes.

    RGB has no chroma format of its own: it becomes 4:2:0, which every player shows, or stays 4:4:4
    in lossless work.
    """
    if wanted != "source":
        return wanted
    known = encoder_formats(codec)
    from_rgb = not source.startswith(("yuv", "gray", "nv", "p0", "p2", "uyvy"))
    if not known or (working in known and (codec == "ffv1" or not from_rgb)):
        return working
    deep = working.endswith("le")
    for candidate in ("yuv420p10le", "yuv420p") if deep else ("yuv420p",):
        if candidate in known:
            return candidate
    return working


def render_chunk(
    job: JobContext,
    payload: Json,
    *,
    recipe: FrameRecipe,
    lipsync: LipSync,
    target: Path,
    attempt: str,
    threads: int,
    begin: float,
    on_frame: Callable[[], None],
) -> Marker:
    """Render a chunk into `target` and return the marker that will commit it."""
    plan = read_plan(job.store, payload["job_id"])
    chunk: Span = plan.chunks[payload["chunk"]]
    settings = job.spec.settings
    mel = inputs.open_mel(job.store, payload["mel_key"])
    spec = encode_spec(settings, job.spec.output, recipe, plan, job.video.info, threads)
    mask = paste_mask(lipsync.size_px, settings.composite.mask, settings.composite.feather)
    renderer = Renderer(lipsync, recipe.canvas, mask, levels=settings.lipsync.levels)
    numbers = plan.source[chunk.start : chunk.stop]
    without_face = 0

    with VideoReader(
        job.video.info.path, job.video.info.stream_index, job.video.index, threads=threads, salvage=job.salvage
    ) as reader:

        def jobs() -> Iterator[FrameJob]:
            nonlocal without_face
            frames = reader.read_order(int(n) for n in numbers)
            for number, decoded in enumerate(frames, chunk.start):
                boxes = plan.boxes(number)
                without_face += not len(boxes)
                yield FrameJob(recipe.apply(decoded), boxes, window(mel, int(plan.mel_start[number])))

        with SegmentWriter(target, spec) as writer:
            for number, frame in enumerate(renderer.render(jobs()), chunk.start):
                start = time.perf_counter()
                writer.write(frame, int(plan.timeline.pts[number]))
                renderer.times.encode.busy_s += time.perf_counter() - start
                on_frame()
            segment = writer.finish()
    times = renderer.times
    return Marker(
        segment=layout.segment(payload["job_id"], payload["chunk"], attempt),
        frames=segment.frames,
        reorder=segment.reorder,
        bytes_total=segment.bytes_total,
        sha256=segment.sha256,
        attempt=attempt,
        seconds=round(time.perf_counter() - begin, _DIGITS),
        stages={
            name: round(getattr(times, name).busy_s, _DIGITS)
            for name in ("decode", "crop", "network", "composite", "encode")
        },
        counts={"frames_without_face": int(without_face), "mel_start": int(np.min(plan.mel_start))},
    )
