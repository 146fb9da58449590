"""Rendering one chunk of the output to a segment file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lipwise_ray.errors import SettingsError
from lipwise_ray.faces.landmarker import FaceLandmarker
from lipwise_ray.lipsync.audio_features import AudioFeature
from lipwise_ray.lipsync.compositor import Compositor
from lipwise_ray.lipsync.frame_job import Blend, FrameJob
from lipwise_ray.lipsync.frame_windows import FRAME_BY_FRAME, FrameWindow
from lipwise_ray.lipsync.light import Lights
from lipwise_ray.lipsync.model import LipSync, Passthrough
from lipwise_ray.lipsync.occluder import FaceMasker
from lipwise_ray.lipsync.reach import NO_REACH, reach_of
from lipwise_ray.lipsync.renderer import Renderer
from lipwise_ray.lipsync.restore import ModelFaces, Restorer
from lipwise_ray.lipsync.steadying import radius_of
from lipwise_ray.lipsync.upscale import FrameUpscaler
from lipwise_ray.media.colours import HDR_TRANSFERS, compatible, is_rgb
from lipwise_ray.media.encode import ALPHA_CODECS, EncodeSpec, encoded_size, encoder_formats
from lipwise_ray.media.encoder_surfaces import SURFACE_FORMATS
from lipwise_ray.media.followed_segment import FollowedSegment
from lipwise_ray.media.frames import FrameRecipe
from lipwise_ray.media.hardware_check import HardwareFrames
from lipwise_ray.media.hardware_encoding import HardwareEncoding
from lipwise_ray.media.hdr import NO_HDR, hdr_of
from lipwise_ray.media.join import codec_for, container_for
from lipwise_ray.media.pixels import PixelFormat, planar_format, working_format
from lipwise_ray.media.planes import Planes
from lipwise_ray.media.probe import VideoInfo, extras_of
from lipwise_ray.media.promise import PIXEL_ASPECT, carried, kept_field_order, kept_hdr
from lipwise_ray.media.segment_writer import SegmentWriter
from lipwise_ray.media.verify import check_segment
from lipwise_ray.pipeline.dubbing.chunk_frames import ChunkFrames
from lipwise_ray.pipeline.dubbing.job_context import JobContext
from lipwise_ray.pipeline.dubbing.labelled import label_look, label_of, labelled_frames, labelled_rendering
from lipwise_ray.pipeline.dubbing.plan import Plan
from lipwise_ray.pipeline.inputs import records
from lipwise_ray.state import layout
from lipwise_ray.state.markers import ChunkMarker
from lipwise_ray.threads import ThreadBudget
from lipwise_ray.values import Span

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from lipwise_ray.settings.model import Settings

_DIGITS = 6
_COMPATIBLE_CODECS = ("libx264", "h264_nvenc")


def encode_spec(
    settings: Settings, output: str, recipe: FrameRecipe, video: records.Video, threads: int, plan: Plan | None = None
) -> EncodeSpec:
    """Return the encoding of a job's segments; without a plan, well enough to try the encoder.

    Args:
        settings: The job's.
        output: Name of the output file; its ending chooses the container.
        recipe: Steps that prepare the frames.
        video: The source.
        threads: Of the encoder.
        plan: Gives the frame rate; None takes the source's mean rate.

    Raises:
        SettingsError: The container cannot carry the codec, or the codec is not what `encode.deliver` asks for.
    """
    encode, info, canvas = settings.encode, video.info, recipe.canvas
    codec = encoder_of(settings, output, info)
    is_compatible = encode.deliver == "compatible"
    name = encode.pixel_format
    if is_compatible:
        name = "yuv420p"
    elif name == "source":
        name = _pixel_format(codec, canvas.format, info)
    shape = planar_format(name) or working_format(name)
    rate = plan.rate if plan else video.index.mean_rate
    # Rows of two fields stay apart only where no frame is scaled, nor fitted into a larger one.
    is_one_size = recipe.scaled == recipe.stored and all(size == recipe.stored for size in video.index.sizes)
    is_as_filmed = is_one_size and canvas.size.height <= recipe.stored.height
    keeps_fields = is_as_filmed and not recipe.deinterlace
    order = kept_field_order(info.field_order, codec) if keeps_fields else "progressive"
    return EncodeSpec(
        codec=codec,
        quality=encode.quality,
        preset=encode.preset,
        keyframe_frames=max(1, round(encode.keyframe_s * float(rate))),
        pixel_format=name,
        size=encoded_size(canvas.size, codec, shape, is_interlaced=order != "progressive"),
        rate=rate,
        time_base=plan.timeline.time_base if plan else 1 / rate,
        color=compatible(canvas.color, canvas.size) if is_compatible else canvas.color,
        sample_aspect_ratio=info.sample_aspect_ratio,
        threads=threads,
        field_order=order,
        hdr=NO_HDR if is_compatible else kept_hdr(info.hdr, codec),
        was_deinterlaced=recipe.deinterlace,
    )


def encoder_of(settings: Settings, output: str, info: VideoInfo) -> str:
    """Return the encoder of a job.

    Args:
        settings: The job's.
        output: Name of the output file; its ending chooses the container.
        info: The source.

    Raises:
        SettingsError: The container cannot carry it, or it is not what `encode.deliver` asks for.
    """
    encode, container = settings.encode, container_for(Path(output))
    is_compatible = encode.deliver == "compatible"
    is_hdr = info.color.transfer in HDR_TRANSFERS and not is_compatible
    codec = codec_for(encode.codecs[0], container, alpha=info.has_alpha and not is_compatible, hdr=is_hdr)
    if is_compatible and codec not in _COMPATIBLE_CODECS:
        raise SettingsError(
            "not_compatible",
            f"encode.deliver = compatible with {codec} in {container}",
            got=f"{codec} is not a codec that plays everywhere",
            must=f"one of {', '.join(_COMPATIBLE_CODECS)} is needed",
            do="End the output in .mp4, .mov or .mkv and leave encode.codec alone, or set encode.deliver = source",
        )
    return codec


def _pixel_format(codec: str, working: PixelFormat, source: VideoInfo) -> str:
    """Return the format to encode: the source's, or the one nearest to it that the encoder takes.

    RGB has no chroma format of its own: it becomes 4:2:0, which every player shows, or stays 4:4:4
    in lossless work and with transparency. So do photos, however deep, because a film made of one is looked at.
    """
    # Hardware takes 10 bits in 4:2:0 with the colours in turn only.
    surfaces = {name: planar_format(of.planar) for name, of in SURFACE_FORMATS.items()}
    named = {
        name: shape
        for name in encoder_formats(codec)
        if not name.startswith("yuvj") and (shape := planar_format(name) or surfaces.get(name))
    }
    if codec not in ALPHA_CODECS:
        named = {name: shape for name, shape in named.items() if not shape.has_alpha}
    if not named:
        return working.name
    if (is_rgb(source.pixel_format) or source.is_still) and codec not in ALPHA_CODECS and working.planes > 1:
        bits = 8 if source.is_still else working.bits
        working = replace(working, shift_x=1, shift_y=1, bits=bits)

    def distance(shape: PixelFormat) -> tuple[int, ...]:
        lost = max(0, shape.shift_x - working.shift_x) + max(0, shape.shift_y - working.shift_y)
        spare = max(0, working.shift_x - shape.shift_x) + max(0, working.shift_y - shape.shift_y)
        is_gray, is_clear = int(shape.planes != working.planes), int(shape.has_alpha != working.has_alpha)
        return is_gray, is_clear, lost, max(0, working.bits - shape.bits), spare, max(0, shape.bits - working.bits)

    return min(named, key=lambda name: (*distance(named[name]), name))


def blend_of(settings: Settings) -> Blend:
    """Return the blend by which the new faces of a row are laid over the old ones."""
    told = settings.composite
    return Blend(
        mask=told.mask,
        feather=told.feather,
        kernel=told.kernel,
        match_light=told.match_light,
        linear_light=told.linear_light,
        grain=told.grain,
        align=settings.faces.align,
    )


def has_occlusion(settings: Settings) -> bool:
    """Tell whether what is in front of faces is looked for."""
    return settings.composite.occlusion and settings.composite.mask != "box"


def chunk_ids(
    job: JobContext,
    plan: Plan,
    rendering: str,
    *,
    feature: AudioFeature | None,
    frames: FrameWindow,
    restores: bool,
) -> list[str]:
    """Return the id of what each chunk of a job shows: see `chunk_frames.ChunkFrames.id_of`.

    Args:
        job: The job.
        plan: Its plan.
        rendering: Id of how its frames are rendered and encoded.
        feature: What the lip-sync network hears; None where all frames stay as they are.
        frames: Frames that it takes together.
        restores: New faces are restored.

    Raises:
        StorageError: A sound's record is gone.
        SettingsError: The font of the sign that frames show cannot be read.
    """
    settings = job.spec.settings
    restored = radius_of(settings.restore.strength, settings.restore.smooth) if restores else 0
    # An occluder may take the place of comparing: that looks at less.
    reach = reach_of(blend_of(settings), restored=restored, compares=has_occlusion(settings)) if feature else NO_REACH
    planned = ChunkFrames(job, plan, reach, feature, frames)
    labelled = labelled_frames(settings.marking, plan.timeline)
    look = label_look(settings.marking) if labelled.stop else {}
    return [planned.id_of(chunk, labelled_rendering(rendering, look, labelled, chunk)) for chunk in plan.chunks]


def render_chunk(
    job: JobContext,
    job_id: str,
    plan: Plan,
    chunk_number: int,
    *,
    recipe: FrameRecipe,
    lipsync: LipSync | None,
    restorer: Restorer | None,
    landmarker: FaceLandmarker | None,
    parser: FaceMasker | None,
    occluder: FaceMasker | None,
    upscaler: ModelFaces | None,
    planes: Planes,
    lights: Lights,
    compositor: Compositor,
    engine: HardwareFrames | None,
    encoding: HardwareEncoding | None,
    target: Path,
    attempt: str,
    threads: ThreadBudget,
    is_followed: bool,
    begin: float,
    on_frame: Callable[[], None],
    on_check: Callable[[VideoFrame], None],
) -> ChunkMarker:
    """Render a chunk into `target`, decode it again, and return the marker that will commit it.

    Without a lip-sync model its frames stay the original ones.

    Args:
        job: The job.
        job_id: Names its segments.
        plan: Its plan.
        chunk_number: The chunk.
        recipe: Steps that prepare the source frames.
        lipsync: The network; None leaves all faces as they are.
        restorer: Makes new faces sharper; None for no restoration.
        landmarker: Sees where jaws end; None for masks of a typical face.
        parser: Keeps hair, glasses and the like out of a face's mask, or None.
        occluder: Keeps things in front of a face out of its mask; None compares it with the frames around.
        upscaler: Enlarges finished frames; None keeps their size.
        planes: Reads faces from frames and lays them over.
        lights: Matches the light of new faces.
        compositor: Works on images of restored faces.
        engine: The video engine of the worker's GPU, or None.
        encoding: Encoding from that GPU's memory, for frames that the engine decoded, or None.
        target: The segment file.
        attempt: Name of this attempt at the chunk, a part of the segment's key.
        threads: Of the decoder and the encoder.
        is_followed: Decode the segment while it is written, not afterwards.
        begin: Time of `time.perf_counter` at which the work on the chunk began.
        on_frame: Called after each encoded frame.
        on_check: Called with each frame of the segment while that is decoded again; in another thread where it is
            followed.
    """
    chunk: Span = plan.chunks[chunk_number]
    settings = job.spec.settings
    enlarge = FrameUpscaler(upscaler, recipe.canvas) if upscaler else None
    delivered = replace(recipe, canvas=enlarge.canvas) if enlarge else recipe
    spec = encode_spec(settings, job.spec.output, delivered, job.video, threads.encoder, plan)
    label = label_of(settings.marking, delivered.canvas)
    labelled = labelled_frames(settings.marking, plan.timeline)
    renderer = Renderer(
        lipsync or Passthrough(),
        recipe.canvas,
        blend_of(settings),
        quantize_8bit=settings.lipsync.levels,
        restorer=restorer,
        strength=settings.restore.strength,
        smooth=settings.restore.smooth,
        min_restored_px=settings.restore.min_face_px,
        landmarker=landmarker,
        maskers=[one for one in (parser, occluder) if one is not None],
        compares=occluder is None and has_occlusion(settings),
        planes=planes,
        lights=lights,
        compositor=compositor,
        rate=plan.rate,
    )
    # What a face looks like depends on frames around, so the first and last ones need those of the chunks beside.
    reach = renderer.reach if lipsync is not None else NO_REACH
    feature, frames = (lipsync.feature, lipsync.frames) if lipsync else (None, FRAME_BY_FRAME)
    planned = ChunkFrames(job, plan, reach, feature, frames)
    span = planned.around(chunk)
    numbers = plan.source[span.start : span.stop]

    fitted, carries = 0, set[str]()
    with job.reader(recipe, threads.decoder, engine) as reader:

        def jobs() -> Iterator[FrameJob]:
            nonlocal fitted
            frames = reader.read_order(int(n) for n in numbers)
            for frame, decoded in zip(planned.of(chunk), frames, strict=True):
                if not frame.outside:
                    fitted += not recipe.is_plain(decoded)
                    is_interlaced = bool(decoded.interlaced_frame)
                    carries.update(carried(extras_of(decoded), hdr_of(decoded), is_interlaced=is_interlaced))
                    carries.update({PIXEL_ASPECT} if reader.changed_aspect else ())
                stays = recipe.keeps(decoded)
                yield FrameJob(
                    decoded if stays else recipe.apply(decoded),
                    frame.targets,
                    source=frame.source,
                    number=frame.number,
                    outside=frame.outside,
                    fills_window=frame.fills_window,
                    is_shared=stays,
                )

        # Frames that come from elsewhere, or are enlarged, are in this machine's memory alone: any encoder takes those.
        feed = encoding.feed(spec) if encoding and reader.is_hardware and not enlarge else None
        with (
            SegmentWriter(target, spec, delivered.canvas.color, feed) as writer,
            FollowedSegment(target, threads=threads.decoder, on_frame=on_check)
            if is_followed
            else nullcontext() as followed,
        ):
            for number, dubbed in enumerate(renderer.render(jobs()), chunk.start):
                start = time.perf_counter()
                frame = enlarge(dubbed) if enlarge else dubbed
                if label is not None and number in labelled:
                    label.draw(frame)
                renderer.times.upscale.busy_s += time.perf_counter() - start
                start = time.perf_counter()
                writer.write(frame, int(plan.timeline.pts[number]))
                renderer.times.encode.busy_s += time.perf_counter() - start
                on_frame()
            segment = writer.finish()
            encoded = time.perf_counter()
            proof = followed.prove(segment.frames) if followed else None
    times, measures = renderer.times, renderer.measures
    proof = proof or check_segment(target, segment.frames, threads=threads.decoder, on_frame=on_check)
    return ChunkMarker(
        segment=layout.segment(job_id, chunk_number, attempt),
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
            round(measures.flicker.dubbed, _DIGITS),
            round(measures.flicker.filmed, _DIGITS),
            measures.flicker.faces,
        ],
        sharpness=[
            round(measures.sharpness.dubbed, _DIGITS),
            round(measures.sharpness.filmed, _DIGITS),
            round(measures.sharpness.dubbed_texture, _DIGITS),
            round(measures.sharpness.filmed_texture, _DIGITS),
            measures.sharpness.faces,
        ],
        fitted=fitted,
        carries=sorted(carries),
        smoothness=[round(measures.smoothness.total, _DIGITS), measures.smoothness.faces],
        occlusion=[renderer.occlusion.seen, renderer.occlusion.occluded, round(renderer.occlusion.share, _DIGITS)],
    )
