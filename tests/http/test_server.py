"""The server of a runtime: start, failure, end."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import httpx
import pytest

from app.config import LoadedConfig, read
from app.core.http_settings import HttpSettings, parse_address
from app.errors import Conflict, Usage
from app.extras import make_install_command
from app.http import server as http_server
from app.http.server import (
    HttpServer,
    check_settings,
    make_server,
    merge_settings,
    refuse_missing_packages,
)
from app.service.context import Call


def make_settings(address: str, token_file: str | None = None) -> HttpSettings:
    return HttpSettings(parse_address(address), token_file)


async def test_answers_carry_security_headers_but_no_cors(client: httpx.AsyncClient):
    answer = await client.get("/healthz", headers={"origin": "http://evil.example"})

    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["date"].endswith("GMT")
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert "server" not in answer.headers


async def test_an_unknown_path_is_told_as_json(client: httpx.AsyncClient):
    answer = await client.get("/api/v1/nothing")

    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not-found"


async def test_a_closed_server_leaves_no_socket(server: HttpServer, home: Path):
    assert (home / "http.sock").exists()

    await server.close()
    await server.close()

    assert not (home / "http.sock").exists()


async def test_without_settings_nothing_is_served(live_call: Call):
    server = HttpServer()
    server.open()
    await server.start(live_call)

    assert (server.url, server.problem) == ("", "")
    await server.close()


async def test_a_crash_at_the_start_is_reported_and_frees_the_address(
    live_call: Call, home: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("app.http.protocol.make_protocol_config", fail)
    server = HttpServer(make_settings(f"unix:{home}/s"))
    server.open()

    await server.start(live_call)

    assert (server.url, server.problem) == ("", "internal error (RuntimeError).")
    assert not (home / "s").exists()


def write_config(folder: Path, text: str) -> None:
    (folder / "taskdeck").mkdir()
    (folder / "taskdeck" / "config.toml").write_text(text)


def test_a_taken_port_is_reported_if_config_toml_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CONFIG_HOME", os.fspath(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        write_config(tmp_path, f'[http]\nlisten = "127.0.0.1:{port}"\n')

        server = make_server(None)

        assert server.url == "" and f"127.0.0.1:{port} is in use" in server.problem
        with pytest.raises(Conflict, match="is in use"):
            make_server(make_settings(f"127.0.0.1:{port}"))
        assert make_server(None, demo=True).problem == ""


def test_an_address_for_other_machines_needs_a_token(tmp_path: Path):
    with pytest.raises(Usage, match="so a token is needed") as told:
        HttpServer(make_settings("0.0.0.0:0")).open()

    assert "--http-token-file" in told.value.hint


def test_the_command_line_goes_before_config_toml(tmp_path: Path):
    text = '[http]\nlisten = "127.0.0.1:2"\ntoken_file = "/b"\nhosts = ["deck.example"]\n'
    found = read_config(tmp_path, text)

    merged = merge_settings(make_settings("127.0.0.1:1"), found)

    assert merged == HttpSettings(parse_address("127.0.0.1:1"), "/b", ("deck.example",))
    assert merge_settings(make_settings("127.0.0.1:1", "/a"), found).token_file == "/a"


def read_config(folder: Path, text: str) -> LoadedConfig:
    write_config(folder, text)
    return read(os.fspath(folder / "taskdeck" / "config.toml"))


@pytest.mark.parametrize("line", ['token_file = "relative"', 'tokenfile = "/b"', "token_file ="])
def test_nothing_is_served_while_a_mistake_may_hide_the_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
):
    monkeypatch.setenv("XDG_CONFIG_HOME", os.fspath(tmp_path))
    write_config(tmp_path, f'[http]\nlisten = "127.0.0.1:0"\n{line}\n')

    server = make_server(None)

    assert server.url == "" and ("token" in server.problem or line.endswith("="))
    with pytest.raises(Usage, match="may need the token") as told:
        make_server(make_settings("127.0.0.1:0"))
    assert "--http-token-file" in told.value.hint
    with pytest.raises(Usage, match="may need the token"):
        check_settings(make_settings("127.0.0.1:0"))


def test_a_missing_package_is_told_with_the_command_to_install_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http_server, "PACKAGES", ("starlette", "no_such_package"))

    with pytest.raises(Conflict, match="not installed: no-such-package") as told:
        refuse_missing_packages()

    assert told.value.hint == f"Install: {make_install_command('http')}"
