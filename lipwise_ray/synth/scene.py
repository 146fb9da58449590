"""Scenes of presenters: who is where when, the frames, and the truth about them."""

# pyright: reportUnknownParameterType=false, reportUnknownLambdaType=false
# skia-python comes without types.
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import cv2
import numpy as np
import skia

from lipwise_ray.synth.appearance import Appearance, draw_appearance
from lipwise_ray.synth.backdrop import draw_backdrop
from lipwise_ray.synth.head import Pose
from lipwise_ray.synth.motion import Liveliness, Motion
from lipwise_ray.synth.portrait import Expression, FaceTruth, draw_presenter, face_truth
from lipwise_ray.synth.speech import Speech
from lipwise_ray.synth.visemes import PARAMETERS, mouth_track
from lipwise_ray.values import F32Array, Size, U8Array

RATE = Fraction(25)


@dataclass(frozen=True, slots=True)
class DrawnPerson:
    """Someone in a shot.

    Attributes:
        look_seed: Seed of the person's looks.
        x, y: Middle of the head as shares of the frame.
        scale: Half the face's width as a share of the frame's height.
        speech: Speech on the scene's clock; None for a listener.
        motion_seed: Seed of the head's movements.
        liveliness: Extent of those movements.
    """

    look_seed: int
    x: float = 0.5
    y: float = 0.47
    scale: float = 0.24
    speech: Speech | None = None
    motion_seed: int = 0
    liveliness: Liveliness = field(default_factory=Liveliness)


@dataclass(frozen=True, slots=True)
class Shot:
    """Persons that the camera sees from `start_s` on, back to front; nobody in an empty shot."""

    start_s: float
    people: tuple[DrawnPerson, ...]
    room_seed: int


@dataclass(frozen=True, slots=True)
class Camera:
    """Camera effects: noise (standard deviation in levels), blur (pixels), gain."""

    noise: float = 0.8
    blur_px: float = 0.0
    gain: float = 1.0


@dataclass(frozen=True, slots=True)
class Scene:
    """A clip before it is drawn. The first shot begins at 0.

    Attributes:
        size: Of the frames.
        seconds: Length.
        shots: In order; each lasts until the next.
        sound: Mono samples in [-1, 1] at 16 kHz, shape (N,).
        camera: Effects on all frames.
        seed: Seed of the camera's noise.
        rate: Frames a second.
    """

    size: Size
    seconds: float
    shots: tuple[Shot, ...]
    sound: F32Array
    camera: Camera = field(default_factory=Camera)
    seed: int = 0
    rate: Fraction = RATE

    @property
    def frames(self) -> int:
        """Return the number of frames."""
        return max(1, int(self.seconds * self.rate))


@dataclass(frozen=True, slots=True)
class SeenFace:
    """A face in a frame.

    Attributes:
        look_seed: Seed of the person's looks.
        truth: Box and points, in pixels.
        pose: Place and angles of the head.
        mouth: The columns of `visemes.PARAMETERS`, shape (6,).
        speaking: A phoneme of the person's speech sounds at that time.
    """

    look_seed: int
    truth: FaceTruth
    pose: Pose
    mouth: F32Array
    speaking: bool


@dataclass(frozen=True, slots=True)
class RenderedFrame:
    """A frame, RGB, shape (H, W, 3), and the faces in it."""

    rgb: U8Array
    faces: tuple[SeenFace, ...]


@dataclass(frozen=True, slots=True)
class _Cast:
    person: DrawnPerson
    look: Appearance
    motion: Motion
    track: F32Array


def draw_scene(scene: Scene) -> Iterator[RenderedFrame]:
    """Yield the frames of a scene."""
    times_s = np.arange(scene.frames) / float(scene.rate)
    rng = np.random.default_rng([scene.seed, 0xCA3])
    shot_of = np.searchsorted([shot.start_s for shot in scene.shots], times_s + 1e-9, side="right") - 1
    current, cast, room = -1, list[_Cast](), None
    for number, time_s in enumerate(times_s):
        if shot_of[number] != current:
            current = int(shot_of[number])
            shot = scene.shots[current]
            cast = [_cast(person, scene, times_s) for person in shot.people]
            room = draw_backdrop(draw_appearance(shot.room_seed), scene.size)
        assert room is not None  # set with the first frame
        yield _draw(scene, cast, room, number, float(time_s), rng)


def _cast(person: DrawnPerson, scene: Scene, times_s: np.ndarray[tuple[int], np.dtype[np.float64]]) -> _Cast:
    height, width = scene.size.height, scene.size.width
    home = Pose(person.x * width, person.y * height, person.scale * height)
    track = mouth_track(person.speech.phonemes, times_s) if person.speech else np.zeros((len(times_s), len(PARAMETERS)))
    motion = Motion(person.motion_seed, home, person.liveliness)
    return _Cast(person, draw_appearance(person.look_seed), motion, np.asarray(track, np.float32))


def _draw(
    scene: Scene, cast: list[_Cast], room: skia.Image, number: int, time_s: float, rng: np.random.Generator
) -> RenderedFrame:
    pixels = np.zeros((scene.size.height, scene.size.width, 4), np.uint8)
    surface = skia.Surface(pixels)
    canvas = surface.getCanvas()
    canvas.drawImage(room, 0, 0)
    faces: list[SeenFace] = []
    for actor in cast:
        moment = actor.motion.at(time_s)
        mouth = actor.track[number]
        expression = Expression(mouth, moment.blink, moment.gaze, moment.brows)
        draw_presenter(canvas, actor.look, moment.pose, expression)
        speech = actor.person.speech
        speaking = speech is not None and any(p.ipa and p.start_s <= time_s < p.stop_s for p in speech.phonemes)
        truth = face_truth(actor.look, moment.pose)
        faces.append(SeenFace(actor.person.look_seed, truth, moment.pose, mouth, speaking))
    surface.flushAndSubmit()
    return RenderedFrame(_photographed(pixels[:, :, :3], scene.camera, rng), tuple(faces))


def _photographed(rgb: U8Array, camera: Camera, rng: np.random.Generator) -> U8Array:
    frame: U8Array = rgb
    if camera.blur_px:
        frame = np.asarray(cv2.GaussianBlur(frame, (0, 0), camera.blur_px), np.uint8)
    if not camera.noise and camera.gain == 1:
        return np.ascontiguousarray(frame)
    noisy = frame.astype(np.float32) * camera.gain
    if camera.noise:
        # The grain is as coarse in colour as a sensor's and costs one draw a pixel.
        noisy += camera.noise * rng.standard_normal(frame.shape[:2], np.float32)[:, :, None]
    return np.clip(noisy + 0.5, 0, 255).astype(np.uint8)
