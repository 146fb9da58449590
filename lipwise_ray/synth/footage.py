"""Scenes written as video files, with the truth beside them."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import av
import cv2
import numpy as np
import soxr
from av.error import FFmpegError

from lipwise_ray.errors import OutputError
from lipwise_ray.media.container import write_problem
from lipwise_ray.media.encode import steady_x264
from lipwise_ray.synth.scene import RATE, RenderedFrame, Scene, draw_scene
from lipwise_ray.synth.speech import RATE_HZ, Speech
from lipwise_ray.synth.truth import TRUTH_SCHEMA, truth_beside
from lipwise_ray.synth.visemes import mouth_track
from lipwise_ray.values import F32Array, Json

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer

_SOUND_HZ = 48_000


def write_scene(path: Path, scene: Scene, *, quality: int = 18, preset: str = "veryfast") -> Json:
    """Write a scene as H.264 and AAC, and what is true about it as ``<name>.truth.json``.

    Args:
        path: The container follows from the ending.
        scene: Scene to draw.
        quality: x264's CRF.
        preset: x264's preset.

    Returns:
        The truth.

    Raises:
        OutputError: It cannot be written.
    """
    rows: list[Json] = []
    with _whole(path) as partial, av.open(str(partial), "w") as container:
        video = container.add_stream("libx264", rate=scene.rate)
        video.width, video.height = scene.size.width, scene.size.height
        video.pix_fmt = "yuv420p"
        params = ":".join(["log-level=error", *steady_x264()])
        video.options = {"crf": str(quality), "preset": preset, "x264-params": params}
        video.codec_context.color_range, video.codec_context.colorspace = 1, 1
        sound = _SoundTrack(container, scene.sound) if len(scene.sound) else None
        for number, drawn in enumerate(draw_scene(scene)):
            rows.append(_faces_json(drawn))
            frame = av.VideoFrame.from_ndarray(drawn.rgb, format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace=1, dst_color_range=1)
            frame.colorspace, frame.color_range = 1, 1
            frame.pts, frame.time_base = number, 1 / scene.rate
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if sound:
            sound.write()
    truth = {
        "schema": TRUTH_SCHEMA,
        "size": [scene.size.width, scene.size.height],
        "rate": str(scene.rate),
        "cuts_s": [shot.start_s for shot in scene.shots[1:]],
        "phonemes": _phonemes_json(scene),
        "frames": rows,
    }
    with _whole(truth_beside(path)) as partial:
        partial.write_text(json.dumps(truth, ensure_ascii=False), "utf-8")
    return truth


@contextmanager
def _whole(path: Path) -> Generator[Path]:
    """Give a path to write to, which becomes `path` once it is whole; make its folder.

    Raises:
        OutputError: It cannot be written, or has an ending that is no container's.
        StorageError: The disk is full.
    """
    if path.is_dir():
        raise OutputError("not_writable", str(path), got="is a folder", do="Name a file in it")
    partial = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        raise write_problem(path, error) from error
    except (ValueError, FFmpegError) as error:
        raise OutputError(
            "not_writable", str(path), got=f"cannot be written: {error}", do="Use .mp4, .m4a or .wav"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def write_still(path: Path, scene: Scene) -> None:
    """Write a scene's first frame as an image; the format follows from the ending.

    Raises:
        OutputError: OpenCV writes no such format, or the folder is not there.
    """
    drawn = next(draw_scene(replace(scene, seconds=float(1 / scene.rate))))
    try:
        written = cv2.imwrite(str(path), drawn.rgb[:, :, ::-1])
    except cv2.error:
        written = False
    if not written:
        raise OutputError("not_writable", str(path), got="cannot be written as an image", do="Use .png")


def write_speech(path: Path, wave_f32: F32Array) -> None:
    """Write mono audio at 16 kHz as AAC in the container of the ending, or as 16-bit WAV.

    Raises:
        OutputError: It cannot be written.
    """
    with _whole(path) as partial, av.open(str(partial), "w") as container:
        _SoundTrack(container, wave_f32, codec="pcm_s16le" if path.suffix == ".wav" else "aac").write()


def write_spoken(path: Path, speech: Speech) -> None:
    """Write speech as audio alone, and what is true about it as ``<name>.truth.json``: the mouth that says it.

    Raises:
        OutputError: It cannot be written.
    """
    write_speech(path, speech.wave_f32)
    mouths = mouth_track(speech.phonemes, np.arange(int(speech.seconds * RATE)) / float(RATE))
    rows = [[round(float(value), 4) for value in mouth] for mouth in mouths]
    phonemes = [[p.ipa, round(p.start_s, 4), round(p.stop_s, 4)] for p in speech.phonemes]
    truth = {
        "schema": TRUTH_SCHEMA,
        "rate": str(RATE),
        "phonemes": phonemes,
        "frames": [{"mouth": row} for row in rows],
    }
    with _whole(truth_beside(path)) as partial:
        partial.write_text(json.dumps(truth, ensure_ascii=False), "utf-8")


def _faces_json(drawn: RenderedFrame) -> Json:
    return {
        "faces": [
            {
                "who": face.look_seed,
                "box": [round(value, 2) for value in face.truth.box],
                "landmarks": [[round(x, 2), round(y, 2)] for x, y in face.truth.landmarks],
                "speaking": face.speaking,
                "mouth": [round(float(value), 4) for value in face.mouth],
            }
            for face in drawn.faces
        ]
    }


def _phonemes_json(scene: Scene) -> list[Any]:
    """Return the phonemes of everyone while in the frame: look seed, IPA, start and stop in seconds."""
    ends = [*(shot.start_s for shot in scene.shots[1:]), scene.seconds]
    return [
        [person.look_seed, p.ipa, round(p.start_s, 4), round(p.stop_s, 4)]
        for shot, end_s in zip(scene.shots, ends, strict=True)
        for person in shot.people
        if person.speech
        for p in person.speech.phonemes
        if shot.start_s <= p.start_s < end_s
    ]


class _SoundTrack:
    def __init__(self, container: OutputContainer, wave_f32: F32Array, codec: str = "aac") -> None:
        self._container = container
        self._rate_hz = RATE_HZ if codec.startswith("pcm") else _SOUND_HZ
        self._wave = wave_f32
        self._stream = cast("AudioStream", container.add_stream(codec, rate=self._rate_hz))
        self._stream.codec_context.layout = "mono"
        self._stream.codec_context.open()

    def write(self) -> None:
        samples = self._wave
        if self._rate_hz != RATE_HZ:
            samples = np.asarray(soxr.resample(samples, RATE_HZ, self._rate_hz), np.float32)
        context = self._stream.codec_context
        resampler = av.AudioResampler(context.format, "mono", self._rate_hz, frame_size=context.frame_size or None)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None, :]), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = self._rate_hz, 0, Fraction(1, self._rate_hz)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            self._container.mux(self._stream.encode(part))
        self._container.mux(self._stream.encode(None))
