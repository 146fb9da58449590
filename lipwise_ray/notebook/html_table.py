"""Tables of a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from lipwise_ray.printable import printable


def html_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as HTML; its texts are escaped.

    Args:
        titles: Of its columns.
        rows: Its cells.
    """
    head = "".join(f'<th scope="col" style="text-align:left">{escape(title)}</th>' for title in titles)
    lines = ("".join(f'<td style="text-align:left">{escape(printable(cell))}</td>' for cell in row) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
