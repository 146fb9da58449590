"""Options of the web application."""

from __future__ import annotations

from dataclasses import dataclass

from lipwise_ray.service.access import AccessRules


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Options of the web application.

    Attributes:
        access: Rules by which requests are let in.
        base_url: Address by which clients reach it, for links.
        is_public: Whoever runs it named that address; without, answers have the one that a client asks by.
        prefix: Path of that address, without a slash at its end; empty for none.
        upload_bytes: Largest file.
        body_bytes: Largest body of any other request.
        requests_per_minute: Requests that one client may send; 0 for any number.
        listeners: Streams of events that may be open.
        link_s: Seconds for which links in answers hold.
        keep_s: Seconds for which files that no unfinished job reads stay.
        idle_s: A request of which nothing comes for so long is given up.
        folders: Folders of this machine, which no answer may name.
    """

    access: AccessRules
    base_url: str
    is_public: bool
    prefix: str = ""
    upload_bytes: int
    body_bytes: int
    requests_per_minute: int
    listeners: int
    link_s: float
    keep_s: float
    idle_s: float
    folders: tuple[str, ...]
