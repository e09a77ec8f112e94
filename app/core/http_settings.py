"""Section `http` of config.toml: the address, the token and the names of the HTTP server."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from app.core.json_types import is_array, is_object
from app.core.maintenance_settings import SettingFault, format_unknown_setting
from app.core.text.sanitize import sanitize
from app.translation import tr

EXAMPLE_ADDRESS = "127.0.0.1:8650"
UNIX_PREFIX = "unix:"
MAX_SOCKET_PATH = 107
"""Maximum number of bytes of the path of a unix socket, as Linux allows."""


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Address of the HTTP server: `host` and `port`, or the `path` of a unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def is_local(self) -> bool:
        """True if only this machine reaches the address, and so no token is needed."""
        return bool(self.path) or ip_address(self.host).is_loopback

    @property
    def url(self) -> str:
        """Address as a URL begins, or the socket as it was typed."""
        return str(self) if self.path else f"http://{self}"

    def is_taken_by(self, url: str) -> bool:
        """Return True if a server at `url` already has this socket or port."""
        return url == self.url or (not self.path and url.endswith(f":{self.port}"))

    def __str__(self) -> str:
        if self.path:
            return f"{UNIX_PREFIX}{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Settings of the HTTP server.

    `listen` is None while the server is off. `token_file` holds the token that requests carry.
    `hosts` are further names that a Host header may give.
    """

    listen: ListenAddress | None = None
    token_file: str | None = None
    hosts: tuple[str, ...] = ()

    @property
    def lacks_token(self) -> bool:
        """True if other machines could reach the address, and no token is set."""
        return self.listen is not None and not self.listen.is_local and self.token_file is None


def parse_address(text: str) -> ListenAddress:
    """Parse `HOST:PORT` or `unix:PATH`. Raise ValueError."""
    if text.startswith(UNIX_PREFIX):
        return ListenAddress(path=_parse_socket_path(text.removeprefix(UNIX_PREFIX)))
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) < 1 << 16):
        raise ValueError(
            tr("must be HOST:PORT or unix:PATH, such as {example}", example=EXAMPLE_ADDRESS)
        )
    return ListenAddress(_parse_host(host), int(port))


def _parse_host(host: str) -> str:
    if host == "localhost":
        return "127.0.0.1"
    inside = host[1:-1] if host[0] == "[" and host[-1] == "]" else host
    try:
        found = ip_address(inside)
    except ValueError:
        raise ValueError(
            tr("must name the host as an IP address, such as {example}", example=EXAMPLE_ADDRESS)
        ) from None
    if found.version == 6 and inside == host:
        raise ValueError(
            tr("must put an IPv6 address in brackets, such as [{address}]:8650", address=inside)
        )
    return str(found)


def _parse_socket_path(path: str) -> str:
    if not path.startswith("/") or "\0" in path:
        raise ValueError(
            tr("must name the socket as an absolute path, such as unix:/run/user/1000/td")
        )
    if len(os.fsencode(path)) > MAX_SOCKET_PATH:
        raise ValueError(tr("must name a path of at most {limit} bytes", limit=MAX_SOCKET_PATH))
    return path


def parse_http(values: Any) -> tuple[HttpSettings, list[SettingFault]]:
    """Parse the section; return defaults for invalid settings, and all faults."""
    if not is_object(values):
        return HttpSettings(), [SettingFault(("http",), tr("http: must be a table."))]
    faults: list[SettingFault] = []
    found: dict[str, Any] = {}
    for name, value in values.items():
        where, parse = ("http", name), _PARSERS.get(name)
        if parse is None:
            faults.append(SettingFault(where, f"http: {format_unknown_setting(name, _PARSERS)}"))
            continue
        try:
            found[name] = parse(value)
        except ValueError as error:
            faults.append(SettingFault(where, f"http.{name}: {error}."))
    return HttpSettings(**found), faults


def _parse_listen(value: Any) -> ListenAddress:
    if not isinstance(value, str):
        raise ValueError(
            tr('must be an address in quotes, such as "{example}"', example=EXAMPLE_ADDRESS)
        )
    return parse_address(value)


def _parse_token_file(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith(("/", "~/")) or "\0" in value:
        raise ValueError(tr("must be an absolute path in quotes"))
    return os.path.expanduser(value)


def _parse_hosts(value: Any) -> tuple[str, ...]:
    if not is_array(value):
        raise ValueError(tr('must be a list of names, such as ["deck.example"]'))
    for name in value:
        if not isinstance(name, str) or not is_host_name(name):
            raise ValueError(tr('has a name that is no host: "{name}"', name=sanitize(str(name))))
    return tuple(name.lower() for name in value)


def is_host_name(name: str) -> bool:
    """Return True for a name or address as a Host header gives one, without the port."""
    return 0 < len(name) <= 253 and all(
        one.isascii() and (one.isalnum() or one in "-._:[]") for one in name
    )


_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "listen": _parse_listen, "token_file": _parse_token_file, "hosts": _parse_hosts,
}  # fmt: skip
