"""What the rules let go, and what never goes: by age, by number and by the size of logs, for templates, queues and all."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from sqlalchemy import Connection, insert

from db import schema, timestamps
from db.engine import write_engine
from db.queries import reads, retention, rollups, transitions
from db.queries.retention import Rules, Scope
from tests.db.builders import Made, task
from tests.db.queries.pruning import prune, rules

LIMIT = 30.0


def ago(days: float) -> str:
    return timestamps.from_unix(time.time() - days * 86400)


OF_A_MONTH = rules(before=ago(LIMIT))


def old(made: Made, days: float, code: int = 1, **more) -> tuple[str, str]:
    """A task that ran and ended so long ago, by itself without success, and its run."""
    uuid = made.task(**more)
    runid = made.run(uuid)
    made.end(runid, code)
    made.age("tasks", "uuid", uuid, "ended_at", days)
    made.age("instances", "runid", runid, "end_time", days)
    return uuid, runid


def template(c: Connection, name: str) -> str:
    now = timestamps.now()
    c.execute(insert(schema.templates).values(name=name, type="x", engine="exec", schema={}, parameters={}, created_at=now, updated_at=now))
    return name


def queue(c: Connection, name: str) -> str:
    now = timestamps.now()
    values = {"name": name, "capacity": 1, "status": "active", "pool": "default", "created_at": now, "updated_at": now}
    c.execute(insert(schema.queues).values(values))
    return name


def counted(c: Connection, days: float = 0) -> None:
    """The history has counted all that ended until so many days ago."""
    rollups.count_until(c, int((time.time() - days * 86400) // 60))


def test_a_run_older_than_thirty_days_goes_with_its_task(c: Connection, made: Made):
    uuid, runid = old(made, LIMIT + 0.01)

    assert prune(c, OF_A_MONTH) == [runid]
    assert reads.by_uuids(c, [uuid]) == []


def test_a_run_younger_than_thirty_days_stays(c: Connection, made: Made):
    uuid, _ = old(made, LIMIT - 0.01)

    assert prune(c, OF_A_MONTH) == []
    assert made.status(uuid) == "failed"


def test_a_task_stays_while_one_of_its_runs_is_young(c: Connection, made: Made):
    uuid, first = old(made, LIMIT + 1)
    transitions.retry(c, [uuid], "ann")
    made.ran(uuid)

    assert prune(c, OF_A_MONTH) == [first]
    assert [run.attempt for run in made.runs(uuid)] == [2]


def test_what_is_pinned_stays(c: Connection, made: Made):
    uuid, _ = old(made, LIMIT + 1)
    c.exec_driver_sql("UPDATE tasks SET pinned = 1 WHERE uuid = ?", (uuid,))

    assert prune(c, OF_A_MONTH) == []
    assert len(made.runs(uuid)) == 1


def test_a_task_that_is_pinned_while_it_was_found_stays(c: Connection, made: Made):
    uuid, runid = old(made, LIMIT + 1)
    c.exec_driver_sql("UPDATE tasks SET pinned = 1 WHERE uuid = ?", (uuid,))

    assert retention.remove(c, [runid], [uuid]) == ([], {})
    assert made.status(uuid) == "failed"


@pytest.mark.parametrize("started", [True, False])
def test_what_is_active_or_waits_stays_however_old(c: Connection, made: Made, started: bool):
    uuid = made.task()
    if started:
        made.age("instances", "runid", made.run(uuid), "start_time", 400)
    made.age("tasks", "uuid", uuid, "created_at", 400)

    assert prune(c, OF_A_MONTH) == []
    assert made.status(uuid) == ("running" if started else "queued")


@pytest.mark.parametrize("status", ["running", "retrying", "queued", "held"])
@pytest.mark.parametrize(
    "by", [OF_A_MONTH, rules(Scope("queue", "default", runs=1)), rules(Scope("queue", "default", logs=1))], ids=["age", "runs", "logs"]
)
def test_the_earlier_runs_of_a_task_that_has_not_ended_stay_by_every_rule(c: Connection, made: Made, status: str, by: Rules):
    uuid, first = old(made, LIMIT + 9, retries=0 if status in ("queued", "held") else 5)
    if status in ("queued", "held"):
        transitions.retry(c, [uuid], "ann")
    elif status == "running":
        made.age("tasks", "uuid", uuid, "retry_at", 1)
        transitions.promote(c)
        made.run(uuid)
    if status == "held":
        transitions.hold(c, [uuid], True, "ann")
    _, gone = old(made, LIMIT + 8)
    _, newest = old(made, LIMIT - 1)
    c.exec_driver_sql("UPDATE instances SET log_bytes = 100")
    counted(c)
    assert made.status(uuid) == status

    assert prune(c, by) == [gone]

    left = c.exec_driver_sql("SELECT runid FROM instances WHERE end_time IS NOT NULL ORDER BY end_time").scalars().all()
    assert left == [first, newest]
    assert retention.spared(c, retention.parts(c, by)[0]) == 0


def test_the_run_of_a_task_that_is_tried_again_while_it_was_found_stays(c: Connection, made: Made):
    uuid, runid = old(made, LIMIT + 1)
    transitions.retry(c, [uuid], "ann")

    assert retention.remove(c, [runid], [uuid]) == ([], {})
    assert [run.runid for run in made.runs(uuid)] == [runid]


def test_the_last_success_of_a_name_stays_and_what_failed_since_goes(c: Connection, made: Made):
    _, first = old(made, LIMIT + 3, 0, name="nightly")
    last, _ = old(made, LIMIT + 2, 0, name="nightly")
    _, failed = old(made, LIMIT + 1, 1, name="nightly")

    assert prune(c, OF_A_MONTH) == [first, failed]
    assert made.status(last) == "succeeded"


def test_the_last_success_of_a_template_stays_whatever_its_tasks_are_called(c: Connection, made: Made):
    of = template(c, "encode")
    _, first = old(made, LIMIT + 2, 0, name="a", template=of)
    last, _ = old(made, LIMIT + 1, 0, name="b", template=of)

    assert prune(c, OF_A_MONTH) == [first]
    assert made.status(last) == "succeeded"


def test_a_success_stays_while_the_only_later_one_was_removed_by_hand(c: Connection, made: Made):
    first, _ = old(made, LIMIT + 2, 0)
    later, run = old(made, LIMIT + 1, 0)
    c.exec_driver_sql("UPDATE tasks SET deleted_at = ? WHERE uuid = ?", (timestamps.now(), later))

    assert prune(c, OF_A_MONTH) == [run]
    assert made.status(first) == "succeeded"


def test_of_an_old_task_that_succeeded_again_and_again_the_last_run_stays(c: Connection, made: Made):
    uuid, first = old(made, LIMIT + 2, 0)
    transitions.retry(c, [uuid], "ann")
    second = made.run(uuid)
    made.end(second)
    made.age("tasks", "uuid", uuid, "ended_at", LIMIT + 1)
    made.age("instances", "runid", second, "end_time", LIMIT + 1)

    assert prune(c, OF_A_MONTH) == [first]
    assert [run.runid for run in made.runs(uuid)] == [second]


def test_names_that_come_once_do_not_fill_the_database(c: Connection, made: Made, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(retention, "NAMES", 3)
    runs = [old(made, LIMIT + 10 - at, 0, name=f"job-{at}")[1] for at in range(5)]

    assert prune(c, OF_A_MONTH) == runs[:2]
    assert prune(c, OF_A_MONTH) == []


def test_the_most_special_rule_has_a_task_to_itself(c: Connection, made: Made):
    queue(c, "scratch")
    template(c, "encode")
    runs = {
        name: old(made, 5, queue=queue_, template=of)[1]
        for name, queue_, of in (("all", "default", None), ("scratch", "scratch", None), ("encode", "scratch", "encode"))
    }

    by = rules(Scope("template", "encode", ago(90)), Scope("queue", "scratch", ago(1)), before=ago(30))

    assert prune(c, by) == [runs["scratch"]]
    assert sorted(prune(c, rules(Scope("template", "encode", ago(4)), before=ago(90)))) == [runs["encode"]]


def test_beyond_the_newest_runs_of_a_rule_what_is_older_goes_though_it_is_young(c: Connection, made: Made):
    template(c, "encode")
    runs = [old(made, 1 - at / 10, template="encode")[1] for at in range(5)]
    other = old(made, 2)[0]
    counted(c)

    assert prune(c, rules(Scope("template", "encode", runs=2), before=ago(LIMIT))) == runs[:3]
    assert made.status(other) == "failed"
    assert c.exec_driver_sql("SELECT count(*) FROM tasks WHERE template = 'encode'").scalar() == 2


def test_what_the_history_has_not_counted_is_not_beyond_a_number(c: Connection, made: Made):
    runs = [old(made, 1 - at / 10)[1] for at in range(3)]

    counted(c, 2)
    assert prune(c, rules(Scope("queue", "default", runs=1))) == []

    counted(c)
    assert prune(c, rules(Scope("queue", "default", runs=1))) == runs[:2]


def test_beyond_the_bytes_of_logs_the_oldest_go_and_the_newest_stays_however_long(c: Connection, made: Made):
    runs = [old(made, 1 - at / 10)[1] for at in range(4)]
    c.exec_driver_sql("UPDATE instances SET log_bytes = 100")
    counted(c)

    assert prune(c, rules(Scope("queue", "default", logs=250))) == runs[:2]
    assert prune(c, rules(Scope("queue", "default", logs=1))) == runs[2:3]
    assert prune(c, rules(Scope("queue", "default", logs=1))) == []


def test_each_run_goes_for_the_first_reason_that_it_is_beyond(c: Connection, made: Made):
    runs = [old(made, days)[1] for days in (9, 3, 2, 1)]
    c.exec_driver_sql("UPDATE instances SET log_bytes = 100")
    counted(c)

    part = retention.parts(c, rules(Scope("queue", "default", before=ago(5), runs=2, logs=100)))[0]
    found = retention.page(c, part, retention.NOTHING)

    assert [(run.id, part.why(run)) for run in found] == [(runs[0], "age"), (runs[1], "runs"), (runs[2], "logs")]


def test_what_would_go_is_what_goes(c: Connection, made: Made):
    twice, _ = old(made, LIMIT + 5)
    transitions.retry(c, [twice], "ann")
    again = made.run(twice)
    made.end(again, 1)
    made.age("tasks", "uuid", twice, "ended_at", LIMIT + 4)
    made.age("instances", "runid", again, "end_time", LIMIT + 4)
    for days in (LIMIT + 3, LIMIT - 1):
        old(made, days)
    part = retention.parts(c, OF_A_MONTH)[0]
    runs, seen = retention.page(c, part, retention.NOTHING), Counter[str]()

    told = [retention.would_remove(c, runs[at : at + 1], seen) for at in range(len(runs))]

    assert [(len(one.runs), len(one.tasks)) for one in told] == [(1, 0), (1, 1), (1, 1)]
    assert [retention.remove(c, [run.id]) for run in runs] == told


def test_a_task_that_was_cancelled_before_it_ran_goes_too(c: Connection, made: Made):
    uuid = made.task()
    transitions.cancel(c, [uuid], "ann")
    made.age("tasks", "uuid", uuid, "ended_at", LIMIT + 1)

    prune(c, OF_A_MONTH)

    assert reads.by_uuids(c, [uuid]) == []


def test_a_task_that_was_removed_goes_at_once_with_its_runs(c: Connection, made: Made):
    uuid, runid = old(made, 0, 0)
    c.exec_driver_sql("UPDATE tasks SET deleted_at = ? WHERE uuid = ?", (timestamps.now(), uuid))

    assert prune(c, OF_A_MONTH) == [runid]
    assert c.exec_driver_sql("SELECT count(*) FROM tasks").scalar() == 0


def test_a_child_outlives_its_parent(c: Connection, made: Made):
    parent, _ = old(made, LIMIT + 1)
    child = made.task()
    now = timestamps.now()
    c.exec_driver_sql("INSERT INTO dependencies VALUES (?, ?, 'any', ?, ?)", (child, parent, now, now))

    prune(c, OF_A_MONTH)

    assert (made.status(child), reads.parents(c, [child])) == ("queued", {child: []})


def test_events_and_samples_go_with_their_age_and_the_last_event_never(c: Connection, made: Made):
    uuid = made.task()
    made.ran(uuid)
    last = c.exec_driver_sql("SELECT max(id) FROM events").scalar()
    c.exec_driver_sql("UPDATE events SET created_at = ?", (ago(LIMIT + 1),))
    for days in (LIMIT + 1, LIMIT - 1):
        then = dict.fromkeys(("minute", "created_at", "updated_at"), ago(days))
        c.execute(insert(schema.samples).values(kind="queue", name="default", **then))

    prune(c, OF_A_MONTH)

    assert c.exec_driver_sql("SELECT id FROM events").scalars().all() == [last]
    assert c.exec_driver_sql("SELECT count(*) FROM samples").scalar() == 1


def test_what_was_written_while_the_clock_stood_wrong_takes_nothing_young_with_it(c: Connection):
    c.exec_driver_sql("DELETE FROM events")
    for at, rows in (("2026-11-20", 500), ("1970-01-01", 600), ("2026-11-20", 500)):
        many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
        insert = f"{many} INSERT INTO events (task_id, status, \"by\", created_at, updated_at) SELECT i, 'queued', 'ann', ?, ? FROM n"
        stamp = f"{at}T00:00:00.000000Z"
        c.exec_driver_sql(insert, (rows, stamp, stamp))
    by = rules(before="2026-11-01T00:00:00.000000Z")

    assert retention.count_old(c, "events", by) <= 600
    while retention.remove_old(c, "events", by):
        pass

    left = c.exec_driver_sql("SELECT count(*) FROM events WHERE created_at > '2026'").scalar_one()
    assert left == 1000


def test_an_environment_goes_with_the_last_task_that_needs_it(c: Connection, made: Made):
    now = timestamps.now()
    for sha in ("a" * 64, "b" * 64):
        c.exec_driver_sql("INSERT INTO environments VALUES (?, '{}', ?, ?)", (sha, now, now))
    old(made, LIMIT + 1, env_id="a" * 64)
    made.task(env_id="b" * 64)

    prune(c, OF_A_MONTH)

    assert c.exec_driver_sql("SELECT sha256 FROM environments").scalars().all() == ["b" * 64]


def test_what_became_of_a_task_stays_in_the_ledger_as_long_as_that_is_kept(c: Connection, made: Made):
    uuid, runid = old(made, LIMIT + 1)
    number = made.row(uuid).number

    prune(c, rules(before=ago(LIMIT), ledger=ago(LIMIT)))

    told = "SELECT runid, task_id, number, status FROM forgotten"
    assert [tuple(row) for row in c.exec_driver_sql(told)] == [(runid, uuid, number, "failed")]

    other, _ = old(made, LIMIT + 1)
    prune(c, rules(before=ago(LIMIT), ledger=ago(LIMIT)))
    c.exec_driver_sql("UPDATE forgotten SET created_at = '2000'")
    prune(c, rules(before=ago(LIMIT), ledger=ago(LIMIT)))
    assert c.exec_driver_sql("SELECT task_id FROM forgotten").scalars().all() == [other]


def test_an_entry_that_keeps_a_restored_task_from_running_stays_however_old(c: Connection, made: Made):
    uuid = made.task()
    for task_id in (uuid, "gone", "newest"):
        then = {"created_at": "2000", "updated_at": "2000"}
        c.execute(insert(schema.forgotten).values(runid=task_id, task_id=task_id, status="failed", **then))

    prune(c, rules(ledger=ago(LIMIT)))

    assert c.exec_driver_sql("SELECT task_id FROM forgotten ORDER BY rowid").scalars().all() == [uuid, "newest"]


def test_logs_of_runs_that_are_gone_are_known_until_they_are_gone_too(c: Connection, made: Made):
    _, runid = old(made, LIMIT + 1)
    _, young = old(made, 1)

    prune(c, OF_A_MONTH)

    assert retention.discarded(c) == [runid]
    c.exec_driver_sql("DELETE FROM forgotten")
    assert retention.unknown(c, [runid, young]) == [runid]
    retention.removed_logs(c, [runid])
    assert retention.discarded(c) == []


@pytest.mark.parametrize("kind", ["all", "queue", "template"])
def test_runs_are_found_by_an_index(c: Connection, kind: str):
    others = () if kind == "all" else (Scope(kind, "x", ago(1), runs=5, logs=5),)
    seen: list[str] = []
    explained = retention.sql.rows

    def explain(c: Connection, statement: str, given):
        if "GROUP BY name" not in statement:  # once for each cleanup
            seen.extend(row[3] for row in explained(c, f"EXPLAIN QUERY PLAN {statement}", given))
        return explained(c, statement, given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retention.sql, "rows", explain)
        for part in retention.parts(c, rules(*others, Scope("queue", "y", ago(1)), before=ago(LIMIT))):
            retention.page(c, part, retention.NOTHING)
            retention.idle(c, part, ago(LIMIT), retention.NOTHING)

    tables = ("SCAN i", "SCAN t", "SCAN n", "SCAN m", "SCAN instances", "SCAN tasks")
    whole = [step for step in seen if step.startswith(tables) and "INDEX" not in step]
    assert seen and whole == []


def test_the_file_shrinks_when_much_has_gone(database):
    engine = write_engine(database)
    with engine.begin() as c:
        transitions.submit(c, [task(parameters={"x": "y" * 2000}) for _ in range(250)], [], "ann")
        c.exec_driver_sql("UPDATE tasks SET status = 'cancelled', ended_at = '2000'")
    with engine.begin() as c:
        before = retention.size(c)
        prune(c, OF_A_MONTH)
        while retention.free(c):
            retention.give_back(c)
    with engine.begin() as c:
        after = retention.size(c)
    engine.dispose()

    assert after < before / 2
