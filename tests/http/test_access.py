"""Requests that must not pass: methods, bodies, Host headers, tokens, failures."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.types import ASGIApp

from app import translation
from app.core.http_settings import HttpSettings, parse_address
from app.http import access
from app.http.access import AccessRules, make_access_rules, parse_host, restrict_access
from app.http.tokens import Token

OPEN = AccessRules(None, None)


def make_scope(
    *headers: tuple[bytes, bytes], path: str = "/api/v1/tasks", method: str = "GET"
) -> dict[str, Any]:
    return {"type": "http", "method": method, "path": path, "headers": list(headers)}


def get_status(rules: AccessRules, scope: dict[str, Any]) -> int:
    """Return the status of the refusal, 200 if the request passes."""
    refusal = rules.find_refusal(scope)
    return refusal.status_code if refusal else 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get"])
def test_only_get_and_head_are_allowed(method: str):
    assert get_status(OPEN, make_scope(method=method)) == 405
    assert get_status(OPEN, make_scope(method="HEAD")) == 200


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ((b"content-length", b"0"), 200),
        ((b"content-length", b"1"), 413),
        ((b"transfer-encoding", b"chunked"), 413),
    ],
)
def test_a_request_with_a_body_is_refused(header: tuple[bytes, bytes], status: int):
    assert get_status(OPEN, make_scope(header)) == status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (b"127.0.0.1:8650", 200),
        (b"LOCALHOST:8650", 200),
        (b"localhost.", 200),
        (b"[::1]:8650", 200),
        (b"192.0.2.7", 200),
        (b"deck.example:443", 200),
        (b"evil.example", 421),
        (b"127.0.0.1.evil.example", 421),
        (b"localhost:8650@evil.example", 421),
        (b"", 421),
    ],
)
def test_only_hosts_of_the_server_pass(host: bytes, status: int):
    rules = make_access_rules(
        parse_address("192.0.2.7:8650"), HttpSettings(hosts=("deck.example",)), None
    )

    assert get_status(rules, make_scope((b"host", host))) == status


@pytest.mark.parametrize(
    ("host", "status"),
    [(b"192.0.2.7:8650", 200), (b"[2001:db8::1]", 200), (b"evil.example", 421), (b"", 421)],
)
def test_a_server_on_all_addresses_allows_addresses_but_no_names(host: bytes, status: int):
    rules = make_access_rules(parse_address("0.0.0.0:8650"), HttpSettings(), None)

    assert get_status(rules, make_scope((b"host", host))) == status


def test_a_missing_or_second_host_header_is_refused():
    rules = make_access_rules(parse_address("127.0.0.1:8650"), HttpSettings(), None)

    assert get_status(rules, make_scope()) == 421
    assert get_status(rules, make_scope((b"host", b"localhost"), (b"host", b"evil"))) == 421


def test_a_unix_socket_has_no_host_to_check():
    rules = make_access_rules(parse_address("unix:/s"), HttpSettings(), None)

    assert get_status(rules, make_scope((b"host", b"any.example"))) == 200


def test_a_token_is_needed_for_everything_but_health():
    rules = AccessRules(None, Token("0123456789abcdef"))
    good = (b"authorization", b"Bearer 0123456789abcdef")

    assert get_status(rules, make_scope()) == 401
    assert get_status(rules, make_scope(good)) == 200
    assert get_status(rules, make_scope(good, good)) == 401
    assert get_status(rules, make_scope((b"authorization", b"Bearer wrong"))) == 401
    assert get_status(rules, make_scope(path="/healthz")) == 200
    assert get_status(rules, make_scope(path="/healthz/")) == 401


def test_the_name_of_a_host_header_has_no_port():
    assert [parse_host(one) for one in (b"A.b:1", b"[::1]:80", b"[::1", b"a.", b"a b")] == [
        "a.b",
        "[::1]",
        "",
        "a",
        "",
    ]


async def collect_answer(application: ASGIApp, scope: dict[str, Any]) -> tuple[int, str]:
    """Return status and body of the answer to a request."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("no body is read")

    await application(scope, receive, send)
    return sent[0]["status"], b"".join(one.get("body", b"") for one in sent).decode()


async def test_a_failure_is_told_without_its_text(caplog: pytest.LogCaptureFixture):
    async def fail(*_: Any) -> None:
        raise ValueError("a secret of the program")

    status, body = await collect_answer(restrict_access(fail, OPEN), make_scope())

    assert status == 500 and '"code":"internal"' in body
    assert "secret" not in body and "Traceback" not in body
    assert "a secret of the program" in caplog.text


async def test_answers_are_in_english_whatever_the_locale_of_the_runtime(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(translation, "_process_language", translation.SIMPLIFIED_CHINESE)
    seen: list[str] = []

    async def look(*_: Any) -> None:
        seen.append(translation.get_language())

    await asyncio.create_task(restrict_access(look, OPEN)(make_scope(), None, None))  # type: ignore[arg-type]

    assert seen == [translation.ENGLISH]


async def test_a_failure_after_the_first_bytes_is_logged_and_sends_no_more(
    caplog: pytest.LogCaptureFixture,
):
    async def fail(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        raise ValueError("too late")

    assert await collect_answer(restrict_access(fail, OPEN), make_scope()) == (200, "")
    assert "too late" in caplog.text


async def test_an_answer_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(access, "ANSWER_SECONDS", 0.01)

    async def hang(*_: Any) -> None:
        await asyncio.Event().wait()

    status, body = await collect_answer(restrict_access(hang, OPEN), make_scope())

    assert status == 503 and "no answer was ready" in body
