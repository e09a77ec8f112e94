"""Ways to ask a stage: command line, control socket, HTTP and the tools of coding agents."""

from __future__ import annotations

import io
import os
import shlex
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from mcp import Client, MCPError

from app.__main__ import _check_keys
from app.agents.server import make_server
from app.agents.session import AgentSession
from app.cli.main import run
from app.paths import CONTROL_SOCKET

MAX_ANSWER = 1 << 20


def run_command(words: Sequence[str]) -> str:
    """Run a command line in this process; return its output, its notes and its exit code."""
    sys.stdin = io.TextIOWrapper(io.BytesIO(b""))
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with _redirect(1, out), _redirect(2, err):
            code = run(
                list(words), deck=_name_face, serve=_name_face, keys=_check_keys, agents=_name_face
            )
        parts = [f"$ taskdeck {shlex.join(words)}", _read(out), _read(err, "! ")]
    return "\n".join([part for part in parts if part] + ([f"exit {code}"] if code else []))


def _name_face(*_: Any, **options: Any) -> int:
    print("opens a face with", ", ".join(sorted(options)))
    return 0


@contextmanager
def _redirect(fd: int, file: BinaryIO) -> Iterator[None]:
    """Let a stream of this process lead to a file."""
    stream = sys.stdout if fd == 1 else sys.stderr
    kept = os.dup(fd)
    os.dup2(file.fileno(), fd)
    try:
        yield
    finally:
        stream.flush()
        os.dup2(kept, fd)
        os.close(kept)


def _read(file: BinaryIO, mark: str = "") -> str:
    file.seek(0)
    text = file.read().decode("utf-8", "backslashreplace")
    return "\n".join(f"{mark}{line}" for line in text.splitlines())


def send_line(home: Path, line: bytes) -> str:
    """Return the answers of the control socket to a line, without the greeting."""
    with _connect(home / "run" / CONTROL_SOCKET) as sock:
        sock.sendall(line)
        sock.shutdown(socket.SHUT_WR)
        return _receive(sock).partition("\n")[2].rstrip()


def request(home: Path, method: str, path: str) -> tuple[str, str, str]:
    """Return status, content type and body of the answer to an HTTP request."""
    with _connect(home / "http.sock") as sock:
        sock.sendall(
            f"{method} {path} HTTP/1.1\r\nHost: taskdeck\r\nConnection: close\r\n\r\n".encode()
        )
        head, _, body = _receive(sock).partition("\r\n\r\n")
    status, *fields = head.splitlines()
    headers = dict(field.lower().split(": ", 1) for field in fields)
    return status.split(" ", 1)[1], headers.get("content-type", ""), body


def _connect(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(60)
    sock.connect(os.fspath(path))
    return sock


def _receive(sock: socket.socket) -> str:
    data = bytearray()
    while more := sock.recv(MAX_ANSWER):
        data += more
    return data.decode("utf-8", "backslashreplace")


async def call_tools(home: Path, calls: Sequence[tuple[str, dict[str, Any]]]) -> list[Any]:
    """Return the answer of each call of a tool."""
    answers: list[Any] = []
    async with Client(make_server(_open_session(home))) as client:
        for name, arguments in calls:
            try:
                found = await client.call_tool(name, arguments)
            except MCPError as error:
                answers.append({"refused": str(error)})
                continue
            answers.append(found.structured_content or [str(part) for part in found.content])
    return answers


async def list_tools(home: Path) -> Any:
    """Return the tools with their schemas."""
    async with Client(make_server(_open_session(home))) as client:
        found = await client.list_tools()
    return [tool.model_dump(mode="json", exclude_none=True) for tool in found.tools]


def _open_session(home: Path) -> AgentSession:
    context = {"cwd": "/srv", "umask": 0o022, "env": {"PATH": "/usr/bin:/bin"}}
    return AgentSession(os.fspath(home), "a", autostart=False, context=context)
