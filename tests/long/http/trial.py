"""One trial of the HTTP API: schemathesis asks a real runtime, which must not fail or write."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from app import paths, runtime_launcher
from tests.long.packaging.builds import install_tool
from tests.runtime_process import RuntimeProcess, wait_until

TOKEN = "0123456789abcdef0123456789abcdef"
RUNTIME_TABLES = frozenset({
    "alerts", "backups", "counters", "due_times", "forgotten", "history", "pools", "queues",
    "replicas", "rule_states", "samples", "slow_queries", "stale_texts", "start_forecasts",
})  # fmt: skip
"""Tables that an idle runtime writes by itself: measurements, rules, plans for later starts. Of
queues and pools only the definitions are compared."""
DEFINITIONS = {"queues": "name, capacity, status, priority", "pools": "name, total_cpu, status"}
UNFIT_CHECKS = "positive_data_acceptance"
"""Filters, times and cursors have a grammar that a JSON schema cannot state: 400 is then right."""


@dataclass(frozen=True, slots=True)
class HttpTrial:
    """Result of a trial: the report of schemathesis, and what changed in the home."""

    is_clean: bool
    cases: int
    report: str
    changed: list[str]
    logged_errors: list[str]
    memory: tuple[float, float]
    """Resident MiB of the runtime before and after."""

    @property
    def is_met(self) -> bool:
        return self.is_clean and not self.changed and not self.logged_errors

    def __str__(self) -> str:
        lines = [] if self.is_clean else [self.report]
        lines += [f"changed: {one}" for one in self.changed]
        lines += [f"logged: {one}" for one in self.logged_errors]
        lines.append(
            f"{self.cases:,} requests by schemathesis, {'no' if self.is_clean else 'SOME'} failure;"
            f" {len(self.changed)} tables or files changed;"
            f" runtime {self.memory[0]:.1f} → {self.memory[1]:.1f} MiB"
        )
        return "\n".join(lines)


def find_program(folder: Path) -> Path | None:
    """Return schemathesis of this machine, else install it below a folder; None without it."""
    found = shutil.which("schemathesis")
    return Path(found) if found else install_tool(folder, "schemathesis")


@contextmanager
def open_served_home(token_file: Path) -> Iterator[RuntimeProcess]:
    """Open a home with tasks in many states, whose runtime serves HTTP with a token."""
    token_file.write_text(TOKEN)
    token_file.chmod(0o600)
    with tempfile.TemporaryDirectory(prefix="td-", ignore_cleanup_errors=True) as folder:
        living = RuntimeProcess(Path(folder) / "home")
        words = ["--http", "127.0.0.1:0", "--http-token-file", os.fspath(token_file)]
        try:
            runtime_launcher.ensure_runtime(os.fspath(living.home), resume=True, serve_words=words)
            _fill(living)
            yield living
        finally:
            living.kill_all()


def _fill(living: RuntimeProcess) -> None:
    """Submit tasks that end, one that is held and one behind it; make a rule and a schedule."""
    ended = [
        living.submit("sh", "-c", "echo out; echo err >&2", name="two lines", tags={"env": "prod"}),
        living.submit("sh", "-c", "exit 3", name='任务 "quoted"', retries=1, retry_delay=0),
        living.submit("sh", "-c", "head -c 200000 /dev/urandom", name="binary"),
    ]
    held = living.submit("true", name="held", hold=True)
    living.submit("true", name="behind", after=[held])
    tasks = [{"argv": ["true", str(at)]} for at in range(20)]
    group = {"argv": ["true", "{}"]}
    living.call("submit", tasks=tasks, env={}, cwd="/", group=group)
    living.call("sla.create", name="fails", preset="fails-in-a-row", value="1")
    living.call("schedule.create", name="yearly", cron="0 0 1 1 *", argv=["true"])
    living.call("schedule.pause", name="yearly")
    living.wait_for_end(*ended)
    wait_until(lambda: living.call("status")["counts"].keys() <= {
        "succeeded", "failed", "held", "blocked"}, "all ended")  # fmt: skip
    wait_until(lambda: living.call("alert.ls"), "an alert")


def run_trial(program: Path, seconds: int | None, seed: int | None = None) -> HttpTrial:
    """Let schemathesis ask for some seconds, and compare the home before and after.

    Without a time, each phase asks once: a busy machine makes the same requests, but later.
    """
    with (
        tempfile.TemporaryDirectory(prefix="td-", ignore_cleanup_errors=True) as folder,
        open_served_home(Path(folder) / "token") as living,
    ):
        url, pid = living.call("status")["http"]["url"], living.pid
        before, memory = _read_content(living.home), _read_memory(pid)
        done = _run_schemathesis(program, Path(folder), url, seconds, seed)
        after = _read_content(living.home)
        assert httpx.get(f"{url}/healthz").status_code == 200
        cases = re.search(r"([0-9,]+) generated", done.stdout)
        return HttpTrial(
            is_clean=done.returncode == 0,
            cases=int(cases[1].replace(",", "")) if cases else 0,
            report=f"{done.stdout}{done.stderr}",
            changed=sorted(
                name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
            ),
            logged_errors=_list_logged_errors(living.home),
            memory=(memory, _read_memory(pid)),
        )


def _run_schemathesis(
    program: Path, folder: Path, url: str, seconds: int | None, seed: int | None
) -> subprocess.CompletedProcess[str]:
    limit = ["--max-examples", "1"] if seconds is None else ["--max-time", str(max(1, seconds))]
    words = [
        os.fspath(program), "run", f"{url}/api/v1/openapi.json", "--no-color",
        "--header", f"Authorization: Bearer {TOKEN}", *limit,
        "--exclude-checks", UNFIT_CHECKS, "--continue-on-failure", "--warnings", "off",
        "--generation-database", "none", *([] if seed is None else ["--seed", str(seed)]),
    ]  # fmt: skip
    return subprocess.run(
        words, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=(seconds or 0) * 3 + 300,
    )  # fmt: skip


def _read_content(home: Path) -> dict[str, str]:
    """Return a digest of each table and the size of each file that only commands change."""
    found = {}
    database = f"file:{paths.get_database_path(home)}?mode=ro"
    with closing(sqlite3.connect(database, uri=True)) as c:
        names = [row[0] for row in c.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        for name in names:
            if name in RUNTIME_TABLES and name not in DEFINITIONS:
                continue
            rows = c.execute(f'SELECT {DEFINITIONS.get(name, "*")} FROM "{name}"').fetchall()
            found[name] = hashlib.sha256(repr(sorted(map(repr, rows))).encode()).hexdigest()
    for path in (home / "runs").rglob("*"):
        found[str(path.relative_to(home))] = str(path.stat().st_size if path.is_file() else 0)
    return found


def _list_logged_errors(home: Path) -> list[str]:
    log = Path(paths.get_runtime_log_path(home)).read_text()
    return [line for line in log.splitlines() if " ERROR " in line or "Traceback" in line]


def _read_memory(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    assert found
    return int(found[1]) / 1024
