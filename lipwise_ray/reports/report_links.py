"""Links of a run's page to its rows and videos."""

from __future__ import annotations

from typing import Protocol

from markupsafe import Markup


class ReportLinks(Protocol):
    """Makes texts into links where whoever shows the page has an address for them."""

    def row(self, row_id: str) -> str | Markup:
        """Return a row's name, with a link where there is one."""
        ...

    def video(self, row_id: str, output: str | None) -> str | Markup:
        """Return a player of a row's video, or its address.

        Args:
            row_id: The row.
            output: Address of its output.
        """
        ...


class _Texts:
    """Texts as they are, of a page that is a file of its own."""

    def row(self, row_id: str) -> str | Markup:
        return row_id

    def video(self, row_id: str, output: str | None) -> str | Markup:
        del row_id
        return output or ""


NO_LINKS: ReportLinks = _Texts()
