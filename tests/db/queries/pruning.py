"""What `app.service.database.cleanup` does with the runtime's writer, in one transaction."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from db.queries import retention
from db.queries.retention import Old, Part, Rules, Scope


def rules(*scopes: Scope, before: str = "", month: int = 0, ledger: str = "") -> Rules:
    """The rules of special scopes; of all others, what ended before that time goes."""
    return Rules((*scopes, Scope("all", before=before or None)), before, month, ledger)


def pages(c: Connection, part: Part) -> Iterator[Old]:
    """The runs of a part that go, in small pages."""
    after = retention.NOTHING
    while found := retention.page(c, part, after, 3):
        yield from found
        after = (found[-1].ended, found[-1].id)


def prune(c: Connection, by: Rules) -> list[str]:
    """Remove all that goes; the runs, oldest first within each rule."""
    gone: list[str] = []
    for part in retention.parts(c, by):
        gone += retention.remove(c, [run.id for run in pages(c, part)]).runs
        retention.remove(c, (), [task.id for task in retention.idle(c, part, by.before, retention.NOTHING)])
    for table in retention.OTHERS:
        while retention.remove_old(c, table, by):
            pass
    retention.remove_unused(c)
    return gone
