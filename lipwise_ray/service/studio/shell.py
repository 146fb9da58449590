"""Shell of the studio's pages: templates, static files, and the headers that go with them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, Response
from markupsafe import Markup
from starlette.exceptions import HTTPException

import lipwise_ray
from lipwise_ray.printable import printable
from lipwise_ray.reports.figures import number
from lipwise_ray.service.gate import HAS_SESSION
from lipwise_ray.service.service import Service

STATIC = Path(str(resources.files("lipwise_ray.service.studio"))) / "static"
_STATIC_AT = "/studio/static"
_TEMPLATES = "templates"
_NAVIGATION = (
    ("New", "/", "n"),
    ("Queue", "/queue", "q"),
    ("Runs", "/runs", "r"),
    ("Models", "/models", "o"),
    ("Cluster", "/cluster", "c"),
)
_KEYS = (
    ("n q r o c", "New, Queue, Runs, Models, Cluster"),
    ("space", "Play and pause"),
    (", .", "One frame back, on"),
    ("← →", "One second back, on"),
    ("w", "Wipe, or side by side"),
    ("l", "Loop: from here, to here, off"),
    ("m", "Sound of the original or the dubbed video"),
    ("j k", "In the queue: next row, the one before"),
    ("x t + -", "In the queue: cancel the row, retry it, raise and lower its priority"),
    ("?", "This list"),
)
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "connect-src 'self'; form-action 'self'; frame-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_PAGE_HEADERS = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
_FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}


class StudioShell:
    """Makes pages of templates.

    Args:
        service: The service, whose problem every page shows.
        plain: Removes this machine's paths from texts.
    """

    def __init__(self, service: Service, plain: Callable[[str], str]) -> None:
        from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

        self._service = service
        self._environment = Environment(
            loader=ChoiceLoader(
                [PackageLoader("lipwise_ray.service.studio", _TEMPLATES), PackageLoader("lipwise_ray.reports", "")]
            ),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=_plain,
        )
        self._environment.filters.update(when=when, day=day, lasting=lasting, told=plain, figure=number)
        same: dict[str, Any] = {"version": lipwise_ray.__version__, "navigation": _NAVIGATION, "keys": _KEYS}
        self._environment.globals.update(same)

    def page(self, request: Request, template: str, here: str, values: Mapping[str, Any]) -> Response:
        """Return a whole page.

        Args:
            request: The request; its path prefix goes before every address.
            template: File name of the template.
            here: Name of the page in the bar.
            values: Values for the template; with a true ``is_outside`` the page tells nothing of how the service is.
        """
        is_outside = values.get("is_outside") is True
        about = {
            "here": here,
            "problem": "" if is_outside else self._service.problem,
            "has_session": request.scope.get("state", {}).get(HAS_SESSION) is True,
        }
        return self._answer(request, template, {"is_outside": False, **values, **about})

    def fragment(self, request: Request, template: str, values: Mapping[str, Any]) -> Response:
        """Return a part of a page, for HTMX; the arguments are those of `page`."""
        return self._answer(request, template, values)

    def _answer(self, request: Request, template: str, values: Mapping[str, Any]) -> Response:
        prefix = str(request.scope.get("root_path", "")).rstrip("/")

        def path(address: str) -> str:
            return f"{prefix}{address}"

        def static(name: str) -> str:
            return f"{prefix}{_STATIC_AT}/{_version()}/{name}"

        text = self._environment.get_template(template).render(path=path, static=static, **values)
        return HTMLResponse(text, headers=_PAGE_HEADERS)


def static_files() -> APIRouter:
    """Return the routes of scripts, styles and the icon, whose addresses change with their contents."""
    router = APIRouter(include_in_schema=False)

    @router.get(_STATIC_AT + "/{version}/{name}")
    def static_file(version: str, name: str) -> Response:
        del version
        if name not in {file.name for file in STATIC.iterdir()}:
            raise HTTPException(404, "There is no such file.")
        return FileResponse(STATIC / name, headers=_FOREVER)

    return router


@cache
def _version() -> str:
    """Return a version of all files together: modules ask for each other by plain names, below the same address."""
    files = sorted(file for file in STATIC.iterdir() if file.is_file())
    return hashlib.sha256(b"".join(file.name.encode() + file.read_bytes() for file in files)).hexdigest()[:12]


def _plain(value: object) -> object:
    """Return a text without marks of direction and control characters; markup of our own stays as it is."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def when(seconds: float | None) -> Markup:
    """Return a moment as an element that says it in full to programs.

    Args:
        seconds: Seconds since 1970; None for an unknown moment.
    """
    if seconds is None:
        return Markup('<span class="soft">-</span>')
    moment = time.gmtime(seconds)
    stated, read = time.strftime("%Y-%m-%dT%H:%M:%SZ", moment), time.strftime("%d %b, %H:%M", moment)
    return Markup('<time datetime="{}">{} UTC</time>').format(stated, read)


def day(seconds: float | None) -> str:
    """Return the day of a moment, in seconds since 1970."""
    return time.strftime("%Y-%m-%d", time.gmtime(seconds)) if seconds is not None else "-"


def lasting(seconds: float | None) -> str:
    """Return a duration in seconds for people."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
