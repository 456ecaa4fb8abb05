"""The settings: what they are, where they come from, and nothing else.

file (`$OUTLAST_HOME/config.toml`) < `OUTLAST_*` variables < flags. They are read once, in a `main`,
and passed on as one frozen `Settings`; no module reads the environment when it is imported. An
unknown name is an error that says which known one is nearest. `ABOUT` is docs/settings.md.
"""

from __future__ import annotations

import os
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

from outlast.errors import Invalid

FILE = "config.toml"
PREFIX = "OUTLAST_"
# OUTLAST_* variables that are no settings: they speak of one run, one process or one client.
NOT_SETTINGS = frozenset(
    (
        "RUN",
        "RUN_ID",
        "OUTPUTS",
        "ATTEMPT",
        "DETACHED",
        "TOKEN",
        "EXPERIMENT",
        "DEBUG",
        "KIT",
        "CONTEXT",
        "SESSION",
    )
)
NOT_SETTINGS_PREFIX = "TEST_"

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_LEAST_QUOTA_BYTES = 1 << 20  # `why` reads the last lines
LOG_LEVELS = ("debug", "info", "warning", "error")


class Settings(NamedTuple):
    """Every setting, with its default. `ABOUT` says what each means."""

    home: str = "~/.outlast"
    url: str = ""
    host: str = "127.0.0.1"
    port: int = 8686
    database_url: str = ""
    blobs_folder: str = ""
    allowed_hosts: Tuple[str, ...] = ()
    trusted_proxies: Tuple[str, ...] = ()
    insecure_no_auth: bool = False
    insecure_bind: bool = False
    tls_cert: str = ""
    tls_key: str = ""
    cpus: float = 0.0
    memory_bytes: int = 0
    gpus: int = -1
    max_body_bytes: int = 4 << 20
    max_batch_bytes: int = 16 << 20
    max_journal_bytes: int = 64 << 30
    max_records_per_s: int = 100_000
    max_connections: int = 10_000
    max_connections_per_ip: int = 4_000
    header_timeout_s: float = 10.0
    body_idle_timeout_s: float = 60.0
    keep_alive_s: float = 60.0
    wrong_tokens_per_min: int = 10
    max_wait_s: float = 60.0
    stop_timeout_s: float = 1.0
    output_quota_bytes: int = 0
    log_level: str = "info"

    @property
    def runs_folder(self) -> str:
        """Where each run has its folder."""
        return os.path.join(self.home, "runs")

    @property
    def database(self) -> str:
        """The database's URL: `database_url`, or the SQLite file in the workspace."""
        return self.database_url or "sqlite:///" + os.path.join(self.home, "outlast.db")

    @property
    def blobs(self) -> str:
        """Where stored files are kept by content."""
        return self.blobs_folder or os.path.join(self.home, "blobs")

    @property
    def has_tls(self) -> bool:
        return bool(self.tls_cert)


ABOUT: Dict[str, str] = {
    "home": "Workspace folder: runs, database, stored files, token. It can't be set in the file.",
    "url": "Server that SDK and CLI talk to; empty: the workspace's own, started on demand.",
    "host": "Address the server listens on. Another than loopback needs TLS or `insecure_bind`.",
    "port": "TCP port of the server; 0 takes any free one.",
    "database_url": "SQLAlchemy URL of the database; empty: SQLite in the workspace folder.",
    "blobs_folder": "Folder of stored outputs and snapshots; empty: `blobs` in the workspace.",
    "allowed_hosts": "Further `Host` names (`name` or `name:port`) of requests, as a proxy needs.",
    "trusted_proxies": "Addresses of proxies whose `X-Forwarded-For` is believed.",
    "insecure_no_auth": "Serve without tokens; only on loopback. Any local user may then do all.",
    "insecure_bind": "Listen beyond loopback without TLS: tokens cross the network in clear.",
    "tls_cert": "Certificate file (PEM) for HTTPS.",
    "tls_key": "Private key file (PEM) of the certificate.",
    "cpus": "Processor cores that runs may use together; 0: all of the machine.",
    "memory_bytes": "Bytes of memory that runs may ask for together; 0: all of the machine.",
    "gpus": "GPUs that runs may use; -1: as many as are found.",
    "max_body_bytes": "Bytes that the body of a JSON request may have.",
    "max_batch_bytes": "Bytes that one batch of journal bytes may have.",
    "max_journal_bytes": "Bytes that one journal of a run on another machine may have.",
    "max_records_per_s": "Records a second that a run on another machine may send for long.",
    "max_connections": "Connections that the server holds open at once.",
    "max_connections_per_ip": "Connections that one address may hold open at once.",
    "header_timeout_s": "Seconds that a request's headers may take to arrive.",
    "body_idle_timeout_s": "Seconds that may pass between two pieces of a request's body.",
    "keep_alive_s": "Seconds that an idle connection is kept open for the next request.",
    "wrong_tokens_per_min": "Wrong tokens that one address may show in a minute before it waits.",
    "max_wait_s": "Seconds that a request with `wait` waits at the longest.",
    "stop_timeout_s": "Seconds that a stopping server gives to requests that it is answering.",
    "output_quota_bytes": "Bytes of output kept of each run, 1 MiB or more; 0: all of it.",
    "log_level": "What the server's log holds: debug, info, warning or error.",
}


class Value(NamedTuple):
    """One setting as it is, with where it came from."""

    value: Any
    source: str  # default | the file's path | the variable's name | the flag's name


def load(
    flags: Optional[Mapping[str, Any]] = None, environ: Optional[Mapping[str, str]] = None
) -> Settings:
    """The settings of this process. `flags` are those of the command line (None = not given).

    Raises Invalid for an unknown name, a wrong type or a value out of range, naming its source.
    """
    return Settings(**{name: item.value for name, item in sources(flags, environ).items()})


def sources(
    flags: Optional[Mapping[str, Any]] = None, environ: Optional[Mapping[str, str]] = None
) -> Dict[str, Value]:
    """Every setting with where its value came from. Raises as `load` does."""
    environ = os.environ if environ is None else environ
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    _refuse_unknown(given, "flag", lambda name: "--" + name.replace("_", "-"))
    found = {name: Value(value, "default") for name, value in Settings()._asdict().items()}
    found["home"] = _home(given, environ)
    path = os.path.join(found["home"].value, FILE)
    for name, value in _from_file(path).items():
        found[name] = Value(_read(name, value, path), path)
    for name, text in _from_environ(environ).items():
        variable = PREFIX + name.upper()
        found[name] = Value(_read(name, text, variable), variable)
    for name, value in given.items():
        flag = "--" + name.replace("_", "-")
        found[name] = Value(_read(name, value, flag), flag)
    _check_together({name: item.value for name, item in found.items()})
    return found


def _home(flags: Mapping[str, Any], environ: Mapping[str, str]) -> Value:
    if flags.get("home"):
        return Value(_read("home", flags["home"], "--home"), "--home")
    if environ.get(PREFIX + "HOME"):
        return Value(_read("home", environ[PREFIX + "HOME"], PREFIX + "HOME"), PREFIX + "HOME")
    return Value(_folder("home", Settings().home), "default")


def _from_file(path: str) -> Dict[str, Any]:
    try:
        with open(path, "rb") as file:
            text = file.read()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Invalid.field("config", path, f"it can't be read: {error.strerror}") from None
    import tomllib  # only where there is a file: a CLI call without one shouldn't pay for it

    try:
        values = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid.field("config", path, f"it isn't TOML: {error}") from None
    _refuse_unknown(values, path, str)
    if "home" in values:
        remedy = f"set OUTLAST_HOME instead: {path} is found by it"
        raise Invalid.field("home", values["home"], remedy)
    return values


def _from_environ(environ: Mapping[str, str]) -> Dict[str, str]:
    names = {
        variable[len(PREFIX) :]: value
        for variable, value in environ.items()
        if variable.startswith(PREFIX)
    }
    settings = {
        name.lower(): value
        for name, value in names.items()
        if name not in NOT_SETTINGS and not name.startswith(NOT_SETTINGS_PREFIX)
    }
    _refuse_unknown(settings, "environment", lambda name: PREFIX + name.upper())
    return {name: value for name, value in settings.items() if name != "home"}


def _refuse_unknown(values: Mapping[str, Any], where: str, shown: Callable[[str], str]) -> None:
    for name in values:
        if name not in Settings._fields:
            from difflib import get_close_matches

            near = get_close_matches(str(name), Settings._fields, 1, 0.5)
            meant = f"did you mean {shown(near[0])}? " if near else ""
            raise Invalid(
                f"{shown(str(name))} ({where}): there is no such setting; {meant}"
                "`outlast config show` lists them",
                hint="outlast config show",
                field=str(name),
            )


# --- reading one value: text from a variable, or a typed value from the file or a flag ---


def _read(name: str, value: Any, source: str) -> Any:
    try:
        return _READERS.get(name, _READERS_BY_TYPE[type(getattr(Settings(), name))])(name, value)
    except Invalid as error:
        raise Invalid(f"{error.message} (from {source})", **error.facts) from None


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or "\0" in value or "\n" in value:
        raise Invalid.field(name, value, "give one line of text")
    return value


def _folder(name: str, value: Any) -> str:
    text = _text(name, value)
    return os.path.abspath(os.path.expanduser(text)) if text else ""


def _texts(name: str, value: Any) -> Tuple[str, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, (list, tuple)):
        raise Invalid.field(name, value, "give a list of texts, or one text with commas")
    return tuple(_text(name, item) for item in value)


def _flag(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("", "0", "false", "no", "off"):
        return False
    raise Invalid.field(name, value, "give true or false")


def _number(minimum: float, maximum: float, *, is_whole: bool) -> Callable[[str, Any], Any]:
    def read(name: str, value: Any) -> Any:
        kind = "a whole number" if is_whole else "a number"
        remedy = f"give {kind} from {minimum:g} to {maximum:g}"
        try:
            number = (int if is_whole and isinstance(value, str) else float)(value)
        except (TypeError, ValueError, OverflowError):
            raise Invalid.field(name, value, remedy) from None
        is_wrong_kind = isinstance(value, bool) or (is_whole and number != int(number))
        if not minimum <= number <= maximum or is_wrong_kind:
            raise Invalid.field(name, value, remedy)
        return int(number) if is_whole else float(number)

    return read


def _quota(name: str, value: Any) -> int:
    number: int = _number(0, 1e18, is_whole=True)(name, value)
    if 0 < number < _LEAST_QUOTA_BYTES:
        raise Invalid.field(name, value, f"give 0 for none, or at least {_LEAST_QUOTA_BYTES}")
    return number


def _log_level(name: str, value: Any) -> str:
    if value not in LOG_LEVELS:
        raise Invalid.field(name, value, f"use one of: {', '.join(LOG_LEVELS)}")
    return str(value)


_READERS_BY_TYPE: Dict[type, Callable[[str, Any], Any]] = {
    str: _text,
    tuple: _texts,
    bool: _flag,
    int: _number(1, 1e15, is_whole=True),
    float: _number(0.01, 1e6, is_whole=False),
}
_READERS: Dict[str, Callable[[str, Any], Any]] = {
    "home": _folder,
    "blobs_folder": _folder,
    "tls_cert": _folder,
    "tls_key": _folder,
    "port": _number(0, 65535, is_whole=True),
    "cpus": _number(0, 1e6, is_whole=False),
    "memory_bytes": _number(0, 1e18, is_whole=True),
    "gpus": _number(-1, 1024, is_whole=True),
    "max_wait_s": _number(0, 60, is_whole=False),
    "output_quota_bytes": _quota,
    "log_level": _log_level,
}


def is_loopback(host: str) -> bool:
    """Does a server that listens on `host` only hear this machine?"""
    return host in ("localhost", "::1") or (host.startswith("127.") and host.count(".") == 3)


def _check_together(values: Mapping[str, Any]) -> None:
    if bool(values["tls_cert"]) != bool(values["tls_key"]):
        missing = "tls_key" if values["tls_cert"] else "tls_cert"
        raise Invalid.field(missing, "", "give both tls_cert and tls_key, or neither")
    if is_loopback(values["host"]):
        return
    if values["insecure_no_auth"]:
        remedy = "it is only allowed on a loopback address (host = 127.0.0.1)"
        raise Invalid.field("insecure_no_auth", True, remedy)
    if not values["tls_cert"] and not values["insecure_bind"]:
        remedy = (
            "others could read the token on the network: give tls_cert and tls_key, or set "
            "insecure_bind where something else encrypts (a tunnel, a proxy)"
        )
        raise Invalid.field("host", values["host"], remedy)


def as_table() -> List[Tuple[str, str, str, str]]:
    """(name, type, default, meaning) of every setting: the table in docs/settings.md."""
    names = {str: "text", tuple: "list", bool: "true/false", int: "whole number", float: "number"}
    rows = []
    for name, default in Settings()._asdict().items():
        shown = ", ".join(default) if isinstance(default, tuple) else str(default).lower()
        rows.append((name, names[type(default)], shown or "(empty)", ABOUT[name]))
    return rows
