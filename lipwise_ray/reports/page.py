"""One self-contained page about a run: no script, no network; light and dark; wide and narrow; read aloud in order."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from markupsafe import Markup

from lipwise_ray.printable import printable
from lipwise_ray.reports.report_links import NO_LINKS
from lipwise_ray.reports.report_parts import ROW_HEADS, Costs, in_clauses, line_of, parts_of
from lipwise_ray.reports.rows import RunReport
from lipwise_ray.reports.worst_first import Stills

if TYPE_CHECKING:
    from jinja2 import Environment

_MOST_LISTED = 1000


def page(report: RunReport, stills: Stills, costs: Costs | None = None) -> str:
    """Return the page.

    Args:
        report: The run.
        stills: Gives images of a job.
        costs: What GPU seconds cost; None leaves costs out.
    """
    whole = len(report.rows)
    return (
        environment()
        .get_template("report.html.jinja")
        .render(
            title=f"lipwise-ray {report.run.run_id}",
            parts=parts_of(report, stills, costs, _MOST_LISTED),
            in_clauses=in_clauses,
            links=NO_LINKS,
            row_heads=ROW_HEADS,
            rows=[line_of(row) for row in islice(report.rows, _MOST_LISTED)],
            rows_caption=f"The first {_MOST_LISTED} of {whole} rows; results.csv has all"
            if whole > _MOST_LISTED
            else "In the manifest's order",
        )
    )


def environment() -> Environment:
    """Renderer of the templates of pages: texts in them are escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("lipwise_ray.reports", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=_plain,
    )


def _plain(value: object) -> object:
    """Return a text without marks of direction, which would turn it around; markup of our own stays as it is."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
