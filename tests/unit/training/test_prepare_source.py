"""From a video to prepared clips."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from lipwise_ray.errors import AudioError, FaceError, InputError, MediaError, OutputError
from lipwise_ray.faces.detections import DetectedFaces
from lipwise_ray.faces.tiny import TinyDetector
from lipwise_ray.media.audio import extract_network_audio
from lipwise_ray.media.probe import probe_audio
from lipwise_ray.metrics.sync_scorers import load_sync_scorer
from lipwise_ray.models.registry import Registry
from lipwise_ray.pipeline.analysis.crops import read_wave
from lipwise_ray.resources import models_folder
from lipwise_ray.training.clip_record import ClipNote, read_record
from lipwise_ray.training.dataset import NOTE, read_clip
from lipwise_ray.training.prepare import CurationNetworks, SortedFace, prepare_source
from lipwise_ray.training.source_video import FRAME_SAMPLES, SourceVideo
from lipwise_ray.values import U8Array
from tests.support.footage import prepare_spec, side_by_side, with_changed_frames, with_moved_audio, without_audio
from tests.support.silent_video import with_silence


class _Counting:
    """The bundled detector, and how many times it was asked."""

    together = False

    def __init__(self) -> None:
        weights = Registry(models_folder() / "registry.toml", Path()).resolve("tiny_detector")
        self._detector = TinyDetector(weights.path, min_score=0.49, device="cpu")
        self.calls = 0

    def detect(self, images_bgr: Sequence[U8Array]) -> list[DetectedFaces]:
        """Find faces."""
        self.calls += 1
        return self._detector.detect(images_bgr)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One presenter who talks for three seconds."""
    from lipwise_ray.synth.corpus import talking_scene
    from lipwise_ray.synth.footage import write_scene
    from lipwise_ray.synth.speech import Voice, speak
    from lipwise_ray.values import Size

    path = tmp_path_factory.mktemp("clip") / "one.mp4"
    said = speak("the quick brown fox jumps over the lazy dog and runs away from the old farm", Voice("en-us"))
    write_scene(path, talking_scene(3, 3, said, Size(160, 160)))
    return path


def _experts(*names: str) -> list[CurationNetworks]:
    registry = Registry(models_folder() / "registry.toml", Path())
    found = [registry.resolve(name) for name in names]
    return [CurationNetworks(_Counting(), ("d",), load_sync_scorer(one.network, one.path), one.sha256) for one in found]


def _files(root: Path) -> dict[str, bytes]:
    return {str(f.relative_to(root)): f.read_bytes() for f in sorted(root.rglob("*")) if f.is_file()}


def _one(faces: tuple[SortedFace, ...]) -> SortedFace:
    (face,) = faces
    return face


def test_measures_are_those_of_the_face(clip: Path, tmp_path: Path) -> None:
    """Size, yaw and score of a drawn face that the bundled detector finds; lips in sync; stills for the sheet."""
    (networks,) = _experts("tiny_expert")
    face = _one(prepare_source(clip, "a/one", tmp_path, prepare_spec(), networks))
    assert face.refused is None
    truth = json.loads(Path(f"{clip}.truth.json").read_text())["frames"]
    boxes = np.array([row["faces"][0]["box"] for row in truth])
    assert face.face.size_px == pytest.approx(np.median((boxes[:, 2:] - boxes[:, :2]).min(axis=1)), rel=0.15)
    assert face.face.frames >= 0.95 * len(truth)
    assert face.face.yaw_deg < 20
    assert face.face.speech_share > 0.5
    assert face.sync is not None
    assert face.sync.offset_frames == 0
    prepared = read_clip(tmp_path, "a/one")
    assert prepared is not None
    assert len(prepared.numbers) == face.face.frames
    assert cv2.imread(str(tmp_path / f".curation/a/one/face-{face.face.track}.jpg")).shape == (96, 384, 3)


@pytest.mark.parametrize("frames", [15, 25])
def test_audio_far_off_the_lips_is_refused(clip: Path, tmp_path: Path, frames: int) -> None:
    """Offsets of 15 and 25 frames are measured, and told as the reason; no clip is cut."""
    moved = with_moved_audio(clip, tmp_path / "moved.mp4", frames / 25)
    face = _one(prepare_source(moved, "a/moved", tmp_path / "out", prepare_spec(), _experts("tiny_expert")[0]))
    assert face.refused is not None
    assert face.refused.code == "out_of_sync"
    assert f"the audio is {frames} frames off the lips" in str(face.refused)
    assert not (tmp_path / "out/a/moved").exists()


@pytest.mark.slow
def test_audio_a_little_off_is_moved_to_where_it_belongs(clip: Path, tmp_path: Path) -> None:
    """Audio three frames late comes three frames earlier in the clip, which is then as the original's."""
    (networks,) = _experts("tiny_expert")
    moved = with_moved_audio(clip, tmp_path / "moved.mp4", 3 / 25)
    face = _one(prepare_source(moved, "a/moved", tmp_path, prepare_spec(), networks))
    assert (face.shift_frames, face.refused) == (3, None)
    _one(prepare_source(clip, "a/one", tmp_path, prepare_spec(), networks))
    whole, aligned = read_wave(tmp_path / "a/one/audio.wav"), read_wave(tmp_path / "a/moved/audio.wav")
    late = FRAME_SAMPLES // 8
    lags = [float(np.dot(whole[late + k : 40_000 + k], aligned[late:40_000])) for k in range(-late, late + 1)]
    assert abs(int(np.argmax(lags)) - late) < FRAME_SAMPLES / 16


def test_another_expert_and_other_rules_search_nothing_anew(clip: Path, tmp_path: Path) -> None:
    """An expert measures faces that are known, rules sort by measures that are known, and a loosened rule cuts."""
    first, second = _experts("tiny_expert", "tiny_judge")
    detector = first.detector
    assert isinstance(detector, _Counting)
    strict = prepare_spec(min_face_px=500.0)
    assert _one(prepare_source(clip, "a/one", tmp_path, strict, first)).refused is not None
    asked = detector.calls
    assert asked
    with_second = replace(second, detector=detector)
    other = _one(prepare_source(clip, "a/one", tmp_path, prepare_spec(), with_second))
    assert other.refused is None
    assert other.sync is not None
    record = tmp_path / ".curation/a/one/measured.json"
    assert set(json.loads(record.read_text())["sync"]) == {first.expert_sha256, second.expert_sha256}
    before = record.stat().st_mtime_ns, (tmp_path / "a/one/0.jpg").stat().st_mtime_ns
    assert _one(prepare_source(clip, "a/one", tmp_path, prepare_spec(min_score=0.5), first)).refused is None
    assert (record.stat().st_mtime_ns, (tmp_path / "a/one/0.jpg").stat().st_mtime_ns) == before
    assert detector.calls == asked


def test_a_second_run_leaves_equal_bytes_also_after_a_stop_halfway(clip: Path, tmp_path: Path) -> None:
    """Whichever record or clip a stop has left behind, the next run ends at the files of an unbroken one."""
    spec, networks = prepare_spec(), CurationNetworks(_Counting(), ("d",))
    prepare_source(clip, "a/one", tmp_path, spec, networks)
    whole = _files(tmp_path)
    shutil.rmtree(tmp_path / "a")
    prepare_source(clip, "a/one", tmp_path, spec, networks)
    assert _files(tmp_path) == whole
    (tmp_path / ".curation/a/one/measured.json").write_text("{")
    (tmp_path / ".curation/a/one/tracks.npz").write_bytes(b"cut off")
    prepare_source(clip, "a/one", tmp_path, spec, networks)
    assert _files(tmp_path) == whole


def test_a_clip_of_an_earlier_layout_is_prepared_anew(clip: Path, tmp_path: Path) -> None:
    """A note that earlier versions wrote is no reason to keep their crops; training reads them as before."""
    old = tmp_path / "a/one"
    old.mkdir(parents=True)
    asked = {"source_sha256": "ab", "size_px": 0, "pads": [0, 0, 0, 0], "truth": True, "checked": False}
    (old / NOTE).write_text(json.dumps({"frames": 1, "source": "one.mp4", "asked": asked}))
    (old / "7000.jpg").write_bytes(b"old")
    (old / "audio.wav").write_bytes(b"old")
    known = read_clip(tmp_path, "a/one")
    assert known is not None
    assert known.numbers == (7000,)
    prepare_source(clip, "a/one", tmp_path, prepare_spec(truth=True), CurationNetworks())
    assert not (old / "7000.jpg").exists()
    note = read_record(old / NOTE, ClipNote)
    assert note is not None
    assert note.asked.track == 0


def test_pads_are_shares_of_the_face(clip: Path, tmp_path: Path) -> None:
    """A share of the height below moves the crop's content up by that share, whatever the face's size in pixels."""
    bare = replace(prepare_spec(truth=True, size_px=0), pads=(0, 0, 0, 0))
    padded = replace(bare, pads_share=(0.0, 0.5, 0.0, 0.0))
    for name, spec in (("bare", bare), ("padded", padded)):
        prepare_source(clip, f"a/{name}", tmp_path, replace(spec, size_px=120), CurationNetworks())
    plain, grown = (cv2.imread(str(tmp_path / f"a/{name}/5.jpg")).astype(float) for name in ("bare", "padded"))
    upper = cv2.resize(grown[:80], (120, 120))
    assert np.abs(upper - plain).mean() < 0.5 * np.abs(grown - plain).mean()


def test_two_people_are_two_clips(clip: Path, tmp_path: Path) -> None:
    """Both faces are measured, the larger one has the clip's name, and who only listens is out of sync."""
    two = with_changed_frames(clip, tmp_path / "two.mkv", side_by_side(clip))
    faces = prepare_source(two, "a/two", tmp_path, prepare_spec(), _experts("tiny_expert")[0])
    assert {face.clip for face in faces} == {"a/two", "a/two+face2"}
    kept = [face for face in faces if face.refused is None]
    assert len(kept) == 1
    assert (tmp_path / kept[0].clip / NOTE).is_file()


def test_without_truth_or_a_face_or_audio_the_reason_is_told(clip: Path, tmp_path: Path) -> None:
    """Each broken video is an input error of its own, which leaves no clip."""
    from fractions import Fraction

    from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip

    faceless, mute, text = tmp_path / "faceless.mp4", tmp_path / "mute.mp4", tmp_path / "text.mp4"
    write_clip(faceless, ClipSpec(rate=Fraction(25), frames=20, tone=ToneSpec(0.8)))
    without_audio(clip, mute)
    text.write_text("not a video")
    networks = CurationNetworks(_Counting(), ("d",))

    def prepare(path: Path, *, truth: bool = False) -> Callable[[], object]:
        return lambda: prepare_source(path, f"a/{path.stem}", tmp_path / "out", prepare_spec(truth=truth), networks)

    for attempt, kind, words in (
        (prepare(faceless), FaceError, "no face in 20 frames"),
        (prepare(faceless), FaceError, "no face in 20 frames"),  # as it is known from the first
        (prepare(mute), InputError, "audio stream"),
        (prepare(text), MediaError, "text file"),
        (prepare(tmp_path / "gone.mp4"), MediaError, "not found"),
        (prepare(faceless, truth=True), MediaError, r"faceless\.mp4\.truth\.json"),
    ):
        with pytest.raises(kind, match=words):
            attempt()
    assert not (tmp_path / "out/a").exists()


def test_a_name_that_is_no_text_is_prepared(clip: Path, tmp_path: Path) -> None:
    """Names are bytes to the system; one in another encoding is cut, listed and noted like others."""
    path = tmp_path / "caf\udce9.mp4"
    shutil.copy(clip, path)
    shutil.copy(clip.with_name(clip.name + ".truth.json"), tmp_path / f"{path.name}.truth.json")
    face = _one(prepare_source(path, "a/0", tmp_path / "out", prepare_spec(truth=True), CurationNetworks()))
    assert face.refused is None
    noted = read_record(tmp_path / "out/a/0" / NOTE, ClipNote)
    assert noted is not None
    assert noted.source == "caf\\udce9.mp4"


def test_hours_of_audio_are_not_held_in_memory(clip: Path, tmp_path: Path) -> None:
    """Its samples are maps of files whose names are gone: the system may take their memory back."""
    source = SourceVideo(clip)
    for wave in (source.own_wave, source.wave):
        assert isinstance(wave.base, np.memmap)
        assert not Path(str(wave.base.filename)).exists()
    gain = extract_network_audio(probe_audio(clip), tmp_path / "raw").heard.gain
    assert np.array_equal(source.own_wave, np.fromfile(tmp_path / "raw", np.float32))
    assert np.array_equal(source.wave, source.own_wave * np.float32(gain))


def test_silent_audio_is_refused(clip: Path, tmp_path: Path) -> None:
    """Silence teaches no lips."""
    silent = tmp_path / "silent.mp4"
    with_silence(clip, silent)
    with pytest.raises(AudioError, match="silent"):
        prepare_source(silent, "a/b", tmp_path, prepare_spec(), CurationNetworks(_Counting()))


def test_a_clip_shorter_than_a_window_is_refused(tmp_path: Path) -> None:
    """Four frames are not enough for a window of five."""
    from lipwise_ray.synth.corpus import talking_scene
    from lipwise_ray.synth.footage import write_scene
    from lipwise_ray.synth.speech import Voice, speak
    from lipwise_ray.values import Size

    scene = replace(talking_scene(1, 1, speak("a", Voice("es")), Size(128, 128)), seconds=0.16)
    write_scene(tmp_path / "a.mp4", scene)
    with pytest.raises(FaceError, match=r"shows a face in \d+ frames; more than 5 are needed"):
        prepare_source(tmp_path / "a.mp4", "a/a", tmp_path / "out", prepare_spec(truth=True), CurationNetworks())


def test_a_place_that_cannot_be_written_is_told(clip: Path, tmp_path: Path) -> None:
    """A file where the data set's folder should be is an error about that place."""
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="cannot be written"):
        prepare_source(clip, "a/one", tmp_path / "out", prepare_spec(truth=True), CurationNetworks())
