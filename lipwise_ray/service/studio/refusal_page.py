"""Page that tells a person why a request was refused, at whichever address."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import Response

from lipwise_ray.service.studio.key_page import key_page
from lipwise_ray.service.studio.shell import StudioShell
from lipwise_ray.service.web_errors import STATUS_OF_CODE, Refusal

_HEADINGS = {
    404: "There is no such thing here",
    429: "Too many requests",
    500: "A fault of the server's",
    503: "Not now",
}


def refusal_page(request: Request, shell: StudioShell, refusal: Refusal) -> Response:
    """Return the page; it asks for the key where that is what is missing.

    Args:
        request: The request.
        shell: Makes pages.
        refusal: What happened.
    """
    if refusal.status == STATUS_OF_CODE["unauthorised"]:
        query = f"?{request.url.query}" if request.url.query else ""
        return key_page(request, shell, f"{request.url.path}{query}" if request.method == "GET" else "/")
    messages = refusal.message if isinstance(refusal.message, list) else [refusal.message]
    values = {
        "heading": _HEADINGS.get(refusal.status, "This was refused"),
        "messages": messages,
        "code": refusal.code,
        "is_outside": True,
    }
    answer = shell.page(request, "refusal.html.jinja", "", values)
    answer.status_code = refusal.status
    return answer
