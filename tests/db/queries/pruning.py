"""What `app.service.database.cleanup` does with the runtime's writer, in one transaction."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from db.queries import retention
from db.queries.retention import ExpiredRun, ExpiryRule, RetentionRules, RuleRuns


def make_rules(*scopes: ExpiryRule, before: str = "", month: int = 0, ledger: str = "") -> RetentionRules:
    """The rules of special scopes; of all others, what ended before that time goes."""
    return RetentionRules((*scopes, ExpiryRule("all", before=before or None)), before, month, ledger)


def list_expired_runs(c: Connection, part: RuleRuns) -> Iterator[ExpiredRun]:
    """The runs of a part that go, in small pages."""
    after = retention.NO_CUTOFF
    while found := retention.list_expired(c, part, after, 3):
        yield from found
        after = (found[-1].ended, found[-1].id)


def prune_all(c: Connection, by: RetentionRules) -> list[str]:
    """Remove all that goes; the runs, oldest first within each rule."""
    gone: list[str] = []
    for part in retention.find_rule_runs(c, by):
        gone += retention.remove_runs(c, [run.id for run in list_expired_runs(c, part)]).runs
        retention.remove_runs(c, (), [task.id for task in retention.list_without_runs(c, part, by.before, retention.NO_CUTOFF)])
    for table in retention.OTHER_TABLES:
        while retention.remove_old(c, table, by):
            pass
    retention.remove_unused_environments(c)
    return gone
