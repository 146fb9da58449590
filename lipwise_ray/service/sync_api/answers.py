"""Answers, with the names that sync.so's API gives them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue

GenerationStatus: TypeAlias = Literal["PENDING", "PROCESSING", "COMPLETED", "FAILED", "REJECTED"]
BatchStatus: TypeAlias = Literal["PENDING", "JOBS_CREATED", "PROCESSING", "COMPLETED", "FAILED"]


class Answer(BaseModel):
    """An answer; what is not there yet is null."""

    model_config = ConfigDict(frozen=True, serialize_by_alias=True)


class Generation(Answer):
    """A generation: what was asked for, where it stands, and what came of it."""

    id: str
    created_at: datetime = Field(serialization_alias="createdAt")
    status: GenerationStatus
    model: str
    input: list[JsonValue]
    options: JsonValue = None
    segments: JsonValue = None
    webhook_url: str | None = Field(default=None, serialization_alias="webhookUrl")
    output_file_name: str | None = Field(default=None, serialization_alias="outputFileName")
    output_url: str | None = Field(default=None, serialization_alias="outputUrl")
    output_duration: float | None = Field(default=None, serialization_alias="outputDuration")
    segment_output_url: str | None = Field(default=None, serialization_alias="segmentOutputUrl")
    error: str | None = None
    error_code: str | None = None
    """As the SDK reads it; ``errorCode`` is the same, as later documents have it."""
    error_code_later: str | None = Field(default=None, serialization_alias="errorCode")


class EstimatedCost(Answer):
    """Estimate of a generation's frames and price."""

    estimated_frame_count: float = Field(serialization_alias="estimatedFrameCount")
    estimated_generation_cost: float = Field(serialization_alias="estimatedGenerationCost")


class ModelInfo(Answer):
    """A model that requests may name."""

    id: str
    name: str
    type: Literal["lipsync"]
    version: str
    description: str | None = None
    deprecated_at: datetime | None = Field(default=None, serialization_alias="deprecatedAt")


class BatchMetrics(Answer):
    """Numbers of a batch's generations."""

    total_generations: int
    success_count: int
    failed_count: int
    pending_count: int


class Batch(Answer):
    """A batch and how far it is."""

    id: str
    created_at: datetime
    status: BatchStatus
    metrics: BatchMetrics
    webhook_url: str | None = Field(default=None, serialization_alias="webhookUrl")
    output_url: str = Field(default="", serialization_alias="outputUrl")


class BatchValidated(Answer):
    """Answer to a dry run: every line could be done."""

    status: Literal["VALIDATED"] = "VALIDATED"


class BatchResult(Answer):
    """A line of a batch's results."""

    request_id: str = Field(serialization_alias="requestId")
    generation_id: str = Field(serialization_alias="generationId")
    status: GenerationStatus
    output_media_url: str | None = Field(default=None, serialization_alias="outputMediaUrl")
    error: str | None = None
    error_code: str | None = Field(default=None, serialization_alias="errorCode")


def at(seconds: float) -> datetime:
    """Return a time of a record.

    Args:
        seconds: Since 1970.
    """
    return datetime.fromtimestamp(seconds, UTC)
