"""Scans that are allowed, each with its reason."""

from __future__ import annotations

import re

from db.maintenance.query_plans import TableScan

GROWING_TABLES = (
    "tasks",
    "instances",
    "events",
    "operations",
    "alerts",
    "samples",
    "history",
    "dependencies",
    "deliveries",
    "groups",
    "counters",
)
"""Tables without a size limit. All others stay small."""

WANTED_INDEXES = {
    "idx_deliveries_due": "its entries are the deliveries that wait, which are wanted",
    "idx_alerts_open": "its entries are the open alerts, which are wanted",
    "idx_tasks_next": (
        "its entries are the waiting tasks in their order, which are wanted up to a limit"
    ),
    "idx_instances_copies": "its entries are the logs still to be copied, which are wanted",
    "idx_instances_error_copies": "its entries are the logs still to be copied, which are wanted",
    "idx_instances_active": "its entries are the runs under way, which are wanted",
}
"""Partial indexes whose entries are all wanted."""

ORDERED_SCANS = (
    (
        r"FROM tasks INDEXED BY (\w+) WHERE \w+ IS NOT NULL AND 1 ORDER BY .* LIMIT \?\)$",
        "a page of all tasks in the order of an index",
    ),
    (
        r"^SELECT number - rowid|SELECT \(SELECT number - rowid FROM tasks ORDER BY number",
        "the first and the last number",
    ),
    (r"^SELECT \S+ FROM \w+ LIMIT 1$", "whether there is any row"),
    (
        r"^SELECT 1 FROM \(SELECT t\.template, .* FROM tasks t WHERE .* LIMIT 200\) t WHERE",
        "the newest 200 tasks that a rule can concern",
    ),
    (r" FROM \(SELECT name, tags FROM tasks ORDER BY number DESC LIMIT \d+\)", "the newest tasks"),
    (r" WHERE tasks\.deleted_at IS NULL ORDER BY tasks\.number DESC LIMIT \?", "the newest tasks"),
    (r" FROM deliveries ORDER BY deliveries\.id DESC LIMIT \?", "the newest deliveries"),
    (r" FROM operations ORDER BY operations\.id DESC LIMIT \? OFFSET \?$", "the newest operations"),
    (
        r"^SELECT operations\.batch FROM operations GROUP BY operations\.batch ORDER BY"
        r" operations\.batch DESC LIMIT \? OFFSET \?$",
        "the newest acts",
    ),
    (r" FROM instances ORDER BY instances\.runid DESC LIMIT \?", "the newest runs"),
    (r"^SELECT number FROM groups ORDER BY number DESC LIMIT \?$", "the newest groups"),
)
"""Statements that follow an index or the rows in the wanted order and stop at their limit."""

USER_FILTERS = (
    (
        r"^SELECT tasks\.uuid.* FROM tasks WHERE .*json_each\(tasks\.tags\).* LIMIT \?",
        "`ls --tag`, newest first until the page is full",
    ),
    (
        r"^SELECT count\(\*\) AS count_1 FROM tasks WHERE .*json_each\(tasks\.tags\)",
        "`ls --tag` says how many there are",
    ),
    (
        r" FROM operations WHERE .* ORDER BY operations\.(id|batch) DESC LIMIT \? OFFSET \?$",
        "a filter of the operations, newest first until full",
    ),
)
"""Statements of users that no index serves. The deck's lists and the dispatcher send none."""

RARE_SCANS = (
    (
        r"^SELECT uuid, max\(at\) AS latest FROM \(",
        "the last success of each name, which the cleanup does not remove",
    ),
)
"""Statements that the schedule runs a few times an hour, on a reader."""


def find_reason(statement: str, walk: TableScan) -> str | None:
    """Return the reason that a statement may scan the table, or None."""
    if walk.table not in GROWING_TABLES:
        return "the table is small"
    if walk.by in WANTED_INDEXES:
        return WANTED_INDEXES[walk.by]
    text = " ".join(statement.split())
    return next(
        (
            why
            for pattern, why in (*ORDERED_SCANS, *USER_FILTERS, *RARE_SCANS)
            if re.search(pattern, text)
        ),
        None,
    )
