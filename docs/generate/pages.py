"""The list of generated pages, and how they compare with those that are there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from docs.generate import (
    cli_page,
    columns_page,
    curation_page,
    errors_page,
    exits_page,
    http_page,
    metrics_page,
    models_page,
    python_page,
    records_page,
    settings_page,
)
from docs.generate.diagram import diagrams

DOCS = Path(__file__).resolve().parents[1]

_PAGES: dict[str, Callable[[], str]] = {
    "cli.md": cli_page.page,
    "curation.md": curation_page.page,
    "errors.md": errors_page.page,
    "exit-codes.md": exits_page.page,
    "http.md": http_page.page,
    "manifest.md": columns_page.page,
    "metrics.md": metrics_page.page,
    "models.md": models_page.page,
    "python.md": python_page.page,
    "records.md": records_page.page,
    "settings.md": settings_page.page,
}


def written() -> dict[Path, str]:
    """Return the text of every generated file by its path: pages of the reference, and diagrams."""
    pages = {DOCS / "reference" / name: f"{make().rstrip()}\n" for name, make in _PAGES.items()}
    return {**pages, **{DOCS / "pictures" / name: text for name, text in diagrams().items()}}


def stale() -> list[str]:
    """Return the paths, within the documents, of files that are missing or not as the source has them now."""
    return [
        path.relative_to(DOCS).as_posix()
        for path, text in written().items()
        if not path.is_file() or path.read_text("utf-8") != text
    ]
