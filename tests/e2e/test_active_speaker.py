"""`faces = speaking` with a real active speaker network, on real people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lipwise_ray.errors import SettingsError, WeightsError
from lipwise_ray.metrics.lip_activity import LipActivity
from tests.support.dub import QUICK, dub

_FRAMES, _WIDTH = 75, 360


@pytest.fixture(scope="module")
def weights(shared: Path) -> Path:
    path = shared / "weights" / "lr_asd_talkset.pth"
    if not path.is_file():
        pytest.skip(f"no LR-ASD weights: {path} is not there")
    LipActivity(path)
    return path


def _frames(path: Path) -> list[np.ndarray[Any, Any]]:
    with av.open(str(path)) as source:
        return [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)][:_FRAMES]


def _samples(path: Path) -> np.ndarray[Any, Any]:
    with av.open(str(path)) as source:
        resampler = av.AudioResampler("s16", "mono", 44_100)
        parts = [out.to_ndarray()[0] for frame in source.decode(audio=0) for out in resampler.resample(frame)]
    wave = np.concatenate(parts)[: _FRAMES * 1764]
    return np.pad(wave, (0, _FRAMES * 1764 - len(wave)))


@pytest.fixture(scope="module")
def conversation(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people side by side: the man on the left speaks while the woman is still, then the other way round."""
    man, woman = (shared / "clips" / f"grid_{who}.mpg" for who in ("man", "woman"))
    left, right = _frames(man), _frames(woman)
    path = tmp_path_factory.mktemp("clip") / "two.mp4"
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"crf": "16", "preset": "veryfast"})
        video.width, video.height, video.pix_fmt = 2 * _WIDTH, 288, "yuv420p"
        audio = out.add_stream("aac", rate=44_100, layout="mono")
        pairs = [*((one, right[0]) for one in left), *((left[-1], one) for one in right)]
        for pair in pairs:
            out.mux(video.encode(av.VideoFrame.from_ndarray(np.hstack(pair), format="rgb24")))
        out.mux(video.encode())
        wave = np.concatenate([_samples(man), _samples(woman)])
        frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
        frame.sample_rate = 44_100
        out.mux(audio.encode(frame))
        out.mux(audio.encode())
    return path


def _plan(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the result of the only job, and its arrays."""
    (arrays,) = folder.glob("out.state/jobs/*/plan.npz")
    with np.load(arrays) as data:
        return json.loads((arrays.parent / "result.json").read_bytes()), dict(data)


@pytest.mark.slow
def test_the_speaker_changes_within_a_shot(conversation: Path, weights: Path, yunet_file: Path, tmp_path: Path) -> None:
    """Without any lip-sync expert the man is dubbed while he speaks, then the woman; in chunks as in the whole."""
    row = {"id": "two", "video": conversation, "audio": conversation, "output": "two.mp4", "faces": "speaking"}
    sets = (
        *('lipsync.model="passthrough"', f'detect.checkpoint="{yunet_file}"', QUICK),
        *(f'faces.active_speaker_checkpoint="{weights}"', 'score.judge="none"'),
    )
    found: list[dict[str, Any]] = []
    for number, chunk in enumerate(("chunk.frames=40", "chunk.frames=1000")):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert dub(folder, [row], *sets, chunk).done == 1
        result, arrays = _plan(folder)
        frames, boxes = arrays["face_frame"], arrays["face_box"]
        is_left = boxes[:, 2] < _WIDTH
        assert is_left[frames < _FRAMES - 20].all()
        assert not is_left[frames > _FRAMES + 20].any()
        assert len(np.unique(frames)) == 2 * _FRAMES
        speaking = result["speaking"]
        assert speaking["turns"] == 2
        assert speaking["certainty"] > 0.5
        assert result["weights"]["active_speaker"]["name"] == "lr_asd_talkset"
        found.append({"frames": frames, "boxes": boxes, "speaking": speaking})
    np.testing.assert_array_equal(found[0]["frames"], found[1]["frames"])
    np.testing.assert_array_equal(found[0]["boxes"], found[1]["boxes"])
    assert found[0]["speaking"] == found[1]["speaking"]


def _diarised(tmp_path: Path, conversation: Path, faces: str = "") -> dict[str, Any]:
    """Return a row of a conversation whose turns a file has: the man's, then the woman's, and a narrator's."""
    turns = tmp_path / "turns.rttm"
    times = {"MAN": (0.1, 2.8), "WOMAN": (3.2, 2.6)}
    turns.write_text("".join(f"SPEAKER two 1 {at} {s} <NA> <NA> {who} <NA> <NA>\n" for who, (at, s) in times.items()))
    row = {"id": "two", "video": conversation, "audio": conversation, "output": "two.mp4", "speakers": str(turns)}
    return row | ({"faces": faces} if faces else {})


def _parts(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the result, and of each speaker on which side the face is, and the first and last frame that is heard."""
    result, arrays = _plan(folder)
    (record,) = folder.glob("out.state/jobs/*/plan.json")
    parts: list[dict[str, Any]] = []
    for number, part in enumerate(json.loads(record.read_bytes())["parts"]):
        here = np.isin(arrays["face_track"], part["tracks"])
        sides = set((arrays["face_box"][here, 0] > _WIDTH - 20).tolist())
        silent = np.zeros(480, np.bool_)
        for start, stop in arrays[f"part_pauses_{number}"]:
            silent[start:stop] = True
        heard = np.flatnonzero(~silent) / 80
        parts.append({"is_right": sides, "heard": (float(heard[0]), float(heard[-1]))})
    return result, parts


@pytest.mark.slow
def test_whose_turns_they_are_is_found(conversation: Path, weights: Path, yunet_file: Path, tmp_path: Path) -> None:
    """A file of turns names no faces: each name has the face whose lips move in its turns, and hears nothing else."""
    row = _diarised(tmp_path, conversation)
    sets = (
        *('lipsync.model="passthrough"', f'detect.checkpoint="{yunet_file}"', QUICK),
        *(f'faces.active_speaker_checkpoint="{weights}"', 'score.judge="none"', 'lipsync.silence="off"'),
    )
    assert dub(tmp_path, [row], *sets).done == 1
    result, parts = _parts(tmp_path)
    assert [part["is_right"] for part in parts] == [{False}, {True}]
    (man, woman) = (part["heard"] for part in parts)
    assert man == pytest.approx((0.1, 2.9), abs=0.03)
    assert woman == pytest.approx((3.2, 5.8), abs=0.03)
    assert result["speaking"]["found_s"].keys() == {"MAN", "WOMAN"}
    assert all(seconds > 1 for seconds in result["speaking"]["found_s"].values())


@pytest.mark.slow
def test_a_cast_says_whose_turns_they_are(conversation: Path, yunet_file: Path, tmp_path: Path) -> None:
    """Without any network that finds speakers faces are named: here wrongly, and so they are dubbed."""
    row = _diarised(tmp_path, conversation, "MAN=right; WOMAN=left")
    sets = ('lipsync.model="passthrough"', f'detect.checkpoint="{yunet_file}"', QUICK, 'score.judge="none"')
    assert dub(tmp_path, [row], *sets).done == 1
    result, parts = _parts(tmp_path)
    assert [part["is_right"] for part in parts] == [{True}, {False}]
    assert parts[0]["heard"][1] < 3
    assert parts[1]["heard"][0] > 3
    assert "speaking" not in result


def test_names_that_the_file_does_not_have_fail_the_row(conversation: Path, yunet_file: Path, tmp_path: Path) -> None:
    """It says which, and what the names are."""
    row = _diarised(tmp_path, conversation, "MAN=right; WOMEN=left")
    sets = ('lipsync.model="passthrough"', f'detect.checkpoint="{yunet_file}"', QUICK, 'score.judge="none"')
    report = dub(tmp_path, [row], *sets)
    (failed,) = report.outcomes
    assert failed.record["code"] == "unknown_speakers"
    assert "'WOMAN' speak, and have no face; the file's names are 'MAN', 'WOMAN'" in failed.record["message"]


def test_turns_without_faces_need_the_network(conversation: Path, yunet_file: Path, tmp_path: Path) -> None:
    """Nobody guesses whose turns they are: the checkpoint that is missing is named before anything is done."""
    row = _diarised(tmp_path, conversation)
    with pytest.raises(WeightsError, match="lr_asd_talkset"):
        dub(tmp_path, [row], 'lipsync.model="passthrough"', f'detect.checkpoint="{yunet_file}"', QUICK)
    with pytest.raises(SettingsError, match=r"faces\.active_speaker"):
        dub(tmp_path, [row], 'lipsync.model="passthrough"', 'faces.active_speaker="none"', QUICK)
