"""The list of generated pages, and how they compare with those that are there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from docs.generate import (
    cli_page,
    columns_page,
    errors_page,
    exits_page,
    http_page,
    metrics_page,
    models_page,
    python_page,
    records_page,
    settings_page,
)

REFERENCE = Path(__file__).resolve().parents[1] / "reference"

_PAGES: dict[str, Callable[[], str]] = {
    "cli.md": cli_page.page,
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


def written() -> dict[str, str]:
    """Return the text of every page by its file's name."""
    return {name: f"{make().rstrip()}\n" for name, make in _PAGES.items()}


def stale() -> list[str]:
    """Return the names of pages that are missing, or are not as the source has it now."""
    paths = {name: REFERENCE / name for name in _PAGES}
    return [
        name
        for name, text in written().items()
        if not paths[name].is_file() or paths[name].read_text("utf-8") != text
    ]
