"""Requests into jobs of the queue. Everything here may wait for a disk."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lipwise_ray.errors import InputError, RequestError
from lipwise_ray.pipeline.manifest.row_table import Row
from lipwise_ray.service.asset_record import Asset, AssetKind
from lipwise_ray.service.asset_store import AssetStore
from lipwise_ray.service.job_record import UNFINISHED, JobDraft, JobStatus, JsonObject, ServiceBatch, ServiceJob
from lipwise_ray.service.service import Service
from lipwise_ray.service.sync_api.answers import EstimatedCost
from lipwise_ray.service.sync_api.batch_lines import LineFaults, batch_lines
from lipwise_ray.service.sync_api.box_tracks import BoxTracks
from lipwise_ray.service.sync_api.catalogue import preset_of
from lipwise_ray.service.sync_api.costs import GenerationCosts
from lipwise_ray.service.sync_api.feasibility import Feasibility
from lipwise_ray.service.sync_api.generations import DOOR, STATUSES
from lipwise_ray.service.sync_api.request import GenerationRequest
from lipwise_ray.service.sync_api.row_columns import FACE_FIELD, NamedAsset, named_assets, row_columns
from lipwise_ray.settings.layers import preset_names
from lipwise_ray.storage.address import shown
from lipwise_ray.storage.digest import content_id
from lipwise_ray.storage.posting import check_callable

_NOT_FOR: Mapping[str, AssetKind] = {"video": "AUDIO", "image": "AUDIO", "audio": "IMAGE"}
_DAY_S = 86_400.0
_ECHOED_WITHOUT = {"options": {"active_speaker_detection": {"bounding_boxes"}}}
"""Left out of records: a box a frame is the size of a video's tracks."""


@dataclass(frozen=True, slots=True)
class GenerationDesk:
    """Takes requests, over a queue and its files.

    Attributes:
        service: The queue.
        assets: Files that clients sent.
        feasibility: Finds out what can be done.
        costs: Estimates.
        boxes: Makes tracks files.
    """

    service: Service
    assets: AssetStore
    feasibility: Feasibility
    costs: GenerationCosts
    boxes: BoxTracks

    @property
    def presets(self) -> list[str]:
        """Names of the server's presets."""
        return preset_names(self.service.source.presets)

    def submit(self, request: GenerationRequest, key: str | None = None, sent: Sequence[Asset] = ()) -> ServiceJob:
        """Make a job of a request; the same request under the same key is the same job.

        Args:
            request: The request.
            key: The client's idempotency key.
            sent: Assets that were made of the files of this very request.

        Raises:
            InputError: It cannot be done, or the key belongs to another request.
            TransientError: The queue is full, or the server is about to stop.
            StorageError: The disk or the state refuses.
        """
        draft = self._draft(request, key, sent)
        self.feasibility.row(draft)
        job = self.service.submit(draft)
        if sent and sent[0].id not in json.dumps(job.columns):
            self.forget(sent)  # this request came before, with the same files
        return job

    def forget(self, sent: Iterable[Asset]) -> None:
        """Remove the files of a request that came to nothing."""
        for asset in sent:
            self.assets.remove(asset.id)

    def cost(self, request: GenerationRequest) -> EstimatedCost:
        """Return the estimated cost of a request; nothing is kept of it.

        Raises:
            InputError: It cannot be done.
            TransientError: Others are being made already, or a store refused.
        """
        return self.costs.of(self._row(request))

    def submit_batch(self, data: bytes, webhook_url: str | None, *, is_dry: bool) -> ServiceBatch | None:
        """Make jobs of a file of requests: of all or of none; None after a dry run.

        Args:
            data: JSON lines.
            webhook_url: Address that is told of the batch's end.
            is_dry: Find faults, and make nothing.

        Raises:
            RequestError: Lines cannot be done; they are named.
            TransientError: The queue has no room for all, or the server is about to stop.
            StorageError: The disk or the state refuses.
        """
        check_webhook(webhook_url, "webhook_url")
        drafts: list[tuple[str, JobDraft]] = []
        faults = LineFaults()
        for name, request in batch_lines(data):
            with faults.of(f"request {name}"):
                if is_dry:
                    self._row(request)
                else:
                    draft = self._draft(request, None)
                    self.feasibility.row(draft)
                    drafts.append((name, draft))
        faults.end()
        return None if is_dry else self.service.submit_many(drafts, door=DOOR, webhook_url=webhook_url)

    def jobs(self, statuses: Collection[str], ids: Collection[str], limit: int) -> list[ServiceJob]:
        """Return jobs, the newest first.

        Args:
            statuses: Statuses of generations; none for all.
            ids: Jobs that count; none for all.
            limit: The most that are returned.

        Raises:
            RequestError: There is no such status.
            StateError: A record was damaged.
            StorageError: The state cannot be read.
        """
        known: dict[str, JobStatus] = {name: status for status, name in STATUSES.items()}
        unknown = [one for one in statuses if one not in known]
        if unknown:
            got = f"{unknown[0][:40]!a} is not a status"
            raise RequestError("invalid_request", "status", got=got, do=f"Known: {', '.join(known)}")
        return self.service.jobs([known[one] for one in statuses], ids, limit=limit)

    def statuses(self, batch: ServiceBatch) -> list[JobStatus]:
        """Return the statuses of a batch's jobs; no other job is looked at."""
        return [one.status for one in self.service.find(ids=[item.job_id for item in batch.items])]

    def _row(self, request: GenerationRequest) -> Row:
        """Return the row of a request, of which nothing is kept; its boxes are not looked at."""
        return self.feasibility.row(JobDraft(columns=self._columns(request), door=DOOR))

    def _draft(self, request: GenerationRequest, key: str | None, sent: Sequence[Asset] = ()) -> JobDraft:
        check_webhook(request.webhook_url, "webhookUrl")
        asked = request.model_dump(mode="json", by_alias=True, exclude_none=True)
        echoed = request.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=_ECHOED_WITHOUT)
        return JobDraft(
            columns=self._columns(request) | self._tracks(request),  # inputs are checked before boxes are written
            door=DOOR,
            name=request.output_file_name or "video",
            asked=echoed,
            webhook_url=request.webhook_url,
            idempotency_key=key,
            fingerprint=self._fingerprint(asked, sent) if key else None,
        )

    def _columns(self, request: GenerationRequest) -> JsonObject:
        settings = self.service.settings
        preset = preset_of(request.model, self.presets)
        files = {one.asset_id: self._file(one) for one in named_assets(request)}
        return row_columns(request, preset, settings.faces.select, files)

    def _file(self, named: NamedAsset) -> str:
        try:
            media = self.assets.get(named.asset_id).media
            path = self.assets.path(named.asset_id)
        except RequestError as error:
            raise RequestError(error.code, named.field, got=error.happened, do=error.do) from error
        if media is not None and media.kind == _NOT_FOR[named.type]:
            got = f"the asset is {'audio' if media.kind == 'AUDIO' else 'an image'}, but is named as {named.type}"
            raise RequestError("invalid_request", named.field, got=got)
        return str(path)

    def _tracks(self, request: GenerationRequest) -> JsonObject:
        """Return the column of a request's boxes, written as a tracks file; none where it has no boxes."""
        chosen = request.options and request.options.active_speaker_detection
        if not chosen or chosen.bounding_boxes is None:
            return {}
        video = next((one for one in request.input if one.type == "video"), None)
        if video is None or video.asset_id is None:
            got = "needs a video that was uploaded: its frames have to be counted"
            do = "Upload it, and name it by assetId"
            raise RequestError("not_offered", f"{FACE_FIELD}.bounding_boxes", got=got, do=do)
        settings = self.service.source.for_preset(preset_of(request.model, self.presets))
        path = self.boxes.write(chosen.bounding_boxes, self.assets.path(video.asset_id), settings)
        read = {str(job.columns.get("tracks")) for job in self.service.jobs(UNFINISHED)}
        self.boxes.expire(settings.service.keep_days * _DAY_S, lambda path: path in read)
        return {"tracks": str(path)}

    def _fingerprint(self, asked: JsonObject, sent: Sequence[Asset]) -> str:
        """Return a text that is the same for the same request, whose files have other ids each time they are sent."""
        text = json.dumps(asked, sort_keys=True)
        for asset in sent:
            text = text.replace(asset.id, content_id(self.assets.path(asset.id)))
        return text


def check_webhook(address: str | None, field: str) -> None:
    """Refuse an address that cannot be told of anything.

    Args:
        address: The address, or None.
        field: Its name in the request.

    Raises:
        RequestError: It is none that can be called.
    """
    if address is None:
        return
    try:
        check_callable(address)
    except InputError as error:
        must = "an http or https address without a password"
        raise RequestError(
            "invalid_request", field, got=f"{shown(address)[:200]!a} can never be called: {error.happened}", must=must
        ) from error
