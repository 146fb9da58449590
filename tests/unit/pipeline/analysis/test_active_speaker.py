"""Whose lips go with the audio: sums over chunks, and what is compared."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipwise_ray.faces.people import find_people
from lipwise_ray.faces.select import rivals
from lipwise_ray.media.frames import make_recipe
from lipwise_ray.media.index import build_index
from lipwise_ray.media.probe import probe_video
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.pipeline.analysis.active_speaker import FaceFootage, OriginalAudio, SpeakerScores, listen
from lipwise_ray.synth.clips import ClipSpec, write_clip
from lipwise_ray.values import I64Array, Size, Span, U8Array
from tests.support.boxes import link_boxes, make_detections

FRAMES, SIZE = 30, Size(640, 360)


def _scores(*rows: tuple[int, list[float], int]) -> SpeakerScores:
    numbers, totals, windows = zip(*rows, strict=True)
    return SpeakerScores(np.array(numbers), np.array(totals), np.array(windows))


def test_agreement_that_few_windows_show_counts_less() -> None:
    """A mean cosine of 0.9 in ten windows is worth less than one of 0.8 in five hundred; none heard is none."""
    scores = _scores((0, [9.0, 1.0], 10), (1, [400.0, 100.0], 500), (2, [-5.0, -9.0], 50))
    assert 0 < scores.of([0]) < scores.of([1]) < 0.8
    assert scores.of([2]) == 0
    assert scores.of([7]) == 0


def test_a_persons_tracks_add_up_over_chunks() -> None:
    """One offset holds for all of them: what agrees at different offsets is no agreement of one film."""
    chunks = [_scores((0, [50.0, 0.0], 100)), _scores((0, [50.0, 0.0], 100), (1, [0.0, 50.0], 100))]
    whole = SpeakerScores.joined(chunks)
    assert whole.of([0]) == pytest.approx(100 / 225)
    assert whole.of([0, 1]) == pytest.approx(100 / 325)


def test_a_record_that_was_cut_off_is_damaged(tmp_path: Path) -> None:
    """What was saved is loaded; half of it is a ValueError, by which it is made again."""
    path = tmp_path / "v.npz"
    _scores((3, [1.0, 2.0], 4)).save(path)
    assert SpeakerScores.load(path).of([3]) == pytest.approx(2 / 29)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"v\.npz"):
        SpeakerScores.load(path)


class _Expert:
    """Notes which windows of whom are compared with which column."""

    offsets = 3

    def __init__(self) -> None:
        self.columns: dict[int, int] = {}

    def agreement(
        self, crops: Mapping[int, U8Array], mel: Any, starts: list[int], columns: I64Array
    ) -> tuple[np.ndarray[Any, Any], int]:
        assert all(crop.shape == (96, 96, 3) for crop in crops.values())
        assert mel.shape[1] == 80
        whole = [n for n in starts if all(n + k in crops for k in range(5))]
        self.columns |= {n: int(columns[n]) for n in whole}
        return np.array([0.0, float(len(whole)), 0.0]), len(whole)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("film") / "v.mkv"
    write_clip(path, ClipSpec(size=SIZE, frames=FRAMES, codec="ffv1"))
    info = probe_video(path)
    index = build_index(info)
    return info, index, make_recipe(info, index.sizes)


def _heard(film: Any, people: int, span: Span, voiced: Any = None, lead_s: Fraction = Fraction(0)) -> Any:
    boxes = [(100, 100, 180, 200), (400, 100, 480, 200)][:people]
    tracks = link_boxes(make_detections(dict.fromkeys(range(FRAMES), boxes), FRAMES))
    mel, expert = np.zeros((200, 80), np.float32), _Expert()
    audio = OriginalAudio(mel, np.ones(len(mel), bool) if voiced is None else voiced, lead_s)
    info, index, recipe = film
    with VideoReader(info.path, info.stream_index, index, threads=1) as reader:
        footage = FaceFootage(reader, index, recipe, span, tracks, rivals(find_people(tracks, 0.0)), lambda: None)
        found = listen(footage, audio, expert)  # type: ignore[arg-type]  # a made-up expert
    return found, expert


def test_chunks_compare_each_window_once(film: Any) -> None:
    """A window belongs to the chunk in which it begins, and reads beyond its end; so chunks add up to the whole."""
    whole, _ = _heard(film, 2, Span(0, FRAMES))
    parts = SpeakerScores.joined([_heard(film, 2, Span(0, 11))[0], _heard(film, 2, Span(11, FRAMES))[0]])
    for track in (0, 1):
        windows = [int(one.windows[one.track == track].sum()) for one in (whole, parts)]
        assert windows == [FRAMES - 4] * 2


def test_silence_and_people_who_are_alone_are_not_compared(film: Any) -> None:
    """Where nobody speaks lips tell nothing; where one person is seen there is nobody to tell apart."""
    voiced = np.zeros(200, bool)
    voiced[:40] = True  # half a second
    _, expert = _heard(film, 2, Span(0, FRAMES), voiced)
    assert sorted(expert.columns) == list(range(max(expert.columns) + 1))
    assert 7 <= max(expert.columns) <= 12
    alone, _ = _heard(film, 1, Span(0, FRAMES))
    assert alone.of([0]) == 0


def test_images_that_start_late_are_compared_with_what_was_heard_then(film: Any) -> None:
    """Half a second of audio before the first frame moves all windows by 40 columns."""
    _, expert = _heard(film, 2, Span(0, FRAMES), lead_s=Fraction(1, 2))
    assert expert.columns[0] == 40
    assert expert.columns[5] == 56
