"""Parts of sites' videos: what a row's start and end need is fetched, and is what the whole would have shown there."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from lipwise_ray.errors import InputError
from lipwise_ray.media.index import FrameIndex, build_index
from lipwise_ray.media.probe import probe_video
from lipwise_ray.media.reader import VideoReader
from lipwise_ray.pipeline.dubbing.trim import left_out_s, shown_ticks, used_frames
from lipwise_ray.pipeline.inputs.site_pieces import UsedSeconds
from lipwise_ray.pipeline.inputs.site_video import Sites, SiteVideo
from lipwise_ray.settings.model import LimitsSettings
from tests.support.pieced_film import RATE_HZ, FilmKind, film, page_of
from tests.support.video_site import VideoSite, media_of, serving

pytest.importorskip("yt_dlp", reason="the extra `web` is not installed")

USED = UsedSeconds(5.25, 7.4)


@pytest.fixture
def site() -> Generator[VideoSite]:
    with serving() as site:
        yield site


def _video(site: VideoSite, kind: FilmKind, limits: LimitsSettings | None = None) -> SiteVideo:
    site.films = {kind: {**film(kind), **site.films.get(kind, {})}}
    sites = Sites(site.policy, limits or LimitsSettings(), None, site.resolve)
    return sites.video(f"{site.root}/{page_of(kind)}")


@dataclass(frozen=True)
class Shown:
    """What a row shows of a file: frames and their ticks, and the second at which the file begins in the whole."""

    frames: list[np.ndarray]
    ticks: list[int]
    path: Path
    begins_s: Fraction


def _shown(path: Path, seconds: UsedSeconds, zero_s: Fraction | None = None) -> Shown:
    info = probe_video(path)
    index: FrameIndex = build_index(info)
    begins_s = left_out_s(index, zero_s)
    here = seconds.after(begins_s)
    used = used_frames(index, here.start_s, here.end_s)
    with VideoReader(info.path, info.stream_index, index) as reader:
        frames = [frame.to_ndarray() for frame in reader.read_order(used)]
    return Shown(frames, shown_ticks(index, used, here.start_s, here.end_s).tolist(), path, begins_s)


def _heard(shown: Shown, seconds: UsedSeconds) -> np.ndarray:
    """Samples between two seconds of the whole, by the stamps of the file's own packets."""
    with av.open(str(shown.path)) as container:
        first = next(container.decode(video=0))
    with av.open(str(shown.path)) as container:
        zero_s = first.pts * first.time_base - shown.begins_s
        found = [(frame.pts * frame.time_base - zero_s, frame.to_ndarray()[0]) for frame in container.decode(audio=0)]
    begin, stop = (round(moment * RATE_HZ) for moment in (seconds.start_s, seconds.end_s or 0))
    heard = np.full(stop - begin, np.nan, np.float32)
    for moment_s, wave in found:
        first_sample = round(moment_s * RATE_HZ) - begin
        kept, behind = max(0, first_sample), min(stop - begin, first_sample + len(wave))
        if kept < behind:
            heard[kept:behind] = wave[kept - first_sample : behind - first_sample]
    return heard


def _pieces(site: VideoSite, kind: FilmKind) -> set[str]:
    return {name for path, _ in site.asked if (name := path.rpartition("/")[2]).endswith((".ts", ".m4s", ".mp4"))}


@pytest.mark.parametrize(
    ("kind", "pieces"),
    [
        pytest.param("joined", {f"all0{n}.ts" for n in (0, 4, 5, 6, 7, 8)}, marks=pytest.mark.slow),
        ("apart", {f"{stem}0{n}.ts" for stem in "va" for n in (0, 4, 5, 6, 7, 8)}),
        pytest.param(
            "fmp4",
            {f"{stem}-init.mp4" for stem in "va"} | {f"{stem}0{n}.m4s" for stem in "va" for n in (0, 4, 5, 6, 7, 8)},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "dash",
            {f"init-stream{n}.m4s" for n in (0, 1)}
            | {f"chunk-stream{stream}-0000{n}.m4s" for stream in (0, 1) for n in (1, 5, 6, 7, 8, 9)},
            marks=pytest.mark.slow,
        ),
        pytest.param("keyed", {f"all0{n}.ts" for n in (0, 4, 5, 6, 7, 8)}, marks=pytest.mark.slow),
        pytest.param("ranges", {"all.ts"}, marks=pytest.mark.slow),
    ],
)
def test_a_part_shows_what_the_whole_does(site: VideoSite, kind: FilmKind, pieces: set[str], tmp_path: Path) -> None:
    """Every frame to the bit and for as long, and every sample, from the pieces around them and the very first."""
    whole = _video(site, kind)
    whole.download(tmp_path / "whole", lambda: None)
    site.asked.clear()
    part = whole.part(USED)
    part.download(tmp_path / "part", lambda: None)
    assert _pieces(site, kind) == pieces
    if kind == "ranges":
        spans = [span.removeprefix("bytes=").split("-") for path, span in site.asked if path.endswith(".ts") and span]
        assert sum(int(last) + 1 - int(begin) for begin, last in spans) < 0.6 * len(film(kind)["ranges/all.ts"])
    assert {one.name for one in tmp_path.iterdir()} == {"whole", "part"}
    expected = _shown(tmp_path / "whole", USED)
    found = _shown(tmp_path / "part", USED, part.zero_s(tmp_path / "unused", lambda: None))
    assert len(found.frames) == 21
    assert all(np.array_equal(one, other) for one, other in zip(found.frames, expected.frames, strict=True))
    assert found.ticks == expected.ticks
    assert found.begins_s == 4
    assert np.array_equal(_heard(found, USED), _heard(expected, USED))
    assert np.abs(_heard(found, USED)).mean() > 0.1


@pytest.mark.slow
def test_times_that_are_not_the_files_own_make_the_whole_be_fetched(site: VideoSite, tmp_path: Path) -> None:
    """A playlist that says two seconds of pieces of one: the part would show other frames, so it is left."""
    lists = film("joined")["joined/all.m3u8"].replace(b"EXTINF:1.0", b"EXTINF:2.0")
    site.films = {"joined": {"joined/all.m3u8": lists}}
    part = _video(site, "joined").part(UsedSeconds(10.5, 11.0))
    part.download(tmp_path / "part", lambda: None)
    assert part.zero_s(tmp_path / "unused", lambda: None) is None
    assert len(_pieces(site, "joined")) == 12
    assert len(_shown(tmp_path / "part", UsedSeconds(10.5, 11.0)).frames) == 5
    assert len(_shown(tmp_path / "part", UsedSeconds(0, None)).frames) == 120


def test_what_begins_behind_the_end_says_what_the_whole_does(site: VideoSite, tmp_path: Path) -> None:
    """The error names the seconds that were asked for and the length of the whole."""
    part = _video(site, "joined").part(UsedSeconds(30.0, 31.0))
    part.download(tmp_path / "part", lambda: None)
    with pytest.raises(InputError, match=r"30 to 31\.0 leaves nothing of a video of 12\.00 s"):
        _shown(tmp_path / "part", UsedSeconds(30.0, 31.0), part.zero_s(tmp_path / "unused", lambda: None))


class _KilledError(Exception):
    pass


def test_a_killed_part_is_fetched_anew(site: VideoSite, tmp_path: Path) -> None:
    """What was left of it is not taken for pieces of the next."""
    part = _video(site, "apart").part(USED)
    site.stops = "/apart/v06.ts"

    def kill() -> None:
        if any(path == site.stops for path, _ in site.asked):
            raise _KilledError

    with pytest.raises(_KilledError):
        part.download(tmp_path / "part", kill)
    assert list(tmp_path.glob("site-*"))
    site.held.set()
    part.download(tmp_path / "part", lambda: None)
    assert len(_shown(tmp_path / "part", USED, part.zero_s(tmp_path / "unused", lambda: None)).frames) == 21
    assert [one.name for one in tmp_path.iterdir()] == ["part"]


@pytest.mark.slow
def test_parts_of_a_page_are_inputs_of_their_own(
    site: VideoSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows with other seconds, and one whose audio is the page's, do not mix; each machine knows the clock."""
    site.films = {"joined": film("joined")}
    address = f"{site.root}/{page_of('joined')}"
    media = media_of(site, tmp_path / "cache", monkeypatch)
    near = UsedSeconds(5.3, 7.2)  # in the same pieces
    identities = [media.identity(address, seconds) for seconds in (USED, near, None)]
    assert identities[0] == identities[1] != identities[2]
    assert media.identity(address, UsedSeconds(0, 2.5)) not in identities
    paths = [media.local(address, identities[n], seconds) for n, seconds in ((0, USED), (2, None))]
    assert media.zero_s(address, identities[2], None) is None
    zero_s = media.zero_s(address, identities[0], USED)
    for kept in (tmp_path / "cache").glob("zero-*"):
        kept.unlink()
    elsewhere = media_of(site, tmp_path / "cache", monkeypatch)
    assert elsewhere.zero_s(address, identities[0], USED) == zero_s
    site.asked.clear()
    assert elsewhere.zero_s(address, identities[0], USED) == zero_s
    assert elsewhere.local(address, identities[0], USED) == paths[0]
    assert site.asked == []
    found, expected = _shown(paths[0], near, zero_s), _shown(paths[1], near)
    assert all(np.array_equal(one, other) for one, other in zip(found.frames, expected.frames, strict=True))
