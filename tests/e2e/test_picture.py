"""What a finished picture looks like beside the filmed one, on the bundled presenters."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from pydantic import TypeAdapter
from skimage.color import deltaE_ciede2000, rgb2lab

from lipwise_ray.errors import SetupError
from lipwise_ray.lipsync.compose import lower_face, paste_mask, widest_lower_face
from lipwise_ray.media.region import box_to_shown, pixel_map
from lipwise_ray.pipeline.dubbing.plan import Plan
from lipwise_ray.state.plan_record import PlanRecord
from lipwise_ray.values import F32Array, F64Array
from tests.conftest import ROOT
from tests.support.dub import BY_LEVEL, LOSSLESS, NOTHING_IN_FRONT, dub
from tests.support.seeded import seeded_weights

TINY = ('lipsync.model="tiny_generator"', 'detect.detector="tiny"', NOTHING_IN_FRONT, LOSSLESS, BY_LEVEL)
"""By the level the presenter says one thing: every frame is dubbed, also while a breath is drawn."""
HEARD = 'lipsync.vad="silero_vad"'
SHARP = 'restore.model="tiny_restorer"'
SIDE = 96
MaskOf = Callable[[F32Array, F64Array, int], F32Array]
MANIFESTS = ROOT / "manifests"
FRAMES = 100


def _row(name: str = "presenter", **changes: Any) -> dict[str, Any]:
    with (MANIFESTS / "demo.csv").open() as file:
        row: dict[str, Any] = next(row for row in csv.DictReader(file) if row["id"] == name)
    files = {key: MANIFESTS / row[key] for key in ("video", "audio")}
    return {**row, **files, "output": f"{name}.mkv", "length": "shortest", "end": FRAMES / 25, **changes}


def _frames(path: Path, kind: str = "bgr24") -> Iterator[Any]:
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number == FRAMES:
                return
            yield frame.to_ndarray(format=kind)


def _hashes(path: Path) -> list[str]:
    return [hashlib.sha256(frame.tobytes()).hexdigest() for frame in _frames(path, "yuv420p")]


def _plan(state: Path) -> Plan:
    (arrays,) = state.glob("jobs/*/plan.npz")
    return Plan.load(arrays, TypeAdapter(PlanRecord).validate_json((arrays.parent / "plan.json").read_bytes()))


def _opacity(plan: Plan, number: int, height: int, width: int, mask_of: MaskOf = lower_face) -> Any:
    """Return the mask of a frame's face in the frame, shape (height, width)."""
    (face,) = plan.faces(number)
    to_shown = box_to_shown(face.crop_box, SIDE)
    mask = paste_mask(SIDE, 0.1) * mask_of(face.landmarks, to_shown, SIDE)
    return cv2.warpAffine(mask, pixel_map(to_shown), (width, height), flags=cv2.INTER_LINEAR)


@pytest.fixture(scope="module")
def dubbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The presenter, restored, losslessly."""
    folder = tmp_path_factory.mktemp("picture")
    report = dub(folder, [_row()], *TINY, SHARP)
    assert report.done == 1, report.outcomes
    return folder


@pytest.mark.slow
def test_the_result_tells_how_faces_flicker(dubbed: Path) -> None:
    """Beside the filmed face, in one frame of eleven with the two around it."""
    (result,) = [json.loads(path.read_bytes()) for path in (dubbed / "out.state").glob("jobs/*/result.json")]
    flicker = result["flicker"]
    assert flicker["faces"] == FRAMES // 11
    assert 0.5 < flicker["filmed"] < flicker["dubbed"] < 2 * flicker["filmed"]


@pytest.mark.slow
def test_the_result_tells_how_sharp_mouths_are(dubbed: Path) -> None:
    """Beside the filmed mouth, at one face in eleven."""
    (result,) = [json.loads(path.read_bytes()) for path in (dubbed / "out.state").glob("jobs/*/result.json")]
    sharpness = result["sharpness"]
    assert sharpness["faces"] == -(-FRAMES // 11)
    assert 0.5 < sharpness["sharpness"] < 1.5
    assert sharpness["sharpness"] == pytest.approx(sharpness["dubbed"] / sharpness["filmed"], abs=0.01)


def test_no_box_and_no_other_colour(dubbed: Path) -> None:
    """On a drawn presenter, restored: see `_see_nothing_of_the_mask`."""
    spoken = MANIFESTS / "demo" / "true" / "presenter.mp4"
    _see_nothing_of_the_mask(_row()["video"], dubbed / "out" / "presenter.mkv", _plan(dubbed / "out.state"), spoken)


@pytest.mark.slow
@pytest.mark.parametrize("clip", ["grid_man", pytest.param("grid_woman", marks=pytest.mark.slow)])
def test_no_box_on_real_faces(tmp_path: Path, clip: str, shared: Path, yunet_file: Path) -> None:
    """On recordings of people, with the mouth of the bundled network: the same."""
    row = {"id": clip, "video": shared / "clips" / f"{clip}.mpg", "audio": shared / "clips" / "speech_en.wav"}
    row |= {"output": f"{clip}.mkv", "length": "video"}
    settings = ('lipsync.model="tiny_generator"', LOSSLESS, 'lipsync.silence="off"', 'restore.model="none"')
    settings = (*settings, 'faces.landmarks="none"')  # so that the plan tells where the mask is
    assert dub(tmp_path, [row], *settings, models=yunet_file.parent).done == 1
    _see_nothing_of_the_mask(row["video"], tmp_path / "out" / f"{clip}.mkv", _plan(tmp_path / "out.state"))


def _see_nothing_of_the_mask(source: Path, result: Path, plan: Plan, spoken: Path | None = None) -> None:
    """Along the mask's edge the picture is no rougher than the filmed one and has its colours; past it nothing changed.

    That is past the mask of a jaw that hangs as low as it can. Drawn jaws open wide: where the new one ends the picture
    is as rough as where somebody really says it, in `spoken`.

    Aims: mean gradient at most 1.1 times that of the source or of `spoken`, mean CIEDE2000 at most 2.
    """
    rough: list[tuple[float, float]] = []
    shifts: list[float] = []
    real = _frames(spoken or source)
    for number, (before, after, said) in enumerate(zip(_frames(source), _frames(result), real, strict=True)):
        mask = _opacity(plan, number, *before.shape[:2])
        edge = (mask > 0.02) & (mask < 0.5)
        rough.append((_gradient(said)[edge].mean(), _gradient(after)[edge].mean()))
        if number % 5 == 0:
            labs = (rgb2lab(image[..., ::-1]) for image in (before, after))
            shifts.append(float(deltaE_ciede2000(*labs)[edge].mean()))
    for before, after, number in zip(
        _frames(source, "yuv420p"), _frames(result, "yuv420p"), range(FRAMES), strict=False
    ):
        height, width = before.shape[0] * 2 // 3, before.shape[1]
        outside = cv2.dilate(_opacity(plan, number, height, width, widest_lower_face), np.ones((3, 3))) == 0
        assert np.array_equal(before[:height][outside], after[:height][outside])
        if width % 4 == 0 and height % 4 == 0:
            # Both chroma planes lie below the luma, two of their rows in one of the picture's.
            far = outside.reshape(height // 2, 2, width // 2, 2).all(axis=(1, 3)).astype(np.uint8)
            far = cv2.erode(far, np.ones((3, 3))).astype(bool)
            planes = [one[height:].reshape(2, height // 2, width // 2) for one in (before, after)]
            assert np.array_equal(planes[0][:, far], planes[1][:, far])
        assert not np.array_equal(before, after)
    really, made = np.mean(rough, axis=0)
    assert made <= 1.1 * really
    assert np.mean(shifts) <= 2


def _gradient(image: Any) -> Any:
    luma = image.astype(np.float32).mean(axis=2)
    return np.hypot(cv2.Sobel(luma, cv2.CV_32F, 1, 0), cv2.Sobel(luma, cv2.CV_32F, 0, 1))


@pytest.mark.slow
def test_a_restored_mouth_is_sharper(dubbed: Path, tmp_path: Path) -> None:
    """With the restorer the mouth has more fine detail than without, and at strength 0 exactly as much."""
    for name, setting in (("none", 'restore.model="none"'), ("zero", "restore.strength=0.0")):
        settings = (*TINY, setting) if name == "none" else (*TINY, SHARP, setting)
        assert dub(tmp_path, [_row()], *settings, "composite.grain=false", out=name).done == 1
    assert dub(tmp_path, [_row()], *TINY, SHARP, "composite.grain=false", out="sharp").done == 1
    plan = _plan(dubbed / "out.state")

    def detail(name: str) -> float:
        total = []
        for number, frame in enumerate(_frames(tmp_path / name / "presenter.mkv")):
            mask = _opacity(plan, number, *frame.shape[:2]) > 0.95
            total.append(np.abs(cv2.Laplacian(frame.astype(np.float32).mean(axis=2), cv2.CV_32F))[mask].mean())
        return float(np.mean(total))

    assert detail("sharp") > 1.1 * detail("none")
    assert _hashes(tmp_path / "zero" / "presenter.mkv") == _hashes(tmp_path / "none" / "presenter.mkv")


@pytest.mark.slow
@pytest.mark.parametrize("frames", [7, 33])
def test_chunks_and_reruns_do_not_show(dubbed: Path, tmp_path: Path, frames: int) -> None:
    """Restored, with light matched over frames and grain: chunks of any length give the same frames, run after run."""
    assert dub(tmp_path, [_row()], *TINY, SHARP, f"chunk.frames={frames}").done == 1
    assert _hashes(tmp_path / "out" / "presenter.mkv") == _hashes(dubbed / "out" / "presenter.mkv")


@pytest.mark.slow
def test_chunks_do_not_show_in_how_faces_are_restored(tmp_path: Path) -> None:
    """How much of a restored face is shown, and its detail, go by the frames around, in whichever chunk they are."""
    steady = (*TINY, SHARP, 'restore.strength="auto"', "restore.smooth=1", "chunk.frames={}")
    for frames in (40, 9):
        sets = (text.format(frames) for text in steady)
        assert dub(tmp_path, [_row(end=40 / 25)], *sets, out=f"cut{frames}").done == 1
    assert _hashes(tmp_path / "cut9" / "presenter.mkv") == _hashes(tmp_path / "cut40" / "presenter.mkv")


def _with_pause(folder: Path, source: Path, name: str, pause: tuple[float, float] | None, left: float = 0.0) -> Path:
    """Write a row's sound with silence in it, or with a share of what was there."""
    import soundfile

    from lipwise_ray.pipeline.analysis.crops import read_wave

    wave = read_wave(source)[: FRAMES * 640]
    if pause:
        wave[int(pause[0] * 16_000) : int(pause[1] * 16_000)] *= left
    soundfile.write(folder / name, wave, 16_000)
    return folder / name


@pytest.mark.slow
def test_lips_rest_where_both_sounds_pause(tmp_path: Path) -> None:
    """In a pause of both sounds the filmed frames return, after a short fade; where the filmed one talks on the mouth
    is closed instead; with `off` the network goes on.
    """
    clip = tmp_path / "quiet.mp4"
    own = _with_pause(tmp_path, _row()["audio"], "own.wav", (1.0, 3.0))
    _mux(_row()["video"], own, clip)
    new = _with_pause(tmp_path, _row()["audio"], "new.wav", (1.0, 3.0))
    row = _row(video=clip, audio=new)
    assert dub(tmp_path, [row], *TINY, HEARD).done == 1
    plan = _plan(tmp_path / "out.state")
    assert (plan.counts.frames_in_pauses or 0) >= 30
    filmed, shown = list(_frames(clip, "yuv420p")), list(_frames(tmp_path / "out" / "presenter.mkv", "yuv420p"))
    same = [np.array_equal(a, b) for a, b in zip(filmed, shown, strict=True)]
    assert all(same[32:68])
    assert not any(same[5:24])
    for fade in (plan.parts[0].opacity[22:32], plan.parts[0].opacity[68:78]):
        assert ((fade > 0) & (fade < 1)).any()
    assert _motion(shown, 32, 68) <= 1.2 * _motion(filmed, 32, 68)

    talking = _row(audio=new)
    _mux(_row()["video"], _with_pause(tmp_path, _row()["audio"], "talk.wav", None), tmp_path / "talks.mp4")
    talking["video"] = tmp_path / "talks.mp4"
    assert dub(tmp_path, [talking], *TINY, HEARD, out="closed").done == 1
    closed = list(_frames(tmp_path / "closed" / "presenter.mkv", "yuv420p"))
    # At 2.05 s the presenter draws breath.
    assert _plan(tmp_path / "closed.state").parts[0].opacity[35:50].min() == 1
    assert not any(np.array_equal(a, b) for a, b in zip(filmed[35:50], closed[35:50], strict=True))
    assert _motion(closed, 35, 50) <= 1.2 * _motion(filmed, 35, 50)

    talking["audio"] = _with_pause(tmp_path, _row()["audio"], "murmur.wav", (1.0, 3.0), left=0.004)
    for silence in ("closed", "off"):
        setting = f'lipsync.silence="{silence}"'
        assert dub(tmp_path, [talking], *TINY, HEARD, setting, out=f"murmur-{silence}").done == 1
    rest, go_on = (list(_frames(tmp_path / f"murmur-{one}" / "presenter.mkv", "yuv420p")) for one in ("closed", "off"))
    assert _motion(rest, 35, 65) < _motion(go_on, 35, 65)


def _motion(frames: list[Any], start: int, stop: int) -> float:
    """Return the mean absolute difference of consecutive frames around the mouth."""
    mouth = np.s_[130:220, 190:290]
    return float(np.mean([np.abs(a[mouth].astype(int) - b[mouth]).mean() for a, b in
                          zip(frames[start:stop], frames[start + 1 : stop + 1], strict=True)]))  # fmt: skip


def _mux(video: Path, sound: Path, target: Path) -> None:
    """Put a clip's picture, as it is, and another sound into a file."""
    with av.open(str(video)) as source, av.open(str(sound)) as audio, av.open(str(target), "w") as out:
        picture = out.add_stream_from_template(source.streams.video[0])
        track = out.add_stream("aac", rate=16_000, layout="mono")
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = picture
                out.mux(packet)
        for frame in audio.decode(audio=0):
            out.mux(track.encode(frame))
        out.mux(track.encode(None))


@pytest.mark.slow
def test_faces_that_are_left_alone_are_counted(tmp_path: Path) -> None:
    """A face that is smaller than asked for stays as it was filmed, and the result says how many there were."""
    report = dub(tmp_path, [_row()], *TINY, "faces.min_face_px=400", "faces.min_face_share=0.0")
    assert report.outcomes[0].record["counts"]["faces_too_small"] == report.frames
    assert _hashes(tmp_path / "out" / "presenter.mkv") == _hashes(_row()["video"])


@pytest.mark.parametrize("turned", ["align", pytest.param("pads_share", marks=pytest.mark.slow)])
def test_other_crops_are_dubbed_too(tmp_path: Path, turned: str) -> None:
    """A crop that leans with the head, and pads as a share of the face, change the mouth and nothing else."""
    setting = "faces.align=true" if turned == "align" else "faces.pads_share=[0.0, 0.1, 0.05, 0.05]"
    row = _row(end=1, pads="0 0 0 0") if turned == "pads_share" else _row(end=1)
    assert dub(tmp_path, [row], *TINY, setting).done == 1
    for before, after, _ in zip(
        _frames(row["video"]), _frames(tmp_path / "out" / "presenter.mkv"), range(25), strict=False
    ):
        changed = np.abs(before.astype(int) - after).max(axis=2) > 0
        rows, columns = np.nonzero(changed)
        assert len(rows) > 500
        assert rows.max() - rows.min() < 120
        assert columns.max() - columns.min() < 120


@pytest.mark.slow
def test_a_face_parser_keeps_the_invariance(tmp_path: Path) -> None:
    """With a parser (of made-up weights) chunks still give the same frames; where it sees a thing nothing changes."""
    import torch

    from lipwise_ray.nets.bisenet import BiSeNet

    torch.manual_seed(2)
    torch.save(BiSeNet().state_dict(), tmp_path / "parser.pth")
    parser = f'composite.parser_checkpoint="{tmp_path}/parser.pth"'
    row = _row(end=0.6)
    for frames in (4, 100):
        assert dub(tmp_path, [row], *TINY, parser, f"chunk.frames={frames}", out=f"cut{frames}").done == 1
    assert _hashes(tmp_path / "cut4" / "presenter.mkv") == _hashes(tmp_path / "cut100" / "presenter.mkv")


@pytest.mark.slow
@pytest.mark.parametrize("scope", ["face", "frame"])
def test_upscalers_enlarge_the_face_or_the_frame(tmp_path: Path, scope: str) -> None:
    """A checkpoint as a user names one (of seeded weights): the face alone in its place, or the whole frame, larger."""
    import torch

    torch.save({"params": seeded_weights("srvgg_x4")}, tmp_path / "x4.pth")
    upscale = (f'restore.upscale.checkpoint="{tmp_path}/x4.pth"', f'restore.upscale.scope="{scope}"')
    row = _row(video=_small(_row()["video"], tmp_path / "small.mp4"), end=0.2)
    report = dub(tmp_path, [row], *TINY, SHARP, *upscale)
    assert report.done == 1, report.outcomes
    before, after = next(_frames(row["video"])), next(_frames(tmp_path / "out" / "presenter.mkv"))
    times = 1 if scope == "face" else 4
    assert after.shape[:2] == (before.shape[0] * times, before.shape[1] * times)


def _small(source: Path, target: Path) -> Path:
    """Write a clip's first frames at half its size."""
    with av.open(str(source)) as given, av.open(str(target), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video = given.streams.video[0]
        stream.width, stream.height, stream.pix_fmt = video.width // 4 * 2, video.height // 4 * 2, "yuv420p"
        for number, frame in enumerate(given.decode(video)):
            if number == 10:
                break
            out.mux(stream.encode(frame.reformat(stream.width, stream.height, "yuv420p")))
        out.mux(stream.encode(None))
    return target


def test_a_restorer_that_cannot_be_used_is_told_before_anything_begins(tmp_path: Path) -> None:
    """Not a checkpoint, an unknown network, an upscaler: the message says which are known, or where it belongs."""
    import torch

    torch.save({"params": seeded_weights("srvgg_x4")}, tmp_path / "up.pth")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    (tmp_path / "page.pth").write_text("<html>not found</html>")
    for name, text in (("up", "restore.upscale.model"), ("other", "GFPGAN"), ("page", "page.pth")):
        with pytest.raises(SetupError, match=text):
            dub(tmp_path, [_row()], *TINY, f'restore.checkpoint="{tmp_path}/{name}.pth"', out=name)
