"""Child process in which yt-dlp reads a site: it reaches a proxy on this machine and nothing else.

It is run by its path, talks in JSON lines on its standard input and output, and imports nothing of this package.
"""

from __future__ import annotations

import glob
import io
import json
import os
import resource
import sys
import threading
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO, TypeAlias, TypedDict, cast
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_MOST_MEMORY_BYTES = 3 << 30
"""Of its own: a compressed page may hold anything."""

_RUNTIMES = ("deno",)
"""Programs that it may start: this one runs a site's JavaScript without rights to files or network."""

_BEST = "bv*+ba/b"
_MOST_NOTES = 50
_IN_PLAYLIST = ("m3u8", "m3u8_native")
_IN_PIECES = (*_IN_PLAYLIST, "http_dash_segments")
_BYTES_A_SECOND = 125  # in a kbit/s
_BORN_TOGETHER = ("url", "url_transparent")


class SiteRequest(TypedDict):
    """Line of the parent: a page, the only way to it, limits, and the length of a part where one is wanted."""

    address: str
    proxy: str
    cookies: str | None
    most_pixels: float
    most_bytes: int
    length_s: float | None


class SiteInfo(TypedDict, total=False):
    """Facts that yt-dlp has of a video, of one of its formats, or of a page with several."""

    _type: str
    entries: Iterable[SiteInfo]
    requested_formats: list[SiteInfo] | None
    formats: list[SiteInfo]
    extractor_key: str
    id: str
    webpage_url: str
    url: str
    format_id: str
    duration: float | None
    filesize: int | None
    filesize_approx: int | None
    width: int | None
    height: int | None
    modified_timestamp: int | None
    timestamp: int | None
    is_live: bool | None
    live_status: str | None
    protocol: str
    tbr: float | None
    fragments: object
    http_headers: dict[str, str]
    hls_media_playlist_data: str


class _Progress(TypedDict, total=False):
    total_bytes: int | None
    downloaded_bytes: int | None


_Orders: TypeAlias = "list[tuple[str, int, str, tuple[int, int] | None]]"
"""Files that the parent wants: each one's path, the number of its format, and of a part its playlist or fragments."""

_Select: TypeAlias = "Callable[[SiteInfo], Iterator[SiteInfo]]"


class _Reader(Protocol):
    """Part of yt-dlp that is used here, as its results are plain dictionaries."""

    format_selector: object

    def build_format_selector(self, spec: str) -> _Select: ...

    def extract_info(self, url: str, *, download: bool) -> SiteInfo: ...

    def add_progress_hook(self, hook: Callable[[_Progress], None]) -> None: ...

    def urlopen(self, req: object) -> Any: ...  # noqa: ANN401  # an answer of any of its handlers

    def dl(self, name: str, info: SiteInfo) -> tuple[bool, bool]: ...


class Notes:
    """Logger of yt-dlp: warnings are kept, as they may be the reason for an error."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def debug(self, message: str) -> None:
        """Say nothing."""

    info = error = debug

    def warning(self, message: str) -> None:
        """Keep a warning."""
        if len(self.warnings) < _MOST_NOTES:
            self.warnings.append(message[:500])


def confine(proxy: str) -> None:
    """Forbid this process all connections but those to the proxy, and all programs but a JavaScript runtime.

    Hooks of the interpreter's audit cannot be taken back, and whatever connects through Python's sockets passes them.

    Args:
        proxy: The proxy's address.
    """
    parts = urlsplit(proxy)
    place = (parts.hostname, parts.port)

    def watch(event: str, given: tuple[Any, ...]) -> None:
        if event == "socket.connect":
            allowed = tuple(given[1][:2]) == place
        elif event == "socket.getaddrinfo":
            allowed = given[0] in (place[0], place[0].encode() if place[0] else None)
        elif event == "subprocess.Popen":
            allowed = Path(os.fsdecode(given[0] or given[1][0])).name in _RUNTIMES
        else:
            allowed = not event.startswith(
                ("socket.bind", "socket.gethost", "socket.sendto", "socket.sendmsg", "os.exec", "os.posix_spawn")
            ) and event not in ("os.system", "os.fork", "os.forkpty", "pty.spawn")
        if not allowed:
            raise PermissionError(f"{event} is not allowed here")

    sys.addaudithook(watch)
    sys.modules["curl_cffi"] = None  # pyright: ignore[reportArgumentType]  # a library that connects by itself


def _bound_memory() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    bound = _MOST_MEMORY_BYTES if most == resource.RLIM_INFINITY else min(most, _MOST_MEMORY_BYTES)
    resource.setrlimit(resource.RLIMIT_DATA, (bound, most))


def options(request: SiteRequest, notes: Notes) -> dict[str, object]:
    """Return options for yt-dlp under which it reads one video and starts, keeps and overwrites nothing else.

    Args:
        request: The parent's.
        notes: Take its warnings.
    """
    return {
        "proxy": request["proxy"],
        "logger": notes,
        "quiet": True,
        "noprogress": True,
        "noplaylist": True,
        "extract_flat": "in_playlist",
        "playlist_items": "1:2",  # of one that holds a single video that is taken
        "cookiefile": None if request["cookies"] is None else io.StringIO(request["cookies"]),
        "cachedir": False,
        "usenetrc": False,
        "geo_bypass": False,
        "enable_file_urls": False,
        "js_runtimes": {name: {} for name in _RUNTIMES},
        "external_downloader": {"default": "native"},
        "ffmpeg_location": os.devnull,
        "hls_prefer_native": True,
        "fixup": "never",
        "updatetime": False,
        "overwrites": False,
        "continuedl": True,
        "skip_unavailable_fragments": False,
        "socket_timeout": 60,
        "retries": 3,
        "fragment_retries": 3,
        "extractor_retries": 1,
    }


def fitting(select: _Select, most_pixels: float, most_bytes: float, length_s: float | None = None) -> _Select:
    """Return a choice among the formats that are within limits; among all where none is, which is refused later.

    Args:
        select: The choice among any.
        most_pixels: Of a frame.
        most_bytes: Of a file.
        length_s: Of the part that is wanted, where it comes in pieces; None for all.
    """

    def choose(context: SiteInfo) -> Iterator[SiteInfo]:
        kept = [
            one
            for one in context.get("formats", [])
            if (one.get("width") or 0) * (one.get("height") or 0) <= most_pixels
            and (_bytes_of(one, length_s) or 0) <= most_bytes
        ]
        return select({**context, "formats": kept} if kept else context)

    return choose


def _bytes_of(chosen: SiteInfo, length_s: float | None = None) -> float | None:
    whole, rate = chosen.get("filesize") or chosen.get("filesize_approx"), chosen.get("tbr")
    if not whole or not rate or length_s is None or chosen.get("protocol") not in _IN_PIECES:
        return whole
    return min(whole, rate * _BYTES_A_SECOND * length_s)


def _formats(info: SiteInfo) -> list[SiteInfo]:
    return info.get("requested_formats") or [info]


def found(info: SiteInfo) -> dict[str, object]:
    """Return a video's facts for the parent.

    Args:
        info: As yt-dlp has them.
    """
    chosen = _formats(info)
    sizes = [_bytes_of(one) for one in chosen]
    return {
        "extractor": info.get("extractor_key") or "",
        "id": str(info.get("id") or ""),
        "address": info.get("webpage_url") or "",
        "formats": [str(one.get("format_id") or "") for one in chosen],
        "files": [one.get("url") or "" for one in chosen],
        "duration_s": float(info.get("duration") or 0),
        "bytes_total": int(sum(size or 0 for size in sizes)),
        "exact_bytes": [one.get("filesize") for one in chosen],
        "width": int(max(one.get("width") or 0 for one in chosen)),
        "height": int(max(one.get("height") or 0 for one in chosen)),
        "changed": str(info.get("modified_timestamp") or info.get("timestamp") or ""),
        "is_live": bool(info.get("is_live")) or info.get("live_status") in ("is_live", "is_upcoming", "post_live"),
        "entries": len(list(info.get("entries", []))) if info.get("_type") in ("playlist", "multi_video") else 1,
    }


def _pieces(ydl: _Reader, chosen: SiteInfo) -> dict[str, object]:
    """Return the times of a format's pieces: a playlist, which is kept for the download, or lengths; or neither."""
    from yt_dlp.networking import Request

    text, fragments = chosen.get("hls_media_playlist_data") or "", chosen.get("fragments")
    if chosen.get("protocol") in _IN_PLAYLIST and not text:
        with closing(ydl.urlopen(Request(chosen.get("url", ""), headers=chosen.get("http_headers")))) as answer:
            chosen["url"], text = answer.url, answer.read().decode("utf-8", "ignore")
        chosen["hls_media_playlist_data"] = text
    listed = cast("list[dict[str, float | None]]", fragments if isinstance(fragments, list) else [])
    return {"playlist": text, "durations_s": [one.get("duration") for one in listed]}


def _part_of(chosen: SiteInfo, playlist: str, span: tuple[int, int] | None) -> SiteInfo:
    if playlist:
        return {**chosen, "hls_media_playlist_data": playlist}
    fragments = cast("list[object]", chosen.get("fragments"))
    return chosen if span is None else {**chosen, "fragments": [fragments[0], *fragments[1:][slice(*span)]]}


def failed(error: BaseException, notes: Notes) -> dict[str, object]:
    """Return an error for the parent: its classes, the status of an answer, its words, and warnings before it.

    Args:
        error: It.
        notes: The warnings.
    """
    kinds: list[str] = []
    status, number = None, None
    text = ""
    links: list[BaseException | None] = [error]
    seen: set[int] = set()
    while links:
        one = links.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        kinds += [kind.__name__ for kind in type(one).__mro__ if kind not in (BaseException, Exception, object)]
        stated = getattr(one, "status", None)
        status = stated if status is None and isinstance(stated, int) else status
        number = one.errno if number is None and isinstance(one, OSError) else number
        text = getattr(one, "orig_msg", "") or text
        inner = getattr(one, "exc_info", None)
        links += [inner[1] if inner else None, getattr(one, "cause", None), one.__cause__, one.__context__]
    return {
        "kinds": list(dict.fromkeys(kinds)),
        "status": status,
        "errno": number,
        "text": str(text or error)[:2000],
        "warnings": notes.warnings,
    }


def _only(ydl: _Reader, info: SiteInfo) -> SiteInfo:
    """Return the only video of a playlist that holds one, else what was given."""
    while info.get("_type") in ("playlist", "multi_video"):
        info["entries"] = list(info.get("entries") or [])
        if len(info["entries"]) != 1:
            break
        entry = info["entries"][0]
        info = ydl.extract_info(entry.get("url", ""), download=False) if entry.get("_type") in _BORN_TOGETHER else entry
    return info


def _tell_size(say: Callable[[str, Any], None], most_bytes: int, told: set[int], state: _Progress) -> None:
    """Tell the parent of a size that is known once a file begins to arrive, and of more than is allowed."""
    size, done = int(state.get("total_bytes") or 0), int(state.get("downloaded_bytes") or 0)
    for count in (size, done if done > most_bytes else 0):
        if count and count not in told:
            told.add(count)
            say("expects", count)
    if done > most_bytes:
        raise RuntimeError("it is larger than allowed")


def _leave_with_the_parent(orders: TextIO) -> None:
    orders.read()  # returns when the parent closes it, or is gone
    os._exit(1)


def _forget_pieces(path: str, chosen: SiteInfo) -> None:
    """Remove what an earlier download left of a file that comes in pieces.

    yt-dlp appends pieces and notes their number apart from that, so after a crash between the two it would append one
    twice, or take half of one for the whole. A file that comes in one piece goes on where its bytes end.
    """
    if chosen.get("protocol") not in ("http", "https"):
        for left in Path(path).parent.glob(f"{glob.escape(Path(path).name)}.*"):
            left.unlink()


def run(orders: TextIO, say: Callable[[str, Any], None], notes: Notes) -> None:
    """Read a video's facts, and once the parent says so, its files.

    Args:
        orders: Lines of the parent: the request, and the word to go on.
        say: Takes the name and the contents of each message.
        notes: Take warnings.
    """
    request: SiteRequest = json.loads(orders.readline())
    confine(request["proxy"])
    _bound_memory()

    import yt_dlp
    import yt_dlp.globals

    yt_dlp.globals.plugin_dirs.value = []
    with yt_dlp.YoutubeDL(cast("Any", options(request, notes))) as made:
        ydl = cast("_Reader", made)
        choose = ydl.build_format_selector(_BEST)
        ydl.format_selector = fitting(choose, request["most_pixels"], request["most_bytes"], request["length_s"])
        info = _only(ydl, ydl.extract_info(request["address"], download=False))
        formats, facts = _formats(info), found(info)
        takes_part = request["length_s"] is not None and facts["entries"] == 1 and not facts["is_live"]
        say("found", {**facts, "pieces": [_pieces(ydl, one) for one in formats] if takes_part else []})
        if not (line := orders.readline()):
            return
        files: _Orders = json.loads(line)
        threading.Thread(target=_leave_with_the_parent, args=(orders,), daemon=True).start()
        ydl.add_progress_hook(partial(_tell_size, say, request["most_bytes"], set()))
        for path, number, playlist, span in files:
            chosen = _part_of(formats[number], playlist, span)
            _forget_pieces(path, chosen)
            good, _ = ydl.dl(path, {**info, **chosen, "requested_formats": []})
            if not good:
                raise RuntimeError("yt-dlp could not download it")
        say("fetched", [path for path, *_ in files])


def main() -> None:
    """Serve the parent that started this process."""
    orders, answers = sys.stdin, os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever prints is no message
    notes = Notes()
    lock = threading.Lock()

    def say(name: str, contents: Any) -> None:  # noqa: ANN401  # what JSON holds
        with lock:
            answers.write(json.dumps({name: contents}) + "\n")
            answers.flush()

    try:
        run(orders, say, notes)
    except Exception as error:  # noqa: BLE001  # the parent says what it means
        say("failed", failed(error, notes))


if __name__ == "__main__":
    main()
