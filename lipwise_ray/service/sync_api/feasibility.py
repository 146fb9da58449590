"""Checks of a request's row against what this server has: its rules, its networks, its voices."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from lipwise_ray.errors import LipwiseError, ManifestError, RequestError, SettingsError, WeightsError
from lipwise_ray.pipeline.manifest.row_table import Row
from lipwise_ray.runs.model_requirements import ModelRequirements
from lipwise_ray.runs.run_inputs import registry_of
from lipwise_ray.runs.settings_source import SettingsSource
from lipwise_ray.service.job_record import JobDraft
from lipwise_ray.service.row_reader import ClientPolicy, RowReader
from lipwise_ray.service.sync_api.row_columns import FACE_FIELD

_SOME_ID = "request"
_FIELDS: Mapping[str, str] = {
    "row_video": "the video in input",
    "row_audio": "the audio in input",
    "row_text": "the text in input",
    "row_voice": "the voice in input",
    "row_speakers": "segments",
    "row_output": "outputFileName",
    "row_faces": FACE_FIELD,
    "row_length": "options.sync_mode",
}
"""Names that clients know, by codes of errors in rows."""

_OF_VOICES = frozenset({"no_tts", "tts_voice", "tts_language"})
_PARSER = "face_parsing"


class Feasibility:
    """Finds out before a job is made whether it can be done; safe to call from several threads.

    Args:
        source: The service's settings.
        uploads: Folder of its own files, which rows may name.
        models: Folder of pulled checkpoints; None for the usual one.
    """

    def __init__(self, source: SettingsSource, uploads: Path, models: str | None = None) -> None:
        settings = source.for_run()
        self._source = source
        self._reader = RowReader(source, ClientPolicy.of(settings.paths, str(uploads)), str(uploads))
        self._lock = threading.Lock()
        self._requirements = ModelRequirements(registry_of(settings, models), gpu=False)

    def row(self, draft: JobDraft) -> Row:
        """Return the row of a draft that this server can do.

        Raises:
            RequestError: It cannot: an address is refused, a network is not installed, a voice is not there.
        """
        try:
            row = self._reader.row(self._reader.columns_of(draft, _SOME_ID))
        except ManifestError as error:
            field = _FIELDS.get(error.code, error.where)
            raise RequestError(error.code, field, got=error.got, must=error.must, do=error.do) from error
        settings = self._source.for_row(row)
        try:
            with self._lock:
                self._requirements.of(settings, row)
        except (WeightsError, SettingsError) as error:
            field = _field_of(error, row)
            if field is None:
                raise
            raise RequestError(error.code, field, got=str(error).rstrip(".")) from error
        return row


def _field_of(error: LipwiseError, row: Row) -> str | None:
    """Return the field that asks for what is not there; None where every request would meet it."""
    if error.code in _OF_VOICES:
        return "the voice in input"
    if _PARSER in str(error):
        return "options.occlusion_detection_enabled"
    rules = {row.overrides.get("faces", {}).get("select"), *(one.faces for one in row.speakers)}
    return FACE_FIELD if "speaking" in rules else None
