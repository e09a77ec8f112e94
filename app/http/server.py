"""HTTP server of a runtime, off by default. Its failure is reported and stops nothing else."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from dataclasses import replace
from importlib.util import find_spec

from app import paths
from app.config import LoadedConfig, read
from app.core.http_settings import HttpSettings
from app.core.text.sanitize import sanitize
from app.errors import Conflict, Usage
from app.extras import make_install_command
from app.http import listener
from app.http.health import HealthCheck
from app.http.tokens import Token, read_token
from app.service.context import Call
from db.queries.history.operations import Actor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from app.http.protocol import BoundedProtocol

log = logging.getLogger(__name__)

PACKAGES = ("starlette", "uvicorn", "prometheus_client")
CLOSE_SECONDS = 1.0
"""Maximum seconds for answers that are under way at the end."""


class HttpServer:
    """Server of one runtime.

    `url` is "" while nothing is served; `problem` is then why, or "" if HTTP is off.
    """

    def __init__(self, settings: HttpSettings | None = None) -> None:
        self.url = self.problem = ""
        self._settings = settings or HttpSettings()
        self._sock: socket.socket | None = None
        self._inode = 0
        self._token: Token | None = None
        self._server: asyncio.Server | None = None
        self._health: HealthCheck | None = None
        self._connections: set[BoundedProtocol] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Listen, if the settings name an address. Raise Problem."""
        address = self._settings.listen
        if address is None:
            return
        refuse_missing_packages()
        self._token = read_required_token(self._settings)
        self._sock = listener.open_listener(address)
        if address.path:
            self._inode = os.lstat(address.path).st_ino
        self.url = listener.get_bound_address(self._sock, address).url

    def open_or_report(self) -> None:
        """Listen as `open` does; a problem is logged and kept."""
        try:
            self.open()
        except Exception as error:  # no fault of HTTP may stop the runtime
            self.fail(str(error))

    async def start(self, call: Call) -> None:
        """Answer requests from now on."""
        if self._sock is None:
            return
        try:
            await self._start(call, self._sock)
            log.info("HTTP is served at %s", sanitize(self.url))
        except Exception as error:
            log.exception("HTTP is not served")
            await self.close()
            self.fail(f"internal error ({type(error).__name__}).")

    async def _start(self, call: Call, sock: socket.socket) -> None:
        from uvicorn.server import ServerState

        from app.http import access, application, protocol

        assert self._settings.listen is not None
        caller = Actor(paths.get_user_name(os.geteuid()), "http")
        rules = access.make_access_rules(self._settings.listen, self._settings, self._token)
        self._health = HealthCheck(call)
        app = application.make_application(replace(call, by=caller), rules, self._health)
        config, state = protocol.make_protocol_config(app), ServerState()
        self._connections, self._tasks = state.connections, state.tasks
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: protocol.make_protocol(config, state), sock=sock
        )

    def fail(self, why: str) -> None:
        """Report why nothing is served."""
        log.warning("HTTP is not served: %s", why)
        self.url, self.problem = "", why

    async def close(self) -> None:
        """Stop listening, let answers under way end for a moment, and close all connections."""
        if self._server is not None:
            self._server.close()
        if self._sock is not None:
            self._sock.close()
        if self._inode and self._settings.listen is not None:
            listener.remove_socket(self._settings.listen.path, self._inode)
        for connection in list(self._connections):
            connection.shutdown()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)
        for connection in list(self._connections):
            connection.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._health is not None:
            await self._health.close()


def make_server(demanded: HttpSettings | None, demo: bool = False) -> HttpServer:
    """Return the listening server that the command line demands, or config.toml asks for.

    Raise Problem if a demanded one cannot listen; otherwise the server reports its problem.
    """
    found = LoadedConfig("") if demo else read(paths.get_config_path())
    if demanded is not None and demanded.listen is not None:
        server = HttpServer(merge_settings(demanded, found))
        server.open()
        return server
    if found.settings.http and found.http_fault:
        server = HttpServer()
        server.fail(found.http_fault)
        return server
    server = HttpServer(found.http)
    server.open_or_report()
    return server


def check_settings(demanded: HttpSettings) -> None:
    """Raise Problem if a server with these settings could not start, whoever has the address."""
    refuse_missing_packages()
    read_required_token(merge_settings(demanded, read(paths.get_config_path())))


def merge_settings(demanded: HttpSettings, found: LoadedConfig) -> HttpSettings:
    """Return the settings of the command line, completed by those of config.toml.

    Raise Usage if a mistake in the file may hide the token.
    """
    if demanded.token_file is None and found.http_fault:
        raise Usage(
            "{fault} HTTP may need the token of that file, so it is not served.",
            "Fix the file, or name the file with the token: --http-token-file FILE",
            fault=found.http_fault,
        )
    return HttpSettings(
        demanded.listen, demanded.token_file or found.http.token_file, found.http.hosts
    )


def read_required_token(settings: HttpSettings) -> Token | None:
    """Return the token, None if none is set. Raise Usage if the address needs one."""
    if settings.token_file is not None:
        return read_token(settings.token_file)
    if not settings.lacks_token:
        return None
    raise Usage(
        "the HTTP address {address} can be reached from other machines, so a token is needed.",
        "Name the file with the token: --http-token-file FILE, or token_file in config.toml."
        " Or listen on 127.0.0.1. See: taskdeck help http",
        address=settings.listen,
    )


def refuse_missing_packages() -> None:
    """Raise Conflict if the packages of the extra `http` are not installed."""
    missing = [name.replace("_", "-") for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise Conflict(
            "HTTP needs packages that are not installed: {names}.",
            "Install: {command}",
            names=", ".join(missing),
            command=make_install_command("http"),
        )
