"""Links of a report to the rows and videos of a service's jobs."""

from __future__ import annotations

from markupsafe import Markup

from lipwise_ray.printable import printable
from lipwise_ray.service.service import Service
from lipwise_ray.storage.address import file_name


class JobLinks:
    """Links where a row is a job of this service; other rows keep their names.

    Args:
        service: The queue.
        prefix: Path before every address.
    """

    def __init__(self, service: Service, prefix: str) -> None:
        self._service = service
        self._prefix = prefix

    def row(self, row_id: str) -> str | Markup:
        """Return a row's name, with a link to the page of its job."""
        found = self._service.find(ids=(row_id,))
        if not found:
            return row_id
        link = Markup('<a href="{}/rows/{}">{}</a> <span class="soft mono">{}</span>')
        return link.format(self._prefix, row_id, printable(found[0].name), row_id)

    def video(self, row_id: str, output: str | None) -> str | Markup:
        """Return a player of a row's video where it is a job's, or the name of its output.

        Args:
            row_id: The row.
            output: Name of its output.
        """
        job = self._service.job(row_id) if self._service.find(("completed",), ids=(row_id,)) else None
        if job is None or job.output is None:
            return output or ""
        player = Markup('<video controls playsinline preload="metadata" src="{}" aria-label="Dubbed: {}"></video>')
        return player.format(f"{self._prefix}/outputs/{job.id}/{file_name(job.output)}", printable(job.name))
