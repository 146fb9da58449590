"""Active speaker scores: on real clips what is known of them, in chunks as in the whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import numpy as np
import pytest

from lipwise_ray.faces.people import find_people
from lipwise_ray.faces.tracks import Tracks
from lipwise_ray.faces.yunet import YuNet
from lipwise_ray.lipsync.mel import mel_spectrogram
from lipwise_ray.media.audio import extract_network_audio
from lipwise_ray.media.frames import make_recipe
from lipwise_ray.media.index import build_index
from lipwise_ray.media.probe import probe_audio, probe_video
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.metrics.lip_activity import BLOCK_FRAMES, MARGIN_FRAMES, LipActivity, cepstra_at, mouth_boxes
from lipwise_ray.metrics.mfcc import mfcc
from lipwise_ray.pipeline.analysis.active_speaker import FaceFootage, OriginalAudio
from lipwise_ray.pipeline.analysis.crops import whole_tracks
from lipwise_ray.pipeline.analysis.speaker_activity import SpeakerActivity, tracks_to_watch, watch
from lipwise_ray.settings.layers import parse_assignment, resolve
from lipwise_ray.synth.clips import ClipSpec, write_clip
from lipwise_ray.values import F32Array, Size, Span, U8Array
from tests.support.boxes import link_boxes, make_detections


@pytest.fixture(scope="module")
def network(shared: Path) -> LipActivity:
    path = shared / "weights" / "lr_asd_talkset.pth"
    if not path.is_file():
        pytest.skip(f"no LR-ASD weights: {path} is not there")
    return LipActivity(path)


def _wave(path: Path) -> F32Array:
    with TemporaryDirectory() as folder:
        raw = Path(folder) / "wave.f32"
        extract_network_audio(probe_audio(path), raw)
        return np.fromfile(raw, np.float32)


def _scores(clip: Path, wave: F32Array, network: LipActivity, tracks: Tracks, *spans: Span) -> list[SpeakerActivity]:
    """Return the scores of the largest face in stretches of a clip, as if it was heard throughout."""
    info = probe_video(clip)
    index = build_index(info)
    mel = np.ascontiguousarray(mel_spectrogram(wave).T)
    audio = OriginalAudio(mel, np.ones(len(mel), np.bool_), Fraction(0))
    largest = max(tracks.numbers, key=lambda number: len(tracks.frame[tracks.rows(number)]))
    found: list[SpeakerActivity] = []
    for span in spans or (Span(0, len(index)),):
        with VideoReader(info.path, info.stream_index, index) as reader:
            recipe = make_recipe(info, index.sizes)
            footage = FaceFootage(reader, index, recipe, span, tracks, [largest], lambda: None)
            found.append(SpeakerActivity.of_scores(watch(footage, audio, mfcc(wave), network)))
    return found


def _tracks(clip: Path, yunet_file: Path) -> Tracks:
    info = probe_video(clip)
    settings = resolve([("test", parse_assignment("detect.stride=1"))])
    return whole_tracks(info, build_index(info), YuNet(yunet_file, min_score=0.7, threads=1), settings)


@pytest.mark.parametrize(
    ("name", "own", "silent"),
    [
        ("grid_man.mpg", (1.13, 0.72), (-0.88, 0.34)),
        pytest.param("grid_woman.mpg", (0.88, 1.0), (-1.28, 0.12), marks=pytest.mark.slow),
    ],
)
def test_real_speakers_score_as_published_code_has_them(
    name: str,
    own: tuple[float, float],
    silent: tuple[float, float],
    shared: Path,
    yunet_file: Path,
    network: LipActivity,
) -> None:
    """Means and shares above 0 with their own audio and with silence are near those of the published demo, whose boxes
    and windows are others.
    """
    clip = shared / "clips" / name
    tracks, wave = _tracks(clip, yunet_file), _wave(clip)
    for (mean, share), audio in ((own, wave), (silent, np.zeros_like(wave))):
        (found,) = _scores(clip, audio, network, tracks)
        assert float(found.score.mean()) == pytest.approx(mean, abs=0.4)
        assert float((found.score > 0).mean()) == pytest.approx(share, abs=0.2)


@pytest.mark.slow
def test_chunks_score_as_the_whole(shared: Path, yunet_file: Path, network: LipActivity) -> None:
    """Wherever a video is cut, a frame has the same score, and has it once."""
    clip = shared / "clips" / "grid_man.mpg"
    tracks, wave = _tracks(clip, yunet_file), _wave(clip)
    (whole,) = _scores(clip, wave, network, tracks)
    parts = SpeakerActivity.joined(_scores(clip, wave, network, tracks, Span(0, 31), Span(31, 40), Span(40, 75)))
    order = np.argsort(parts.number, kind="stable")
    np.testing.assert_array_equal(parts.number[order], np.sort(whole.number))
    np.testing.assert_allclose(parts.score[order], whole.score[np.argsort(whole.number)], atol=1e-3)


def test_only_where_somebody_is_heard(shared: Path, yunet_file: Path, network: LipActivity) -> None:
    """The network sees moving lips, whatever is heard: in silence nobody is asked."""
    clip = shared / "clips" / "grid_man.mpg"
    info = probe_video(clip)
    index, tracks = build_index(info), _tracks(clip, yunet_file)
    voiced = np.zeros(240, np.bool_)
    voiced[80:160] = True
    audio = OriginalAudio(np.zeros((240, 80), np.float32), voiced, Fraction(0))
    with VideoReader(info.path, info.stream_index, index) as reader:
        recipe = make_recipe(info, index.sizes)
        footage = FaceFootage(reader, index, recipe, Span(0, len(index)), tracks, tracks.numbers, lambda: None)
        found = {number for _, number, _ in watch(footage, audio, mfcc(_wave(clip)), network)}
    assert found == set(range(25, 50))


def test_a_record_that_was_cut_off_is_damaged(tmp_path: Path) -> None:
    """What was saved is loaded; half of it is a ValueError, by which it is made again."""
    path = tmp_path / "a.npz"
    heard = [(0, 3, np.array([5.0, 1.0]), 20), (1, 3, np.array([2.0, 9.0]), 25)]
    SpeakerActivity.of_scores([(3, 7, 0.5)], heard, 2).save(path)
    loaded = SpeakerActivity.load(path)
    assert loaded.course([3], 9)[7] == 0.5
    assert np.isnan(loaded.course([4], 9)).all()
    assert loaded.agreement([3], Span(0, 25)) == pytest.approx(1 / 45)  # one offset holds for the whole video
    assert loaded.agreement([3], Span(0, 50)) == pytest.approx(10 / 70)
    assert loaded.agreement([4], Span(0, 50)) is None
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"a\.npz"):
        SpeakerActivity.load(path)


def test_audio_that_ends_goes_on_in_silence() -> None:
    """Frames before and after the audio have cepstra, those of silence; a late picture is heard where it is shown."""
    cepstra = mfcc(np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32))
    silence = mfcc(np.zeros(1, np.float32))[0]
    np.testing.assert_array_equal(cepstra_at(cepstra, 2, 3, 0.0), cepstra[8:20])
    np.testing.assert_array_equal(cepstra_at(cepstra, 0, 3, 0.5), cepstra[50:62])
    np.testing.assert_array_equal(cepstra_at(cepstra, BLOCK_FRAMES * 4, 1, 0.0), [silence] * 4)


def test_a_box_that_jumps_does_not_shake_the_mouth() -> None:
    """Boxes go through a median: one that is off for a few frames changes nothing."""
    boxes = np.tile(np.array([[100, 100, 200, 220]], np.float32), (40, 1))
    boxes[20:23] += 30
    found = mouth_boxes(boxes)
    np.testing.assert_allclose(found, np.tile(found[:1], (40, 1)))
    np.testing.assert_allclose(found[0], [150 - 42, 160 - 18, 150 + 42, 160 + 66])


LEFT, RIGHT = (100.0, 100.0, 180.0, 200.0), (400.0, 100.0, 480.0, 200.0)


@pytest.mark.parametrize("everybody", [False, True])
def test_whose_lips_are_looked_at(*, everybody: bool) -> None:
    """Those of people who are several in a shot; of a diarised audio somebody may be heard who is not seen, so that
    those of whoever is alone count too. A hand that was taken for a face is nobody.
    """
    together = find_people(link_boxes(make_detections({n: [LEFT, RIGHT] for n in range(20)}, 20)), 0.6)
    assert tracks_to_watch(together, everybody=everybody) == [0, 1]
    alone = find_people(link_boxes(make_detections({n: [LEFT] for n in range(20)}, 20)), 0.6)
    assert tracks_to_watch(alone, everybody=everybody) == ([0] if everybody else [])
    found = make_detections({n: [LEFT, RIGHT] for n in range(20)}, 20)
    hand = replace(found, score=np.where(found.box[:, 0] == RIGHT[0], 0.42, 0.92).astype(np.float32))
    beside = find_people(link_boxes(hand), 0.6)
    assert len(beside.doubtful) == 1
    assert tracks_to_watch(beside, everybody=everybody) == ([0] if everybody else [])


class _Handed:
    """A network that scores everything 1, and how many frames it was handed at a time."""

    def __init__(self) -> None:
        self.frames: list[int] = []

    def scores(
        self, mouths: U8Array, cepstra: F32Array, first: int, blocks: range, on_piece: Callable[[], None]
    ) -> dict[int, float]:
        on_piece()
        assert len(cepstra) == 4 * len(mouths)
        self.frames.append(len(mouths))
        wanted = range(blocks[0] * BLOCK_FRAMES, (blocks[-1] + 1) * BLOCK_FRAMES)
        return {n: 1.0 for n in wanted if first <= n < first + len(mouths)}


@pytest.mark.slow
def test_long_chunks_take_the_memory_of_short_ones(tmp_path: Path) -> None:
    """However long two faces are watched, seconds of their mouths are kept at a time; each frame is scored once."""
    frames = 800
    write_clip(tmp_path / "v.mp4", ClipSpec(size=Size(640, 360), frames=frames, gop=50))
    info = probe_video(tmp_path / "v.mp4")
    index = build_index(info)
    tracks = link_boxes(make_detections({n: [LEFT, RIGHT] for n in range(frames)}, frames))
    columns = frames * 80 // 25
    audio = OriginalAudio(np.zeros((columns, 80), np.float32), np.ones(columns, np.bool_), Fraction(0))
    handed = _Handed()
    with VideoReader(info.path, info.stream_index, index) as reader:
        recipe = make_recipe(info, index.sizes)
        footage = FaceFootage(reader, index, recipe, Span(0, frames), tracks, tracks.numbers, lambda: None)
        cepstra = np.zeros((frames * 4, 13), np.float32)
        found = Counter((track, n) for track, n, _ in watch(footage, audio, cepstra, cast("LipActivity", handed)))
    assert set(found) == {(track, n) for track in tracks.numbers for n in range(frames)}
    assert set(found.values()) == {1}
    assert max(handed.frames) <= 20 * BLOCK_FRAMES + 2 * MARGIN_FRAMES


@pytest.mark.slow
def test_where_mouths_are_let_go_shows_in_no_score(
    shared: Path, yunet_file: Path, network: LipActivity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A face that is watched block by block has the scores that it has in one go."""
    clip = shared / "clips" / "grid_man.mpg"
    tracks, wave = _tracks(clip, yunet_file), _wave(clip)
    (whole,) = _scores(clip, wave, network, tracks)
    monkeypatch.setattr("lipwise_ray.pipeline.analysis.speaker_activity._MOST_BLOCKS", 1)
    (parts,) = _scores(clip, wave, network, tracks)
    np.testing.assert_array_equal(parts.number, whole.number)
    np.testing.assert_allclose(parts.score, whole.score, atol=1e-3)
