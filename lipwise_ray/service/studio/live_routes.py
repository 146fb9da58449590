"""Addresses by which a browser plays a video that is still being rendered."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from lipwise_ray.service.live_video import LiveVideo
from lipwise_ray.service.service import Service

_PLAYLIST, _MP4 = "application/vnd.apple.mpegurl", "video/mp4"


def router(service: Service) -> APIRouter:
    """Return the routes.

    Args:
        service: The service.
    """
    routes, live = APIRouter(include_in_schema=False), LiveVideo(service.store)

    @routes.get("/studio/rows/{job_id}/live.m3u8")
    def playlist(job_id: str) -> Response:
        return Response(live.playlist(service.job(job_id)), media_type=_PLAYLIST)

    @routes.get("/studio/rows/{job_id}/live/{records}/head.mp4")
    def head(job_id: str, records: str) -> Response:
        return Response(live.part(service.job(job_id), records, 0).head, media_type=_MP4)

    @routes.get("/studio/rows/{job_id}/live/{records}/{chunk}.m4s")
    def media(job_id: str, records: str, chunk: int) -> Response:
        return Response(live.part(service.job(job_id), records, chunk).media, media_type=_MP4)

    return routes
