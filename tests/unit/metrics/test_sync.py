"""The bundled judge on drawn presenters whose lips are right by construction."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("skia")
pytest.importorskip("espeakng_loader")

from lipwise_ray.lipsync.mel import mel_spectrogram
from lipwise_ray.metrics.sync import SpeakerExpert
from lipwise_ray.models.registry import Registry
from lipwise_ray.resources import models_folder
from lipwise_ray.values import F32Array, U8Array


@pytest.fixture(scope="module")
def judge() -> SpeakerExpert:
    registry = Registry(models_folder() / "registry.toml", Path())
    return SpeakerExpert(registry.resolve("tiny_judge", "lipsync_expert").path)


@pytest.fixture(scope="module")
def clip() -> tuple[dict[int, U8Array], F32Array]:
    """A presenter that no network has met: crops by their true boxes, and the mel."""
    from lipwise_ray.synth.corpus import CorpusSpec, corpus_scene
    from lipwise_ray.synth.scene import draw_scene

    scene = corpus_scene(CorpusSpec(1, seed=901, seconds=3.0, held_out=True), 0)
    crops: dict[int, U8Array] = {}
    for number, picture in enumerate(draw_scene(scene)):
        x0, y0, x1, y1 = picture.faces[0].truth.box
        part = picture.rgb[int(y0) : int(y1) + 10, int(x0) : int(x1), ::-1]
        crops[number] = np.asarray(cv2.resize(np.ascontiguousarray(part), (96, 96)), np.uint8)
    return crops, np.ascontiguousarray(mel_spectrogram(scene.sound).T)


def test_true_lips_are_nearer_to_their_sound_than_others(judge: SpeakerExpert, clip) -> None:
    """The same lips under the sound played backwards are much further away."""
    crops, mel = clip
    true, other = judge.distance(crops, mel), judge.distance(crops, np.ascontiguousarray(mel[::-1]))
    assert true is not None
    assert other is not None
    assert true < 0.75 * other


@pytest.mark.parametrize("frames", [0, 4, -4])
def test_an_offset_is_measured(judge: SpeakerExpert, clip, frames: int) -> None:
    """Sound moved by whole frames is found moved by as many, to one frame."""
    crops, mel = clip
    moved = np.roll(mel, round(frames * 3.2), axis=0)
    assert abs(judge.offset(crops, moved) - frames) <= 1


def test_too_few_frames_have_no_distance(judge: SpeakerExpert, clip) -> None:
    """Fewer than five frames in a row, or no sound to go with them, give None instead of a number."""
    crops, mel = clip
    assert judge.distance({n: crops[n] for n in (0, 1, 2, 3, 5, 6)}, mel) is None
    assert judge.distance(crops, mel[:10]) is None
