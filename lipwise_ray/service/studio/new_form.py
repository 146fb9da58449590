"""The form of a new video, as its page sends it, and the columns that it stands for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from lipwise_ray.errors import RequestError
from lipwise_ray.service.asset_record import Asset, AssetKind
from lipwise_ray.service.asset_store import AssetStore
from lipwise_ray.service.job_record import JobDraft, JsonObject
from lipwise_ray.service.studio.settings_text import overrides_of
from lipwise_ray.state.shapes import record_of

_Address = Annotated[str, Field(max_length=2000)]
_Word = Annotated[str, Field(max_length=200)]
DOOR = "studio"
_NO_NAME = re.compile(r"[^\w.@+-]+")
_MOST_NAME = 80
_WRONG_KIND: Mapping[str, tuple[AssetKind, ...]] = {"video": ("AUDIO",), "audio": ("IMAGE",)}


class NewForm(BaseModel):
    """Fields of the form; those that nothing was typed in are empty."""

    model_config = ConfigDict(extra="forbid")

    video_asset: _Word = ""
    video_url: _Address = ""
    speech: Literal["audio", "text"] = "audio"
    audio_asset: _Word = ""
    audio_url: _Address = ""
    text: Annotated[str, Field(max_length=100_000)] = ""
    voice: _Word = ""
    language: _Word = ""
    faces: _Address = ""
    preset: _Word = ""
    name: _Word = ""
    settings: Annotated[str, Field(max_length=20_000)] = ""

    def draft(self, assets: AssetStore) -> JobDraft:
        """Return the draft of the job that the form asks for.

        Args:
            assets: Files that were sent.

        Raises:
            RequestError: A field that must be there is empty, or names no file; `where` is the field.
            SettingsError: The settings are no TOML, or are not a single video's.
        """
        columns: JsonObject = {"video": named_file("video", self.video_asset, self.video_url, assets)}
        if self.speech == "audio":
            columns["audio"] = named_file("audio", self.audio_asset, self.audio_url, assets)
        elif not self.text.strip():
            raise RequestError("invalid_request", "text", got="is empty", do="Type what is to be said")
        else:
            columns |= {"text": self.text.strip(), "voice": self.voice.strip()}
        columns |= {"language": self.language.strip(), "faces": self.faces.strip(), "preset": self.preset}
        given: JsonObject = {column: value for column, value in columns.items() if value}
        return JobDraft(columns={**given, **overrides_of(self.settings)}, door=DOOR, name=self._name(assets))

    def _name(self, assets: AssetStore) -> str:
        """Return the name of the output: what was typed, else the video's own."""
        named = self.name or (assets.get(self.video_asset).name.rpartition(".")[0] if self.video_asset else "")
        return plain_name(named)


def plain_name(text: str) -> str:
    """Return a text as the name of a file: what names cannot have becomes a dash."""
    return _NO_NAME.sub("-", text.strip())[:_MOST_NAME].strip("-.") or "video"


def named_file(field: str, asset_id: str, url: str, assets: AssetStore) -> str:
    """Return the path of a file that was sent, or the address that was typed in its place.

    Args:
        field: The field, which an error is of.
        asset_id: Id of the file that was sent; empty where none was.
        url: What was typed.
        assets: Files that were sent.

    Raises:
        RequestError: There is neither, no such file, or one of another kind.
    """
    if not asset_id:
        if not url.strip():
            raise RequestError("invalid_request", field, got=f"no {field} was chosen", do=f"Choose the {field} first")
        return url.strip()
    try:
        asset: Asset = assets.get(asset_id)
        path = assets.path(asset_id)
    except RequestError as error:
        raise RequestError(error.code, field, got=error.got, do=error.do) from error
    if asset.media is not None and asset.media.kind in _WRONG_KIND[field]:
        kind = str(record_of(asset.media)["kind"]).lower()
        raise RequestError("invalid_request", field, got=f"this is {kind}", do=f"Choose the {field} here")
    return str(path)
