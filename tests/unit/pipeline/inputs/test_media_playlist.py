"""Playlists of some of a playlist's pieces."""

from __future__ import annotations

import pytest

from lipwise_ray.pipeline.inputs.media_playlist import read_playlist
from lipwise_ray.pipeline.inputs.site_pieces import FormatPieces, UsedSeconds, needed_parts

HEAD = "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:7\n"
ENDS = "#EXT-X-ENDLIST\n"


def _pieces(*extra: str, count: int = 4) -> str:
    lines = [f"#EXTINF:2.5,\n{number}.ts" for number in range(count)]
    for one in extra:
        number, _, tag = one.partition(" ")
        lines[int(number)] = f"{tag}\n{lines[int(number)]}"
    return "\n".join(lines) + "\n"


def test_keys_and_numbers_go_with_their_pieces() -> None:
    """The last key before a piece reads it; a key without a vector goes by the piece's number."""
    text = HEAD + _pieces('0 #EXT-X-KEY:METHOD=AES-128,URI="a"', '2 #EXT-X-KEY:METHOD=AES-128,URI="b"') + ENDS
    playlist = read_playlist(text)
    assert playlist is not None
    assert playlist.durations_s == [2.5] * 4
    lines = playlist.part(3, 4).splitlines()
    assert "#EXT-X-MEDIA-SEQUENCE:10" in lines
    assert [line for line in lines if "KEY" in line][-1].endswith('URI="b"')
    assert [line for line in lines if not line.startswith("#")] == ["3.ts"]
    assert not any('"b"' in line for line in playlist.part(1, 2).splitlines())


def test_ranges_of_bytes_are_told_by_where_they_begin() -> None:
    """One that went on where the piece before it ended does so without that piece."""
    text = HEAD + _pieces("0 #EXT-X-BYTERANGE:100@50", "1 #EXT-X-BYTERANGE:30", "2 #EXT-X-BYTERANGE:20") + ENDS
    playlist = read_playlist(text)
    assert playlist is not None
    assert "#EXT-X-BYTERANGE:20@180" in playlist.part(2, 3)


@pytest.mark.parametrize(
    "text",
    [
        HEAD + _pieces(),
        HEAD + _pieces("2 #EXT-X-DISCONTINUITY") + ENDS,
        HEAD + _pieces('2 #EXT-X-MAP:URI="other"') + ENDS,
        HEAD + '#EXT-X-MAP:URI="m"\n#EXT-X-KEY:METHOD=AES-128,URI="a"\n' + _pieces() + ENDS,
        HEAD + _pieces("1 #EXT-X-GAP") + ENDS,
        HEAD + _pieces("1 #EXTINF:soon,") + ENDS,
        HEAD + _pieces() + "untimed.ts\n" + ENDS,
        HEAD + _pieces("1 #EXT-X-BYTERANGE:many") + ENDS,
    ],
    ids=["no end", "clocks", "maps", "numbered map", "gap", "no time", "untimed", "bytes"],
)
def test_of_others_all_is_fetched(text: str) -> None:
    """Clocks that start anew, beginnings in the middle, pieces without times: no part of them would be exact."""
    assert read_playlist(text) is None
    assert needed_parts([FormatPieces(text, [])], UsedSeconds(2, 3)) == []


@pytest.mark.parametrize(
    ("used", "pieces"),
    [
        (UsedSeconds(0, 2), (0, 2)),
        (UsedSeconds(12.5, 14), (4, 7)),
        (UsedSeconds(12.4, 12.5), (3, 6)),
        (UsedSeconds(20, None), (7, 10)),
        (UsedSeconds(1, None), None),
        (UsedSeconds(1, 21), None),
        (UsedSeconds(25, 26), None),
    ],
)
def test_a_piece_on_either_side_comes_along(used: UsedSeconds, pieces: tuple[int, int] | None) -> None:
    """Of ten pieces those that hold the seconds, and one before and after; all where that is no less."""
    for one in (FormatPieces(HEAD + _pieces(count=10) + ENDS, []), FormatPieces("", [None, *([2.5] * 10)])):
        found = [(part.first, part.stop) for part in needed_parts([one], used)]
        assert found == ([] if pieces is None else [pieces])


@pytest.mark.parametrize("durations_s", [[], [2.5] * 4, [None, 2.5, None, 2.5], [None], [None, 2.5, 0.0]])
def test_fragments_need_a_beginning_and_times(durations_s: list[float | None]) -> None:
    """A file without a beginning of its own, with another in its middle, or without times is fetched whole."""
    assert needed_parts([FormatPieces("", durations_s)], UsedSeconds(0, 1)) == []
