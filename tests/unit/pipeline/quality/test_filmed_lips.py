"""Original lips are embedded once for what is shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lipwise_ray.metrics.sync_scorers import ExpertScorer
from lipwise_ray.nets.runtimes import OPENVINO, TORCH
from lipwise_ray.pipeline.dubbing.job_context import JobContext
from lipwise_ray.pipeline.flows.task_kinds import ScorePayload
from lipwise_ray.pipeline.quality.filmed_lips import FilmedLips
from lipwise_ray.pipeline.quality.sync_scores import Distances
from lipwise_ray.pipeline.tasks.score import score
from lipwise_ray.state import layout
from lipwise_ray.state.store import load_file
from lipwise_ray.synth.clips import ToneSpec, write_sound
from lipwise_ray.values import F32Array, U8Array
from tests.support.task_context import FRAMES, NOTHING_KNOWN, Bench


def _bench(folder: Path) -> Bench:
    folder.mkdir(exist_ok=True)
    return Bench(folder, {"judge": "tiny_judge"}, score={"judge": "tiny_judge", "stride": 1})


def _dub(bench: Bench, tone_hz: float) -> str:
    """Render the video to another sound."""
    sound = bench.folder / f"{tone_hz}.wav"
    write_sound(sound, ToneSpec(FRAMES / 25, codec="pcm_s16le", rate_hz=16_000, channels=1, tone_hz=tone_hz))
    bench.row = bench.with_spec(audio=str(sound))
    return bench.rendered().job_id


def _score(bench: Bench, chunk: int) -> tuple[Distances, int]:
    """Score a chunk; return its distances, and how many frames were decoded for it."""
    probed, ticks = bench.probed(), bench.ticks
    assert not score(bench.context, ScorePayload(bench.row, probed, chunk), NOTHING_KNOWN).missing
    (key,) = (one for one in bench.store.names(layout.scores(probed.job_id)) if one.endswith(f"-{chunk:05d}.npz"))
    found = load_file(bench.store, key, Distances.load)
    assert found is not None
    return found, bench.ticks - ticks


def _kept(bench: Bench) -> list[Path]:
    return sorted((bench.folder / "state" / "scans").glob("*/lips-*.npz"))


def test_another_language_decodes_and_embeds_no_original_lips(tmp_path: Path) -> None:
    """Its figures are the very ones of a state that knows nothing; half as many frames are decoded for them."""
    bench = _bench(tmp_path / "several")
    _dub(bench, 300.0)
    first, decoded = _score(bench, 0)
    assert len(_kept(bench)) == 1
    _dub(bench, 500.0)
    second, decoded_again = _score(bench, 0)
    assert 2 * decoded_again == decoded
    assert len(_kept(bench)) == 1
    alone = _bench(tmp_path / "alone")
    _dub(alone, 500.0)
    known_nothing, _ = _score(alone, 0)
    for name in ("at", "after", "before", "source"):
        np.testing.assert_array_equal(getattr(second, name), getattr(known_nothing, name))
    np.testing.assert_array_equal(second.source, first.source)
    assert not np.array_equal(second.before, first.before)


def test_damaged_embeddings_are_made_again(tmp_path: Path) -> None:
    """A file that is cut off, of another shape or of no numbers is replaced; the figures are the same."""
    bench = _bench(tmp_path)
    _dub(bench, 300.0)
    first, decoded = _score(bench, 0)
    (file,) = _kept(bench)
    whole = file.read_bytes()
    with np.load(file) as arrays:
        lips = arrays["lips"]
    assert lips.dtype == np.float32
    for number, wrong in enumerate([None, lips[:-1], lips[:, 1:], lips.astype(np.float64), np.full_like(lips, np.nan)]):
        if wrong is None:
            file.write_bytes(whole[:100])
        else:
            np.savez(file, lips=wrong)
        _dub(bench, 400.0 + number)
        again, decoded_again = _score(bench, 0)
        assert decoded_again == decoded
        np.testing.assert_array_equal(again.source, first.source)
        assert file.read_bytes() == whole


def test_whatever_decides_the_embeddings_has_them_made_anew(tmp_path: Path) -> None:
    """Other frames, other boxes, another scorer, device, runtime or preparation of the frames."""
    bench = _bench(tmp_path)
    probed = bench.probed()
    job = bench.context.open(ScorePayload(bench.row, probed, 0))
    frames, boxes = np.arange(10).reshape(2, 5), np.arange(40, dtype=np.float32).reshape(2, 5, 4)
    lips = FilmedLips(bench.store, bench.context.scratch, "a" * 64, "cpu", TORCH)
    asked: list[int] = []

    def embed() -> F32Array:
        asked.append(1)
        return np.full((2, 8), len(asked), np.float32)

    def prepared(**changes: object) -> JobContext:
        told = job.spec.settings
        source = told.source.model_copy(update=changes)
        return replace(job, spec=replace(job.spec, settings=told.model_copy(update={"source": source})))

    first = lips.of(job, frames, boxes, 8, embed)
    np.testing.assert_array_equal(lips.of(job, frames, boxes, 8, embed), first)
    quiet = replace(job, spec=replace(job.spec, audio=None, language="de"))
    np.testing.assert_array_equal(lips.of(quiet, frames, boxes, 8, embed), first)
    assert len(asked) == 1
    others = [
        (lips, job, frames + 1, boxes),
        (lips, job, frames, boxes + 1),
        (replace(lips, judge_sha256="b" * 64), job, frames, boxes),
        (replace(lips, device="cuda"), job, frames, boxes),
        (replace(lips, runtime=OPENVINO), job, frames, boxes),
        (lips, prepared(rotate=90), frames, boxes),
        (lips, prepared(on_error="salvage"), frames, boxes),
    ]
    for number, (known, of_job, at, faces) in enumerate(others, 2):
        assert known.of(of_job, at, faces, 8, embed)[0, 0] == len(asked) == number


def test_what_a_scorer_fails_at_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Embeddings that are no numbers are nobody's to find later."""

    def broken(self: ExpertScorer, crops: U8Array) -> F32Array:
        del self
        return np.full((len(crops), 128), np.nan, np.float32)

    monkeypatch.setattr(ExpertScorer, "lips", broken)
    bench = _bench(tmp_path)
    _dub(bench, 300.0)
    found, _ = _score(bench, 0)
    assert np.isnan(found.before).all()
    assert not _kept(bench)
