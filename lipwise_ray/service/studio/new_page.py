"""Page of a new video: what is dubbed, whose face, and how; with a preview and a plan. Or a whole manifest."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from lipwise_ray.errors import LipwiseError, RequestError
from lipwise_ray.runs.costs import Prices
from lipwise_ray.service.asset_store import AssetStore
from lipwise_ray.service.sent_files import sent_file
from lipwise_ray.service.service import Service
from lipwise_ray.service.side_messages import PREVIEWS, STILLS, PreviewProgress, PreviewWanted
from lipwise_ray.service.studio.new_check import NewChecker, field_problem
from lipwise_ray.service.studio.new_form import DOOR, NewForm, named_file
from lipwise_ray.service.studio.pasted_manifest import PastedManifest, read_pasted
from lipwise_ray.service.studio.preset_cards import preset_cards
from lipwise_ray.service.studio.preview_stream import preview_stream
from lipwise_ray.service.studio.setting_fields import setting_sections
from lipwise_ray.service.studio.shell import StudioShell
from lipwise_ray.service.studio.speech_offer import speech_offer
from lipwise_ray.service.web_errors import status_of
from lipwise_ray.storage.address import WEB

_HERE = "New"
_AT = "/studio/new"
_OURS = re.compile(r"[A-Za-z0-9_-]+(\.[a-z0-9]+)?")
_UNPROCESSABLE = 422
_PREVIEW_S = 5.0
_MOST_SHOWN = 200
_TYPES = {".jpg": "image/jpeg", ".mp4": "video/mp4"}
_RULES = (
    ("", "as the preset says"),
    ("largest", "the largest face"),
    ("all", "every face"),
    ("speaking", "whoever speaks"),
    ("left", "the left face"),
    ("center", "the face in the middle"),
    ("right", "the right face"),
)


class MomentRequest(BaseModel):
    """A moment of a video, whose faces are asked for."""

    model_config = ConfigDict(extra="forbid")

    video_asset: Annotated[str, Field(max_length=200)] = ""
    video_url: Annotated[str, Field(max_length=2000)] = ""
    at_s: Annotated[float | None, Field(ge=0, le=1e6)] = None
    preset: Annotated[str, Field(max_length=200)] = ""


class PreviewRequest(BaseModel):
    """A form, of which some seconds are to be seen."""

    model_config = ConfigDict(extra="forbid")

    form: NewForm
    at_s: Annotated[float, Field(ge=0, le=1e6)] = 0.0


class ManifestRequest(BaseModel):
    """A whole manifest as text."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(max_length=8_000_000)]


class NewPage:
    """The routes of the page.

    Attributes:
        router: They.

    Args:
        service: The queue.
        assets: Files that clients sent.
        shell: Makes pages.
        plain: Removes this machine's paths from texts.
        prices: What machines cost, or None.
        models: Folder of pulled checkpoints; None for the usual one.
    """

    def __init__(
        self,
        service: Service,
        assets: AssetStore,
        shell: StudioShell,
        plain: Callable[[str], str],
        prices: Prices | None,
        models: Path | None,
    ) -> None:
        self._service, self._assets, self._shell, self._plain, self._models = service, assets, shell, plain, models
        self._checker = NewChecker(service, prices, models)
        self.router = routes = APIRouter(include_in_schema=False)
        routes.get("/")(self.show)
        routes.post(f"{_AT}/faces")(self.faces)
        routes.get(f"{_AT}/{STILLS}/{{name}}")(self.still)
        routes.post(f"{_AT}/check")(self.check)
        routes.post(f"{_AT}/preview")(self.preview)
        routes.get(f"{_AT}/{PREVIEWS}/{{key}}/{{name}}")(self.previewed)
        routes.post(f"{_AT}/submit")(self.submit)
        routes.post(f"{_AT}/manifest/check")(self.check_manifest)
        routes.post(f"{_AT}/manifest/submit")(self.submit_manifest)

    def show(self, request: Request) -> Response:
        """Show the form."""
        source, paths = self._service.source, self._service.settings.paths
        values = {
            "presets": preset_cards(source.presets, source.preset),
            "usual_preset": source.preset,
            "speech": speech_offer(self._service.settings, self._models),
            "sections": setting_sections(),
            "rules": _RULES,
            "usual_faces": self._service.settings.faces.select,
            "hosts": paths.hosts if any(scheme in WEB for scheme in paths.schemes) else (),
            "has_roots": bool(paths.roots),
            "most_gb": self._service.settings.service.upload_gb,
            "preview_s": _PREVIEW_S,
        }
        return self._shell.page(request, "new.html.jinja", _HERE, values)

    def faces(self, asked: MomentRequest, request: Request) -> Response:
        """Tell the faces of a frame, and where its picture is."""
        try:
            video = named_file("video", asked.video_asset, asked.video_url, self._assets)
            found = self._service.side_work.faces(video, asked.at_s, asked.preset)
        except LipwiseError as error:
            return self._refused(error)
        return JSONResponse({**asdict(found), "still": self._address(request, f"{STILLS}/{found.still}")})

    def still(self, name: str, request: Request) -> Response:
        """Send the picture of a frame."""
        return self._made(request, STILLS, name)

    def check(self, form: NewForm) -> Response:
        """Tell what is wrong with a form, or else how long it takes and what it costs."""
        try:
            draft = form.draft(self._assets)
            if problems := self._checker.problems(draft):
                return self._refused(*problems)
            return JSONResponse({"plan": asdict(self._checker.plan(draft))})
        except LipwiseError as error:
            return self._refused(error)

    def preview(self, asked: PreviewRequest, request: Request) -> Response:
        """Make some seconds of what the form asks for, and tell of the progress as lines of JSON."""
        try:
            draft = asked.form.draft(self._assets)
        except LipwiseError as error:
            return self._refused(error)
        if problems := self._checker.problems(draft):
            return self._refused(*problems)
        wanted = PreviewWanted(draft.columns, asked.at_s, _PREVIEW_S)

        def make(tell: Callable[[PreviewProgress], object], is_wanted: Callable[[], bool]) -> dict[str, object]:
            try:
                made = self._service.side_work.preview(wanted, tell, is_wanted)
            except LipwiseError as error:
                return self._told_of(error)
            notes = [self._plain(note) for note in made.notes]
            return {"video": self._address(request, f"{PREVIEWS}/{made.key}/{made.name}"), "notes": notes}

        return preview_stream(make)

    def previewed(self, key: str, name: str, request: Request) -> Response:
        """Send a preview."""
        return self._made(request, PREVIEWS, key, name)

    def submit(self, form: NewForm, request: Request) -> Response:
        """Make a job of the form."""
        try:
            draft = form.draft(self._assets)
            if problems := self._checker.problems(draft):
                return self._refused(*problems)
            job = self._service.submit(draft)
        except LipwiseError as error:
            return self._refused(error)
        return JSONResponse({"id": job.id, "page": f"{_prefix(request)}/rows/{job.id}"}, 201)

    def check_manifest(self, asked: ManifestRequest) -> Response:
        """Tell what is good and what is wrong in a manifest."""
        return JSONResponse(self._told(self._read(asked)))

    def submit_manifest(self, asked: ManifestRequest, request: Request) -> Response:
        """Make a batch of the good rows of a manifest, all of them or none."""
        found = self._read(asked)
        if not found.drafts:
            return JSONResponse({**self._told(found), "message": "No row of it can be done."}, _UNPROCESSABLE)
        batch = self._service.submit_many(found.drafts, door=DOOR)
        return JSONResponse({"id": batch.id, "jobs": len(batch.items), "page": f"{_prefix(request)}/queue"}, 201)

    def _read(self, asked: ManifestRequest) -> PastedManifest:
        return read_pasted(asked.text, self._checker, self._service.settings.service.queue)

    def _told(self, found: PastedManifest) -> dict[str, object]:
        good = [{"line": line, "name": name} for line, (name, _) in zip(found.lines, found.drafts, strict=True)]
        problems = [
            {"line": one.line, "column": one.column, "message": self._plain(one.message)}
            for one in sorted(found.problems, key=lambda one: one.line)
        ]
        return {
            "good": len(good),
            "bad": len(problems),
            "bad_rows": len({one["line"] for one in problems}),
            "rows": good[:_MOST_SHOWN],
            "problems": problems[:_MOST_SHOWN],
        }

    def _refused(self, *errors: LipwiseError) -> Response:
        return JSONResponse(self._told_of(*errors), status_of(errors[0]))

    def _told_of(self, *errors: LipwiseError) -> dict[str, object]:
        """Tell of a refusal: the first problem as other refusals are told, and each beside its field."""
        problems = [field_problem(error) for error in errors]
        told = [{"field": one.field, "message": self._plain(one.message)} for one in problems]
        return {**told[0], "errorCode": errors[0].code, "problems": told}

    def _made(self, request: Request, *steps: str) -> Response:
        """Send a file that was made beside jobs.

        Raises:
            RequestError: There is none of that name.
        """
        if not all(_OURS.fullmatch(step) for step in steps):
            raise RequestError("unknown_output", "", got="there is no such file")
        path = self._service.side_work.folder.joinpath(*steps)
        return sent_file(str(path), path.name, _TYPES.get(path.suffix, "application/octet-stream"), request)

    def _address(self, request: Request, name: str) -> str:
        return f"{_prefix(request)}{_AT}/{name}"


def _prefix(request: Request) -> str:
    return str(request.scope.get("root_path", "")).rstrip("/")
