"""Segments that are checked beside their rendering are those that are checked after it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lipwise_ray.pipeline.dubbing import render_chunk
from lipwise_ray.state.markers import ChunkMarker
from lipwise_ray.state.shapes import typed
from lipwise_ray.state.store import as_json, open_store
from lipwise_ray.synth.clips import ClipSpec, ToneSpec, write_clip, write_sound
from lipwise_ray.values import Size
from tests.support.dub import LOSSLESS, PASSTHROUGH, dub, packets

CHUNKS = 3


def _markers(state: str) -> dict[str, ChunkMarker]:
    store = open_store(state)
    keys = [key for key in store.names("jobs") if "/chunks/" in key]
    found = {key: typed(as_json(data), ChunkMarker) for key, data in zip(keys, store.read_all(keys), strict=True)}
    return {key: marker for key, marker in found.items() if marker}


def test_segments_and_proofs_are_the_same(tmp_path: Path, monkeypatch: Any) -> None:
    """The same job with the same segments to the bit and the same proofs; on a CPU nothing runs beside by itself."""
    write_clip(tmp_path / "v.mp4", ClipSpec(size=Size(160, 120), frames=10 * CHUNKS))
    write_sound(tmp_path / "s.wav", ToneSpec(0.4 * CHUNKS, codec="pcm_s16le"))
    row = {"id": "a", "video": "v.mp4", "audio": "s.wav", "output": "a.mkv", "faces": "box:60,110,50,110"}
    followed: list[str] = []

    class Noted(render_chunk.FollowedSegment):
        """Notes the run in which a segment is followed."""

        def prove(self, frames: int) -> Any:
            """Return the proof."""
            followed.append(name)
            return super().prove(frames)

    monkeypatch.setattr(render_chunk, "FollowedSegment", Noted)
    made = {}
    for name in ("beside", "after", "auto"):
        sets = ("chunk.frames=10", "engine.keep_segments=true", f'engine.verify_segments="{name}"')
        done = dub(tmp_path, [row], PASSTHROUGH, LOSSLESS, *sets, out=name)
        assert (done.done, done.chunks_rendered) == (1, CHUNKS)
        made[name] = _markers(done.state)
    assert followed == ["beside"] * CHUNKS
    assert made["beside"].keys() == made["after"].keys()  # the job's id is the same
    for key, marker in made["beside"].items():
        other = made["after"][key]
        assert (marker.sha256, marker.crc, marker.header) == (other.sha256, other.crc, other.header)
        assert marker.made_by == other.made_by
    assert packets(tmp_path / "beside" / "a.mkv") == packets(tmp_path / "after" / "a.mkv")
