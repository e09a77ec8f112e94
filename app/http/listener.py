"""Listening socket of the HTTP server: a TCP address, or a unix socket of the owner alone."""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress

from app.core.http_settings import ListenAddress
from app.core.text.sanitize import sanitize
from app.errors import Conflict, Problem

BACKLOG = 128


def open_listener(address: ListenAddress) -> socket.socket:
    """Return a socket that listens at the address.

    A stale unix socket is replaced. Raise Conflict for one that is in use, and for an address that
    another program has.
    """
    sock = _make_socket(address)
    try:
        if address.path:
            _bind_path(sock, address.path)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address.host, address.port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise _make_bind_error(address, error) from None
    except Problem:
        sock.close()
        raise
    return sock


def probe_address(address: ListenAddress) -> None:
    """Raise Conflict if nothing can listen at the address now."""
    with open_listener(address):
        inode = os.lstat(address.path).st_ino if address.path else 0
    if address.path:
        remove_socket(address.path, inode)


def _make_socket(address: ListenAddress) -> socket.socket:
    """Return a socket of the right kind.

    asyncio sets TCP_NODELAY only where the protocol is named. Without, each answer takes 40 ms:
    its body waits for the acknowledgement of its headers.
    """
    kind = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
    if address.path:
        return socket.socket(socket.AF_UNIX, kind)
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    return socket.socket(family, kind, socket.IPPROTO_TCP)


def get_bound_address(sock: socket.socket, address: ListenAddress) -> ListenAddress:
    """Return the address with the port that the kernel chose for port 0."""
    return address if address.path else ListenAddress(address.host, sock.getsockname()[1])


def _bind_path(sock: socket.socket, path: str) -> None:
    """Bind to a path with mode 0600; the mode holds from the first moment."""
    _remove_stale_socket(path)
    before = os.umask(0o177)
    try:
        sock.bind(path)
    finally:
        os.umask(before)


def _remove_stale_socket(path: str) -> None:
    """Remove a socket at which nobody listens. Raise Conflict for anything else."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise Conflict(
            "{path} exists and is no socket. HTTP is not served.",
            "Choose another path.",
            path=sanitize(path),
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        with suppress(ConnectionRefusedError, FileNotFoundError):
            probe.connect(path)
            raise _make_bind_error(ListenAddress(path=path), OSError(errno.EADDRINUSE, ""))
    with suppress(FileNotFoundError):
        os.unlink(path)


def remove_socket(path: str, inode: int) -> None:
    """Remove a unix socket of ours, unless another program has replaced the file."""
    with suppress(OSError):
        if os.lstat(path).st_ino == inode:
            os.unlink(path)


def _make_bind_error(address: ListenAddress, error: OSError) -> Problem:
    if error.errno != errno.EADDRINUSE:
        why = (error.strerror or "unknown").lower()
        return Conflict(
            "HTTP cannot be served at {address}: {why}.", address=sanitize(str(address)), why=why
        )
    find = f"ss -ltnp 'sport = :{address.port}'" if address.port else f"ss -xlp src {address.path}"
    return Conflict(
        "the HTTP address {address} is in use by another program.",
        "Choose another, or find the program: {command}",
        address=sanitize(str(address)),
        command=sanitize(find),
    )
