"""From prepared clips to samples."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import pytest

from lipwise_ray.errors import InputError, SettingsError
from lipwise_ray.lipsync.windows import constant_rate_starts, window
from lipwise_ray.pipeline.analysis.crops import read_mel
from lipwise_ray.training.dataset import face_ending, read_list, runs
from lipwise_ray.training.footage import find_footage
from lipwise_ray.training.pack import open_pack
from lipwise_ray.training.samples import _varied, expert_samples, generator_samples
from lipwise_ray.training.settings import compare, make_settings, record_of
from lipwise_ray.training.spoken import open_spoken
from lipwise_ray.values import Json


def test_a_pack_holds_the_crops_of_the_list(prepared: Path) -> None:
    """Rows are the JPEGs in order, and runs say where each clip is."""
    pack = open_pack(prepared, "train", 96)
    names = (prepared / "train.txt").read_text().split()
    assert len(pack.runs) == len(names)
    for run, name in zip(pack.runs, names, strict=True):
        image = cv2.imread(str(prepared / name / f"{run.first + 2}.jpg"))
        assert np.array_equal(pack.frames[run.row + 2], image)


def test_a_pack_is_made_again_when_a_clip_changes(prepared: Path, tmp_path: Path) -> None:
    """A removed crop splits its run; without changes the files stay."""
    import shutil

    root = tmp_path / "data"
    shutil.copytree(prepared, root, ignore=shutil.ignore_patterns(".pack*"))
    before = open_pack(root, "train", 96)
    stamp = (root / ".pack-train-96/frames.npy").stat().st_mtime_ns
    open_pack(root, "train", 96)
    assert (root / ".pack-train-96/frames.npy").stat().st_mtime_ns == stamp
    name = (root / "train.txt").read_text().split()[0]
    (root / name / "9.jpg").unlink()
    assert len(open_pack(root, "train", 96).runs) == len(before.runs) + 1


def test_a_damaged_pack_is_made_again(prepared: Path, tmp_path: Path) -> None:
    """A pack file that was cut off or is gone costs only the time to make it."""
    import shutil

    root = tmp_path / "data"
    shutil.copytree(prepared, root, ignore=shutil.ignore_patterns(".pack*"))
    before = np.array(open_pack(root, "train", 96).frames)
    frames = root / ".pack-train-96/frames.npy"
    frames.write_bytes(frames.read_bytes()[:5000])
    assert np.array_equal(open_pack(root, "train", 96).frames, before)
    (root / ".pack-train-96/mels.npy").unlink()
    assert len(open_pack(root, "train", 96).mels)


def test_speech_is_packed_as_dubbing_hears_it(speech: Path, tmp_path: Path) -> None:
    """Every frame of a spoken clip has its mouth and the mel window that dubbing would give it, to the last frame."""
    import shutil

    root = tmp_path / "speech"
    shutil.copytree(speech, root, ignore=shutil.ignore_patterns(".spoken*"))
    spoken = open_spoken(root, "train")
    row = 0
    for name in (root / "train.txt").read_text().split():
        truth = json.loads((root / f"{name}.wav.truth.json").read_text())
        mouths = [frame["mouth"] for frame in truth["frames"]]
        rows = np.arange(row, row + len(mouths))
        assert np.allclose(spoken.mouths[rows], mouths)
        mel = read_mel(root / f"{name}.wav")
        expected = np.stack([window(mel, start) for start in constant_rate_starts(len(mouths), Fraction(25))])
        assert np.allclose(spoken.windows(rows), expected, atol=1e-6)
        row += len(mouths)
    assert row == len(spoken.mouths)
    mels = root / ".spoken-train/mels.f32"
    mels.write_bytes(mels.read_bytes()[:1000])
    assert np.allclose(open_spoken(root, "train").windows(rows), expected, atol=1e-6)
    (root / f"{name}.wav.truth.json").unlink()
    (root / f"{name}.wav").touch()
    with pytest.raises(InputError, match="truth"):
        open_spoken(root, "train")


def test_mel_windows_are_those_of_dubbing(prepared: Path) -> None:
    """Without a lead a frame trains with the very window it is dubbed with; a lead of one takes the frame before's."""
    pack = open_pack(prepared, "train", 96)
    run = pack.runs[1]
    mel = np.asarray(pack.mels[run.mel_row : run.mel_row + run.mel_columns])
    rows = np.arange(run.row, run.row + run.frames)
    numbers = np.ones_like(rows)
    from fractions import Fraction

    starts = constant_rate_starts(run.first + run.frames, Fraction(25))[run.first :]
    expected = np.stack([window(mel, int(start)) for start in starts])
    assert np.array_equal(pack.mel_windows(rows, numbers), expected)
    assert np.array_equal(pack.mel_windows(rows, numbers, 1)[1:], expected[:-1])


def test_out_of_sync_samples_come_from_another_time_of_the_same_clip(prepared: Path) -> None:
    """In sync the lips are those of the mel's frames; out of sync they are another window of that run."""
    pack = open_pack(prepared, "train", 96)
    found = expert_samples(pack, np.random.default_rng(4), 64, slice(None))
    table = {pack.frames[row : row + 5, 48:].tobytes(): (row, run) for row, run in pack.windows}
    assert 10 < found["in_sync"].sum() < 54
    for lips, mel, in_sync in zip(found["lips"], found["mel"], found["in_sync"], strict=True):
        row, run = table[lips.tobytes()]
        own = pack.mel_windows(np.array([row]), np.array([run]))[0]
        assert np.array_equal(own, mel) == bool(in_sync)


def test_workers_share_a_batch(prepared: Path) -> None:
    """Two workers' parts together are the batch of one."""
    pack = open_pack(prepared, "train", 96)
    whole, *parts = (
        generator_samples(pack, np.random.default_rng(2), 8, part, window=5, lead_frames=1)
        for part in (slice(None), slice(0, 8, 2), slice(1, 8, 2))
    )
    for name, value in whole.items():
        assert np.array_equal(value[0::2], parts[0][name])
        assert np.array_equal(value[1::2], parts[1][name])


def test_takes_are_filmed_alike(corpus: Path) -> None:
    """Two takes show the same face in the same place under another speech."""
    truths = [json.loads(file.read_text()) for file in sorted(corpus.glob("s00000/*.truth.json"))]
    boxes = [[frame["faces"][0]["box"] for frame in truth["frames"]] for truth in truths]
    mouths = [[frame["faces"][0]["mouth"] for frame in truth["frames"]] for truth in truths]
    frames = min(map(len, boxes))
    assert len(boxes) == 2
    assert boxes[0][:frames] == boxes[1][:frames]
    assert mouths[0][:frames] != mouths[1][:frames]


def test_a_share_of_the_samples_is_drawn_from_another_take(prepared: Path) -> None:
    """With a share of one, each reference is the frame of the same number in the other take."""
    pack = open_pack(prepared, "train", 96)
    place = {frame.tobytes(): n for n, frame in enumerate(np.asarray(pack.frames))}
    run_of = np.searchsorted([run.row for run in pack.runs], np.arange(len(pack.frames)), side="right") - 1
    shares: list[float] = []
    for share in (0.0, 0.5, 1.0):
        found = generator_samples(
            pack, np.random.default_rng(3), 64, slice(None), window=1, lead_frames=0, take_share=share
        )
        pairs = [[place[found[name][n, 0].tobytes()] for name in ("target", "reference")] for n in range(64)]
        of_takes = [(a, b) for a, b in pairs if run_of[a] != run_of[b]]
        for a, b in of_takes:
            one, other = pack.runs[run_of[a]], pack.runs[run_of[b]]
            assert a - one.row == b - other.row
            assert one.clip[:-1] == other.clip[:-1]
        # The others' moment is beyond the end of a shorter take.
        shortest = min(run.frames for run in pack.runs)
        possible = sum(a - pack.runs[run_of[a]].row + 5 <= shortest for a, _ in pairs)
        shares.append(len(of_takes) / possible)
    assert shares[0] == 0
    assert 0.25 < shares[1] < 0.8
    assert shares[2] >= 1


def test_a_share_of_the_references_is_the_target_itself(prepared: Path) -> None:
    """With a share of one every reference is right already, with a half about half of them, without one none."""
    pack = open_pack(prepared, "train", 96)
    shares: list[float] = []
    for share in (0.0, 0.5, 1.0):
        found = generator_samples(
            pack, np.random.default_rng(5), 64, slice(None), window=5, lead_frames=0, take_share=0.5, same_share=share
        )
        shares.append(float((found["target"] == found["reference"]).all(axis=(1, 2, 3, 4)).mean()))
    assert shares[0] == 0
    assert 0.3 < shares[1] < 0.7
    assert shares[2] == 1


def test_augmented_lips_stay_lips(prepared: Path) -> None:
    """Mirrored, moved and relit windows keep their shape and stay one take: all five frames change alike."""
    pack = open_pack(prepared, "train", 96)
    plain, varied = (
        expert_samples(pack, np.random.default_rng(4), 16, slice(None), augment=augment) for augment in (False, True)
    )
    assert plain["lips"].shape == varied["lips"].shape
    assert not np.array_equal(plain["lips"], varied["lips"])
    assert np.array_equal(plain["mel"], varied["mel"])
    # A window whose five frames are one and the same stays so.
    still = np.repeat(np.asarray(pack.frames[:1]), 5, axis=0)
    for seed in range(20):
        changed = _varied(still, np.random.default_rng(seed))
        assert all(np.array_equal(changed[0], frame) for frame in changed)


def test_gaps_end_a_run() -> None:
    """Missing numbers split a clip."""
    assert runs((3, 4, 5, 8, 9, 20)) == [(3, 3), (8, 2), (20, 1)]
    assert runs(()) == []


def test_any_folder_is_split_by_its_folders(tmp_path: Path) -> None:
    """Clips of one folder stay on one side, and added footage moves nothing that was there."""

    def side(root: Path) -> dict[str, str]:
        return {clip.name: name for name, clips in find_footage(root, 0.3).lists.items() for clip in clips}

    for speaker in range(6):
        (tmp_path / f"p{speaker}").mkdir()
        for take in range(3):
            (tmp_path / f"p{speaker}/{take}.MP4").write_bytes(b"x")
    first = side(tmp_path)
    assert len(first) == 18
    assert {"train", "val"} == set(first.values())
    assert all(len({first[f"p{s}/{t}"] for t in range(3)}) == 1 for s in range(6))
    (tmp_path / "p0/3.mov").write_bytes(b"x")
    second = side(tmp_path)
    assert {name: second[name] for name in first} == first


def test_takes_stay_on_one_side(tmp_path: Path) -> None:
    """Where clips are split one by one, the takes of a clip are not: they show the same frames."""
    for clip in range(8):
        for take in (1, 2):
            (tmp_path / f"{clip}-take{take}.mp4").write_bytes(b"x")
    lists = find_footage(tmp_path, 0.4).lists
    sides = {clip.name: name for name, clips in lists.items() for clip in clips}
    assert set(sides.values()) == {"train", "val"}
    assert all(sides[f"clips/{n}-take1"] == sides[f"clips/{n}-take2"] for n in range(8))


def test_odd_file_names_become_names_of_lists(tmp_path: Path) -> None:
    """Spaces end a name in a list, and one stem may have two endings; the files are found all the same."""
    for name in ("a b.mp4", "c.mp4", "c.mov"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "c\udcff.mp4").write_bytes(b"x")
    clips = {clip.name: clip.path.name for clip in find_footage(tmp_path, 0.3).clips}
    assert clips["clips/a_b"] == "a b.mp4"
    assert (clips["clips/c"], clips["clips/c-mov"]) == ("c.mp4", "c.mov")
    assert len(clips) == 4
    assert all(name.encode() and " " not in name for name in clips)


def test_a_clip_of_two_lists_is_prepared_once(tmp_path: Path) -> None:
    """Two workers at one folder would be in each other's way; both lists keep the name."""
    (tmp_path / "train.txt").write_text("a/1\na/2\n")
    (tmp_path / "val.txt").write_text("a/1\n")
    footage = find_footage(tmp_path, 0.1)
    assert [(clip.name, clip.list_name) for clip in footage.clips] == [("a/1", "train"), ("a/2", "train")]
    assert {name: len(clips) for name, clips in footage.lists.items()} == {"train": 2, "val": 1}


@pytest.mark.parametrize("name", ["../elsewhere/1", "/etc/1", "a/../../b", "x" * 300])
def test_a_list_cannot_name_files_elsewhere(tmp_path: Path, name: str) -> None:
    """Names that leave the data set's folder are refused."""
    (tmp_path / "train.txt").write_text(f"a/1\n{name}\n")
    with pytest.raises(InputError, match="is not a clip below this folder"):
        find_footage(tmp_path, 0.1)


def test_an_absent_folder_is_named(tmp_path: Path) -> None:
    """A wrong path is told as such."""
    with pytest.raises(InputError, match="nowhere"):
        find_footage(tmp_path / "nowhere", 0.1)


def test_varied_sound_is_a_function_of_the_sample() -> None:
    """Whichever worker varies a window, it becomes the same one, and stays a mel."""
    from lipwise_ray.training.visemes import varied_sound

    mels = np.random.default_rng(0).uniform(-4, 4, (6, 80, 16)).astype(np.float32)
    whole = varied_sound(mels, np.random.default_rng(1), 6, slice(None))
    second = varied_sound(mels[1::2], np.random.default_rng(1), 6, slice(1, 6, 2))
    assert np.array_equal(whole[1::2], second)
    assert whole.dtype == np.float32
    assert -4 <= whole.min() < whole.max() <= 4
    assert not np.allclose(whole, mels)


def test_clips_whose_names_would_be_one_stay_two(tmp_path: Path) -> None:
    """Spaces, endings and folders that make one name of two files do not make one clip of them."""
    files = ["x y.mpg", "x_y.mpg", "a.mpg", "a-mpg.mp4", "b.mp4", "clips/b.mp4", "c.mp4", "c+face2.mp4"]
    files += ["a.MPG", "d/e.mp4", "d/e/f.mp4", "d/e/f/g.mp4", "\u00e9\u2028\u4e00 .mp4", "\udce9.mp4"]
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / file).touch()
    clips = find_footage(tmp_path, 0.3).clips
    assert sorted(str(clip.path.relative_to(tmp_path)) for clip in clips) == sorted(files)
    assert all(clip.list_name in {"train", "val"} for clip in clips)
    assert len({clip.name for clip in clips}) == len(files)
    assert "clips/c" in {clip.name for clip in clips}
    assert "clips/c+face2" not in {clip.name for clip in clips}, "the second face of c.mp4 has that name"
    folders = {str(folder) for clip in clips for folder in PurePosixPath(clip.name).parents}
    assert not folders & {clip.name for clip in clips}, "a clip is a folder, which is made anew with all that is in it"
    (tmp_path / "list.txt").write_text("".join(f"{clip.name}\n" for clip in clips), "utf-8")
    assert read_list(tmp_path / "list.txt") == [clip.name for clip in clips]


def test_names_that_are_too_long_for_a_list_become_short_ones(tmp_path: Path) -> None:
    """Footage deep in folders is listed, its further faces too, and a folder's clips stay on one side of the split."""
    folders = [tmp_path / ("a" * 120) / (letter * 120) for letter in "bc"]
    for folder in folders:
        folder.mkdir(parents=True)
        for name in ("one", "two"):
            (folder / f"{name}.mp4").touch()
    lists = find_footage(tmp_path, 0.5).lists
    assert [len({clip.path.parent for clip in clips}) for clips in lists.values()] == [1, 1]
    names = [clip.name + face_ending(64) for clips in lists.values() for clip in clips]
    (tmp_path / "list.txt").write_text("".join(f"{name}\n" for name in names))
    assert read_list(tmp_path / "list.txt") == names
    assert len({*names}) == 4


def test_a_list_that_is_none_is_refused_in_plain_words(tmp_path: Path) -> None:
    """One that is missing, and one in another encoding."""
    (tmp_path / "val.txt").write_bytes(b"clips/\xff\xfe\n")
    for name, reason in (("none.txt", "no such file or directory"), ("val.txt", "not a text in UTF-8")):
        with pytest.raises(InputError, match=rf"{name}: not a file list of clips: {reason}\. Run"):
            read_list(tmp_path / name)


def test_a_run_knows_its_weights_and_footage_by_their_contents(tmp_path: Path) -> None:
    """A file that moved is the same; another file at its place, or footage prepared anew from other videos, is not."""
    data, run = tmp_path / "data", tmp_path / "run"
    (data / "a" / "0").mkdir(parents=True)
    run.mkdir()
    (data / "train.txt").write_text("a/0\n")
    note, weights, moved = data / "a" / "0" / "clip.json", tmp_path / "w.pth", tmp_path / "moved.pth"
    note.write_text('{"asked": {"source_sha256": "ab"}}')
    weights.write_bytes(b"one")
    moved.write_bytes(b"one")

    def resumed(init: Path) -> Json:
        settings = make_settings("expert", {"data": str(data), "init": str(init)})
        return compare(settings, record_of(settings, 1), run)

    begun = make_settings("expert", {"data": str(data), "init": str(weights)})
    (run / "settings.json").write_text(json.dumps(record_of(begun, 1)))
    resumed(moved)
    moved.unlink()
    assert resumed(moved)["init_sha256"] == record_of(begun, 1)["init_sha256"], "the first weights are not read again"
    moved.write_bytes(b"two")
    with pytest.raises(SettingsError, match="init_sha256"):
        resumed(moved)
    note.write_text('{"asked": {"source_sha256": "cd"}}')
    with pytest.raises(SettingsError, match="notes_sha256"):
        resumed(weights)
