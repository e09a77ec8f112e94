"""Retention: what the rules remove by age, number and log size, and what always stays."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from sqlalchemy import Connection, insert

from db import schema, timestamps
from db.engine import create_write_engine
from db.queries import definitions, reads, schedules
from db.queries.history import rollups
from db.queries.home import retention
from db.queries.home.retention import ExpiryRule, RetentionRules
from db.queries.tasks import transitions
from tests.db.builders import TaskBuilder, make_task_row
from tests.db.queries.home.pruning import make_rules, prune_all

LIMIT_DAYS = 30.0


def format_days_ago(days: float) -> str:
    return timestamps.from_unix(time.time() - days * 86400)


def make_month_rules() -> RetentionRules:
    """Return rules by which everything expires after 30 days, as of now."""
    return make_rules(before=format_days_ago(LIMIT_DAYS))


def add_ended_task(made: TaskBuilder, days: float, code: int = 1, **more) -> tuple[str, str]:
    """Return a task that failed `days` days ago, and its run."""
    uuid = made.submit_task(**more)
    runid = made.start_run(uuid)
    made.record_end(runid, code)
    made.backdate("tasks", "uuid", uuid, "ended_at", days)
    made.backdate("instances", "runid", runid, "end_time", days)
    return uuid, runid


def add_template(c: Connection, name: str) -> str:
    now = timestamps.now()
    c.execute(
        insert(schema.templates).values(
            name=name,
            type="x",
            engine="exec",
            schema={},
            parameters={},
            created_at=now,
            updated_at=now,
        )
    )
    return name


def add_queue(c: Connection, name: str) -> str:
    now = timestamps.now()
    values = {
        "name": name,
        "capacity": 1,
        "status": "active",
        "pool": "default",
        "created_at": now,
        "updated_at": now,
    }
    c.execute(insert(schema.queues).values(values))
    return name


def count_history(c: Connection, days: float = 0) -> None:
    """Let the history count all runs that ended until `days` days ago."""
    rollups.set_counted_until(c, int((time.time() - days * 86400) // 60))


def test_a_run_older_than_thirty_days_goes_with_its_task(
    connection: Connection, builder: TaskBuilder
):
    uuid, runid = add_ended_task(builder, LIMIT_DAYS + 0.01)

    assert prune_all(connection, make_month_rules()) == [runid]
    assert reads.list_by_uuid(connection, [uuid]) == []


def test_a_run_younger_than_thirty_days_stays(connection: Connection, builder: TaskBuilder):
    uuid, _ = add_ended_task(builder, LIMIT_DAYS - 0.01)

    assert prune_all(connection, make_month_rules()) == []
    assert builder.read_status(uuid) == "failed"


def test_a_task_stays_while_one_of_its_runs_is_young(connection: Connection, builder: TaskBuilder):
    uuid, first = add_ended_task(builder, LIMIT_DAYS + 1)
    transitions.retry(connection, [uuid], "ann")
    builder.complete_run(uuid)

    assert prune_all(connection, make_month_rules()) == [first]
    assert [run.attempt for run in builder.list_runs(uuid)] == [2]


def test_a_pinned_task_stays(connection: Connection, builder: TaskBuilder):
    uuid, _ = add_ended_task(builder, LIMIT_DAYS + 1)
    connection.exec_driver_sql("UPDATE tasks SET pinned = 1 WHERE uuid = ?", (uuid,))

    assert prune_all(connection, make_month_rules()) == []
    assert len(builder.list_runs(uuid)) == 1


def test_a_task_pinned_after_it_was_listed_stays(connection: Connection, builder: TaskBuilder):
    uuid, runid = add_ended_task(builder, LIMIT_DAYS + 1)
    connection.exec_driver_sql("UPDATE tasks SET pinned = 1 WHERE uuid = ?", (uuid,))

    assert retention.remove_runs(connection, [runid], [uuid]) == ([], {})
    assert builder.read_status(uuid) == "failed"


@pytest.mark.parametrize("started", [True, False])
def test_active_and_waiting_tasks_stay_however_old(
    connection: Connection, builder: TaskBuilder, started: bool
):
    uuid = builder.submit_task()
    if started:
        builder.backdate("instances", "runid", builder.start_run(uuid), "start_time", 400)
    builder.backdate("tasks", "uuid", uuid, "created_at", 400)

    assert prune_all(connection, make_month_rules()) == []
    assert builder.read_status(uuid) == ("running" if started else "queued")


@pytest.mark.parametrize("status", ["running", "retrying", "queued", "held"])
@pytest.mark.parametrize(
    "by",
    [
        make_month_rules(),
        make_rules(ExpiryRule("queue", "default", runs=1)),
        make_rules(ExpiryRule("queue", "default", logs=1)),
    ],
    ids=["age", "runs", "logs"],
)
def test_earlier_runs_of_a_task_that_has_not_ended_stay(
    connection: Connection, builder: TaskBuilder, status: str, by: RetentionRules
):
    uuid, first = add_ended_task(
        builder, LIMIT_DAYS + 9, retries=0 if status in ("queued", "held") else 5
    )
    if status in ("queued", "held"):
        transitions.retry(connection, [uuid], "ann")
    elif status == "running":
        builder.backdate("tasks", "uuid", uuid, "retry_at", 1)
        transitions.queue_due_tasks(connection)
        builder.start_run(uuid)
    if status == "held":
        transitions.hold(connection, [uuid], True, "ann")
    _, gone = add_ended_task(builder, LIMIT_DAYS + 8)
    _, newest = add_ended_task(builder, LIMIT_DAYS - 1)
    connection.exec_driver_sql("UPDATE instances SET log_bytes = 100")
    count_history(connection)
    assert builder.read_status(uuid) == status

    assert prune_all(connection, by) == [gone]

    left = (
        connection.exec_driver_sql(
            "SELECT runid FROM instances WHERE end_time IS NOT NULL ORDER BY end_time"
        )
        .scalars()
        .all()
    )
    assert left == [first, newest]
    assert retention.count_spared(connection, retention.find_rule_runs(connection, by)[0]) == 0


def test_the_run_of_a_task_retried_after_it_was_listed_stays(
    connection: Connection, builder: TaskBuilder
):
    uuid, runid = add_ended_task(builder, LIMIT_DAYS + 1)
    transitions.retry(connection, [uuid], "ann")

    assert retention.remove_runs(connection, [runid], [uuid]) == ([], {})
    assert [run.runid for run in builder.list_runs(uuid)] == [runid]


def test_the_last_success_of_a_name_stays_and_later_failures_go(
    connection: Connection, builder: TaskBuilder
):
    _, first = add_ended_task(builder, LIMIT_DAYS + 3, 0, name="nightly")
    last, _ = add_ended_task(builder, LIMIT_DAYS + 2, 0, name="nightly")
    _, failed = add_ended_task(builder, LIMIT_DAYS + 1, 1, name="nightly")

    assert prune_all(connection, make_month_rules()) == [first, failed]
    assert builder.read_status(last) == "succeeded"


def test_the_last_success_of_a_template_stays_whatever_the_task_names(
    connection: Connection, builder: TaskBuilder
):
    of = add_template(connection, "encode")
    _, first = add_ended_task(builder, LIMIT_DAYS + 2, 0, name="a", template=of)
    last, _ = add_ended_task(builder, LIMIT_DAYS + 1, 0, name="b", template=of)

    assert prune_all(connection, make_month_rules()) == [first]
    assert builder.read_status(last) == "succeeded"


def test_a_success_stays_while_the_only_later_one_was_deleted_by_hand(
    connection: Connection, builder: TaskBuilder
):
    first, _ = add_ended_task(builder, LIMIT_DAYS + 2, 0)
    later, run = add_ended_task(builder, LIMIT_DAYS + 1, 0)
    connection.exec_driver_sql(
        "UPDATE tasks SET deleted_at = ? WHERE uuid = ?", (timestamps.now(), later)
    )

    assert prune_all(connection, make_month_rules()) == [run]
    assert builder.read_status(first) == "succeeded"


def test_the_last_run_of_a_repeatedly_successful_task_stays(
    connection: Connection, builder: TaskBuilder
):
    uuid, first = add_ended_task(builder, LIMIT_DAYS + 2, 0)
    transitions.retry(connection, [uuid], "ann")
    second = builder.start_run(uuid)
    builder.record_end(second)
    builder.backdate("tasks", "uuid", uuid, "ended_at", LIMIT_DAYS + 1)
    builder.backdate("instances", "runid", second, "end_time", LIMIT_DAYS + 1)

    assert prune_all(connection, make_month_rules()) == [first]
    assert [run.runid for run in builder.list_runs(uuid)] == [second]


def test_names_used_once_do_not_fill_the_database(
    connection: Connection, builder: TaskBuilder, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(retention, "KEPT_NAMES", 3)
    runs = [
        add_ended_task(builder, LIMIT_DAYS + 10 - at, 0, name=f"job-{at}")[1] for at in range(5)
    ]

    assert prune_all(connection, make_month_rules()) == runs[:2]
    assert prune_all(connection, make_month_rules()) == []


def test_the_most_specific_rule_alone_decides_for_a_task(
    connection: Connection, builder: TaskBuilder
):
    add_queue(connection, "scratch")
    add_template(connection, "encode")
    runs = {
        name: add_ended_task(builder, 5, queue=queue_, template=of)[1]
        for name, queue_, of in (
            ("all", "default", None),
            ("scratch", "scratch", None),
            ("encode", "scratch", "encode"),
        )
    }

    by = make_rules(
        ExpiryRule("template", "encode", format_days_ago(90)),
        ExpiryRule("queue", "scratch", format_days_ago(1)),
        before=format_days_ago(30),
    )

    assert prune_all(connection, by) == [runs["scratch"]]
    assert sorted(
        prune_all(
            connection,
            make_rules(
                ExpiryRule("template", "encode", format_days_ago(4)), before=format_days_ago(90)
            ),
        )
    ) == [runs["encode"]]


def test_runs_beyond_the_newest_of_a_rule_go_though_young(
    connection: Connection, builder: TaskBuilder
):
    add_template(connection, "encode")
    runs = [add_ended_task(builder, 1 - at / 10, template="encode")[1] for at in range(5)]
    other = add_ended_task(builder, 2)[0]
    count_history(connection)

    assert (
        prune_all(
            connection,
            make_rules(
                ExpiryRule("template", "encode", runs=2), before=format_days_ago(LIMIT_DAYS)
            ),
        )
        == runs[:3]
    )
    assert builder.read_status(other) == "failed"
    assert (
        connection.exec_driver_sql("SELECT count(*) FROM tasks WHERE template = 'encode'").scalar()
        == 2
    )


def test_runs_not_yet_counted_by_the_history_stay_within_any_number(
    connection: Connection, builder: TaskBuilder
):
    runs = [add_ended_task(builder, 1 - at / 10)[1] for at in range(3)]

    count_history(connection, 2)
    assert prune_all(connection, make_rules(ExpiryRule("queue", "default", runs=1))) == []

    count_history(connection)
    assert prune_all(connection, make_rules(ExpiryRule("queue", "default", runs=1))) == runs[:2]


def test_beyond_the_log_limit_the_oldest_go_but_never_the_newest(
    connection: Connection, builder: TaskBuilder
):
    runs = [add_ended_task(builder, 1 - at / 10)[1] for at in range(4)]
    connection.exec_driver_sql("UPDATE instances SET log_bytes = 100")
    count_history(connection)

    assert prune_all(connection, make_rules(ExpiryRule("queue", "default", logs=250))) == runs[:2]
    assert prune_all(connection, make_rules(ExpiryRule("queue", "default", logs=1))) == runs[2:3]
    assert prune_all(connection, make_rules(ExpiryRule("queue", "default", logs=1))) == []


def test_each_run_goes_for_the_first_limit_that_it_exceeds(
    connection: Connection, builder: TaskBuilder
):
    runs = [add_ended_task(builder, days)[1] for days in (9, 3, 2, 1)]
    connection.exec_driver_sql("UPDATE instances SET log_bytes = 100")
    count_history(connection)

    part = retention.find_rule_runs(
        connection,
        make_rules(ExpiryRule("queue", "default", before=format_days_ago(5), runs=2, logs=100)),
    )[0]
    found = retention.list_expired(connection, part, retention.NO_CUTOFF)

    assert [(run.id, part.get_reason(run)) for run in found] == [
        (runs[0], "age"),
        (runs[1], "runs"),
        (runs[2], "logs"),
    ]


def test_the_preview_equals_the_removal(connection: Connection, builder: TaskBuilder):
    twice, _ = add_ended_task(builder, LIMIT_DAYS + 5)
    transitions.retry(connection, [twice], "ann")
    again = builder.start_run(twice)
    builder.record_end(again, 1)
    builder.backdate("tasks", "uuid", twice, "ended_at", LIMIT_DAYS + 4)
    builder.backdate("instances", "runid", again, "end_time", LIMIT_DAYS + 4)
    for days in (LIMIT_DAYS + 3, LIMIT_DAYS - 1):
        add_ended_task(builder, days)
    part = retention.find_rule_runs(connection, make_month_rules())[0]
    runs, seen = retention.list_expired(connection, part, retention.NO_CUTOFF), Counter[str]()

    told = [
        retention.preview_removal(connection, runs[at : at + 1], seen) for at in range(len(runs))
    ]

    assert [(len(one.runs), len(one.tasks)) for one in told] == [(1, 0), (1, 1), (1, 1)]
    assert [retention.remove_runs(connection, [run.id]) for run in runs] == told


def test_a_task_cancelled_before_it_ran_goes_too(connection: Connection, builder: TaskBuilder):
    uuid = builder.submit_task()
    transitions.cancel(connection, [uuid], "ann")
    builder.backdate("tasks", "uuid", uuid, "ended_at", LIMIT_DAYS + 1)

    prune_all(connection, make_month_rules())

    assert reads.list_by_uuid(connection, [uuid]) == []


def test_a_deleted_task_goes_at_once_with_its_runs(connection: Connection, builder: TaskBuilder):
    uuid, runid = add_ended_task(builder, 0, 0)
    connection.exec_driver_sql(
        "UPDATE tasks SET deleted_at = ? WHERE uuid = ?", (timestamps.now(), uuid)
    )

    assert prune_all(connection, make_month_rules()) == [runid]
    assert connection.exec_driver_sql("SELECT count(*) FROM tasks").scalar() == 0


def test_a_child_outlives_its_parent(connection: Connection, builder: TaskBuilder):
    parent, _ = add_ended_task(builder, LIMIT_DAYS + 1)
    child = builder.submit_task()
    now = timestamps.now()
    connection.exec_driver_sql(
        "INSERT INTO dependencies VALUES (?, ?, 'any', ?, ?)", (child, parent, now, now)
    )

    prune_all(connection, make_month_rules())

    assert (builder.read_status(child), reads.map_parents(connection, [child])) == (
        "queued",
        {child: []},
    )


def test_old_events_and_samples_go_but_never_the_last_event(
    connection: Connection, builder: TaskBuilder
):
    uuid = builder.submit_task()
    builder.complete_run(uuid)
    last = connection.exec_driver_sql("SELECT max(id) FROM events").scalar()
    connection.exec_driver_sql(
        "UPDATE events SET created_at = ?", (format_days_ago(LIMIT_DAYS + 1),)
    )
    for days in (LIMIT_DAYS + 1, LIMIT_DAYS - 1):
        then = dict.fromkeys(("minute", "created_at", "updated_at"), format_days_ago(days))
        connection.execute(insert(schema.samples).values(kind="queue", name="default", **then))

    prune_all(connection, make_month_rules())

    assert connection.exec_driver_sql("SELECT id FROM events").scalars().all() == [last]
    assert connection.exec_driver_sql("SELECT count(*) FROM samples").scalar() == 1


def test_rows_written_under_a_wrong_clock_take_no_young_row_along(connection: Connection):
    connection.exec_driver_sql("DELETE FROM events")
    for at, rows in (("2026-11-20", 500), ("1970-01-01", 600), ("2026-11-20", 500)):
        many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
        insert = (
            f'{many} INSERT INTO events (task_id, status, "by", created_at, updated_at) SELECT i,'
            " 'queued', 'ann', ?, ? FROM n"
        )
        stamp = f"{at}T00:00:00.000000Z"
        connection.exec_driver_sql(insert, (rows, stamp, stamp))
    by = make_rules(before="2026-11-01T00:00:00.000000Z")

    assert retention.count_old(connection, "events", by) <= 600
    while retention.remove_old(connection, "events", by):
        pass

    left = connection.exec_driver_sql(
        "SELECT count(*) FROM events WHERE created_at > '2026'"
    ).scalar_one()
    assert left == 1000


def test_an_environment_goes_with_the_last_task_that_uses_it(
    connection: Connection, builder: TaskBuilder
):
    now = timestamps.now()
    for sha in ("a" * 64, "b" * 64):
        connection.exec_driver_sql(
            "INSERT INTO environments VALUES (?, '{}', ?, ?)", (sha, now, now)
        )
    add_ended_task(builder, LIMIT_DAYS + 1, env_id="a" * 64)
    builder.submit_task(env_id="b" * 64)

    prune_all(connection, make_month_rules())

    assert connection.exec_driver_sql("SELECT sha256 FROM environments").scalars().all() == [
        "b" * 64
    ]


def test_the_outcome_of_a_task_stays_in_the_ledger_for_its_time(
    connection: Connection, builder: TaskBuilder
):
    uuid, runid = add_ended_task(builder, LIMIT_DAYS + 1)
    number = builder.read_row(uuid).number

    prune_all(
        connection,
        make_rules(before=format_days_ago(LIMIT_DAYS), ledger=format_days_ago(LIMIT_DAYS)),
    )

    told = "SELECT runid, task_id, number, status FROM forgotten"
    assert [tuple(row) for row in connection.exec_driver_sql(told)] == [
        (runid, uuid, number, "failed")
    ]

    other, _ = add_ended_task(builder, LIMIT_DAYS + 1)
    prune_all(
        connection,
        make_rules(before=format_days_ago(LIMIT_DAYS), ledger=format_days_ago(LIMIT_DAYS)),
    )
    connection.exec_driver_sql("UPDATE forgotten SET created_at = '2000'")
    prune_all(
        connection,
        make_rules(before=format_days_ago(LIMIT_DAYS), ledger=format_days_ago(LIMIT_DAYS)),
    )
    assert connection.exec_driver_sql("SELECT task_id FROM forgotten").scalars().all() == [other]


def test_a_ledger_entry_that_stops_a_restored_task_stays(
    connection: Connection, builder: TaskBuilder
):
    uuid = builder.submit_task()
    for task_id in (uuid, "gone", "newest"):
        then = {"created_at": "2000", "updated_at": "2000"}
        connection.execute(
            insert(schema.forgotten).values(runid=task_id, task_id=task_id, status="failed", **then)
        )

    prune_all(connection, make_rules(ledger=format_days_ago(LIMIT_DAYS)))

    assert connection.exec_driver_sql(
        "SELECT task_id FROM forgotten ORDER BY rowid"
    ).scalars().all() == [uuid, "newest"]


def test_logs_of_removed_runs_are_listed_until_they_are_deleted(
    connection: Connection, builder: TaskBuilder
):
    _, runid = add_ended_task(builder, LIMIT_DAYS + 1)
    _, young = add_ended_task(builder, 1)

    prune_all(connection, make_month_rules())

    assert retention.list_discarded(connection) == [runid]
    connection.exec_driver_sql("DELETE FROM forgotten")
    assert retention.find_unknown(connection, [runid, young]) == [runid]
    retention.mark_logs_removed(connection, [runid])
    assert retention.list_discarded(connection) == []


@pytest.mark.parametrize("kind", ["all", "queue", "template"])
def test_runs_are_found_by_an_index(connection: Connection, kind: str):
    others = () if kind == "all" else (ExpiryRule(kind, "x", format_days_ago(1), runs=5, logs=5),)
    seen: list[str] = []
    explained = retention.raw_sql.fetch_rows

    def explain(c: Connection, statement: str, given):
        if "GROUP BY name" not in statement:  # runs once in each cleanup
            seen.extend(row[3] for row in explained(c, f"EXPLAIN QUERY PLAN {statement}", given))
        return explained(c, statement, given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retention.raw_sql, "fetch_rows", explain)
        for part in retention.find_rule_runs(
            connection,
            make_rules(
                *others,
                ExpiryRule("queue", "y", format_days_ago(1)),
                before=format_days_ago(LIMIT_DAYS),
            ),
        ):
            retention.list_expired(connection, part, retention.NO_CUTOFF)
            retention.list_without_runs(
                connection, part, format_days_ago(LIMIT_DAYS), retention.NO_CUTOFF
            )

    tables = ("SCAN i", "SCAN t", "SCAN n", "SCAN m", "SCAN instances", "SCAN tasks")
    whole = [step for step in seen if step.startswith(tables) and "INDEX" not in step]
    assert seen and whole == []


def test_the_file_shrinks_after_a_large_removal(database_path):
    engine = create_write_engine(database_path)
    with engine.begin() as c:
        transitions.submit(
            c, [make_task_row(parameters={"x": "y" * 2000}) for _ in range(250)], [], "ann"
        )
        c.exec_driver_sql("UPDATE tasks SET status = 'cancelled', ended_at = '2000'")
    with engine.begin() as c:
        before = retention.get_size(c)
        prune_all(c, make_month_rules())
        while retention.count_free_pages(c):
            retention.free_pages(c)
    with engine.begin() as c:
        after = retention.get_size(c)
    engine.dispose()

    assert after < before / 2


def test_fire_times_expire_with_their_tasks(connection: Connection):
    made = TaskBuilder(connection)
    kept, _ = add_ended_task(made, LIMIT_DAYS - 1)
    expired, _ = add_ended_task(made, LIMIT_DAYS + 1)
    now = timestamps.now()
    values = {
        "kind": "every", "expression": "60", "zone": "UTC", "start": now, "task": {},
        "context": {}, "exclude": [],
    }  # fmt: skip
    definitions.create(connection, schema.schedules, "s", values, "ann")
    old = [format_days_ago(LIMIT_DAYS + days) for days in (2, 3, 4)]
    rows = [(old[0], "submitted", None, kept), (old[1], "submitted", None, expired)]
    rows += [(old[2], "missed", None, None), (now, "missed", None, None)]
    schedules.record_fires(connection, "s", rows)

    prune_all(connection, make_month_rules())

    (left,) = schedules.list_fires(connection, ["s"], 9).values()
    assert [(fire.fire_time, fire.task_id) for fire in left] == [(now, None), (old[0], kept)]


def test_missed_fire_times_expire_although_tasks_stay_forever(connection: Connection):
    values = {
        "kind": "every", "expression": "60", "zone": "UTC", "start": timestamps.now(), "task": {},
        "context": {}, "exclude": [],
    }  # fmt: skip
    definitions.create(connection, schema.schedules, "s", values, "ann")
    rows = [(format_days_ago(days), "missed", None, None) for days in (89, 91)]
    schedules.record_fires(connection, "s", rows)

    prune_all(connection, make_rules())

    assert len(schedules.list_fires(connection, ["s"], 9)["s"]) == 1


@pytest.mark.parametrize(("code", "status"), [(0, "cancelled"), (1, "queued")])
def test_a_removed_failure_of_one_of_several_still_counts(
    connection: Connection, builder: TaskBuilder, code: int, status: str
):
    other = builder.submit_task()
    first, runid = add_ended_task(builder, 99.0, code)
    row = make_task_row()
    links = [
        {"task_id": row["uuid"], "parent_id": one, "kind": "failures"} for one in (first, other)
    ]
    transitions.submit(connection, [row], links, "ann")

    retention.remove_runs(connection, [runid])
    builder.complete_run(other)

    assert reads.list_by_uuid(connection, [first]) == []
    assert builder.read_status(row["uuid"]) == status
