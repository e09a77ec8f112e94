"""A runtime that serves HTTP: with `serve --http`, in place of the one before."""

from __future__ import annotations

import socket
import subprocess

import httpx

from tests.runtime_process import RuntimeProcess, run_command


def test_a_running_runtime_takes_http_with_replace(runtime: RuntimeProcess):
    def serve(*words: str) -> subprocess.CompletedProcess[str]:
        return run_command(runtime.home, "serve", "--detach", *words)

    task = runtime.submit("sleep", "600")
    runtime.wait_for_status(task, "running")

    done = serve("--replace", "--http", "127.0.0.1:0")

    assert done.returncode == 0, done.stderr
    url, pid = runtime.call("status")["http"]["url"], runtime.pid
    assert httpx.get(f"{url}/healthz").json() == {"healthy": True, "reasons": []}
    assert httpx.get(f"{url}/api/v1/tasks/{task}").json()["status"] == "running"
    assert url in run_command(runtime.home, "status").stdout

    refused = serve("--http", "127.0.0.1:0")
    assert refused.returncode == 4 and "serve --replace --detach --http" in refused.stderr
    with socket.create_server(("127.0.0.1", 0)) as other:
        refused = serve("--replace", "--http", f"127.0.0.1:{other.getsockname()[1]}")
    assert refused.returncode == 4 and "is in use by another program" in refused.stderr
    assert runtime.pid == pid
