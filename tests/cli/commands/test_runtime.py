"""Options of `serve` for HTTP."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--http", "8650"], "--http must be HOST:PORT or unix:PATH, such as 127.0.0.1:8650."),
        (["--http", "unix:sock"], "--http must name the socket as an absolute path"),
        (["--http-token-file", "token"], "--http-token-file needs --http."),
    ],
)
def test_faulty_options_of_http_start_nothing(cli, words: list[str], text: str):
    done = cli("serve", *words)

    assert done.code == 2 and text in done.err


def test_http_is_passed_to_the_runtime(cli, home, monkeypatch: pytest.MonkeyPatch):
    started: list[list[str]] = []
    monkeypatch.setattr(
        "app.runtime_launcher.ensure_runtime",
        lambda home, **options: started.append(list(options["serve_words"])),
    )

    cli("serve", "--detach", "--http", "localhost:1", "--http-token-file", "/t")

    assert started == [["--http", "127.0.0.1:1", "--http-token-file", "/t"]]


@pytest.mark.parametrize(
    ("http", "text"),
    [
        ({"url": "http://127.0.0.1:1", "problem": None}, "HTTP is served at http://127.0.0.1:1"),
        ({"url": None, "problem": "a token is needed."}, "HTTP is not served: a token is needed."),
    ],
)
def test_a_start_tells_where_http_is_or_why_not(
    cli, fake_runtime, monkeypatch: pytest.MonkeyPatch, http: dict[str, str | None], text: str
):
    monkeypatch.setattr("app.client.Client.start", lambda client, resume: None)
    fake_runtime(status={"http": http})

    done = cli("serve", "--detach")

    assert done.code == 0 and text in done.err
