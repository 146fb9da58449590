"""A film of twelve seconds whose files come in pieces, as FFmpeg's own writers of HLS and DASH cut them."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import av
import numpy as np

FilmKind = Literal["joined", "apart", "fmp4", "dash", "ranges", "keyed"]

FPS, SECONDS, RATE_HZ = 10, 12, 16000
_STREAM_HEAD = '#EXT-X-STREAM-INF:BANDWIDTH=200000,RESOLUTION=64x48,CODECS="avc1.42c00a,mp4a.40.2",AUDIO="a"'
_MASTER = (
    f'#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="main",DEFAULT=YES,URI="a.m3u8"\n{_STREAM_HEAD}\nv.m3u8\n'
)


@cache
def film(kind: FilmKind) -> dict[str, bytes]:
    """Return the files by their paths: pieces of a second of video, with audio in them, or in pieces of its own.

    Args:
        kind: HLS in MPEG-TS with audio in it, with audio apart, in fragments of MP4, or DASH; ranges of one file, or
            pieces that are encrypted, each with its number for its vector.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        if kind in ("joined", "ranges", "keyed"):
            _write(folder / "all.m3u8", kind, video=True, audio=True)
        elif kind == "dash":
            _write(folder / "all.mpd", "dash", video=True, audio=True)
        else:
            _write(folder / "v.m3u8", kind, video=True, audio=False)
            _write(folder / "a.m3u8", kind, video=False, audio=True)
            (folder / "all.m3u8").write_text(_MASTER)
        if kind == "keyed":
            lists = folder / "all.m3u8"
            lists.write_text(re.sub(",IV=0x[0-9a-f]*", "", lists.read_text()))
        return {f"{kind}/{file.name}": file.read_bytes() for file in sorted(folder.iterdir())}


def page_of(kind: FilmKind) -> str:
    """Return the path of a film's playlist."""
    return f"{kind}/all.{'mpd' if kind == 'dash' else 'm3u8'}"


def _write(path: Path, kind: str, *, video: bool, audio: bool) -> None:
    stem = str(path.with_suffix(""))
    hls = {"hls_time": "1", "hls_playlist_type": "vod", "hls_segment_filename": f"{stem}%02d.ts"}
    if kind == "fmp4":
        hls |= {"hls_segment_type": "fmp4", "hls_segment_filename": f"{stem}%02d.m4s"}
        hls["hls_fmp4_init_filename"] = f"{path.stem}-init.mp4"
    if kind == "ranges":
        hls |= {"hls_flags": "single_file", "hls_segment_filename": f"{stem}.ts"}
    if kind == "keyed":
        path.with_name("key").write_bytes(bytes(range(16)))
        path.with_name("told").write_text(f"key\n{path.with_name('key')}\n")
        hls |= {"hls_key_info_file": str(path.with_name("told"))}
    options = {"seg_duration": "1", "use_template": "1", "use_timeline": "1"} if kind == "dash" else hls
    noise = np.random.default_rng(7)
    with av.open(str(path), "w", format="dash" if kind == "dash" else "hls", options=options) as output:
        shown = output.add_stream("libx264", rate=FPS) if video else None
        heard = output.add_stream("aac", rate=RATE_HZ, layout="mono") if audio else None
        if shown is not None:
            shown.width, shown.height, shown.pix_fmt = 64, 48, "yuv420p"
            shown.options = {
                "preset": "veryfast",
                "g": str(FPS),
                "keyint_min": str(FPS),
                "bf": "2",
                "sc_threshold": "0",
            }
        for second in range(SECONDS):
            for number in range(second * FPS, (second + 1) * FPS) if shown is not None else ():
                picture = noise.integers(0, 255, (6, 8, 3)).astype(np.uint8).repeat(8, axis=0).repeat(8, axis=1)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, FPS)
                output.mux(shown.encode(frame))
            for start in range(second * RATE_HZ, (second + 1) * RATE_HZ, 1000) if heard is not None else ():
                time_s = np.arange(start, start + 1000) / RATE_HZ
                wave = (0.5 * np.sin(time_s * (1500 + 300 * time_s))).astype(np.float32)[None]
                sound = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
                sound.sample_rate, sound.pts, sound.time_base = RATE_HZ, start, Fraction(1, RATE_HZ)
                output.mux(heard.encode(sound))
        for stream in (shown, heard):
            if stream is not None:
                output.mux(stream.encode(None))
