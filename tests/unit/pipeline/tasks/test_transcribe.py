"""Which language is heard in a row's audio."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipwise_ray.pipeline.flows.task_kinds import TranscribePayload
from lipwise_ray.pipeline.tasks.transcribe import transcribe
from tests.support.task_context import NOTHING_KNOWN, Bench
from tests.support.whisper import write_recogniser

pytest.importorskip("faster_whisper", reason="extra asr is not installed")


def test_audio_is_transcribed_once_for_all_rows_that_have_it(tmp_path: Path) -> None:
    """A second row of the same audio takes the record, unless it is damaged; another model makes one of its own."""
    folder = write_recogniser(tmp_path / "model", "hm", "de")
    bench = Bench(tmp_path, asr={"model": str(folder)})
    payload = TranscribePayload(bench.row, bench.probed())
    assert transcribe(bench.context, payload, NOTHING_KNOWN).language == "de"
    (record,) = tmp_path.glob("state/sounds/*/transcript-*.json")
    assert '"hm"' in record.read_text()
    whole, written = record.read_bytes(), record.stat().st_mtime_ns
    assert transcribe(bench.context, payload, NOTHING_KNOWN).language == "de"
    assert record.stat().st_mtime_ns == written
    record.write_bytes(whole[:-9])
    assert transcribe(bench.context, payload, NOTHING_KNOWN).language == "de"
    assert record.read_bytes() == whole
    other = Bench(tmp_path, asr={"model": str(write_recogniser(tmp_path / "other", "hm", "en"))})
    assert transcribe(other.context, TranscribePayload(other.row, other.probed()), NOTHING_KNOWN).language == "en"
    assert len([*tmp_path.glob("state/sounds/*/transcript-*.json")]) == 2
