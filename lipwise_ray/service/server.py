"""The web process: a listener, the application, and a stop in order."""

from __future__ import annotations

import ipaddress
import os
import resource
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

import uvicorn

from lipwise_ray.errors import EngineError, LipwiseError, SetupError, os_reason
from lipwise_ray.exit_codes import ExitCode
from lipwise_ray.runs.load_settings import LoadedSettings
from lipwise_ray.service.access import AccessRules, is_loopback
from lipwise_ray.service.app import WebApp
from lipwise_ray.service.asset_store import AssetStore
from lipwise_ray.service.door import MakeDoor
from lipwise_ray.service.hurried_heads import HurriedHeads
from lipwise_ray.service.secret_files import secret_in
from lipwise_ray.service.server_options import ServerOptions
from lipwise_ray.service.service import Service

_MOST_LISTENERS = 256
_MOST_CONNECTIONS = 1024
_OPEN_FILES = 4 * _MOST_CONNECTIONS
"""More than connections and files take; many systems let a process have 1,024 unless it asks for more."""
_LINK_S = 24 * 3600.0
_IDLE_S = 60.0
_LAST_ANSWERS_S = 5
"""After the queue is closed, answers may take so long to end."""
_BACKLOG = 256
_DAY_S = 86400.0
_OWN_STEPS = frozenset(
    (
        *("v2", "outputs", "events", "healthz", "readyz", "metrics", "openapi.json"),
        *("studio", "queue", "rows", "runs", "models", "cluster", "gradio"),
    )
)
"""First steps of the service's own addresses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRequest:
    """Request for a server.

    Attributes:
        folder: The service's own folder.
        host: Name or number of the listener.
        port: Its port; 0 for any that is free.
        public_url: Address by which clients reach it through a proxy; None where there is none.
        state: Folder or prefix of the state; None for that of the settings, or of the folder.
        out: The same of the outputs.
    """

    folder: Path
    host: str
    port: int
    public_url: str | None = None
    state: str | None = None
    out: str | None = None


class ListeningSocket:
    """A listening socket, held before anything else is begun: a port that is taken is told at once.

    Attributes:
        socket: It.
        url: Address by which this machine reaches it.

    Args:
        host: Name or number.
        port: Port; 0 for any that is free.

    Raises:
        SetupError: It is taken, or not of this machine.
    """

    def __init__(self, host: str, port: int) -> None:
        where = f"{host}:{port}"
        try:
            place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
            self.socket = socket.create_server(place[4][:2], family=place[0], backlog=_BACKLOG)
            # Connections have it from here. An answer's head and body are two packets, and the second would wait for
            # the first one's receipt, which takes its receiver 40 ms.
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            reason = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else os_reason(error)
            got = f"cannot listen there: {reason}"  # Python's own text goes on about the address
            do = "Choose another --port, or end the program that has it"
            raise SetupError("port_refused", where, got=got, do=do) from error
        name = f"[{host}]" if ":" in host else host
        self.url = f"http://{name}:{self.socket.getsockname()[1]}"


class WebServer(uvicorn.Server):
    """A server that goes on answering while the queue is closed, and ends afterwards.

    The first signal closes the queue: running tasks end first, new jobs are answered with 503, and clients still see
    how their jobs end. The second one ends the program (exit code 130).

    Attributes:
        has_closed: The queue was closed.
        has_lost: Another server has taken the state over, so that this one ends.

    Args:
        app: The application.
        close: Closes the queue, and returns once it is closed.
        say: Tells people.
    """

    def __init__(self, app: WebApp, close: Callable[[], None], say: Callable[[str], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app.asgi,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # who asks is who is connected: a header could say anything
                http=HurriedHeads,
                ws="none",
                lifespan="on",
                limit_concurrency=_MOST_CONNECTIONS,
                timeout_graceful_shutdown=_LAST_ANSWERS_S,
            )
        )
        self._app = app
        self._close = close
        self._say = say
        self._is_asked = threading.Event()
        self._was_asked = False
        self.has_closed = self.has_lost = False
        threading.Thread(target=self._drain, name="draining", daemon=True).start()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note a signal; a handler runs in the middle of anything, so that others do the work."""
        del frame
        if self._was_asked:
            signal.signal(sig, signal.SIG_DFL)
            os._exit(ExitCode.KILLED)
        self._was_asked = True
        self._is_asked.set()

    def stop(self) -> None:
        """Do as the first signal does."""
        self._was_asked = True
        self._is_asked.set()

    def lose(self) -> None:
        """End, for another server has taken the state over; its clients' next requests are that one's."""
        self.has_lost = True
        self.stop()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams that have no end of their own, then everything."""
        self._app.end_streams()
        await super().shutdown(sockets)

    def _drain(self) -> None:
        self._is_asked.wait()
        if not self.has_lost:
            self._say("stopping: running chunks end first; press Ctrl-C again to stop at once")
        self._app.drain()
        try:
            self._close()
        finally:
            self.has_closed = True
            self.should_exit = True


def serve(
    request: ServerRequest,
    source: LoadedSettings,
    doors: Sequence[MakeDoor],
    say: Callable[[str], None],
    begun: Callable[[WebServer], None] = lambda _: None,
    *,
    works: bool = True,
) -> None:
    """Serve until a signal.

    Args:
        request: What is served, and where.
        source: Settings.
        doors: The doors.
        say: Called with lines for people.
        begun: Called with the server before it begins to answer.
        works: Start the process that does the jobs; without it they wait.

    Raises:
        SetupError: The port, the folder, the state or the settings cannot be used.
        StorageError: A disk or store refused.
        EngineError: Another server took the state over.
    """
    access_public = _public_host(request.public_url)
    _allow_open_files()
    listener = ListeningSocket(request.host, request.port)
    with listener.socket:
        folder = request.folder
        token_file = folder / "token"
        is_new = not token_file.exists()
        token = secret_in(token_file)
        secret = secret_in(folder / "webhook-secret", "whsec_")
        access = AccessRules(token, not is_loopback(request.host) or access_public is not None, access_public)
        server: WebServer | None = None
        service = Service.open(folder, source, state=request.state, out=request.out, works=works, say=say)
        try:
            options = _options(request, service, access, listener.url)
            _scratch_in(service.folder / "tmp")
            assets = AssetStore(service.store, service.uploads, options.upload_bytes, service.side_work.facts)
            app = WebApp(service, assets, options, doors, secret)
            server = WebServer(app, service.close, say)
            service.on_loss = server.lose
            if not service.has_state:  # lost before anybody heard of it
                server.lose()
            say(f"listening on {listener.url}; the key of webhooks is in {folder}/webhook-secret")
            if options.base_url != listener.url and not options.is_public:
                say(f"links in webhooks begin with {options.base_url}: --public-url names another address")
            if access.needs_token:
                say(f"requests need the token in {token_file}" + (f": {token}" if is_new else ""))
            begun(server)
            _run(server, app, listener.socket)
            if server.has_lost:
                got = "another server took this state over, and goes on with its jobs, so this one has ended"
                raise EngineError(
                    "state_taken", service.store.address, got=got, do="Run it again when that one has ended"
                )
        finally:
            if server is None or not server.has_closed:
                service.close()


def _run(server: WebServer, app: WebApp, listener: socket.socket) -> None:
    """Answer until a signal.

    Raises:
        SetupError: The application cannot begin.
        StorageError: A disk or store refused at its beginning.
    """
    try:
        server.run([listener])
    except SystemExit:  # by which some versions of uvicorn say that the application did not begin
        if app.start_error is None:
            raise
    error = app.start_error
    if isinstance(error, LipwiseError):
        raise error
    if error is not None:
        got = f"the application cannot begin: {type(error).__name__}: {error}"
        raise SetupError("not_started", "the server", got=got) from error


def _allow_open_files() -> None:
    """Have room for all connections, as far as the system's own bound lets a process raise its number of open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _scratch_in(folder: Path) -> None:
    """Have the files of forms on the way lie beside the uploads: /tmp is often small, and in memory.

    Raises:
        SetupError: The disk refuses.
    """
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise SetupError("refused_place", str(folder), got=os_reason(error), do="Check the folder") from error
    tempfile.tempdir = str(folder)


def _options(request: ServerRequest, service: Service, access: AccessRules, url: str) -> ServerOptions:
    bounds = service.settings.service
    return ServerOptions(
        access=access,
        base_url=request.public_url or _reachable(url),
        is_public=request.public_url is not None,
        prefix=urlsplit(request.public_url or "").path.rstrip("/"),
        upload_bytes=int(bounds.upload_gb * 1e9),
        body_bytes=int(bounds.body_mb * 1e6),
        requests_per_minute=bounds.requests_per_minute,
        listeners=_MOST_LISTENERS,
        link_s=_LINK_S,
        keep_s=bounds.keep_days * _DAY_S,
        idle_s=_IDLE_S,
        folders=service.folders,
    )


def _reachable(url: str) -> str:
    """Return the address of a listener as others may ask for it: by this machine's name where it has all of its own."""
    parts = urlsplit(url)
    try:
        is_any = ipaddress.ip_address(parts.hostname or "").is_unspecified
    except ValueError:
        is_any = False
    return f"{parts.scheme}://{socket.gethostname()}:{parts.port}" if is_any else url


def _public_host(url: str | None) -> str | None:
    """Return the name by which a proxy is asked.

    Raises:
        SetupError: The address is none.
    """
    if url is None:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = None
    if parts is None or parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc or parts.query:
        raise SetupError(
            "public_url",
            "--public-url",
            got=f"{url!r} is not the address of a site",
            must="one is https://dub.example.org",
        )
    if parts.path.strip("/").partition("/")[0] in _OWN_STEPS:  # a proxy that removes it would leave it in doubt
        got = f"the path of {url!r} begins as addresses of this service do"
        raise SetupError("public_url", "--public-url", got=got, do="Choose another path")
    return parts.netloc
