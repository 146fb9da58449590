"""JSON schemas of a state's records for other programs; `python -m lipwise_ray.state.schemas` writes them here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core.core_schema import ComputedField, DataclassField, ModelField, TypedDictField

from lipwise_ray.state.events import EventLine
from lipwise_ray.state.job_result import JobResult
from lipwise_ray.state.run_records import EvaluationEnd, RunEnd
from lipwise_ray.state.sweep_records import SweepFigure, SweepRow

FOLDER = Path(__file__).parent
_ADAPTERS: dict[str, TypeAdapter[Any]] = {
    "result.json": TypeAdapter(JobResult),
    "events.jsonl": TypeAdapter(EventLine),
    "report.json": TypeAdapter(EvaluationEnd | RunEnd),
    "rows.csv": TypeAdapter(SweepRow),
    "summary.csv": TypeAdapter(SweepFigure),
}
"""By the file of the state; of `events.jsonl` each line is meant, and of the tables of `evaluate sweep` too."""


class _AsWritten(GenerateJsonSchema):
    """Schemas of records as this version writes them: with all fields but those left out where they are None."""

    def field_is_required(
        self,
        field: ModelField | DataclassField | TypedDictField | ComputedField,
        total: bool,  # noqa: FBT001  # pydantic's signature
    ) -> bool:
        """Tell whether a field is in every record."""
        del total
        return "serialization_exclude_if" not in field


def schemas() -> dict[Path, str]:
    """Return the text of each schema, by the file that it belongs into."""
    found: dict[Path, str] = {}
    for name, adapter in _ADAPTERS.items():
        schema = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": name,
            **adapter.json_schema(mode="serialization", schema_generator=_AsWritten),
        }
        found[FOLDER / f"{Path(name).stem}.schema.json"] = json.dumps(schema, indent=1, sort_keys=True) + "\n"
    return found
