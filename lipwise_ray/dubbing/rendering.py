"""Rendering one chunk of the output to a segment file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lipwise_ray.dubbing import inputs
from lipwise_ray.dubbing.context import JobContext, read_plan
from lipwise_ray.dubbing.plan import DubbedFace, Plan
from lipwise_ray.lipsync.model import LipSync, Passthrough
from lipwise_ray.lipsync.parsing import FaceParser
from lipwise_ray.lipsync.renderer import LIGHT_RADIUS, Blend, FrameJob, Renderer, Spot
from lipwise_ray.lipsync.restore import ModelFaces, Restorer
from lipwise_ray.lipsync.upscale import FrameUpscaler
from lipwise_ray.lipsync.windows import window
from lipwise_ray.media.encode import EncodeSpec, SegmentWriter, encoded_size, encoder_formats
from lipwise_ray.media.frames import FrameRecipe, is_rgb
from lipwise_ray.media.join import codec_for, container_for
from lipwise_ray.media.pixels import PixelFormat, planar_format, working_format
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.media.verify import check_segment
from lipwise_ray.state import layout
from lipwise_ray.state.markers import Marker
from lipwise_ray.values import Json, Span

if TYPE_CHECKING:
    from lipwise_ray.settings import Settings

_DIGITS = 6


def encode_spec(
    settings: Settings, output: str, recipe: FrameRecipe, video: inputs.Video, threads: int, plan: Plan | None = None
) -> EncodeSpec:
    """Return how a job's segments are encoded; without a plan, well enough to try the encoder.

    Raises:
        SettingsError: The container cannot carry the codec.
    """
    codec = codec_for(settings.encode.codec, container_for(Path(output)))
    canvas = recipe.canvas
    wanted = settings.encode.pixel_format
    name = _pixel_format(codec, canvas.format, video.info.pixel_format) if wanted == "source" else wanted
    shape = planar_format(name) or working_format(name)
    rate = plan.rate if plan else video.index.mean_rate
    return EncodeSpec(
        codec=codec,
        quality=settings.encode.quality,
        preset=settings.encode.preset,
        keyframe_frames=max(1, round(settings.encode.keyframe_s * float(rate))),
        pixel_format=name,
        size=encoded_size(canvas.size, codec, shape),
        rate=rate,
        time_base=plan.timeline.time_base if plan else 1 / rate,
        color=canvas.color,
        sample_aspect_ratio=video.info.sample_aspect_ratio,
        threads=threads,
    )


def _pixel_format(codec: str, working: PixelFormat, source: str) -> str:
    """Return the format to encode: the source's, or the one nearest to it that the encoder takes.

    RGB has no chroma format of its own: it becomes 4:2:0, which every player shows, or stays 4:4:4
    in lossless work.
    """
    known = [shape for name in encoder_formats(codec) if not name.startswith("yuvj") and (shape := planar_format(name))]
    if not known:
        return working.name
    if is_rgb(source) and codec != "ffv1":
        working = replace(working, shift_x=1, shift_y=1)

    def distance(shape: PixelFormat) -> tuple[int, ...]:
        lost = max(0, shape.shift_x - working.shift_x) + max(0, shape.shift_y - working.shift_y)
        spare = max(0, working.shift_x - shape.shift_x) + max(0, working.shift_y - shape.shift_y)
        is_gray = int(shape.planes != working.planes)
        return is_gray, lost, max(0, working.bits - shape.bits), spare, max(0, shape.bits - working.bits)

    return min(known, key=lambda shape: (*distance(shape), shape.name)).name


def render_chunk(
    job: JobContext,
    payload: Json,
    *,
    recipe: FrameRecipe,
    lipsync: LipSync | None,
    restorer: Restorer | None,
    parser: FaceParser | None,
    upscaler: ModelFaces | None,
    target: Path,
    attempt: str,
    threads: int,
    begin: float,
    on_frame: Callable[[], None],
    on_check: Callable[[], None],
) -> Marker:
    """Render a chunk into `target`, decode it again, and return the marker that will commit it.

    Without a lip-sync model its frames stay as they were filmed.
    """
    plan = read_plan(job.store, payload["job_id"])
    chunk: Span = plan.chunks[payload["chunk"]]
    settings = job.spec.settings
    mels = [inputs.open_columns(job.store, layout.mel(part.sound_id, salvage=job.salvage)) for part in plan.parts]
    enlarge = FrameUpscaler(upscaler, recipe.canvas) if upscaler else None
    delivered = replace(recipe, canvas=enlarge.canvas) if enlarge else recipe
    spec = encode_spec(settings, job.spec.output, delivered, job.video, threads, plan)
    renderer = Renderer(
        lipsync or Passthrough(),
        recipe.canvas,
        Blend(
            **settings.composite.model_dump(exclude={"parser", "parser_checkpoint"}),
            align=settings.faces.align,
        ),
        levels=settings.lipsync.levels,
        restorer=restorer,
        parser=parser,
        strength=settings.restore.strength,
    )
    # Light is smoothed over frames, so the first and last ones need their neighbours in the chunks beside.
    matches = lipsync is not None and settings.composite.match_light and settings.composite.mask != "box"
    around = LIGHT_RADIUS if matches else 0
    span = Span(max(0, chunk.start - around), min(len(plan.source), chunk.stop + around))
    numbers = plan.source[span.start : span.stop]

    def spot(number: int, face: DubbedFace) -> Spot:
        start = int(plan.mel_start[number])
        # All but one of the things that a face says are silent: the loudest is what it says now.
        mel = np.max([window(mels[part], start, plan.parts[part].pauses) for part in face.parts], axis=0)
        return Spot(face.track, face.box, face.landmarks, mel, face.opacity)

    with VideoReader(
        job.video.info.path, job.video.info.stream_index, job.video.index, threads=threads, salvage=job.salvage
    ) as reader:

        def jobs() -> Iterator[FrameJob]:
            frames = reader.read_order(int(n) for n in numbers)
            for number, decoded in enumerate(frames, span.start):
                yield FrameJob(
                    recipe.apply(decoded),
                    tuple(map(spot, repeat(number), plan.faces(number))) if lipsync else (),
                    source=int(plan.source[number]),
                    wanted=chunk.start <= number < chunk.stop,
                )

        with SegmentWriter(target, spec) as writer:
            for number, dubbed in enumerate(renderer.render(jobs()), chunk.start):
                start = time.perf_counter()
                frame = enlarge(dubbed) if enlarge else dubbed
                renderer.times.upscale.busy_s += time.perf_counter() - start
                start = time.perf_counter()
                writer.write(frame, int(plan.timeline.pts[number]))
                renderer.times.encode.busy_s += time.perf_counter() - start
                on_frame()
            segment = writer.finish()
    times = renderer.times
    encoded = time.perf_counter()
    proof = check_segment(target, segment.frames, threads=threads, on_frame=on_check)
    return Marker(
        segment=layout.segment(payload["job_id"], payload["chunk"], attempt),
        frames=segment.frames,
        reorder=segment.reorder,
        bytes_total=segment.bytes_total,
        sha256=segment.sha256,
        crc=proof.crc,
        header=proof.header,
        made_by=proof.made_by,
        attempt=attempt,
        seconds=round(time.perf_counter() - begin, _DIGITS),
        stages={
            name: round(getattr(times, name).busy_s, _DIGITS)
            for name in ("decode", "crop", "network", "restore", "composite", "upscale", "encode")
        }
        | {"verify": round(time.perf_counter() - encoded, _DIGITS)},
        flicker=[
            round(renderer.flicker.dubbed, _DIGITS),
            round(renderer.flicker.filmed, _DIGITS),
            renderer.flicker.faces,
        ],
    )
