"""Tests of the import from gflow without its daemon; `tests/long/imports` has a real one."""

from __future__ import annotations

import http.server
import json
import os
import socket
import threading

import pytest

from app.cli.imports import gflow
from tests.core.imports.test_gflow_jobs import make_job


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Return a function that writes the settings of gflow."""

    def write(text: str) -> None:
        path = tmp_path / "config" / "gflow" / "gflow.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return write


@pytest.fixture
def daemon(config):
    """Answer every request with two jobs, as gflowd does."""
    answer = json.dumps(
        [make_job(1, "Running"), make_job(2, submitted_by=None, depends_on_ids=[3]), make_job(3,
         submitted_by=None, command="x\x1b[31m")]
    ).encode()  # fmt: skip

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format, *args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        config(f"[daemon]\nport = {server.server_port}\n")
        yield server
        server.shutdown()
        thread.join()


def test_each_job_is_shown_with_what_it_becomes(cli, daemon):
    done = cli("--read-only", "import", "gflow", "--json")

    found = json.loads(done.out)
    assert [item["outcome"] for item in found["items"]] == ["stays", "new", "new"]
    assert found["items"][1]["options"] == ["--after", "ID-3"]
    assert "\x1b" not in cli("--read-only", "import", "gflow").out


def test_the_daemon_of_another_user_is_refused(cli, daemon, monkeypatch):
    monkeypatch.setattr(gflow, "_list_owners", lambda port: [12345])

    assert "another user answers at http://127.0.0.1" in cli("import", "gflow").err


def test_the_owner_of_a_port_is_found(daemon):
    assert list(gflow._list_owners(daemon.server_port)) == [os.geteuid()]


def test_a_daemon_that_does_not_answer_is_reported(cli, config):
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        config(f"[daemon]\nport = {line.getsockname()[1]}\n")

        done = cli("import", "gflow")

    assert (done.code, "no daemon of gflow answers" in done.err) == (3, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[daemon]\nhost = "gpu7"\n', "is not on this machine"),
        ("[daemon]\nport = 0\n", "is not on this machine"),
        ("[daemon", "cannot be read"),
    ],
)
def test_other_settings_are_refused(cli, config, text, message):
    config(text)

    assert message in cli("import", "gflow").err


def test_missing_commands_are_named(daemon, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")

    with pytest.raises(gflow.NotFound, match="no program gjob in PATH, of the package runqd"):
        gflow.Gflow().prepare()
