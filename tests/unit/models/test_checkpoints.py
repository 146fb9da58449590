"""The checkpoints of a row as records hold them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from lipwise_ray.models.checkpoints import Checkpoint, Checkpoints

GENERATOR = {
    "name": "wav2lip_gan",
    "network": "wav2lip",
    "path": "/models/wav2lip_gan.pth",
    "sha256": "a" * 64,
    "licence": "research only",
    "commercial": "no",
    "reason": "made from LRS2",
    "made_for": "",
}
YUNET = {**GENERATOR, "name": "yunet", "network": "yunet", "sha256": "b" * 64, "commercial": "yes", "reason": ""}
RECORD = {"lipsync": GENERATOR, "detector": [YUNET]}


@dataclass(frozen=True, slots=True)
class _Payload:
    weights: Checkpoints


def test_a_record_is_read_and_written_as_it_was() -> None:
    """Tasks and results hold what they held: a list for the detector, one record for the others, paths as text."""
    adapter = TypeAdapter(_Payload)
    read = adapter.validate_json(json.dumps({"weights": RECORD}))
    assert read.weights.needed("lipsync").path == Path("/models/wav2lip_gan.pth")
    assert [one.name for one in read.weights.all("detector")] == ["yunet"]
    assert json.dumps(adapter.dump_python(read)) == json.dumps({"weights": RECORD})
    assert json.loads(adapter.dump_json(read)) == {"weights": RECORD}
    assert adapter.validate_python({"weights": read.weights}) == read


def test_what_a_row_does_without_is_none() -> None:
    """A role that is left out, or recorded as nothing, has no checkpoint; the record leaves it out."""
    found = Checkpoints.of({"lipsync": GENERATOR, "restorer": None})
    assert found.one("restorer") is None
    assert found.all("detector") == ()
    assert "lipsync" in found
    assert "restorer" not in found
    assert found.record() == {"lipsync": GENERATOR}


def test_records_of_earlier_versions_are_read() -> None:
    """They say less of a checkpoint, and of its terms only whether they forbid commerce."""
    earlier = {name: GENERATOR[name] for name in ("name", "network", "path", "sha256")}
    assert Checkpoints.of({"lipsync": {**earlier, "commercial": True}}).needed("lipsync").commercial == "unclear"
    assert Checkpoints.of({"lipsync": earlier}).needed("lipsync") == Checkpoint(
        "wav2lip_gan", "wav2lip", Path(GENERATOR["path"]), "a" * 64
    )


@pytest.mark.parametrize(
    "record",
    [
        {"lipsync": "wav2lip"},
        {"lipsync": {"name": "x"}},
        {"detector": [GENERATOR, "yunet"]},
    ],
)
def test_what_is_no_record_is_refused(record: dict[str, object]) -> None:
    """A checkpoint without its facts is a mistake."""
    with pytest.raises(ValidationError):
        Checkpoints.of(record)
