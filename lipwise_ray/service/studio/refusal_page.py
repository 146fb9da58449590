"""Page that tells a person why a request was refused, at whichever address."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import Request
from fastapi.responses import Response

from lipwise_ray.service.gate import HAS_KEY, own_path
from lipwise_ray.service.studio.key_page import key_page
from lipwise_ray.service.studio.shell import StudioShell
from lipwise_ray.service.web_errors import RETRY_AFTER_S, STATUS_OF_CODE, Refusal

_HEADINGS = {
    403: "This page may not be opened from there",
    404: "There is no such thing here",
    405: "This address takes no such request",
    409: "This cannot be done as it stands",
    413: "This is too large",
    429: "Too many requests",
    500: "A fault of the server's",
    503: "Not now",
    507: "The server's disk is full",
}
_NO_PAGE = "No page has this address: it was mistyped, or what it named was removed."
_SECTIONS = {"rows": "Queue", "queue": "Queue", "runs": "Runs", "models": "Models", "cluster": "Cluster"}
"""Names in the bar by the first step of an address."""


def refusal_page(request: Request, shell: StudioShell, refusal: Refusal) -> Response:
    """Return the page; it asks for the key where that is what is missing.

    Args:
        request: The request.
        shell: Makes pages.
        refusal: What happened.
    """
    if refusal.status == STATUS_OF_CODE["unauthorised"]:
        query = f"?{request.url.query}" if request.url.query else ""
        return key_page(request, shell, f"{own_path(request.scope)}{query}" if request.method == "GET" else "/")
    messages = refusal.message if isinstance(refusal.message, list) else [refusal.message]
    if messages == [HTTPStatus.NOT_FOUND.phrase]:  # the web framework's own word, where no page has the address
        messages = [_NO_PAGE]
    values = {
        "heading": _HEADINGS.get(refusal.status, "This was refused"),
        "messages": messages,
        "code": refusal.code,
        "can_wait": refusal.status in RETRY_AFTER_S and request.method == "GET",
        "is_outside": request.scope.get("state", {}).get(HAS_KEY) is not True,
    }
    steps = own_path(request.scope).split("/")
    answer = shell.page(request, "refusal.html.jinja", _SECTIONS.get(steps[1], "") if steps[1:] else "", values)
    answer.status_code = refusal.status
    return answer
