"""Which rows of a manifest are in which shard."""

from __future__ import annotations

from pathlib import Path

from lipwise_ray.pipeline.manifest.dub_rows import read_manifest
from lipwise_ray.state.shards import Shard


def _shard(folder: Path, number: int, text: str) -> set[int]:
    path = folder / "m.csv"
    path.write_text(text)
    manifest = read_manifest(path, str(folder / "out"), [])
    manifest.keep(Shard(number, 2))
    assert manifest.rows_total == text.count("\n") - 1
    lines = {row.line for row in (*manifest.rows, *manifest.bad_rows)}
    assert manifest.good + manifest.bad == len(lines)
    return lines


def test_a_row_has_the_same_shard_on_every_machine_and_at_every_time(tmp_path: Path) -> None:
    """Whatever lies where: a link, a file that is not there yet, another folder; rows of one video stay together."""
    videos = ["v.mp4", "link.mp4", *(f"later{number}.mp4" for number in range(8)), "", "v.mp4", "link.mp4", " v.mp4 "]
    folder = tmp_path / "here"
    folder.mkdir()
    for name in ("v.mp4", "a.wav"):
        (folder / name).touch()
    text = "id,video,audio,output\n" + "".join(f"r{n},{video},a.wav,{n}.mp4\n" for n, video in enumerate(videos))
    (folder / "link.mp4").symlink_to("v.mp4")
    one, two = (_shard(folder, number, text) for number in (1, 2))
    assert (one | two, one & two) == ({*range(2, len(videos) + 2)}, set())
    assert one
    assert two
    lines = dict(enumerate(videos, 2))
    for shard in (one, two):
        assert not {lines[line].strip() for line in shard} & {lines[line].strip() for line in {*lines} - shard}
    for number in range(8):
        (folder / f"later{number}.mp4").touch()
    (folder / "link.mp4").unlink()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert _shard(folder, 1, text) == _shard(elsewhere, 1, text) == one
