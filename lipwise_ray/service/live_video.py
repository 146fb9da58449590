"""The finished chunks of a job at work, as a stream that grows: HLS of fragmented MP4."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Generator
from contextlib import contextmanager

from lipwise_ray.errors import RequestError
from lipwise_ray.media.join import SegmentFile
from lipwise_ray.media.live_parts import LivePart, live_part
from lipwise_ray.pipeline.dubbing.job_context import known_plan
from lipwise_ray.pipeline.dubbing.plan import Plan
from lipwise_ray.service.job_record import ServiceJob
from lipwise_ray.state import layout
from lipwise_ray.state.markers import read_marker
from lipwise_ray.state.store import Store

_MOST_PLANS = 4
_MOST_WAITING = 8
_MOST_BYTES = 256 << 20
"""Of a segment: it is made into a part in memory."""


class LiveVideo:
    """Makes playlists and parts of jobs at work, one part at a time; its methods may be called from any thread.

    Args:
        store: The state.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._plans: OrderedDict[str, Plan] = OrderedDict()
        self._waiting = threading.BoundedSemaphore(_MOST_WAITING)
        self._making = threading.Lock()

    def playlist(self, job: ServiceJob) -> str:
        """Return the playlist of what is rendered so far, in the order of the video.

        Args:
            job: The job.

        Raises:
            RequestError: Nothing can be shown of it, or not yet: its first chunk and its audio come first.
        """
        job_id, plan = self._known(job)
        there = {*self._store.names(layout.markers(job_id))}
        done = 0
        while done < len(plan.chunks) and layout.marker(job_id, done) in there:
            done += 1
        if not done or self._sound(job_id) is None:
            raise _not_yet()
        lasting_s = [_length_s(plan, chunk) for chunk in range(len(plan.chunks))]
        lines = [
            "#EXTM3U",
            "#EXT-X-VERSION:7",
            f"#EXT-X-TARGETDURATION:{max(1, math.ceil(max(lasting_s)))}",
            "#EXT-X-PLAYLIST-TYPE:EVENT",
            "#EXT-X-INDEPENDENT-SEGMENTS",
            "#EXT-X-START:TIME-OFFSET=0",
            f'#EXT-X-MAP:URI="live/{job_id}/head.mp4"',
        ]
        for chunk in range(done):
            lines += [f"#EXTINF:{lasting_s[chunk]:.6f},", f"live/{job_id}/{chunk}.m4s"]
        if done == len(plan.chunks):
            lines.append("#EXT-X-ENDLIST")
        return "\n".join(lines) + "\n"

    def part(self, job: ServiceJob, records: str, chunk: int) -> LivePart:
        """Return a chunk of a job as a part.

        Args:
            job: The job.
            records: Names the job's records, as the playlist has it: another attempt at the row has others.
            chunk: Number of the chunk, from 0 on.

        Raises:
            RequestError: There is no such chunk now, it is too large, or too many ask.
            SegmentError: It cannot be shown.
        """
        job_id, plan = self._known(job)
        if job_id != records or not 0 <= chunk < len(plan.chunks):
            raise _not_yet()
        with self._turn():
            marker = read_marker(self._store, job_id, chunk)
            sound = self._sound(job_id)
            path = self._store.fetch(marker.segment) if marker else None
            audio = self._store.fetch(sound) if sound else None
            if marker is None or path is None or audio is None:
                raise _not_yet()
            if marker.bytes_total > _MOST_BYTES:
                got = f"a chunk of it has {marker.bytes_total} bytes"
                raise RequestError("live_too_large", "this video", got=got, do="Wait for the whole video")
            segment = SegmentFile(path, marker.frames, marker.reorder, marker.crc)
            return live_part(segment, plan.timeline, plan.chunks[chunk].start, audio)

    @contextmanager
    def _turn(self) -> Generator[None]:
        if not self._waiting.acquire(blocking=False):
            raise RequestError("rate_limited", "videos at work", got="too many are watched", do="Wait a little")
        try:
            with self._making:
                yield
        finally:
            self._waiting.release()

    def _known(self, job: ServiceJob) -> tuple[str, Plan]:
        """Return the id of a job's records, and its plan."""
        if job.status != "processing" or job.job_id is None:
            raise _not_yet()
        plan = self._plans.get(job.job_id) or known_plan(self._store, job.job_id)
        if plan is None:
            raise _not_yet()
        self._plans[job.job_id] = plan
        if len(self._plans) > _MOST_PLANS:
            self._plans.popitem(last=False)
        return job.job_id, plan

    def _sound(self, job_id: str) -> str | None:
        """Return the key of the audio that will be delivered; None before it is there."""
        folder = layout.soundtrack(job_id)
        found = [*self._store.names(f"{folder}/copied"), *self._store.names(f"{folder}/encoded")]
        return found[0] if found else None


def _length_s(plan: Plan, chunk: int) -> float:
    line, span = plan.timeline, plan.chunks[chunk]
    stop = int(line.pts[span.stop]) if span.stop < len(line.pts) else line.end_pts
    return float((stop - int(line.pts[span.start])) * line.time_base)


def _not_yet() -> RequestError:
    return RequestError("not_rendered", "this part of the video", got="is not there", do="Ask again in a moment")
