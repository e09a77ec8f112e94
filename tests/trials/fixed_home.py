"""Fixed home with a bit of everything, and a stage on which a copy of it answers.

The runtime on the stage is the real one without its loops: nothing starts a task, fires a schedule
or sends a message, so answers depend on the home alone.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

from app import paths
from app.core.http_settings import HttpSettings, ListenAddress
from app.home import setup
from app.http.server import HttpServer
from app.runtime.change_feed import ChangeFeed
from app.runtime.control_server import ControlServer
from app.runtime.dispatch.dispatcher import Dispatcher
from app.runtime.duties.periodic import Duties
from app.runtime.duties.usage import UsageSampler
from app.runtime.serve import Runtime
from app.service import registry
from app.service.context import Call
from db.engine import Database, open_database
from db.maintenance.slow_queries import store_slow_statements
from tests.db.builders import TaskBuilder
from tests.trials.fixed_world import BOOT_SECONDS, USER, clock

T = TypeVar("T")

CONFIG = """
language = "en"
[keys]
"task.cancel" = "c"
[keys.commands.L]
name = "less"
argv = ["less", "{log}"]
[channels.ops]
webhook = "https://example.com/taskdeck"
secret = "{env:HOOK_SECRET}"
[channels.chat]
urls = ["ntfy://deck-alerts"]
[notifications]
problems = "ops"
[hooks.ledger]
on = ["start", "end"]
argv = ["/usr/local/bin/ledger", "--from-stdin"]
timeout = "10s"
[backup]
keep = "30d"
[retention]
keep = "90d"
[slow]
threshold = "50ms"
[mcp.clients.a]
queue = "agents"
cpu = 4
tasks = 20
"""
DEFINITIONS = """
[pools.main]
total_cpu = 4
total_memory = "8G"
description = "work of people"
[pools.gpu]
total_cpu = 8
total_memory = "32G"
resources = { gpu = 2 }
[queues.media]
pool = "main"
capacity = 2
priority = 10
[queues.gpu]
pool = "gpu"
capacity = 2
[queues.night]
pool = "main"
open = "22:00-06:00"
[queues.agents]
capacity = 2
[templates.encode]
engine = "shell"
queue = "media"
timeout = "30m"
cpu = 2
memory = "512M"
notify = "ops"
description = "encode a film"
schema.script = 'ffmpeg -i "$PARAM_input" -crf $PARAM_crf out.mkv'
[templates.encode.parameters]
type = "object"
required = ["input"]
properties.input = { type = "string" }
properties.crf = { type = "integer", minimum = 1, maximum = 51, default = 23 }
properties.token = { type = "string", format = "password" }
[templates.greet]
engine = "exec"
schema.argv = ["echo", "{{ who }}"]
parameters.properties.who = { type = "string", default = "Ann" }
"""
WORKFLOW_LINES = (
    '{"argv": ["curl", "x"], "name": "fetch"}\n'
    '{"argv": ["align"], "name": "align", "after": ["fetch"]}\n'
)
NEVER_SLOW = 3600.0
"""Seconds that no statement takes, also on a busy machine."""
DURATIONS = (60.0, 75.0, 90.0)
"""Seconds of past runs of the template `greet`."""


class Stage:
    """A copy of a home, and its runtime in a thread."""

    def __init__(self, home: Path, origin: Path | None = None) -> None:
        shutil.rmtree(home, ignore_errors=True)
        if origin is None:
            paths.make_home(home)
            setup.prepare_database(home)
        else:
            shutil.copytree(origin, home, ignore=shutil.ignore_patterns("*.sock"))
        self.home = home
        self.call: Call
        self.runtime: Runtime
        self._loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.wait_for(self._open())

    async def _open(self) -> None:
        db = await self._stack.enter_async_context(
            open_database(paths.get_database_path(self.home), writable=True)
        )
        db.slow.threshold = NEVER_SLOW
        feed, dispatcher = ChangeFeed(), Dispatcher(db, self.home)
        sampler = UsageSampler(self.home)
        runtime = Runtime(self.home, dispatcher, sampler, feed, boottime=BOOT_SECONDS)
        self._stack.push_async_callback(runtime.sender.close)
        db.after_commit(feed.wake)
        duties = Duties(db, dispatcher, sampler, runtime.settings, runtime.clock_guard)
        self._stack.push_async_callback(duties.close)
        runtime.levels, runtime.duties = duties.rules.levels, duties
        self.runtime, self.call = runtime, Call(db, USER, self.home, runtime)
        control = ControlServer(self.home, self.call, feed)
        await control.start()
        self._stack.push_async_callback(control.close)
        http = HttpServer(HttpSettings(ListenAddress(path=os.fspath(self.home / "http.sock"))))
        http.open()
        await http.start(self.call)
        self._stack.push_async_callback(http.close)
        self._stack.callback(feed.close)

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the thread of the runtime and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def ask(self, verb: str, /, **args: Any) -> Any:
        """Return the answer of a verb. Raise Problem."""
        return self.wait_for(registry.call_verb(self.call, verb, args))

    def write(self, work: Callable[[TaskBuilder], T]) -> T:
        """Change the database as the dispatcher does."""
        return self.wait_for(self.call.db.write(lambda c: work(TaskBuilder(c))))

    def run_duty(self, *names: str) -> None:
        """Run duties of the runtime once."""
        assert self.runtime.duties is not None
        duties = {duty.name: duty for duty in self.runtime.duties.list_duties()}
        for name in names:
            self.wait_for(_await(duties[name].run))

    def close(self) -> None:
        """Stop the runtime and leave the home as a clean stop does."""
        db = self.call.db
        self.wait_for(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        _mark_clean(self.home, db)


async def _await(run: Callable[[], Awaitable[Any]]) -> Any:
    return await run()


def _mark_clean(home: Path, db: Database) -> None:
    with setup.mark_clean_shutdown(home, [db]):
        pass


def write_config(folder: Path, text: str) -> None:
    """Write config.toml and let the product use it."""
    (folder / "taskdeck").mkdir(parents=True)
    (folder / "taskdeck" / "config.toml").write_text(text, "utf-8")
    os.environ["XDG_CONFIG_HOME"] = os.fspath(folder)


def build_home(home: Path) -> None:
    """Build the fixed home, in the course of six hours of the fixed clock."""
    stage = Stage(home)
    try:
        _Builder(stage).build()
    finally:
        stage.close()


class _Builder:
    """Makes the content of the fixed home in order."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.ask = stage, stage.ask

    def build(self) -> None:
        self.ask("apply", text=DEFINITIONS)
        self._define()
        self._run_tasks()
        self._schedule()
        clock.advance(3600)
        self.stage.run_duty("slas", "history", "samples", "forecasts")
        self._handle_alerts()
        self.ask("db.backup", full=True)
        clock.advance(600)
        self.ask("set", ids=["waits"], fields={"priority": 5})
        self.ask("db.backup")
        self.ask("checkin", name="app-dump", note="1.2G")
        self._store_slow_statement()
        clock.advance(300)
        self.stage.run_duty("slas", "history", "samples")

    def _define(self) -> None:
        self.ask("limit.set", name="team=a", running=2, resources={"gpu": 1})
        self.ask("resource.set", name="license", total=2, description="of matlab")
        self.ask("reserve.create", pool="main", tag="team=a", begin="1h", end="1d", cpu=1.0)
        self.ask(
            "sla.create",
            name="starts-soon",
            preset="starts-within",
            value="30m",
            queue="media",
            severity="critical",
            notify=["ops"],
        )
        self.ask("sla.create", name="long", preset="queue-length", value=2, queue="media")
        self.ask(
            "sla.create", name="backup-fresh", preset="stays-below", metric="backup-age", value="2d"
        )
        self.ask("template.retire", name="encode")
        self.ask("template.retire", name="encode", back=True)

    def submit(self, name: str, *argv: str, **more: Any) -> str:
        """Submit a task and return its uuid."""
        task = {"name": name, "argv": [*argv] or ["sh", "-c", name]} | more
        made = self.ask("submit", tasks=[task], cwd="/", env={"PATH": "/usr/bin:/bin"})
        clock.advance(10)
        return made[0]["uuid"]

    def run(self, uuid: str, seconds: float = 60.0, log: str = "", **end: Any) -> str:
        """Run a task to its end and return its run id."""
        runid = self.start(uuid, log)
        clock.advance(seconds)
        self.stage.write(
            lambda build: build.record_end(runid, run_seconds=seconds, log_bytes=len(log), **end)
        )
        return runid

    def start(self, uuid: str, log: str = "") -> str:
        """Start a task and return its run id."""
        runid = self.stage.write(lambda build: build.start_run(uuid))
        path = Path(paths.get_log_path(self.stage.home, runid))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(log, "utf-8")
        return runid

    def _run_tasks(self) -> None:
        """Make tasks in every state."""
        for seconds in DURATIONS:
            task = {"template": "greet", "parameters": {"who": "Bob"}}
            (made,) = self.ask("submit", tasks=[task], cwd="/", env={})
            self.run(made["uuid"], seconds, "Bob\n")
        self.run(self.submit("done", queue="media", tags={"env": "prod"}), 120, "one\ntwo\n")
        self.run(self.submit("fails", memory="1G"), 30, "error: no such file\n", code=1)
        self.run(self.submit("killed"), 30, signal=9, code=None)
        self.run(self.submit("late", timeout="1m"), 60, code=None, signal=15, stop="timeout")
        retried = self.submit("retries", retries=2, retry_delay="1d")
        self.run(retried, 20, "again\n", code=2)
        self.run(self.submit("lost"), 20, code=None, lost=True)
        parent = self.submit("breaks")
        self.submit("skipped", after=[parent])
        self.run(parent, 5, code=3)
        self.ask("cancel", ids=[self.submit("cancelled")])
        self.start(self.submit("runs", queue="media", cpu=2, priority=3, stdin=True), "epoch 1\n")
        self.start(self.submit("stops", queue="gpu", resources={"gpu": 1}, tags={"team": "a"}))
        self.ask("pause", ids=["stops"])
        waits = self.submit("waits", queue="media", priority=4, cwd="/srv", env={"A": "1"})
        self.submit("blocked", after=[waits], queue="media")
        self.submit("held", hold=True)
        self.submit("later", at="2026-03-09T08:00")
        self.submit("nightly", queue="night", memory="2G", log_limit="1M", notify="ops")
        self.submit("big", queue="gpu", resources={"gpu": 2}, retry_on_oom="1.5")
        task = {"template": "encode", "parameters": {"input": "a.mkv", "token": "hunter2"}}
        self.ask("submit", tasks=[task], cwd="/srv", env={})
        grid = [{"argv": ["train", str(n)], "queue": "gpu"} for n in range(3)]
        made = self.ask("submit", tasks=grid, group={"name": "grid", "max_running": 1}, env={})
        found = made["tasks"] if isinstance(made, dict) else made
        self.run(found[0]["uuid"], 40)
        self.ask("submit.lines", text=WORKFLOW_LINES)

    def _schedule(self) -> None:
        task = {"argv": ["true"], "timezone": "UTC"}
        self.ask("schedule.create", name="hourly", cron="0 * * * *", missed="run-all", **task)
        self.ask("schedule.create", name="often", every="10m", template="greet", timezone="UTC")
        self.ask("schedule.create", name="once", at="2026-04-01T08:00", **task)
        self.ask("schedule.create", name="boot", at_boot=True, **task)
        self.ask("schedule.pause", name="often")
        self.ask("schedule.run", name="hourly")

    def _handle_alerts(self) -> None:
        found = self.ask("alert.ls")
        alerts = found["alerts"] if isinstance(found, dict) else found
        if alerts:
            self.ask("alert.ack", ids=[alerts[0]["id"]], note="seen")
        self.ask("alert.silence", match={"queue": ["night"]}, until="1d", reason="moving")

    def _store_slow_statement(self) -> None:
        """Store one slow statement, as if it had taken long."""
        db = self.stage.call.db
        db.slow.threshold = 0.0
        self.ask("queue.ls")
        db.slow.threshold = NEVER_SLOW
        self.stage.wait_for(store_slow_statements(db))
        for text in (
            "DELETE FROM slow_queries WHERE statement > (SELECT min(statement) FROM slow_queries)",
            "UPDATE slow_queries SET id = 1, seconds = 0.2, worst = 0.3, total = 0.5, count = 2,"
            " updated_at = '2026-03-02T07:21:00.000000Z'",
        ):
            self.stage.write(lambda build, text=text: build.c.exec_driver_sql(text))
