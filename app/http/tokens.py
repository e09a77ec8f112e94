"""Token of the HTTP server: a secret in a file that only the owner reads."""

from __future__ import annotations

import hmac
import os
import stat

from app.config import read_regular_file
from app.core.text.sanitize import sanitize
from app.errors import Conflict
from app.translation import tr

MIN_LENGTH, MAX_LENGTH = 16, 4096
MAKE_COMMAND = "(umask 077; head -c 32 /dev/urandom | base64 > FILE)"


class Token:
    """Secret that a request must carry. Its text never shows the secret."""

    __slots__ = ("_secret",)

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode("ascii")

    def __repr__(self) -> str:
        return "Token(•••)"

    def matches(self, header: bytes) -> bool:
        """Return True for the header `Bearer SECRET`; takes the same time for any secret."""
        scheme, _, given = header.partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), self._secret)


def read_token(path: str) -> Token:
    """Read the token of a file. Raise Conflict unless only its owner, this user, can read it."""
    try:
        _check_permissions(path)
        content = read_regular_file(path)
    except OSError as error:
        raise _make_error(path, (error.strerror or "unknown").lower(), _make_advice()) from None
    if len(content) > MAX_LENGTH:
        raise _make_error(path, tr("it has more than {limit} bytes", limit=f"{MAX_LENGTH:,}"))
    secret = content.decode("ascii", "replace").strip()
    if len(secret) < MIN_LENGTH or not all("!" <= one <= "~" for one in secret):
        why = tr(
            "it needs at least {limit} printable ASCII characters without spaces", limit=MIN_LENGTH
        )
        raise _make_error(path, why, _make_advice())
    return Token(secret)


def _check_permissions(path: str) -> None:
    found = os.stat(path)
    if found.st_uid != os.geteuid():
        raise _make_error(path, tr("another user owns the file"))
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise _make_error(path, tr("other users can read or write the file"), f"chmod 600 {path}")


def _make_advice() -> str:
    return tr("Make one: {command}", command=MAKE_COMMAND)


def _make_error(path: str, why: str, hint: str = "") -> Conflict:
    text = tr("the HTTP token in {path} cannot be used: {why}.", path=sanitize(path), why=why)
    return Conflict(text, sanitize(hint))
