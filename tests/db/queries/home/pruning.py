"""Retention in one transaction, as `app.service.database.cleanup` runs it in several."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from db.queries.home import retention
from db.queries.home.retention import ExpiredRun, ExpiryRule, RetentionRules, RuleRuns


def make_rules(
    *scopes: ExpiryRule, before: str = "", month: int = 0, ledger: str = ""
) -> RetentionRules:
    """Return rules of these scopes; everything else expires at `before`."""
    return RetentionRules(
        (*scopes, ExpiryRule("all", before=before or None)), before, month, ledger
    )


def list_expired_runs(c: Connection, part: RuleRuns) -> Iterator[ExpiredRun]:
    """Yield the expired runs of a rule, read in small pages."""
    after = retention.NO_CUTOFF
    while found := retention.list_expired(c, part, after, 3):
        yield from found
        after = (found[-1].ended, found[-1].id)


def prune_all(c: Connection, by: RetentionRules) -> list[str]:
    """Remove everything that expired; return the runs, oldest first within each rule."""
    gone: list[str] = []
    for part in retention.find_rule_runs(c, by):
        gone += retention.remove_runs(c, [run.id for run in list_expired_runs(c, part)]).runs
        retention.remove_runs(
            c,
            (),
            [
                task.id
                for task in retention.list_without_runs(
                    c, part, by.records_before, retention.NO_CUTOFF
                )
            ],
        )
    for table in retention.OTHER_TABLES:
        while retention.remove_old(c, table, by):
            pass
    retention.remove_unused_environments(c)
    return gone
