"""Recorder of all statements of a runtime, with the plan of each."""

from __future__ import annotations

import asyncio
import inspect
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from app.client import READ_ONLY_VERBS
from app.core.rules import presets
from app.errors import Problem
from app.runtime.duties.periodic import Duties
from app.runtime.serve import Runtime, open_runtime
from app.service import registry
from app.service.context import Call
from app.service.monitoring import take_snapshot
from db import statement_timer, timestamps
from db.maintenance import query_plans, slow_queries
from db.maintenance.slow_queries import SlowRow
from db.search.pagination import ORDERS
from db.statement_timer import BoundShape

SKIPPED_VERBS = ("db.", "doctor", "export")
"""Verbs that read everything on purpose, or no task."""
SKIPPED_DUTIES = ("backup", "replica")
"""Periodic jobs that read the file and hardly any row."""
FILTERS = (
    "", "status:failed", "status:queued queue:gpu", "work 7", "!work", "name:work*", "by:ann",
    "tag:run=7", "template:encode",
    "since:1h", "until:1h status:ended", "number:>100", "priority:2", "#42", "status:active",
)  # fmt: skip
PAGE_SIZE = 10
"""Rows of a page. A longer page has the same statements but takes longer to explain."""
TASK_VERBS = frozenset({"about", "show", "log", "instances"})
"""Verbs about one task."""


@dataclass(frozen=True, slots=True)
class ExplainedStatement:
    """Statement with its plan and the tables that it scans."""

    text: str
    plan: tuple[str, ...]
    scans: tuple[query_plans.TableScan, ...]

    def __str__(self) -> str:
        return "\n    ".join((" ".join(self.text.split()), *self.plan))


@dataclass(frozen=True, slots=True)
class RecordedStatements:
    """All executed statements, the slow ones, and the worst seconds of each verb and job."""

    statements: list[ExplainedStatement]
    slow: list[SlowRow]
    took: dict[str, float]
    unexplained: list[str]


async def record_statements(home: Path, tasks: int) -> RecordedStatements:
    """Start the home's runtime, run everything and explain the plans. The caller holds the lock."""
    async with open_runtime(home) as runtime:
        asker = VerbCaller(runtime, home, tasks)
        await asker.run_everything()
        db = runtime.dispatcher.db
        texts = dict(db.slow.texts)
        told, unexplained = await db.read(explain_statements, texts)
        await slow_queries.store_slow_statements(db)
        slow = await db.read(slow_queries.list_slow)
        return RecordedStatements(told, slow, asker.worst_seconds, unexplained)


def explain_statements(
    c: Connection, texts: dict[str, BoundShape]
) -> tuple[list[ExplainedStatement], list[str]]:
    """Return the plan of each statement, and the statements without one."""
    told, without = [], []
    for text, shape in texts.items():
        plan = query_plans.explain_statement(c, text, shape)
        if plan is None:
            without.append(text)
        else:
            told.append(ExplainedStatement(text, plan, tuple(query_plans.find_scans(plan, text))))
    return told, without


class VerbCaller:
    """Caller of verbs, like the control socket."""

    def __init__(self, runtime: Runtime, home: Path, tasks: int) -> None:
        self.runtime, self.home, self.last = runtime, home, tasks
        self.db = runtime.dispatcher.db
        self.worst_seconds: dict[str, float] = {}
        """Worst seconds of each verb and job."""

    async def call_verb(self, verb: str, /, **args: Any) -> Any:
        """Call one verb and ignore refusals."""
        with self._measure(verb):
            try:
                return await registry.call_verb(
                    Call(self.db, "ann", self.home, self.runtime), verb, args
                )
            except Problem:
                return None

    @contextmanager
    def _measure(self, what: str) -> Iterator[None]:
        began = time.monotonic()
        with statement_timer.set_caller(what):
            yield
        self.worst_seconds[what] = max(self.worst_seconds.get(what, 0.0), time.monotonic() - began)

    async def run_everything(self) -> None:
        """Run all changes, reads and jobs, so that work is in progress."""
        await self.make_changes()
        await self.call_reading_verbs()
        await self.read_lists()
        with self._measure("monitoring"):
            await take_snapshot(Call(self.db, "", self.home, self.runtime))
        for duty in Duties(self.db, self.runtime.dispatcher, self.runtime.sampler).list_duties():
            if duty.name in SKIPPED_DUTIES:
                continue
            with self._measure(f"duty {duty.name}"):
                await duty.run()

    async def make_changes(self) -> None:
        """Create rules, submit tasks, and call every verb on tasks in several states."""
        for preset in ("starts-within", "finishes-within"):
            await self.call_verb("sla.create", name=preset, preset=preset, value="45m", queue="gpu")
        for metric, value in (
            ("replica-lag", "5m"),
            ("backup-age", "2h"),
            ("slow-queries", 20),
            ("lock-wait", "1s"),
            ("wal-size", "1K"),
        ):
            await self.call_verb(
                "sla.create", name=metric, preset="stays-below", metric=metric, value=value
            )
        for name in presets.PRESETS:
            wanted = presets.build_conditions(name, wait="0s")
            await self.call_verb("sla.create", name=name, conditions=wanted)
        failed = {"metric": "instance.exit_code", "op": "!=", "value": 0}
        for scope, when in {
            "instance": {"any": [failed, {"deadline": {"reference": "queued_at", "offset": "1s"}}]},
            "queue": {"metric": "queue.depth", "op": ">", "value": 0},
            "task": {"forecast": {"reference": {"fixed": "06:00"}}},
        }.items():
            wanted = {"scope": scope, "when": when}
            await self.call_verb("sla.create", name=f"general-{scope}", conditions=wanted)
        await self.call_verb("checkin", name="dump")
        actions = [
            {"notify": "ops", "max": 3, "repeat_every": "1m"},
            {"on": "resolved", "notify": "ops"},
            {"on": "acknowledged", "notify": "ops"},
            {"retry": True, "dry_run": True},
        ]
        at_once = {"conditions": {"preset": "starts-within", "value": "1s"}, "actions": actions}
        await self.call_verb("apply", tables={"slas": {"at-once": at_once}})
        await self.call_verb("limit.set", name="team=a", running=2, resources={"gpu": 1})
        await self.call_verb("resource.set", name="license", total=2)
        booked = {"pool": "default", "tag": "team=a", "cpu": 0.5}
        await self.call_verb("reserve.create", begin="1h", end="2h", **booked)
        await self.call_verb("sla.ls")  # evaluates the rules
        await self.call_verb("alert.ack", ids=["at-once"])
        await self.call_verb("alert.silence", ids=["at-once"], until="1h")
        await self.call_verb("alert.silence", ids=["at-once"], until="2h")
        await self.call_verb("alert.unsilence", ids=["at-once"])
        names = {key: ["*"] for key in ("rule", "task", "schedule", "queue", "pool")}
        await self.call_verb("alert.silence", match=names, until="1h")
        await self.call_verb("alert.silence", match=names, until="2h")
        await self.call_verb("alert.silence", match={"task": ["*"]}, until="1h")
        await self.call_verb("alert.unsilence", ids=["s2"])
        task = {"argv": ["true"]}
        for kind in (
            {"every": "1s"},
            {"at_boot": True},
            {"cron": "0 * * * *", "missed": "run-all"},
        ):
            name = "hourly" if "cron" in kind else next(iter(kind))
            await self.call_verb("schedule.create", name=name, timezone="UTC", **task, **kind)
        for verb in ("run", "skip_next", "pause", "resume"):
            await self.call_verb(f"schedule.{verb}", name="hourly")
        span = {"since": "2026-11-01 00:00", "until": "2026-11-01 05:00"}
        await self.call_verb("schedule.backfill", name="hourly", **span)
        given = {"cwd": "/", "umask": 0o022, "env": {"PATH": os.environ["PATH"]}}
        made = await self.call_verb(
            "submit", tasks=[task, task | {"queue": "default", "retries": 1}], **given
        )
        first = made[0]["number"] if made else self.last
        await self.call_verb("submit", tasks=[task | {"after": [first]}], **given)
        group = {"argv": ["true"], "max_running": 1}
        await self.call_verb("submit", tasks=[task] * 3, group=group, **given)
        await self.call_verb("group.set", id="g1", max_running=2)
        await self.call_verb("hold", ids=["g1"])
        await self.call_verb("front", ids=[first])
        await self.call_verb("wait", ids=[first], timeout=2)
        agent = {"client": {"name": "a", "tasks": 9, "cpu": 1}}
        await self.call_verb("submit", tasks=[task], **given, **agent)
        for name in ("cancel", "retry"):
            await self.call_verb(name, ids=[first], **agent)
        for name in ("hold", "release", "front", "pause", "resume", "cancel", "retry"):
            await self.call_verb(name, ids=[self.last - 9, 10])
            await self.call_verb(name, select={"queue": "media", "status": ["failed"], "limit": 5})
        await self.call_verb("retry", ids=[self.last - 9, 10], with_dependents=True)
        await self.call_verb("set", ids=[self.last - 8], fields={"priority": 7})
        await self.call_verb("undo", dry_run=True)
        await self.call_verb("rm", ids=[11])

    async def call_reading_verbs(self) -> None:
        """Call each reading verb, without arguments where possible, and for tasks of each kind."""
        for name in _list_verbs():
            for args in self._list_arguments(name):
                await self.call_verb(name, **args)

    def _list_arguments(self, name: str) -> Iterator[dict[str, Any]]:
        known: dict[str, list[dict[str, Any]]] = {
            "away": [{"since": time.time() - 3600}],
            "alert.show": [{"id": 1}],
            "cancel.preview": [{"ids": [1, self.last]}],
            "flow": [{"id": 1}, {"id": self.last}],
            "logs": [{"ids": ["g1"]}, {"ids": ["g1", 1], "after": "2026-01-01T00:00:00.000000Z"}],
            "group.ls": [{}, {"recent": True}],
            "group.show": [{"id": "g1"}],
            "group.tasks": [{"id": "g1"}],
            "definition.show": [
                {"kind": "queues", "name": "gpu"},
                {"kind": "slas", "name": "starts-within"},
            ],
            "definition.check": [
                {"kind": "queues", "tables": {"queues": {"gpu": {"capacity": 3}}}, "name": "gpu"}
            ],
            "instances": [{"id": 1}, {"id": self.last}, {"id": "g1"}],
            "limit.show": [{"name": "team=a"}],
            "pool.show": [{"name": "default"}],
            "queue.show": [{"name": "gpu"}],
            "queue.line": [{"names": ["gpu", "default"]}, {"names": []}],
            "schedule.show": [{"name": "hourly"}],
            "schedule.preview_import": [
                {"lines": [{"line": 1, "name": "etl", "definition": {"cron": "@daily"}}]}
            ],
            "schedule.timeline": [
                {"names": ["hourly"], "since": time.time(), "step": 3600.0, "cells": 24}
            ],
            "sla.show": [{"name": "starts-within"}],
            "sla.test": [{"name": "queue-wait"}, {"name": "general-instance"}],
            "sla.history": [{"name": "starts-within"}, {"name": "wal-size"}],
            "template.show": [{"name": "encode"}],
            "template.ls": [{}, {"usage": True}],
            "review": [{"filter": "status:failed"}, {"ids": [1, self.last]}],
            "forecast": [
                {
                    "settings": ["pool.default.cpu=2", "queue.gpu.capacity=3"],
                    "cancel": [self.last],
                    "lines": '{"argv": ["true"], "after": ["work 7"]}',
                }
            ],
            "right_size": [{"ids": [self.last, 5]}],
            "why": [{}, {"ids": [self.last - 1, 5]}],
            "operations": [
                {},
                {"words": ["set"]},
                {"by": "ann"},
                {"verb": "set"},
                {"object": "task #7"},
                {"before": 500},
                {"since": 3600},
            ],
            "board.at": [{"at": timestamps.from_unix(time.time() - 1800)}],
            "history": [
                {"span": span, "metric": metric}
                for span in ("hour", "day", "week")
                for metric in ("throughput", "waits", "load")
            ],
            "ls": [
                {},
                {"status": "failed"},
                {"group": "g1"},
                {"queue": "gpu"},
                {"name": "work 7"},
                {"tag": {"run": "7"}},
                {"limit": 5},
            ],
        }
        if name in TASK_VERBS:
            yield from ({"id": ident} for ident in (3, self.last // 2, self.last))
        yield from known.get(name, [] if name in TASK_VERBS else [{}])

    async def read_lists(self) -> None:
        """Read pages of tasks in every order and direction, with every kind of filter."""
        for order in ORDERS:
            for down in (True, False):
                await self._read_pages(order, down)
        for words in FILTERS:
            await self.call_verb("browse", filter=words, limit=PAGE_SIZE)
            await self.call_verb("browse", filter=words, order="ended", limit=PAGE_SIZE)

    async def _read_pages(self, order: str, down: bool) -> None:
        """Read the first page, and the pages reachable from its last row."""
        page = await self.call_verb("browse", order=order, down=down, limit=PAGE_SIZE)
        row = page["rows"][-1]
        for way in ("after", "before", "from"):
            await self.call_verb(
                "browse",
                order=order,
                down=down,
                at=[row[page["columns"].index("at")], row[1]],
                way=way,
                limit=PAGE_SIZE,
            )


def _list_verbs() -> list[str]:
    return sorted(
        name for name in READ_ONLY_VERBS if not name.startswith(SKIPPED_VERBS) and name != "browse"
    )


def list_required_arguments(name: str) -> list[str]:
    """List the arguments that a verb requires."""
    wanted = inspect.signature(registry.VERBS[name].run).parameters.values()
    return [p.name for p in wanted if p.kind is p.KEYWORD_ONLY and p.default is p.empty]


def run_recorder(home: Path, tasks: int) -> RecordedStatements:
    """Run `record_statements` in a new event loop."""
    return asyncio.run(record_statements(home, tasks))
