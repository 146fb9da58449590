"""A sentence that is replaced costs the chunks in which it is heard, and nothing else changes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipwise_ray.storage import objects
from lipwise_ray.synth.clips import ClipSpec, write_clip
from lipwise_ray.synth.footage import write_speech
from lipwise_ray.values import Size
from tests.e2e.test_exactness import DRAWN_LIPS, digest
from tests.support.dub import BY_LEVEL, LOSSLESS, NOTHING_IN_FRONT, PASSTHROUGH, Dubbed, dub
from tests.support.s3 import BUCKET, Line, point_to, s3_server

SIZE = Size(160, 120)
BOX, OTHER_BOX = "box:60,110,50,110", "box:58,108,48,108"
CUES, CUE_S, SAID_S = 10, 1.2, 0.8
CHUNK = 30
"""Frames: as long as from one cue to the next."""

RATE, RATE_HZ = 25, 16_000
SETS = (DRAWN_LIPS, LOSSLESS, BY_LEVEL, NOTHING_IN_FRONT, f"chunk.frames={CHUNK}", 'detect.detector="tiny"')


def say(path: Path, seed: int, *, loud: float = 0.3, seconds: float = SAID_S) -> Path:
    """Write a made-up sentence: syllables of hiss."""
    rng, samples = np.random.default_rng(seed), round(seconds * RATE_HZ)
    syllables = np.abs(np.sin(np.arange(samples) * (np.pi * (3 + seed % 3) / RATE_HZ)))
    write_speech(path, (loud * syllables * rng.uniform(-1, 1, samples)).astype(np.float32))
    return path


def film(folder: Path, seconds: float, rate: int = RATE) -> Path:
    """Write footage with pictures that move."""
    path = folder / "film.mkv"
    write_clip(path, ClipSpec(size=SIZE, frames=round(seconds * rate), rate=Fraction(rate), gop=rate))
    return path


def row(video: Path, sentences: Sequence[Path], apart_s: float = CUE_S, **changes: Any) -> dict[str, Any]:
    """Return the row of a film in which one face says sentences, one after the other."""
    faces = changes.pop("faces", BOX)
    cues = [{"faces": faces, "audio": said, "start": number * apart_s} for number, said in enumerate(sentences)]
    return {"id": "film", "video": video, "output": "film.mkv", "length": "video", "speakers": cues, **changes}


def frames_of(folder: Path) -> list[str]:
    """Return a digest of each frame of the finished film."""
    return digest(folder / "out" / "film.mkv")


def counted(report: Dubbed) -> tuple[int, int]:
    """Return how many chunks were rendered and taken over."""
    assert (report.done, report.failed) == (1, 0), report.outcomes
    (outcome,) = report.outcomes
    chunks = outcome.record["chunks"]
    return report.chunks_rendered, chunks - report.chunks_rendered


@pytest.fixture(scope="module")
def dubbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[Path]]:
    """A folder in which a film of ten cues is dubbed, the film, and the sentences."""
    folder = tmp_path_factory.mktemp("cues")
    video = film(folder, CUES * CUE_S)
    sentences = [say(folder / f"{number}.wav", number, loud=0.05 + 0.03 * number) for number in range(CUES)]
    assert counted(dub(folder, [row(video, sentences)], *SETS)) == (10, 0)
    return folder, video, sentences


@pytest.mark.slow
def test_a_cue_that_is_replaced_renders_its_chunks_alone(dubbed: tuple[Path, Path, list[Path]], tmp_path: Path) -> None:
    """Two chunks of ten, however loud it is; all frames are those of the film done from nothing, and most of them those
    of the film before.
    """
    folder, video, sentences = dubbed
    before = frames_of(folder)
    new = [*sentences]
    new[4] = say(folder / "new.wav", 99, loud=0.9, seconds=0.6)
    rendered, reused = counted(dub(folder, [row(video, new)], *SETS))
    assert rendered <= 2
    assert rendered + reused == CUES
    after = frames_of(folder)
    assert counted(dub(tmp_path, [row(video, new)], *SETS)) == (10, 0)
    assert after == frames_of(tmp_path)
    differ = [number for number, (one, other) in enumerate(zip(before, after, strict=True)) if one != other]
    assert differ
    assert (4 * CUE_S - 1) * RATE < differ[0] <= differ[-1] < (5 * CUE_S + 1) * RATE


@pytest.mark.slow
def test_only_what_shows_the_same_is_taken_over(dubbed: tuple[Path, Path, list[Path]]) -> None:
    """A film that ends earlier is what was rendered before, up to its end; with other settings, or another face,
    nothing is; and a segment that is damaged is rendered again.
    """
    folder, video, sentences = dubbed
    shorter = row(video, sentences[:3], length="audio", output="shorter.mkv")
    assert counted(dub(folder, [shorter], *SETS)) == (1, 2)
    segments = [
        path for path in folder.glob("out.state/jobs/*/segments/*.mkv") if path.name.startswith(("00000", "00001"))
    ]
    for path in segments:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 255
        path.unlink()
        path.write_bytes(data)
    before = digest(folder / "out" / "shorter.mkv")
    assert counted(dub(folder, [{**shorter, "output": "again.mkv"}], *SETS)) == (2, 1)
    assert digest(folder / "out" / "again.mkv") == before
    for sets, changes in ((("composite.feather=0.2",), {}), ((), {"faces": OTHER_BOX})):
        other = row(video, sentences[:1], length="audio", output="other.mkv", **changes)
        other["speakers"] += [{**other["speakers"][0], "start": 1.7, "end": 1.8}]
        assert counted(dub(folder, [other], *SETS, *sets))[1] == 0


@pytest.mark.slow
def test_one_of_thirty_sentences(tmp_path: Path) -> None:
    """A film of five minutes in chunks of ten seconds, of ten frames a second, for it takes long enough."""
    rate = 10
    video = film(tmp_path, 300, rate)
    sentences = [say(tmp_path / f"{number}.wav", number, seconds=7.5) for number in range(30)]
    told = [one for one in SETS if not one.startswith("chunk")]
    assert counted(dub(tmp_path, [row(video, sentences, 10.0)], *told)) == (30, 0)
    before = frames_of(tmp_path)
    sentences[12] = say(tmp_path / "new.wav", 99, loud=0.9, seconds=8.0)
    rendered, reused = counted(dub(tmp_path, [row(video, sentences, 10.0)], *told))
    assert rendered <= 2
    assert rendered + reused == 30
    after = frames_of(tmp_path)
    differ = [number for number, (one, other) in enumerate(zip(before, after, strict=True)) if one != other]
    assert differ
    assert 119 * rate < differ[0] <= differ[-1] < 131 * rate


@pytest.mark.slow
def test_a_state_in_a_bucket(
    dubbed: tuple[Path, Path, list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store copies segments itself: no byte of them comes to this machine, and few requests tell what is there."""
    _, video, sentences = dubbed
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with s3_server(monkeypatch.setenv) as port, Line(port) as line:
        point_to(line.port, monkeypatch.setenv)
        objects.opened.cache_clear()
        state, short = f"s3://{BUCKET}/cues", row(video, sentences[:3], length="audio")
        assert counted(dub(tmp_path, [short], *SETS, PASSTHROUGH, state=state)) == (3, 0)
        line.asked.clear()
        short["speakers"][1]["audio"] = sentences[5]
        assert counted(dub(tmp_path, [{**short, "output": "new.mkv"}], *SETS, PASSTHROUGH, state=state)) == (0, 3)
        assert sum("rendered-" in one for one in line.asked) <= 4, sorted(line.asked)
    assert digest(tmp_path / "out" / "new.mkv") == digest(tmp_path / "out" / "film.mkv")
    objects.opened.cache_clear()


def test_rows_without_cues_keep_nothing(dubbed: tuple[Path, Path, list[Path]], tmp_path: Path) -> None:
    """Their segments go when they are published, and nothing is noted of their chunks."""
    _, video, sentences = dubbed
    plain = {"id": "film", "video": video, "audio": sentences[0], "faces": BOX, "output": "film.mkv"}
    assert dub(tmp_path, [plain], *SETS).done == 1
    state = tmp_path / "out.state"
    assert [*state.glob("jobs/*/segments/*"), *state.glob("scans/*/rendered-*")] == []
    kept = json.loads(next(state.glob("jobs/*/result.json")).read_bytes())
    assert kept["chunks"] == 1
