"""Control-socket server: one JSON line per request, one per reply.

The kernel identifies the caller (SO_PEERCRED); claims of the caller are not trusted.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from app import paths, translation
from app.core.text.sanitize import sanitize
from app.errors import Conflict, Problem, Usage, make_process_limit_error, problem_to_dict
from app.home.restore_advice import advise_restore
from app.paths import get_user_name
from app.runtime import file_limit
from app.runtime.change_feed import ChangeFeed
from app.runtime.lock_notice import notify_while_blocked
from app.service import registry
from app.service.context import Call
from app.service.database.integrity import make_value_error
from app.translation import tr
from app.version import PROTOCOL, VERSION
from db.errors import DamagedDatabase
from db.queries.history.operations import Actor

log = logging.getLogger(__name__)

MAX_LINE = 1 << 30
ACCEPT_PAUSE = 1.0
"""Seconds before the next attempt when the machine cannot open a connection."""
HEARTBEAT = 2.0
"""Seconds between wake-ups of a `watch` without changes, because measurements change."""


class ControlServer:
    """Server of the verbs on the control socket."""

    def __init__(self, home: Path, call: Call, feed: ChangeFeed) -> None:
        self._home, self._call, self._feed = home, call, feed
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._has_warned = False

    async def start(self) -> None:
        """Listen. The caller holds the runtime's lock, so an existing socket is stale."""
        self._listener = _open_listener(self._home)
        self._accepting = asyncio.create_task(
            self._accept_clients(self._listener), name="control socket"
        )

    async def close(self) -> None:
        """Stop listening and close all connections."""
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.wait([self._accepting])
        if self._listener is not None:
            self._listener.close()
        await asyncio.sleep(0)  # a task cancelled before its first step would not close its socket
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept_clients(self, listener: socket.socket) -> None:
        """Accept clients. Turn away those for whom no descriptor is left."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(listener)
            except OSError as error:  # the whole machine has no descriptor or memory left
                self._warn_once("a client cannot be accepted: %s", error.strerror)
                await asyncio.sleep(ACCEPT_PAUSE)
                continue
            if len(self._connections) >= file_limit.get_max_connections():
                _turn_away(sock, len(self._connections))
                self._warn_once("clients are turned away: %d are connected", len(self._connections))
                continue
            self._has_warned = False
            task = asyncio.create_task(self._handle_connection(sock))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    def _warn_once(self, message: str, value: object) -> None:
        """Log a warning, but only the first one until a client is accepted again."""
        if not self._has_warned:
            log.warning(message, value)
        self._has_warned = True

    async def _handle_connection(self, sock: socket.socket) -> None:
        try:
            reader, writer = await asyncio.open_unix_connection(sock=sock, limit=MAX_LINE)
        except BaseException:
            sock.close()
            raise
        try:
            await self._handle_requests(reader, writer)
        except (OSError, asyncio.IncompleteReadError, ValueError):
            pass  # the caller has gone or sent garbage
        except asyncio.CancelledError:
            pass  # the runtime is stopping
        except Exception:
            log.exception("a request was not handled")
        finally:
            writer.close()

    async def _handle_requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        _send(writer, _make_greeting())
        call = replace(
            self._call, by=_read_peer(writer), note=lambda text: _send(writer, {"note": text})
        )
        ahead: asyncio.Task[bytes] | None = None
        while line := await (ahead or reader.readline()):
            ahead = asyncio.ensure_future(reader.readline())
            try:
                request = _parse_request(line)
            except Usage as problem:
                _send(writer, {"error": problem_to_dict(problem)})
                continue
            if request.get("verb") == "watch":
                await self._run_while_connected(self._send_wakeups(writer), ahead)
                return
            answer = await self._run_while_connected(self._answer(call, request, writer), ahead)
            if answer is None:
                return
            writer.write(answer)
            await writer.drain()

    async def _run_while_connected(self, work: Any, ahead: asyncio.Task[bytes]) -> Any:
        """Return the result of `work`, or None if the caller hangs up first."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, ahead}, return_when=asyncio.FIRST_COMPLETED)
            if ahead.done() and not ahead.result() and not task.done():
                return None
            return await task
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    async def _send_wakeups(self, writer: asyncio.StreamWriter) -> None:
        async for _ in self._feed.watch_changes(HEARTBEAT):
            writer.write(b'{"wake": 1}\n')
            await writer.drain()

    async def _answer(
        self, call: Call, request: dict[str, Any], writer: asyncio.StreamWriter
    ) -> bytes:
        try:
            claim = request.get("from")
            translation.use_caller_language(
                claim.get("language") if isinstance(claim, dict) else None
            )
            call = replace(call, by=_identify_caller(call.by, claim))
            with notify_while_blocked(
                call.db,
                lambda text, first: _send(
                    writer, {"waits": text} | ({"note": text} if first else {})
                ),
            ):
                result = await registry.call_verb(
                    call, str(request.get("verb")), request.get("args") or {}
                )
            return await _encode_result(result)
        except Problem as problem:
            told = (
                advise_restore(self._home, problem)
                if isinstance(problem, DamagedDatabase)
                else problem
            )
            return _encode_line({"error": problem_to_dict(told)})
        except Exception as error:
            if limit := make_process_limit_error(error):
                log.warning("verb %s: %s", request.get("verb"), limit.message)
                return _encode_line({"error": problem_to_dict(limit)})
            if self._call.live is not None and (found := await self._call.live.find_unreadable()):
                return _encode_line(
                    {"error": problem_to_dict(make_value_error(self._call.db.path, found))}
                )
            log.exception("verb %s failed", request.get("verb"))
            said = tr(
                "internal error ({name}). See {path}.",
                name=type(error).__name__,
                path=paths.get_runtime_log_path(self._home),
            )
            return _encode_line(
                {"error": {"code": "internal", "exit_code": 1, "message": said, "hint": ""}}
            )


def _make_greeting() -> dict[str, Any]:
    return {"taskdeck": VERSION, "protocol": PROTOCOL, "pid": os.getpid()}


def _turn_away(sock: socket.socket, count: int) -> None:
    """Refuse a client in the greeting, before it sends a request, and hang up."""
    problem = Conflict(
        "the runtime has {n:,} connections, and its limit of open files allows no more."
        " Nothing was done.",
        "Close decks, or end commands that wait. Find them: pgrep -af 'taskdeck'",
        n=count,
    )
    with sock, suppress(OSError):
        sock.send(_encode_line(_make_greeting() | {"error": problem_to_dict(problem)}))


def _parse_request(line: bytes) -> dict[str, Any]:
    """Return the request of a line. Raise Usage for anything but a JSON object."""
    try:
        request = json.loads(line)
        # Each level has a bracket, so that most requests need no check.
        if line.count(b"[") + line.count(b"{") > MAX_NESTING and isinstance(request, dict | list):
            _check_nesting(request)
    except RecursionError:
        raise Usage("the request is nested too deeply. Nothing was done.") from None
    except ValueError:
        raise Usage("the request is not JSON. Nothing was done.") from None
    if not isinstance(request, dict):
        raise Usage("the request is not a JSON object. Nothing was done.")
    return request


def _check_nesting(request: dict[str, Any] | list[Any]) -> None:
    """Raise RecursionError for more than MAX_NESTING levels of lists and objects."""
    level: list[Any] = [request]
    for _ in range(MAX_NESTING):
        level = [
            part
            for whole in level
            for part in (whole.values() if type(whole) is dict else whole)
            if type(part) is dict or type(part) is list
        ]
        if not level:
            return
    raise RecursionError


def _read_peer(writer: asyncio.StreamWriter) -> str:
    return get_user_name(paths.read_peer(writer.get_extra_info("socket"))[1])


MAX_NESTING = 500
"""Maximum levels of a request. The parser's own limit differs between versions of Python."""
MAX_ORIGIN = 64
CHUNK_ITEMS = 1000
"""List items encoded at a time, which takes a few milliseconds."""


def _identify_caller(name: str, claim: Any) -> Actor:
    """Return the caller, with the origin that the caller claims."""
    fields = claim if isinstance(claim, dict) else {}
    origin = sanitize(str(fields.get("origin") or ""))[:MAX_ORIGIN]
    return Actor(name, "deck" if fields.get("source") == "deck" else "cli", origin or None)


def _send(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    writer.write(_encode_line(message))


async def _encode_result(result: Any) -> bytes:
    if not isinstance(result, dict):
        return _encode_line({"result": result})
    members = [f"{_to_json(key)}:{await _encode_value(value)}" for key, value in result.items()]
    return f'{{"result":{{{",".join(members)}}}}}\n'.encode()


async def _encode_value(value: Any) -> str:
    """Encode a value as JSON, long lists in chunks.

    A list of a million tasks would block for seconds.
    """
    if not isinstance(value, list) or len(value) <= CHUNK_ITEMS:
        return _to_json(value)
    pieces = []
    for at in range(0, len(value), CHUNK_ITEMS):
        pieces.append(_to_json(value[at : at + CHUNK_ITEMS])[1:-1])
        await asyncio.sleep(0)
    return f"[{','.join(pieces)}]"


def _to_json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _encode_line(message: dict[str, Any]) -> bytes:
    return _to_json(message).encode() + b"\n"


def _open_listener(home: Path) -> socket.socket:
    """Return an owner-only listening socket in the home, for a path of any length."""
    folder = os.open(home / "run", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        at = f"/proc/self/fd/{folder}/{paths.CONTROL_SOCKET}"
        (home / "run" / paths.CONTROL_SOCKET).unlink(missing_ok=True)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        sock.bind(at)
        os.chmod(at, 0o600)
        sock.listen(512)
        return sock
    finally:
        os.close(folder)
