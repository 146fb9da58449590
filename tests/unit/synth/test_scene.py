from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest

pytest.importorskip("skia")
pytest.importorskip("espeakng_loader")

from lipwise_ray.synth.appearance import draw_appearance
from lipwise_ray.synth.corpus import CorpusSpec, crowd_scene, talking_scene, write_corpus
from lipwise_ray.synth.footage import write_scene
from lipwise_ray.synth.head import Pose
from lipwise_ray.synth.mouth import CAVITY
from lipwise_ray.synth.scene import Camera, DrawnPerson, Scene, Shot, draw_scene
from lipwise_ray.synth.speech import Voice, speak
from lipwise_ray.synth.truth import read_truth, truth_beside
from lipwise_ray.values import Size

SIZE = Size(160, 160)


def _talker(text: str = "papa mama") -> Scene:
    said = speak(text, Voice("es", "f2"))
    person = DrawnPerson(7, scale=0.25, speech=said, motion_seed=1)
    return Scene(SIZE, said.seconds, (Shot(0.0, (person,), 7),), said.wave_f32, Camera(noise=0))


def test_the_mouth_in_the_picture_opens_with_the_truth() -> None:
    """Dark cavity shows in the mouth when the truth says open, and not when it says closed."""
    shown: dict[bool, list[float]] = {True: [], False: []}
    for picture in draw_scene(_talker()):
        face = picture.faces[0]
        x0, y0, x1, y1 = (int(v) for v in face.truth.box)
        mouth = picture.rgb[(y0 + y1) // 2 : y1, x0:x1].astype(int)
        dark = (np.abs(mouth - CAVITY).sum(-1) < 60).mean()
        if face.mouth[0] > 0.5 or face.mouth[0] < 0.05:
            shown[bool(face.mouth[0] > 0.5)].append(float(dark))
    assert min(shown[True]) > 0.01
    assert max(shown[False]) < 0.3 * min(shown[True])


def test_landmarks_lie_where_the_eyes_are_drawn() -> None:
    """The picture is dark at the pupils that the truth names."""
    picture = next(draw_scene(_talker()))
    for x, y in picture.faces[0].truth.landmarks[:2]:
        around = picture.rgb[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3]
        assert around.min() < 60


def test_only_the_speaker_speaks() -> None:
    """Of two people one has a speech: the truth says who, and the other's mouth stays shut."""
    said = speak("hola amigo", Voice("es"))
    pair = (DrawnPerson(1, x=0.3, scale=0.12, speech=said), DrawnPerson(2, x=0.7, scale=0.12, motion_seed=2))
    scene = Scene(SIZE, said.seconds, (Shot(0.0, pair, 3),), said.wave_f32)
    pictures = list(draw_scene(scene))
    assert any(picture.faces[0].speaking for picture in pictures)
    assert not any(picture.faces[1].speaking for picture in pictures)
    assert max(float(np.abs(picture.faces[1].mouth).max()) for picture in pictures) == 0.0


def test_a_seed_is_a_presenter() -> None:
    """The same seed draws the same look and pixels, another one another look."""
    assert draw_appearance(5) == draw_appearance(5) != draw_appearance(6)
    first, second = (next(draw_scene(_talker())).rgb for _ in range(2))
    assert np.array_equal(first, second)


def test_scenes_hold_cuts_and_empty_shots() -> None:
    """Over some seeds crowd scenes show nobody, one and two people, all inside the picture."""
    counts: set[int] = set()
    for seed in range(12):
        scene = crowd_scene(seed, Size(320, 180), held_out=False)
        counts |= {len(shot.people) for shot in scene.shots}
        assert scene.shots[0].start_s == 0.0
    assert counts == {0, 1, 2}


def test_a_written_clip_has_frames_sound_and_truth(tmp_path: Path) -> None:
    """The file holds as many frames as its truth, a sound of the same length, and marks its colours."""
    scene = _talker("la luna")
    write_scene(tmp_path / "a.mp4", scene)
    truth = read_truth(tmp_path / "a.mp4")
    assert truth is not None
    with av.open(str(tmp_path / "a.mp4")) as container:
        frames = sum(1 for _ in container.decode(video=0))
        assert container.streams.audio[0].duration is not None
        sound_s = float(container.streams.audio[0].duration * container.streams.audio[0].time_base)
    assert frames == len(truth["frames"]) == scene.frames
    assert sound_s == pytest.approx(scene.seconds, abs=0.06)
    assert {row[1] for row in truth["phonemes"]} >= {"l", "a"} or any("a" in row[1] for row in truth["phonemes"])


@pytest.mark.slow
def test_a_corpus_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Clips that are there are not drawn again; the others come; the lists name all, split by speaker."""
    spec = CorpusSpec(4, seed=2, seconds=0.4, size=Size(96, 96), val_share=0.5)
    assert len(list(write_corpus(tmp_path, spec, 1))) == 4
    kept, lost = tmp_path / "s00000/000.mp4", tmp_path / "s00001/001.mp4"
    before = kept.stat().st_mtime_ns
    truth_beside(lost).unlink()
    lost.unlink()
    assert len(list(write_corpus(tmp_path, spec, 1))) == 4
    assert kept.stat().st_mtime_ns == before
    assert lost.is_file()
    train, val = ((tmp_path / f"{name}.txt").read_text().split() for name in ("train", "val"))
    assert {name.split("/")[0] for name in train}.isdisjoint(name.split("/")[0] for name in val)
    assert json.loads((tmp_path / "corpus.json").read_text())["seed"] == 2


def test_held_out_presenters_and_voices_never_meet_training() -> None:
    """Looks and voices of the two kinds of corpora are disjoint."""
    from lipwise_ray.synth import corpus

    assert set(corpus.TRAIN_VARIANTS).isdisjoint(corpus.HELD_OUT_VARIANTS)
    looks = {
        held: {
            corpus.corpus_scene(CorpusSpec(6, seed=1, seconds=0.3, held_out=held), n).shots[0].people[0].look_seed
            for n in range(6)
        }
        for held in (True, False)
    }
    assert min(looks[True]) > max(looks[False])


def test_presenters_come_in_many_sizes() -> None:
    """Without a size clips differ in theirs, takes of one do not; a size that is asked for is kept."""
    from lipwise_ray.synth.corpus import corpus_scene

    many = [corpus_scene(CorpusSpec(8, seed=1, seconds=0.3, takes=2), n).size for n in range(8)]
    assert many[::2] == many[1::2]
    assert len(set(many)) == 4
    assert all(120 <= size.width == size.height <= 288 for size in many)
    assert corpus_scene(CorpusSpec(2, seed=1, seconds=0.3, size=Size(320, 320)), 1).size == Size(320, 320)


def test_a_head_turns_its_face_with_it() -> None:
    """Yaw to the right moves the nose to the right more than the rim."""
    from lipwise_ray.synth.portrait import face_truth

    look = draw_appearance(3)
    straight, turned = (face_truth(look, Pose(80, 80, 40, yaw=yaw)) for yaw in (0.0, 0.3))
    nose = turned.landmarks[2][0] - straight.landmarks[2][0]
    rim = turned.box[2] - straight.box[2]
    assert nose > 5 > rim + 3


def test_a_talking_scene_is_in_the_picture() -> None:
    """The face's box lies inside the picture for many seeds."""
    said = speak("a", Voice("en-us"))
    for seed in range(20):
        picture = next(draw_scene(talking_scene(seed, seed, said, SIZE)))
        x0, y0, x1, y1 = picture.faces[0].truth.box
        assert 0 <= x0 < x1 <= SIZE.width
        assert 0 <= y0 < y1 <= SIZE.height
