"""From decoded frames to dubbed frames: crops, network, light, restorer, composite. A stream in bounded memory."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from lipwise_ray.lipsync.align import aligned_to_shown, roll_degrees
from lipwise_ray.lipsync.background import Background, Stage, in_batches, in_groups, timed
from lipwise_ray.lipsync.compose import jaw_mask, paste_mask
from lipwise_ray.lipsync.compositor import Compositor, HostCompositor
from lipwise_ray.lipsync.crop_alignment import three_points_to_shown
from lipwise_ray.lipsync.drafts import FaceDraft, FrameDraft, same_face
from lipwise_ray.lipsync.fading import FilmedPart, copied
from lipwise_ray.lipsync.frame_job import Blend, FaceTarget, FrameJob
from lipwise_ray.lipsync.jaw import JAW_RADIUS, Jaws
from lipwise_ray.lipsync.light import HostLights, Lights
from lipwise_ray.lipsync.measures import FaceLuma, LaidFace, Measures
from lipwise_ray.lipsync.model import new_faces
from lipwise_ray.lipsync.neighbours import with_neighbours
from lipwise_ray.lipsync.occlusion import Occlusion, Occlusions
from lipwise_ray.lipsync.reach import reach_of
from lipwise_ray.lipsync.relighting import Relighting
from lipwise_ray.lipsync.restoration import Patch, Restoration
from lipwise_ray.lipsync.restoring import Restoring
from lipwise_ray.lipsync.steadying import Strength
from lipwise_ray.lipsync.windowed_lips import WindowedLips
from lipwise_ray.media.frame_copies import FrameCopies
from lipwise_ray.media.grain import Grain
from lipwise_ray.media.pixels import sample_bytes
from lipwise_ray.media.planes import FaceLayer, HostPlanes, Planes, View
from lipwise_ray.media.region import Canvas, box_to_shown
from lipwise_ray.values import F64Array

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from lipwise_ray.faces.landmarker import FaceLandmarker
    from lipwise_ray.lipsync.model import LipSync
    from lipwise_ray.lipsync.occluder import FaceMasker
    from lipwise_ray.lipsync.restore import Restorer

_PENDING_BATCHES = 2
_WAITING_BYTES, _QUEUE_BYTES = 512 << 20, 64 << 20


@dataclass(slots=True)
class StageTimes:
    """Busy seconds a stage."""

    decode: Stage = field(default_factory=Stage)
    crop: Stage = field(default_factory=Stage)
    network: Stage = field(default_factory=Stage)
    restore: Stage = field(default_factory=Stage)
    composite: Stage = field(default_factory=Stage)
    upscale: Stage = field(default_factory=Stage)
    encode: Stage = field(default_factory=Stage)


class Renderer:
    """Dubs a stream of frames.

    Args:
        lipsync: The network; every call gets a full batch, the last one padded.
        canvas: Geometry and colours of the frames.
        blend: Rules by which new faces are laid over the old ones.
        quantize_8bit: Round crops to 256 levels, as the original implementation does.
        restorer: Makes the new faces sharper.
        strength: Share of the restored face, the rest is unrestored.
        smooth: Weight of the frames around in the restored detail.
        min_restored_px: Side in the frame from which on new faces are restored.
        landmarker: Sees where jaws end; without, ``face`` masks are a typical face's, whose jaw
            moves with the new one's.
        maskers: Networks that keep things in front of a face out of its mask.
        compares: Faces are compared with those in the `OCCLUSION_RADIUS` frames around, for such things.
        planes: Reads faces from frames and lays them over; OpenCV if left out.
        lights: Matches the light of new faces; numpy if left out.
        compositor: Works on images of restored faces; OpenCV if left out.
        rate: Frames a second of the output: networks that take windows of frames pick them by time.
    """

    def __init__(
        self,
        lipsync: LipSync,
        canvas: Canvas,
        blend: Blend,
        *,
        quantize_8bit: bool = False,
        restorer: Restorer | None = None,
        strength: Strength = 1.0,
        smooth: float = 0.0,
        min_restored_px: float = 0.0,
        landmarker: FaceLandmarker | None = None,
        maskers: Sequence[FaceMasker] = (),
        compares: bool = False,
        planes: Planes | None = None,
        lights: Lights | None = None,
        compositor: Compositor | None = None,
        rate: Fraction = Fraction(25),
    ) -> None:
        self._lipsync = lipsync
        self._canvas = canvas
        self._blend = blend
        self._planes: Planes = planes or HostPlanes()
        self._quantize_8bit = quantize_8bit
        is_masked = blend.mask != "box"
        self._occlusions = Occlusions(
            canvas, blend.kernel, maskers if is_masked else (), compares=compares and is_masked, planes=self._planes
        )
        self._jaws = Jaws(landmarker, canvas, blend.kernel) if blend.mask == "face" else None
        self._rim = None if blend.mask == "box" else paste_mask(lipsync.size_px, blend.feather)
        self.times = StageTimes()
        self.measures = Measures(canvas, self._planes)
        self._relighting = Relighting(lights or HostLights(), self.times.composite, self._waiting)
        self._restoring: Restoring | None = None
        if restorer is not None:
            restoration = Restoration(
                restorer,
                canvas,
                blend.kernel,
                strength,
                smooth,
                min_restored_px,
                planes=self._planes,
                compositor=compositor or HostCompositor(),
            )
            self._restoring = Restoring(restoration, self.times.restore, self.times.composite, self._waiting)
        self.reach = reach_of(blend, restored=self._restoring.radius if self._restoring else 0, compares=compares)
        """Frames before and after those that are shown which decide what these look like."""

        self._windowed: WindowedLips | None = None
        if lipsync.frames.length > 1:
            self._windowed = WindowedLips(lipsync, lipsync.frames.at(rate), self.reach.dubbed, self.times.network)

    @property
    def occlusion(self) -> Occlusion:
        """Figures of what was in front of faces."""
        return self._occlusions.found

    def render(self, jobs: Iterator[FrameJob]) -> Iterator[VideoFrame]:
        """Yield the dubbed frames that are to be shown, in order.

        Its stages and the caller's encoding run side by side; at most a few batches of frames are in memory.
        """
        depth = min(self._lipsync.batch_faces, max(2, self._frames_in(_QUEUE_BYTES)))
        with Background(lambda: self._cropped(timed(jobs, self.times.decode)), depth) as cropped:
            restoring = self._restoring
            if restoring is None:
                with (
                    Background(lambda: self._dubbed(iter(cropped)), depth) as dubbed,
                    Background(lambda: self._composed(iter(dubbed)), depth) as composed,
                ):
                    yield from composed
                return
            ahead = restoring.most_ahead(_QUEUE_BYTES)
            with (
                Background(lambda: restoring.with_inputs(self._dubbed(iter(cropped))), ahead) as inputs,
                Background(lambda: restoring.restored(iter(inputs)), ahead) as restored,
                Background(lambda: self._composed(restoring.finished(iter(restored))), 2) as composed,
            ):
                yield from composed

    def _frames_in(self, bytes_total: int) -> int:
        size, shape = self._canvas.size, self._canvas.format
        frame_bytes = size.width * size.height * (1 + 2 / (1 << (shape.shift_x + shape.shift_y)))
        return int(bytes_total / (frame_bytes * sample_bytes(shape.bits)))

    def _waiting(self, size: int) -> int:
        """Return the most frames that may wait for a batch: those without a face wait with the others."""
        return max(size, min(_PENDING_BATCHES * size, self._frames_in(_WAITING_BYTES)))

    # crop ------------------------------------------------------------------------------------------

    def _cropped(self, jobs: Iterator[FrameJob]) -> Iterator[FrameDraft]:
        return self._occlusions.compared(self._with_crops(jobs), self.times.crop)

    def _with_crops(self, jobs: Iterator[FrameJob]) -> Iterator[FrameDraft]:
        for some in in_groups(
            jobs, self._faces_of, self._planes.faces_a_call, self._waiting(self._planes.faces_a_call)
        ):
            begin = time.perf_counter()
            drafts = self._drafts(some)
            self.times.crop.add(time.perf_counter() - begin)
            yield from drafts

    def _faces_of(self, job: FrameJob) -> tuple[FaceTarget, ...]:
        return () if self._is_far(job) else job.targets

    def _is_far(self, job: FrameJob) -> bool:
        """Tell whether a frame's faces get no new lips, but only tell how faces were filmed there."""
        return job.outside > self.reach.dubbed and not job.fills_window

    def _drafts(self, jobs: Sequence[FrameJob]) -> list[FrameDraft]:
        """Return frames with the crops of their faces, which are read together."""
        side = self._lipsync.size_px
        drafts = [FrameDraft(job, [], self._is_far(job)) for job in jobs]
        faces = [
            (draft, target, View(draft.job.frame, self._crop_to_shown(target)))
            for draft in drafts
            for target in self._faces_of(draft.job)
        ]
        crops = self._planes.read(
            self._canvas,
            [view for _, _, view in faces],
            side,
            quantize_8bit=self._quantize_8bit,
            kernel=self._blend.kernel,
        )
        for (draft, target, view), crop in zip(faces, crops, strict=True):
            draft.faces.append(FaceDraft(draft.job, target, view.to_shown, side, crop, self._rim, self._rim, crop))
        return drafts

    def _crop_to_shown(self, target: FaceTarget) -> F64Array:
        """Return the map from a face's crop, as the network takes it, to the shown frame, shape (2, 3)."""
        side, aspect = self._lipsync.size_px, self._canvas.aspect
        match self._lipsync.alignment:
            case "affine3":
                return three_points_to_shown(target.landmarks, side, aspect)
            case "ffhq":
                return aligned_to_shown(target.landmarks, side, aspect)
            case "box":
                roll = roll_degrees(target.landmarks, aspect) if self._blend.align else 0.0
                return box_to_shown(target.crop_box, side, roll, aspect)

    # lips and light ----------------------------------------------------------------------------------

    def _dubbed(self, cropped: Iterator[FrameDraft]) -> Iterator[FrameDraft]:
        size = self._lipsync.batch_faces
        jaws = self._jaws

        def spoken() -> Iterator[FrameDraft]:
            if self._windowed is not None:
                return self._windowed(cropped)
            return in_batches(
                cropped, lambda item: item.faces, self._run_lips, size=size, most_waiting=self._waiting(size)
            )

        depth = min(size, max(2, self._frames_in(_QUEUE_BYTES)))
        with Background(spoken, depth) as items:  # the lips go on while a processor looks at jaws and light
            masked = self._masked(iter(items))
            yield from self._lit(self._outlined(masked, jaws) if jaws else masked)

    def _masked(self, items: Iterator[FrameDraft]) -> Iterator[FrameDraft]:
        return self._occlusions.masked(items, self.times.network, self._waiting)

    def _lit(self, items: Iterator[FrameDraft]) -> Iterator[FrameDraft]:
        items = self._occlusions.cleared(items)
        around = self.reach.restored
        if self._blend.match_light:
            return self._relighting(items, around)
        return (item for item in items if item.job.outside <= around)

    def _outlined(self, items: Iterator[FrameDraft], jaws: Jaws) -> Iterator[FrameDraft]:
        """Yield items whose faces' masks end where the jaws do, smoothed over the frames around each."""
        rim = self._rim
        assert rim is not None  # jaws are for masks that follow the face

        def measured() -> Iterator[FrameDraft]:
            for item in items:
                begin = time.perf_counter()
                for face in item.faces:
                    image, crop = face.new.host(), face.crop.host()
                    if face.free is not None:  # what is in front of a face is no jaw that moved
                        image = np.asarray(crop + face.free[..., None] * (image - crop), np.float32)
                    new = Patch(image, rim, face.to_shown)
                    face.jaw = jaws.measure(item.job.frame, face.target.landmarks, crop, new)
                self.times.crop.add(time.perf_counter() - begin)
                yield item

        for item, near in with_neighbours(measured(), JAW_RADIUS):
            for face in item.faces:
                around = [(distance, other.jaw) for distance, other in same_face(face, near) if other.jaw is not None]
                points, trust, moved = jaws.shown(around, face.target.landmarks)
                face.mask = face.outline = rim * jaw_mask(points, face.to_shown, face.side_px, trust, moved)
            yield item

    def _run_lips(self, batch: list[FaceDraft]) -> None:
        begin = time.perf_counter()
        sounds = np.stack([face.target.sound for face in batch])
        for face, image in zip(batch, new_faces(self._lipsync, [face.crop for face in batch], sounds), strict=True):
            face.new = image
        self.times.network.add(time.perf_counter() - begin)

    # composite ---------------------------------------------------------------------------------------

    def _composed(self, items: Iterator[FrameDraft]) -> Iterator[VideoFrame]:
        size, measures, copies = self._planes.faces_a_call, self.measures, FrameCopies(self._canvas)
        seen: list[tuple[LaidFace, FaceLuma, FaceLuma]] = []
        for group in in_groups(items, lambda item: item.faces, size, self._waiting(size)):
            begin = time.perf_counter()
            jobs = [item.job.with_own_frame(copies) for item in group]
            drafts = [(job, face) for job, item in zip(jobs, group, strict=True) for face in item.faces]
            for job, face in drafts:
                measures.cropped(job, face.crop)
            faces = [LaidFace(job, face.target, face.place) for job, face in drafts]
            filmed = measures.seen(faces)
            # Of one frame one after the other: a face's surroundings are those that the ones before it have left.
            for number in range(max(len(item.faces) for item in group)):
                self._lay(
                    [
                        (job, item.faces[number])
                        for job, item in zip(jobs, group, strict=True)
                        if number < len(item.faces)
                    ]
                )
            # What the last group's faces look like has come from the device by now: nothing waits for it.
            before, seen = seen, list(zip(faces, filmed, measures.seen(faces), strict=True))
            for one in before:
                measures.add(*one)
            self.times.composite.add(time.perf_counter() - begin)
            yield from (job.frame for job in jobs)
        for one in seen:
            measures.add(*one)

    def _lay(self, faces: Sequence[tuple[FrameJob, FaceDraft]]) -> None:
        """Lay new faces over the old ones, and restored ones over those; each face is in a frame of its own."""
        noises = self._noises(faces)
        layers: list[FaceLayer] = []
        filmed: list[tuple[float, list[FilmedPart]]] = []
        for number, (job, face) in enumerate(faces):
            noise, opacity = noises.get(number), face.target.opacity
            grain = Grain(job.source, noise) if noise is not None else None
            images, places = [face.new], [face.place]
            if face.over is not None:
                images.append(face.over[0])
                places.append(face.over[1])
                face.over = None
            if opacity < 1:
                filmed.append((opacity, copied(job.frame, self._canvas, places)))
            layers += [
                FaceLayer(View(job.frame, place.to_shown), image, place.mask, grain)
                for image, place in zip(images, places, strict=True)
            ]
        blend = self._blend
        self._planes.write(self._canvas, layers, kernel=blend.kernel, linear_light=blend.linear_light)
        for opacity, parts in filmed:
            for part in parts:
                part.fade(opacity)

    def _noises(self, faces: Sequence[tuple[FrameJob, FaceDraft]]) -> dict[int, float | None]:
        """Return the noise around faces by their numbers, where they are to have any."""
        if not self._blend.grain:
            return {}
        masks = {n: face.outline for n, (_, face) in enumerate(faces) if face.outline is not None}
        views = [View(faces[n][0].frame, faces[n][1].to_shown) for n in masks]
        return dict(zip(masks, self._planes.noise_around(self._canvas, views, list(masks.values())), strict=True))
