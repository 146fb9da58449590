"""A video that is prepared: its frames, its faces, and its audio, each opened once and only when it is asked for."""

from __future__ import annotations

import os
import zlib
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from lipwise_ray.errors import AudioError, FaceError, MediaError
from lipwise_ray.faces.tracks import Tracks
from lipwise_ray.lipsync.mel import SAMPLE_RATE_HZ, SILENCE, mel_spectrogram
from lipwise_ray.media.audio import extract_network_audio
from lipwise_ray.media.frames import FrameRecipe, make_recipe
from lipwise_ray.media.index import FrameIndex, build_index
from lipwise_ray.media.probe import VideoInfo, probe_audio, probe_video
from lipwise_ray.pipeline.analysis.crops import resampled, whole_tracks
from lipwise_ray.pipeline.inputs.records import lead_s
from lipwise_ray.pipeline.quality.sync_scores import RATE_HZ
from lipwise_ray.settings.model import Settings
from lipwise_ray.synth.truth import read_truth, truth_beside, without_take
from lipwise_ray.values import F32Array, F64Array, I64Array, Size

if TYPE_CHECKING:
    from lipwise_ray.faces.detections import FaceDetector

_JITTER_SHIFT, _JITTER_SCALE = 0.025, 0.04
_BLOCK_SAMPLES = 1 << 20
FRAME_SAMPLES = SAMPLE_RATE_HZ // RATE_HZ


class SourceVideo:
    """A video with audio and faces.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def info(self) -> VideoInfo:
        """Streams of the file.

        Raises:
            MediaError: It is no video.
        """
        return probe_video(self.path)

    @cached_property
    def index(self) -> FrameIndex:
        """Its frames."""
        return build_index(self.info)

    @cached_property
    def recipe(self) -> FrameRecipe:
        """Steps that prepare a frame."""
        return make_recipe(self.info, self.index.sizes)

    @cached_property
    def grid(self) -> I64Array:
        """Source frame that is shown at each 25th of a second, shape (N,)."""
        return resampled(self.index)

    @cached_property
    def lead_s(self) -> Fraction:
        """Time in the audio at which the first frame is shown."""
        return lead_s(self.info)

    @cached_property
    def _waves(self) -> tuple[F32Array, F32Array]:
        """Samples at both levels, as maps of files: hours of them must not be held in memory."""
        with TemporaryDirectory() as folder:
            raw, loud = Path(folder) / "audio.f32", Path(folder) / "heard.f32"
            sound = extract_network_audio(probe_audio(self.path), raw)
            own, gain = _mapped(raw), np.float32(sound.heard.gain)
            with loud.open("wb") as file:
                for start in range(0, len(own), _BLOCK_SAMPLES):
                    file.write((own[start : start + _BLOCK_SAMPLES] * gain).tobytes())
            return own, _mapped(loud)

    @property
    def own_wave(self) -> F32Array:
        """Mono samples at 16 kHz at their own level, shape (N,)."""
        return self._waves[0]

    @property
    def wave(self) -> F32Array:
        """The same at the level at which the lip-sync network hears them."""
        return self._waves[1]

    @cached_property
    def mel(self) -> F32Array:
        """Mel of that, shape (columns, 80).

        Raises:
            AudioError: The audio is silent.
        """
        mel = np.ascontiguousarray(mel_spectrogram(self.wave).T)
        if float(mel.max()) <= SILENCE:
            raise AudioError("silent", str(self.path), got="the audio is silent", do="Leave it out")
        return mel

    def wave_from(self, shift_frames: int) -> F32Array:
        """Return the audio of the first frame on, at the network's level, shape (N,).

        Args:
            shift_frames: Frames of 1/25 s by which it is moved earlier; silence comes first where it is negative.
        """
        begin = round(self.lead_s * SAMPLE_RATE_HZ) + shift_frames * FRAME_SAMPLES
        return self.wave[begin:] if begin >= 0 else np.concatenate([np.zeros(-begin, np.float32), self.wave])

    def detected(self, detector: FaceDetector, settings: Settings) -> Tracks:
        """Find the faces and follow them.

        Args:
            detector: Finds them.
            settings: Rules by which faces are looked for and followed.
        """
        return whole_tracks(self.info, self.index, detector, settings)

    def drawn(self) -> Tracks:
        """Return the face of a drawn clip by the truth beside it, moved a little as a detector would.

        Raises:
            MediaError: There is no truth.
        """
        truth = read_truth(self.path)
        if truth is None:
            raise MediaError(
                "no_truth",
                str(self.path),
                got=f"no truth beside it: {truth_beside(self.path).name} is missing",
                do="Leave --truth out to detect faces",
            )
        rng = np.random.default_rng(zlib.crc32(os.fsencode(without_take(f"{self.path.parent.name}/{self.path.stem}"))))
        shift = rng.uniform(-_JITTER_SHIFT, _JITTER_SHIFT, 2)
        scale = 1 + rng.uniform(-_JITTER_SCALE, _JITTER_SCALE, 2)
        numbers: list[int] = []
        boxes: list[F32Array] = []
        points: list[F32Array] = []
        for number, row in enumerate(truth["frames"][: len(self.index)]):
            if len(row["faces"]) == 1:
                numbers.append(number)
                boxes.append(_moved(row["faces"][0]["box"], shift, scale))
                points.append(np.array(row["faces"][0]["landmarks"], np.float32))
        count = len(numbers)
        return Tracks(
            track=np.zeros(count, np.int64),
            frame=np.array(numbers, np.int64),
            box=np.array(boxes, np.float32).reshape(-1, 4),
            landmarks=np.array(points, np.float32).reshape(count, -1, 2),
            score=np.ones(count, np.float32),
            seen=np.ones(count, np.bool_),
            shots=np.array([[0, len(self.index)]], np.int64),
            frames=len(self.index),
            size=self.shown_size,
        )

    @property
    def shown_size(self) -> Size:
        """Size of a frame as it is shown."""
        return self.recipe.canvas.shown_size

    def no_face(self) -> FaceError:
        """Return the error of a video without faces."""
        return FaceError("no_face", str(self.path), got=f"no face in {len(self.index)} frames", do="Leave it out")


def _mapped(path: Path) -> F32Array:
    """Return a file's samples; they stay readable when its name is gone."""
    if not path.stat().st_size:
        return np.zeros(0, np.float32)
    return np.asarray(np.memmap(path, np.float32, "c"))  # torch wants what it takes to be writable


def _moved(box: list[float], shift: F64Array, scale: F64Array) -> F32Array:
    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    centre = ((x0 + x1) / 2 + shift[0] * width, (y0 + y1) / 2 + shift[1] * height)
    half = (width * scale[0] / 2, height * scale[1] / 2)
    return np.array([centre[0] - half[0], centre[1] - half[1], centre[0] + half[0], centre[1] + half[1]], np.float32)
