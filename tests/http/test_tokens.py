"""Tokens and the files that hold them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.errors import Conflict
from app.http.tokens import Token, read_token

SECRET = "0123456789abcdef"


def write_token(path: Path, text: str, mode: int = 0o600) -> str:
    """Write a file of the given mode and return its path."""
    path.write_text(text)
    path.chmod(mode)
    return os.fspath(path)


def test_only_the_exact_secret_matches(tmp_path: Path):
    token = read_token(write_token(tmp_path / "t", f"{SECRET}\n"))

    assert token.matches(f"Bearer {SECRET}".encode())
    assert token.matches(f"bearer  {SECRET}".encode())
    for wrong in ("", "Bearer", f"Basic {SECRET}", f"Bearer {SECRET}x", f"Bearer {SECRET[:-1]}"):
        assert not token.matches(wrong.encode())
    assert not token.matches(b"Bearer \xff\xfe")


def test_a_token_never_shows_its_secret():
    assert SECRET not in f"{Token(SECRET)} {Token(SECRET)!r}"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_that_others_can_use_is_refused(tmp_path: Path, mode: int):
    path = write_token(tmp_path / "t", SECRET, mode)

    with pytest.raises(Conflict, match="other users can read or write") as told:
        read_token(path)

    assert told.value.hint == f"chmod 600 {path}"


@pytest.mark.parametrize("text", ["short", "0123456789abcdef two words", "•" * 20])
def test_a_weak_or_unsendable_token_is_refused(tmp_path: Path, text: str):
    with pytest.raises(Conflict, match="at least 16 printable ASCII characters"):
        read_token(write_token(tmp_path / "t", text))


def test_a_missing_or_huge_file_is_refused(tmp_path: Path):
    with pytest.raises(Conflict, match="no such file") as told:
        read_token(str(tmp_path / "none"))
    assert "umask 077" in told.value.hint

    with pytest.raises(Conflict, match=r"more than 4,096 bytes"):
        read_token(write_token(tmp_path / "t", "x" * 5000))
