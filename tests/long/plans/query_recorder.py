"""Everything that a deck, the command line and the clock ask of a runtime, in its own process; and the plan of each statement of it."""

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

from app.client import READING
from app.errors import Problem
from app.runtime.periodic import Duties
from app.runtime.serve import Runtime, open_runtime
from app.service import registry
from app.service.context import Call
from db import statement_timer, timestamps
from db.maintenance import query_plans, slow_queries
from db.maintenance.slow_queries import SlowRow
from db.search.pagination import ORDERS
from db.statement_timer import Shape

NOT_ASKED = ("db.", "doctor", "export")
"""Verbs that read all there is, or no task, because somebody wants them to."""
NOT_DONE = ("backup", "replica")
"""Duties that read the file and hardly a row."""
FILTERS = (
    "", "status:failed", "status:queued queue:gpu", "work 7", "!work", "name:work*", "by:ann", "tag:run=7", "template:encode",
    "since:1h", "until:1h status:ended", "number:>100", "priority:2", "#42", "status:active",
)  # fmt: skip
ROWS = 10
"""Of a page: statements are the same for a longer one, which takes longer to explain."""
ORDINARY = frozenset({"about", "show", "log", "instances"})
"""Verbs about one task."""


@dataclass(frozen=True, slots=True)
class Told:
    """A statement, its plan, and which tables it walks through."""

    text: str
    plan: tuple[str, ...]
    walks: tuple[query_plans.Walk, ...]

    def __str__(self) -> str:
        return "\n    ".join((" ".join(self.text.split()), *self.plan))


@dataclass(frozen=True, slots=True)
class Asked:
    """All that was executed, what was slow of it, and the verbs and duties that were asked, with the worst seconds of each."""

    told: list[Told]
    slow: list[SlowRow]
    took: dict[str, float]
    unexplained: list[str]


async def ask(home: Path, tasks: int) -> Asked:
    """Bring up the home's runtime, ask it everything, and look at the plans. The caller holds the lock."""
    async with open_runtime(home) as runtime:
        asker = Asker(runtime, home, tasks)
        await asker.everything()
        db = runtime.dispatcher.db
        texts = dict(db.slow.texts)
        told, unexplained = await db.read(explained, texts)
        await slow_queries.keep(db)
        slow = await db.read(slow_queries.listed)
        return Asked(told, slow, asker.asked, unexplained)


def explained(c: Connection, texts: dict[str, Shape]) -> tuple[list[Told], list[str]]:
    """The plan of each statement, and those that have none."""
    told, without = [], []
    for text, shape in texts.items():
        plan = slow_queries.plan(c, text, shape)
        if plan is None:
            without.append(text)
        else:
            told.append(Told(text, plan, tuple(query_plans.walks(plan, text))))
    return told, without


class Asker:
    """Asks verbs as the control socket does."""

    def __init__(self, runtime: Runtime, home: Path, tasks: int) -> None:
        self.runtime, self.home, self.last = runtime, home, tasks
        self.db = runtime.dispatcher.db
        self.asked: dict[str, float] = {}
        """Verbs and duties, and the seconds that each took at worst."""

    async def verb(self, verb: str, /, **args: Any) -> Any:
        """One verb; a refusal is an answer like any other."""
        with self._timed(verb):
            try:
                return await registry.answer(Call(self.db, "ann", self.home, self.runtime), verb, args)
            except Problem:
                return None

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        began = time.monotonic()
        with statement_timer.asked_by(what):
            yield
        self.asked[what] = max(self.asked.get(what, 0.0), time.monotonic() - began)

    async def everything(self) -> None:
        """All of it, so that work is under way meanwhile."""
        await self.changes()
        await self.readings()
        await self.lists()
        for duty in Duties(self.db, self.runtime.dispatcher, self.runtime.usage_).table():
            if duty.name in NOT_DONE:
                continue
            with self._timed(f"duty {duty.name}"):
                await duty.run()

    async def changes(self) -> None:
        """What people do: rules, submissions, and every verb on tasks that wait, run and ended."""
        for preset in ("starts-within", "finishes-within"):
            await self.verb("sla.create", name=preset, preset=preset, value="45m", queue="gpu")
        for metric, value in (("replica-lag", "5m"), ("backup-age", "2h"), ("slow-queries", 20), ("lock-wait", "1s"), ("wal-size", "1K")):
            await self.verb("sla.create", name=metric, preset="stays-below", metric=metric, value=value)
        task = {"argv": ["true"]}
        given = {"cwd": "/", "umask": 0o022, "env": {"PATH": os.environ["PATH"]}}
        made = await self.verb("submit", tasks=[task, task | {"queue": "default", "retries": 1}], uuid="0" * 8, **given)
        first = made[0]["number"] if made else self.last
        await self.verb("submit", tasks=[task | {"after": [first]}], uuid="1" * 8, **given)
        await self.verb("front", ids=[first])
        await self.verb("wait", ids=[first], timeout=2)
        for name in ("hold", "release", "front", "pause", "resume", "cancel", "retry"):
            await self.verb(name, ids=[self.last - 9, 10])
            await self.verb(name, select={"queue": "media", "status": ["failed"], "limit": 5})
        await self.verb("set", ids=[self.last - 8], fields={"priority": 7})
        await self.verb("undo", dry_run=True)
        await self.verb("rm", ids=[11])

    async def readings(self) -> None:
        """Each reading verb, bare where it can be, and of tasks of each kind."""
        for name in _askable():
            for args in self._arguments(name):
                await self.verb(name, **args)

    def _arguments(self, name: str) -> Iterator[dict[str, Any]]:
        known: dict[str, list[dict[str, Any]]] = {
            "away": [{"since": time.time() - 3600}],
            "alert.show": [{"id": 1}],
            "definition.show": [{"kind": "queues", "name": "gpu"}, {"kind": "slas", "name": "starts-within"}],
            "definition.check": [{"kind": "queues", "text": "capacity = 3", "name": "gpu"}],
            "pool.show": [{"name": "default"}],
            "queue.show": [{"name": "gpu"}],
            "queue.line": [{"names": ["gpu", "default"]}, {"names": []}],
            "sla.show": [{"name": "starts-within"}],
            "sla.history": [{"name": "starts-within"}, {"name": "wal-size"}],
            "template.show": [{"name": "encode"}],
            "template.ls": [{}, {"usage": True}],
            "review": [{"filter": "status:failed"}, {"ids": [1, self.last]}],
            "why": [{}, {"ids": [self.last - 1, 5]}],
            "operations": [{}, {"words": ["set"]}, {"by": "ann"}, {"verb": "set"}, {"object": "task #7"}, {"before": 500}, {"since": 3600}],
            "board.at": [{"at": timestamps.from_unix(time.time() - 1800)}],
            "history": [{"span": span, "metric": metric} for span in ("hour", "day", "week") for metric in ("throughput", "waits", "load")],
            "ls": [{}, {"status": "failed"}, {"queue": "gpu"}, {"name": "work 7"}, {"tag": {"run": "7"}}, {"limit": 5}],
        }
        if name in ORDINARY:
            yield from ({"id": ident} for ident in (3, self.last // 2, self.last))
        yield from known.get(name, [] if name in ORDINARY else [{}])

    async def lists(self) -> None:
        """Pages of tasks in every order, both ways, with every kind of filter."""
        for order in ORDERS:
            for down in (True, False):
                await self._pages(order, down)
        for words in FILTERS:
            await self.verb("browse", filter=words, limit=ROWS)
            await self.verb("browse", filter=words, order="ended", limit=ROWS)

    async def _pages(self, order: str, down: bool) -> None:
        """The first page, and those that may be asked for from its last row."""
        page = await self.verb("browse", order=order, down=down, limit=ROWS)
        row = page["rows"][-1]
        for way in ("after", "before", "from"):
            await self.verb("browse", order=order, down=down, at=[row[page["columns"].index("at")], row[1]], way=way, limit=ROWS)


def _askable() -> list[str]:
    return sorted(name for name in READING if not name.startswith(NOT_ASKED) and name != "browse")


def needs(name: str) -> list[str]:
    """The arguments that a verb cannot do without."""
    wanted = inspect.signature(registry.VERBS[name].run).parameters.values()
    return [p.name for p in wanted if p.kind is p.KEYWORD_ONLY and p.default is p.empty]


def run(home: Path, tasks: int) -> Asked:
    """`ask`, in an event loop of its own."""
    return asyncio.run(ask(home, tasks))
