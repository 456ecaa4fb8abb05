"""The server while it serves: its socket, its parts, and the way down.

The socket is bound before anything slow is done, so that a taken port is told at once and clients
of a restarting server wait in its backlog instead of being turned away. `process` has the order.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import resource
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import uvicorn

from outlast import __version__
from outlast.artifacts.blobs import Blobs
from outlast.config import Settings
from outlast.errors import Invalid
from outlast.scheduler.scheduler import Scheduler
from outlast.server import logs
from outlast.server.app import App
from outlast.server.auth import Tickets
from outlast.server.connections import MAX_HEAD_BYTES, Connections, Http
from outlast.server.follow import Followers
from outlast.server.keys import Trail, WorkspaceKeys
from outlast.server.logins import Codes
from outlast.server.pace import Pace
from outlast.server.parts import Parts
from outlast.server.studio import Studio
from outlast.server.websocket import WebSocket
from outlast.server.workspace import Lock, read_facts, remove_facts, write_facts
from outlast.sessions.screens import Screens
from outlast.store.database import Database

log = logging.getLogger(__name__)

BACKLOG = 2_048
MAX_MESSAGE_BYTES = 1 << 20
UNSENT_BYTES = 512 << 10
PING_S = 20.0
NEXT_PORTS = 100  # how many ports after the usual one are tried
# Descriptors that connections leave for journals, the database and the processes to start.
RESERVED_FDS = 512
THREADS = 8
# Who asks first hears of what happened without a server; a long backlog is told as it is read.
TAKEN_UP_S = 1.0
WORKSPACE_LOOK_S = 2.0  # how often it is looked whether the workspace is still there


def listen(settings: Settings, *, is_port_chosen: bool) -> socket.socket:
    """A listening socket. A port that the user chose must be free; the default one may give way.

    Raises Invalid when the address or the port can't be had.
    """
    ports = [settings.port]
    if not is_port_chosen:
        ports = [*_last_port(settings), *range(settings.port, settings.port + NEXT_PORTS), 0]
    for port in ports:
        try:
            return _bound(settings.host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                remedy = f"the server can't listen there ({error.strerror or error})"
                raise Invalid.field("host", settings.host, remedy) from None
    raise Invalid.field(
        "port", settings.port, "another program listens there; choose another, or 0 for any"
    )


def _last_port(settings: Settings) -> list[int]:
    """The port of the server that died here: its clients come back to it."""
    facts = read_facts(settings.home) or {}
    port = str(facts.get("url", "")).rpartition(":")[2]
    return [int(port)] if port.isdigit() else []


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio sets TCP_NODELAY on what is accepted; without it, small
    # answers wait 40 ms for the client's acknowledgement.
    found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # Else the closed connections of the server before keep the port for a minute.
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Inherited by what is accepted: on a slow link, pings don't wait behind megabytes.
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        found.bind((host, port))
        found.listen(BACKLOG)
        found.setblocking(False)
    except BaseException:
        found.close()
        raise
    return found


def serve(settings: Settings, listening: socket.socket, secret: str, lock: Lock) -> int:
    """Serve until told to stop, or until the workspace is gone; returns the exit code."""
    _check_tls(settings)
    logs.set_up(settings.log_level, [secret])
    settings = settings._replace(max_connections=_raise_fd_limit(settings.max_connections))
    with asyncio.Runner() as runner:
        runner.run(_Serving(settings, listening, secret, lock).run())
    return 0


def _check_tls(settings: Settings) -> None:
    """Raise Invalid when the certificate can't be used, before anything is begun."""
    if settings.has_tls:
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(settings.tls_cert, settings.tls_key)
        except OSError as error:  # ssl.SSLError is one
            shown = error.strerror or str(error)
            remedy = f"it can't be used together with tls_key = {settings.tls_key!r}: {shown}"
            raise Invalid.field("tls_cert", settings.tls_cert, remedy) from None


def _raise_fd_limit(wanted: int) -> int:
    """Let the process open what connections need; returns how many it may then have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = wanted + RESERVED_FDS
    if soft != resource.RLIM_INFINITY and soft < target:
        soft = target if hard == resource.RLIM_INFINITY else min(target, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return wanted
    return max(16, min(wanted, soft - min(RESERVED_FDS, soft // 2)))


class _Serving:
    """One life of the server."""

    def __init__(
        self, settings: Settings, listening: socket.socket, secret: str, lock: Lock
    ) -> None:
        self.settings = settings
        self.lock = lock
        self.listening = listening
        self.secret = secret
        self.stopping = asyncio.Event()
        self.port: int = listening.getsockname()[1]

    @property
    def url(self) -> str:
        host = self.settings.host
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)
        shown = f"[{shown}]" if ":" in shown and not shown.startswith("[") else shown
        return f"{'https' if self.settings.has_tls else 'http'}://{shown}:{self.port}"

    async def run(self) -> None:
        """Everything from the database to `server.json`, then wait, then all of it back."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        async with contextlib.AsyncExitStack() as way_down:
            threads = ThreadPoolExecutor(THREADS, "outlast")
            way_down.callback(threads.shutdown, cancel_futures=True)
            database = await loop.run_in_executor(threads, Database.open, self.settings.database)
            way_down.callback(database.close)
            parts = await self._parts(database, threads, way_down)
            server = _Uvicorn(self._config(parts), self.stopping)
            server.on_started = self._on_started
            way_down.callback(remove_facts, self.settings.home)
            self._look_at_workspace()
            await server.serve(sockets=[self.listening])
        log.info("stopped; runs go on")

    def _look_at_workspace(self) -> None:
        """Without its folder a server would look after nothing, for ever."""
        if self.lock.is_in_place():
            asyncio.get_running_loop().call_later(WORKSPACE_LOOK_S, self._look_at_workspace)
        else:
            log.error("the workspace is gone home=%s", self.settings.home)
            self.stopping.set()

    def _on_started(self) -> None:
        write_facts(self.settings.home, self.url, __version__)
        log.info("serving %s home=%s", self.url, self.settings.home)

    async def _parts(
        self, database: Database, threads: ThreadPoolExecutor, way_down: contextlib.AsyncExitStack
    ) -> Parts:
        blobs = Blobs(self.settings.blobs)
        screens = Screens()
        way_down.push_async_callback(screens.close)
        scheduler = Scheduler(self.settings, database, blobs, printed=screens.follow)
        await scheduler.start()
        way_down.push_async_callback(scheduler.stop)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(scheduler.has_taken_up.wait(), TAKEN_UP_S)
        followers = Followers()
        followers.start()
        way_down.callback(followers.close)
        trail = Trail(database)
        way_down.push_async_callback(trail.close)
        return Parts(
            settings=self.settings,
            url=self.url,
            started_ns=time.time_ns(),
            database=database,
            scheduler=scheduler,
            blobs=blobs,
            followers=followers,
            pace=Pace(self.settings.max_records_per_s),
            screens=screens,
            tickets=Tickets(),
            codes=Codes(),
            studio=Studio(),
            threads=threads,
            stopping=self.stopping,
            stop=self.stopping.set,
            keys=WorkspaceKeys(self.secret, database),
            note=trail.note,
        )

    def _config(self, parts: Parts) -> uvicorn.Config:
        app = App(parts, self.port)
        connections = Connections(self.settings)
        return uvicorn.Config(
            app,
            loop="asyncio",
            http=partial(Http, connections=connections),  # type: ignore[arg-type]
            ws=WebSocket,
            ws_max_size=MAX_MESSAGE_BYTES,
            ws_ping_interval=PING_S,
            ws_ping_timeout=PING_S,
            ws_per_message_deflate=False,
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            backlog=BACKLOG,
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
            timeout_keep_alive=int(self.settings.keep_alive_s),
            timeout_graceful_shutdown=max(1, int(self.settings.stop_timeout_s)),
            ssl_certfile=self.settings.tls_cert or None,
            ssl_keyfile=self.settings.tls_key or None,
            ssl_version=ssl.PROTOCOL_TLS_SERVER,
        )


class _Uvicorn(uvicorn.Server):
    """uvicorn without its clock: it waits for the event instead of looking ten times a second."""

    def __init__(self, settings: uvicorn.Config, stopping: asyncio.Event) -> None:
        super().__init__(settings)
        self.stopping = stopping
        self.on_started: Any = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.on_started()

    async def main_loop(self) -> None:
        await self.stopping.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # the loop's own handlers are set already, and an obeyed SIGTERM is no failure
