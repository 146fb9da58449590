"""Long films are signed and read in memory that does not grow with them, and protected all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lipwise_ray.credentials.claim import media_type
from lipwise_ray.credentials.leaves import hashed_in_blocks
from lipwise_ray.credentials.verification import verify
from tests.conftest import ROOT

_BYTES = 128 << 20
_PEAK = """
import resource, sys
from pathlib import Path
from lipwise_ray.credentials.claim import Claim, UsedMedia
from lipwise_ray.credentials.native import sign_file
from lipwise_ray.credentials.signer import signer_of
from lipwise_ray.settings.marking import MarkingSettings
plain, done, own = map(Path, sys.argv[1:])
claim = Claim("a", "1", "2026-11-29T00:00:00+00:00", "j", "r", None, (), (UsedMedia("a", None, "i", True),))
sign_file(plain, claim, signer_of(MarkingSettings(folder=str(own))), done)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10)
"""


def _film(path: Path, size_bytes: int) -> Path:
    """Write a film of noise, whose index comes first."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as file:
        video: Any = file.add_stream("mjpeg", rate=25)
        video.width, video.height, video.pix_fmt = 1280, 720, "yuvj420p"
        video.codec_context.color_range, video.codec_context.qmin = 2, 1
        pixels = np.random.default_rng(0).integers(0, 255, (720, 1280, 3), dtype=np.uint8)
        (packet,) = video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24"))
        data = bytes(packet)
        for number in range(size_bytes // len(data) + 1):
            one = av.Packet(data)
            one.stream, one.pts, one.dts, one.duration = video, number, number, 1
            one.time_base, one.is_keyframe = Fraction(1, 25), True
            file.mux(one)
    return path


def _samples(path: Path) -> list[tuple[int | None, int]]:
    with av.open(str(path)) as file:
        return [(one.pts, hash(bytes(one))) for one in file.demux() if one.size]


@pytest.mark.parametrize("ending", ["mp4", "mov"])
def test_a_long_film_is_signed_in_little_memory(tmp_path: Path, ending: str) -> None:
    """It plays the same, and a changed byte of its media or its index is found."""
    plain, done = _film(tmp_path / f"plain.{ending}", _BYTES), tmp_path / f"done.{ending}"
    told = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    words = [sys.executable, "-c", _PEAK, plain, done, tmp_path / "own"]
    signed = subprocess.run(words, env=told, capture_output=True, text=True, check=False)
    assert signed.returncode == 0, signed.stderr
    assert int(signed.stdout) < _BYTES >> 20
    assert verify(done).verdict == "valid"
    assert _samples(done) == _samples(plain)
    with av.open(str(done)) as file:
        places = [one.pos for one in file.demux() if one.size and one.pos is not None]
    size_bytes = done.stat().st_size
    index = done.read_bytes().index(b"stco")
    assert index < places[0]
    for at in (places[0] + 9, places[len(places) // 2] + 9, size_bytes - 1, index + 12):
        with done.open("r+b") as file:
            file.seek(at)
            (was,) = file.read(1)
            file.seek(at)
            file.write(bytes([was ^ 1]))
            file.flush()
            assert verify(done).verdict == "changed", at
            file.seek(at)
            file.write(bytes([was]))
    os.truncate(done, size_bytes - 1000)
    assert verify(done).verdict != "valid"


def test_what_is_short_or_in_several_pieces_is_hashed_at_once(tmp_path: Path) -> None:
    """Of several boxes of media data c2pa would write credentials that it finds wrong itself."""
    whole = tmp_path / "a.mp4"
    box = (40 << 20).to_bytes(4) + b"mdat" + bytes((40 << 20) - 8)
    many = ((8).to_bytes(4) + b"free") * 5000
    for data, blocks in ((box, True), (box + box, False), (box[:1000], False), (box + many + box, False)):
        whole.write_bytes(bytes.fromhex("00000008") + b"ftyp" + data)
        assert bool(hashed_in_blocks(whole, media_type(whole))) == blocks
        assert hashed_in_blocks(whole, "audio/wav") == {}
    whole.write_bytes((1).to_bytes(4) + b"mdat" + (40 << 20).to_bytes(8) + bytes(40 << 20))
    assert hashed_in_blocks(whole, "video/mp4")
    whole.write_bytes(bytes(4) + b"mdat" + bytes(40 << 20))  # to the file's end
    assert hashed_in_blocks(whole, "video/mp4")
