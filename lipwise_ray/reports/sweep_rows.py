"""Rows of a comparison of lip models: what each column's runs say of each row of the manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from lipwise_ray.reports.row_sheet import FlatRow
from lipwise_ray.reports.rows import RunReport
from lipwise_ray.state.sweep_records import ColumnKind, SweepRow

_SCORES = ("lse_d", "lse_c", "sync_distance", "sync_confidence")
_ALIKE = (
    "psnr",
    "face_psnr",
    "ssim",
    "face_ssim",
    "identity_distance",
    "mouth_distance",
    "lag_s",
    "compared_s",
)
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class ColumnRuns:
    """A column's runs, as the state has them.

    Attributes:
        label, kind: Its name, and where its videos come from.
        dubbed: The run that made its videos; None for files.
        evaluated: The run that measured them; None where there was none.
        absent: Rows of which there is no video.
        fault: Why videos could not be made or measured; empty where they could.
    """

    label: str
    kind: ColumnKind
    dubbed: RunReport | None
    evaluated: RunReport | None
    absent: tuple[str, ...]
    fault: str = ""

    @property
    def network(self) -> str:
        """Name of the lip-sync network; empty where no row says it."""
        for row in self.dubbed.rows if self.dubbed else ():
            name = _network(row)
            if name:
                return name
        return ""

    def rows(self) -> Iterator[SweepRow]:
        """Yield its rows: the measured ones, those that failed, and those that it has no video of."""
        made = {row["row_id"]: (row, self._seconds_a_frame(row)) for row in self.dubbed.rows} if self.dubbed else {}
        measured: set[object] = set()
        for row in self.evaluated.rows if self.evaluated else ():
            measured.add(row["row_id"])
            yield self._measured(row, *made.get(row["row_id"], ({}, None)))
        for row_id, (row, _) in made.items():
            if row_id not in measured:
                why = self.fault or "its video was not measured"
                message = row["message"] if row["status"] == "failed" else why
                yield self._without(str(row_id), "failed", message, row)
        for row_id in self.absent:
            status, why = ("failed", self.fault) if self.fault else ("absent", "there is no such file")
            yield self._without(row_id, status, why, {})

    def _seconds_a_frame(self, row: FlatRow) -> float | None:
        assert self.dubbed is not None  # it has the row
        busy_s = sum(self.dubbed.rows.detail(row["row"]).stages.values())  # no model is loaded in them
        return round(busy_s / row["frames"], _DIGITS) if busy_s and row["frames"] else None

    def _without(self, row_id: str, status: str, message: str | None, row: FlatRow) -> SweepRow:
        return SweepRow(
            row_id=row_id,
            column=self.label,
            kind=self.kind,
            status=status,
            message=message,
            language=row.get("language"),
            tags=row.get("tags") or "",
        )

    def _measured(self, row: FlatRow, made: FlatRow, seconds_a_frame: float | None) -> SweepRow:
        offset = row["after_offset"]
        return SweepRow(
            row_id=str(row["row_id"]),
            column=self.label,
            kind=self.kind,
            status=str(row["status"]),
            message=row["message"] or row["no_score"],
            video=row["output"],
            language=row["language"],
            tags=row["tags"],
            judge=row["judge"],
            **{name: row[f"after_{name}"] for name in _SCORES},
            off_sync=None if offset is None else abs(offset),
            **{name: row[name] for name in _ALIKE},
            fitted=row["fitted_size"],
            sharpness=row["sharpness"],
            flicker=row["flicker_dubbed"],
            faces=row["faces_compared"],
            seconds_a_frame=seconds_a_frame,
            video_s=row["video_s"],
            terms=made.get("licences"),
            commercial=made.get("commercial_use"),
            job_id=row["job_id"],
        )


def _network(row: FlatRow) -> str:
    weights = json.loads(row["weights"]) if row["weights"] else {}
    return str(weights.get("lipsync", "")).partition(" ")[0]
