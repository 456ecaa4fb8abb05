"""The guard: one ASGI layer outside the router, closed by default, for HTTP and WebSocket alike.

Order: Host, Origin, then (unless the path is one of PUBLIC) the token, then the route and its
permission. Whoever has no token learns nothing, not even which paths exist. Tokens come in the
Authorization header. The studio has a session in a cookie instead, which needs a header of its own
wherever something may change, and opens no WebSocket: for one, a token or a ticket is sent as its
first message. Who the holder is, `keys` says; sessions begin in `logins`; bodies are `limits`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

import msgspec

from outlast.config import LOOPBACK_HOSTS, Settings, is_loopback
from outlast.errors import NotFound, Refused
from outlast.server.errors import HttpError
from outlast.server.route import Found, Permission, Route, Table

# Exactly these answer without a token.
PUBLIC = frozenset((b"/api/version", b"/api/health", b"/api/login", b"/login"))
SAFE = frozenset(("GET", "HEAD"))
# Pages of other origins can't send it: it shows that the studio's own script asks.
STUDIO_HEADER = b"outlast-studio"
MAY: dict[str, frozenset[Permission]] = {
    "admin": frozenset(("read", "append", "manage")),
    "read": frozenset(("read",)),
    "run": frozenset(("read", "append")),  # of its own run only
}
REMEMBERED_IPS = 10_000
TICKET_S = 30.0
MAX_TICKETS = 1_000
FIRST_MESSAGE_S = 10.0
FIRST_MESSAGE_BYTES = 4_096
CLOSE_UNAUTHORIZED = 4401
CLOSE_FORBIDDEN = 4403
REVOKED_LOOK_S = 2.0  # how often an open WebSocket's token is looked at
REVOKED = "the token is no longer valid"

Scope = dict[str, Any]
Receive = Callable[[], Any]
Send = Callable[[Any], Any]
Note = Callable[..., None]  # (who, action, target, origin, result): the audit trail


class Principal(NamedTuple):
    """Who asks: the holder of a token."""

    name: str
    scope: str  # admin | read | run | public
    run_id: str = ""  # of scope "run": the only run that it may touch
    credential: str = ""  # SHA-256 of what was shown; "" when that can't be revoked


class Keys(Protocol):
    """Knows the tokens."""

    async def principal(self, token: str) -> Principal | None:
        """Whose token this is; None for one that is unknown, expired or revoked."""

    async def session(self, session: str) -> Principal | None:
        """Whose session of the studio this is; None for one that is unknown or over."""

    async def still_holds(self, principal: Principal) -> bool:
        """Is what this principal has shown still valid, neither expired nor revoked?"""


async def until_revoked(keys: Keys, principal: Principal) -> None:
    """Wait until what this principal showed is revoked or expired; for ever where it can't be."""
    if not principal.credential:
        await asyncio.Event().wait()
    while True:
        await asyncio.sleep(REVOKED_LOOK_S)
        if not await keys.still_holds(principal):
            return


class Misses:
    """How often an address has just shown a wrong token. A right one is never held up by it."""

    def __init__(self, per_min: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_min = per_min
        self._clock = clock
        self._times: dict[str, deque[float]] = {}

    def add(self, ip: str) -> float:
        """Note one more; returns the seconds to wait when there are too many, else 0."""
        now = self._clock()
        times = self._times.pop(ip, None) or deque(maxlen=self._per_min)
        self._times[ip] = times  # at the end: the ones that are quiet are forgotten first
        if len(self._times) > REMEMBERED_IPS:
            del self._times[next(iter(self._times))]
        if len(times) == self._per_min and now - times[0] < 60:
            return 60 - (now - times[0])
        times.append(now)
        return 0.0


class Tickets:
    """Short-lived passes for one WebSocket each, since a browser can't send a header with it.

    A ticket for one place (`place_of`) opens no other, and one for no place opens no such place.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open: dict[bytes, tuple[float, Principal, str]] = {}

    def make(self, principal: Principal, place: str = "") -> str:
        """A ticket that is good once, within TICKET_S."""
        now = self._clock()
        self._open = {key: entry for key, entry in self._open.items() if entry[0] > now}
        if len(self._open) >= MAX_TICKETS:
            raise HttpError(429, "too_many", "too many open tickets", headers={"Retry-After": "30"})
        ticket = os.urandom(32).hex()
        self._open[_digest(ticket)] = (now + TICKET_S, principal, place)
        return ticket

    def take(self, ticket: str, place: str = "") -> Principal | None:
        """Whose ticket this is; it is used up then, also when it is for another place."""
        until, principal, its_place = self._open.pop(_digest(ticket), (0.0, None, ""))
        return principal if until > self._clock() and its_place == place else None


def place_of(route_path: str, parts: Mapping[str, str]) -> str:
    """What a ticket is bound to: the route and what its path names; "" for one that names none."""
    return " ".join((route_path, *parts.values())) if parts else ""


def _digest(secret: str) -> bytes:
    # Looked up by digest: how long a look-up takes says nothing about the secret.
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def allowed_hosts(settings: Settings, port: int) -> frozenset[str]:
    """Every value that a Host header may have, lower-case."""
    names = [f"{name}:{port}" for name in LOOPBACK_HOSTS]
    if not is_loopback(settings.host) and settings.host not in ("0.0.0.0", "::", ""):
        shown = f"[{settings.host}]" if ":" in settings.host else settings.host
        names.append(f"{shown}:{port}")
    default_port = 443 if settings.has_tls else 80
    if port == default_port:
        names += [name.rpartition(":")[0] for name in names]
    for name in settings.allowed_hosts:
        has_port = name.rpartition(":")[2].isdigit() and not name.endswith("]")
        # Without a port: as a proxy on the usual port passes it on, or directly.
        names += [name] if has_port else [name, f"{name}:{port}"]
    return frozenset(name.lower() for name in names)


class Guard:
    """Lets a request through to `inner` with scope["outlast.found"] and ["outlast.principal"]."""

    def __init__(
        self, inner: Callable[[Scope, Receive, Send], Any], table: Table, settings: Settings,
        port: int, keys: Keys, tickets: Tickets, note: Note, files: frozenset[bytes] = frozenset(),
    ) -> None:  # fmt: skip
        """`files` are paths that need no token, as those of PUBLIC: the studio's scripts."""
        self.inner = inner
        self.table = table
        self.settings = settings
        self.hosts = allowed_hosts(settings, port)
        self.keys = keys
        self.tickets = tickets
        self.note = note
        self.public = PUBLIC | files
        # Cookies don't know ports, and the servers of two workspaces may share a host.
        self.cookie = f"outlast_{_digest(settings.home).hex()[:8]}"
        self.misses = Misses(settings.wrong_tokens_per_min)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises HttpError, Refused or NotFound: nothing behind it has seen the request then."""
        headers = scope["headers"]
        host = self._check_host(headers)
        self._check_origin(headers, host)
        if not scope["raw_path"].startswith(b"/"):
            raise HttpError(400, "bad_request", "the request's target must be a path")
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
            return
        if scope["raw_path"] in self.public:
            found = self.table.find(scope["method"], scope["raw_path"])
            if found.route.permission == "public":
                await self._pass(scope, receive, send, found, Principal("anyone", "public"))
                return
        principal = await self._in_session(scope)
        principal = principal or await self._principal(headers, self.ip(scope))
        found = self.table.find(scope["method"], scope["raw_path"])
        self._check_permission(principal, found)
        await self._pass(scope, receive, send, found, principal)

    def ip(self, scope: Scope) -> str:
        """Who asks. A forwarded address is believed only from a proxy that the settings name."""
        ip = scope["client"][0] if scope.get("client") else ""
        if ip in self.settings.trusted_proxies:
            forwarded = _values(scope["headers"], b"x-forwarded-for")
            hops = [hop.strip() for hop in b",".join(forwarded).decode("latin-1").split(",")]
            ip = next((h for h in reversed(hops) if h not in self.settings.trusted_proxies), ip)
        return ip[:64]

    def _check_host(self, headers: Iterable[tuple[bytes, bytes]]) -> str:
        values = _values(headers, b"host")
        host = values[0].decode("latin-1").lower() if len(values) == 1 else ""
        if host not in self.hosts:
            raise HttpError(
                400, "bad_host", "this Host isn't served here",
                hint="add the name to the setting allowed_hosts if a proxy passes it on",
            )  # fmt: skip
        return host

    def _check_origin(self, headers: Iterable[tuple[bytes, bytes]], host: str) -> None:
        """A page of another origin gets nothing, whatever token it may have found."""
        values = _values(headers, b"origin")
        if not values:
            return
        is_local = host.rpartition(":")[0] in LOOPBACK_HOSTS or host in LOOPBACK_HOSTS
        schemes = {"https" if self.settings.has_tls else "http"}
        if not is_local:
            schemes.add("https")  # a proxy in front may speak TLS
        own = {f"{scheme}://{host}" for scheme in schemes}
        if len(values) != 1 or values[0].decode("latin-1").lower() not in own:
            raise HttpError(403, "foreign_origin", "requests from other origins are refused")

    async def _in_session(self, scope: Scope) -> Principal | None:
        """Whose session the cookie holds; None without a valid one, or when a token is shown."""
        headers = scope["headers"]
        session = cookie_of(headers, self.cookie)
        if not session or _values(headers, b"authorization"):
            return None
        principal = await self.keys.session(session)
        if principal is None or scope["method"] in SAFE or _values(headers, STUDIO_HEADER):
            return principal
        raise HttpError(
            403, "no_studio_header", "a cookie alone changes nothing",
            hint="send the header Outlast-Studio: 1",
        )  # fmt: skip

    async def _principal(self, headers: Iterable[tuple[bytes, bytes]], ip: str) -> Principal:
        if self.settings.insecure_no_auth:
            return Principal("anyone", "admin")
        values = _values(headers, b"authorization")
        kind, _, token = (values[0] if len(values) == 1 else b"").partition(b" ")
        if kind.lower() != b"bearer" or not token:
            raise HttpError(
                401, "unauthorized", "send the workspace's token: Authorization: Bearer TOKEN",
                headers={"WWW-Authenticate": "Bearer"},
                hint="the token is in the file `token` of the workspace folder",
            )  # fmt: skip
        return self.known(await self.keys.principal(token.decode("latin-1").strip()), ip)

    def known(self, principal: Principal | None, ip: str) -> Principal:
        """The principal; an address that shows wrong tokens is counted. Raises HttpError."""
        if principal is not None:
            return principal
        wait_s = self.misses.add(ip)
        if wait_s:
            raise HttpError(
                429, "too_many_attempts", "too many wrong tokens from this address",
                headers={"Retry-After": str(int(wait_s) + 1)},
            )  # fmt: skip
        self.note("unknown", "token", "", ip, "refused")
        raise HttpError(
            401, "unauthorized", "this token isn't valid here",
            headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
            hint="the token is in the file `token` of the workspace folder",
        )  # fmt: skip

    def _check_permission(self, principal: Principal, found: Found) -> None:
        if found.route.permission == "public":
            return
        if found.route.permission not in MAY[principal.scope]:
            raise Refused(
                f"this token may not do that: it is for {principal.scope!r}",
                hint="use a token of scope admin",
            )
        if principal.scope == "run" and found.parts.get("id", principal.run_id) != principal.run_id:
            raise NotFound("there is no such run in this workspace")
        if principal.scope == "run" and not _is_about_one_run(found.route):
            raise Refused("this token may only be used for its own run")

    async def _pass(
        self, scope: Scope, receive: Receive, send: Send, found: Found, principal: Principal
    ) -> None:
        scope["outlast.found"] = found
        scope["outlast.principal"] = principal
        scope["outlast.ip"] = self.ip(scope)
        scope["outlast.guard"] = self
        await self.inner(scope, receive, send)

    # --- WebSockets: a header decides before the handshake, else the first message after it ---

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_header = bool(_values(scope["headers"], b"authorization"))
        is_open = has_header or self.settings.insecure_no_auth
        ip = self.ip(scope)
        principal = await self._principal(scope["headers"], ip) if is_open else None
        try:
            found = self.table.find("WEBSOCKET", scope["raw_path"])
        except (NotFound, HttpError):
            if principal is None:
                await self._principal(
                    (), ""
                )  # closed by default: raises 401 for a path that isn't there
            raise
        if principal is not None:
            self._check_permission(principal, found)
        await receive()  # websocket.connect
        await send({"type": "websocket.accept"})
        if principal is None:
            principal = await self._first_message(scope, receive, send, found)
            if principal is None:
                return
        await self._pass(scope, receive, send, found, principal)

    async def _first_message(
        self, scope: Scope, receive: Receive, send: Send, found: Found
    ) -> Principal | None:
        """Who the first message says it is; None when the socket was closed instead."""
        try:
            async with asyncio.timeout(FIRST_MESSAGE_S):
                message = await receive()
            if message["type"] == "websocket.disconnect":
                return None
            place = place_of(found.route.path, found.parts)
            principal = self.known(await self._shown(message, place), self.ip(scope))
            self._check_permission(principal, found)
        except TimeoutError:
            await _close(send, CLOSE_UNAUTHORIZED, "no token came")
        except HttpError as error:
            await _close(send, CLOSE_UNAUTHORIZED, error.message)
        except (Refused, NotFound) as error:
            await _close(send, CLOSE_FORBIDDEN, error.message)
        else:
            return principal
        return None

    async def _shown(self, message: Any, place: str) -> Principal | None:
        text = message.get("text") or ""
        if len(text) > FIRST_MESSAGE_BYTES:
            return None
        try:
            hello = msgspec.json.decode(text.encode(), type=_Hello)
        except (msgspec.DecodeError, UnicodeEncodeError):
            return None
        if hello.ticket:
            return self.tickets.take(hello.ticket, place)
        return await self.keys.principal(hello.token) if hello.token else None


class _Hello(msgspec.Struct):
    token: str = ""
    ticket: str = ""


def _values(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [value for key, value in headers if key == name]


def cookie_of(headers: Iterable[tuple[bytes, bytes]], name: str) -> str:
    """The value of a cookie; "" without one."""
    for header in _values(headers, b"cookie"):
        for pair in header.decode("latin-1").split(";"):
            found, _, value = pair.strip().partition("=")
            if found == name:
                return value
    return ""


def _is_about_one_run(route: Route) -> bool:
    return "{id}" in route.path or route.permission == "public" or route.method == "WEBSOCKET"


async def _close(send: Send, code: int, reason: str) -> None:
    await send({"type": "websocket.close", "code": code, "reason": reason[:120]})
