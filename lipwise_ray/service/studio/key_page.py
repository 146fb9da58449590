"""Page that asks a browser for the service's key, once."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from lipwise_ray.errors import RequestError
from lipwise_ray.service.gate import KEY_ADDRESS
from lipwise_ray.service.request_rate import RequestRate
from lipwise_ray.service.server_options import ServerOptions
from lipwise_ray.service.studio.shell import StudioShell
from lipwise_ray.service.web_errors import STATUS_OF_CODE

_TRIES_A_MINUTE = 10
_MOST_CHARACTERS = 2000
_TEMPLATE = "key.html.jinja"


def key_page(request: Request, shell: StudioShell, back: str, message: str = "") -> Response:
    """Return the page with the form.

    Args:
        request: The request that needs the key.
        shell: Makes pages.
        back: Address that is opened with the key.
        message: The reason for which it is asked once more.
    """
    answer = shell.page(request, _TEMPLATE, "", {"back": _local(back), "message": message, "is_outside": True})
    answer.status_code = STATUS_OF_CODE["unauthorised"]
    return answer


def router(shell: StudioShell, options: ServerOptions) -> APIRouter:
    """Return the routes of the page.

    Args:
        shell: Makes pages.
        options: Options of the application: its key, and the address of a proxy in front of it.
    """
    routes, tries = APIRouter(include_in_schema=False), RequestRate(_TRIES_A_MINUTE)
    rules = options.access

    @routes.get(KEY_ADDRESS)
    async def ask(request: Request, back: str = "/") -> Response:
        return key_page(request, shell, back)

    @routes.post(KEY_ADDRESS)
    async def give(
        request: Request,
        key: Annotated[str, Form(max_length=_MOST_CHARACTERS)] = "",
        back: Annotated[str, Form(max_length=_MOST_CHARACTERS)] = "/",
    ) -> Response:
        # In the loop's thread, as the rate is counted by one thread.
        if not tries.admit(request.client.host if request.client else ""):
            raise RequestError("rate_limited", "the client", got="tries too many keys", do="Wait a minute")
        if not rules.is_token(key.strip()):
            return key_page(request, shell, back, "This is not the service's key.")
        answer = RedirectResponse(_prefix(request) + _local(back), 303)
        sessions = rules.sessions
        answer.set_cookie(
            sessions.name,
            sessions.value(),
            max_age=sessions.hold_s,
            path=_prefix(request) or "/",
            secure=_is_encrypted(request, options),
            httponly=True,
            samesite="strict",
        )
        return answer

    @routes.post(f"{KEY_ADDRESS}/leave")
    async def leave(request: Request) -> Response:
        answer = RedirectResponse(f"{_prefix(request)}{KEY_ADDRESS}", 303)
        answer.delete_cookie(rules.sessions.name, path=_prefix(request) or "/", httponly=True, samesite="strict")
        return answer

    return routes


def _local(address: str) -> str:
    """Return an address of this service's, whatever was asked for."""
    is_local = address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable()
    return address if is_local else "/"


def _prefix(request: Request) -> str:
    return str(request.scope.get("root_path", "")).rstrip("/")


def _is_encrypted(request: Request, options: ServerOptions) -> bool:
    """Tell whether the browser's way here is HTTPS: as far as a proxy, where it came by that one's name."""
    host = request.headers.get("host", "").lower()
    is_by_proxy = options.access.public_host is not None and host == options.access.public_host.lower()
    return request.url.scheme == "https" or (is_by_proxy and options.base_url.lower().startswith("https:"))
