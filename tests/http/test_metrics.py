"""Exposition of a home to Prometheus: names, labels and formats."""

from __future__ import annotations

import asyncio
import re
import shutil
import sqlite3
import subprocess
import threading
from contextlib import closing
from dataclasses import replace

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from app.core.runtime_counts import TASK_SECONDS, RuntimeCounts
from app.http.metric_rows import MAX_VALUES, OTHERS, LabelValues
from app.http.metrics import (
    OPENMETRICS_TYPE,
    TEXT_TYPE,
    MetricsExporter,
    accepts_openmetrics,
    render,
)
from app.service.board import BackupStatus
from app.service.context import Call
from app.service.monitoring import MonitoringSnapshot
from db.rows import QueueRow
from tests.http.full_snapshot import make_full_snapshot, read_families
from tests.service.calls import submit_task

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read_samples(snapshot: MonitoringSnapshot) -> Samples:
    """Return {(name, labels): value} of an exposition. Prometheus refuses a repeated sample."""
    found: Samples = {}
    for metric in read_families(snapshot):
        for sample in metric.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"{key} occurs twice"
            found[key] = sample.value
    return found


def get(found: Samples, name: str, **labels: str) -> float | None:
    return found.get((f"taskdeck_{name}", frozenset(labels.items())))


def make_queue(snapshot: MonitoringSnapshot, name: str) -> QueueRow:
    return snapshot.queues[0]._replace(name=name)


async def test_a_scrape_shows_the_tasks_of_a_queue(live_call: Call):
    for _ in range(3):
        await submit_task(live_call)

    text, kind = await MetricsExporter(live_call).scrape("")

    assert b'taskdeck_queue_tasks{queue="default",state="queued"} 3.0' in text
    assert kind == TEXT_TYPE


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain;version=0.0.4;q=0.5", False),
        ("application/openmetrics-text", True),
        ("text/plain;q=0.1, Application/OpenMetrics-Text; Version=1.0.0; q=0.7", True),
        ("application/openmetrics-text;version=0.0.1,application/openmetrics-text", True),
        ("application/openmetrics-text;version=0.0.1", False),
        ("application/openmetrics-text;version=x;;=;q", False),
        ("application/openmetrics-text;q=0.0", False),
    ],
)
def test_a_scraper_chooses_the_format(accept: str, expected: bool):
    assert accepts_openmetrics(accept) is expected


async def test_the_server_answers_scrapes(client: httpx.AsyncClient):
    answer = await client.get("/metrics")

    assert (answer.status_code, answer.headers["content-type"]) == (200, TEXT_TYPE)
    assert "taskdeck_keeper_connected 1.0" in answer.text.splitlines()
    accepted = await client.get("/metrics", headers={"accept": OPENMETRICS_TYPE})
    assert accepted.headers["content-type"] == OPENMETRICS_TYPE
    assert accepted.text.endswith("# EOF\n")


async def test_a_scrape_waits_for_no_lock(client: httpx.AsyncClient, live_call: Call):
    with closing(sqlite3.connect(live_call.db.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        freed = threading.Event()
        writing = asyncio.ensure_future(live_call.db.write_quietly(lambda c: freed.wait(60)))
        await asyncio.sleep(0)

        answer = await client.get("/metrics")

        assert "taskdeck_writer_pending_transactions 1.0" in answer.text.splitlines()
        other.execute("ROLLBACK")
        freed.set()
        await writing


async def test_openmetrics_is_sent_when_accepted(snapshot: MonitoringSnapshot):
    accept = "application/openmetrics-text; version=1.0.0, text/plain; q=0.5"

    text, kind = render(make_full_snapshot(snapshot), accept)

    assert kind == OPENMETRICS_TYPE
    families = {metric.name for metric in parse_openmetrics(text.decode())}
    assert families >= {"taskdeck_runs_ended", "taskdeck_problem"}


async def test_every_metric_is_of_taskdeck_and_has_a_help_text(snapshot: MonitoringSnapshot):
    for metric in read_families(make_full_snapshot(snapshot)):
        assert re.fullmatch(r"taskdeck_[a-z_]+", metric.name), metric.name
        assert metric.documentation and metric.samples, metric.name


async def test_runs_are_counted_by_queue_and_outcome(snapshot: MonitoringSnapshot):
    found = read_samples(make_full_snapshot(snapshot))

    assert get(found, "runs_started_total", queue="default") == 1
    assert get(found, "runs_ended_total", queue="default", outcome="failed") == 1
    assert get(found, "runs_ended_total", queue="default", outcome="lost") == 0
    assert get(found, "task_wait_seconds_sum", queue="default") == 2.0
    assert get(found, "task_wait_seconds_bucket", queue="default", le="1.0") == 0
    assert get(found, "task_wait_seconds_bucket", queue="default", le="5.0") == 1
    assert get(found, "run_duration_seconds_bucket", queue="default", le="+Inf") == 1
    assert TASK_SECONDS[0] == 0.1 and TASK_SECONDS[-1] == 7 * 86400


async def test_pools_devices_rules_and_copies_have_units(snapshot: MonitoringSnapshot):
    found = read_samples(make_full_snapshot(snapshot))

    assert get(found, "pool_memory_reserved_bytes", pool="default") == 512 * 2**20
    assert get(found, "pool_cpu_used_cores", pool="default") == 0.5
    assert get(found, "pool_cpu_capacity_cores", pool="far") is None
    assert get(found, "pool_trouble", pool="far") == 1
    assert get(found, "pool_resource_reserved", pool="default", resource="license") == 1
    assert get(found, "shared_resource_capacity", resource="gpu") == 2
    assert get(found, "device_memory_used_bytes", device="0") == 2**30
    assert get(found, "device_load_ratio", device="1") is None
    assert get(found, "device_trouble", device="1") == 1
    labels = {"rule": "nightly", "severity": "critical"}
    assert get(found, "sla_rule_state", **labels, state="firing") == 1
    assert get(found, "sla_rule_state", **labels, state="ok") == 0
    assert get(found, "sla_alerts", **labels, state="firing") == 2
    assert get(found, "backup_age_seconds") == pytest.approx(60)
    assert get(found, "backup_last_failed") == 1
    assert get(found, "replica_lag_seconds") == 3.0


async def test_a_home_without_a_backup_has_no_age(snapshot: MonitoringSnapshot):
    none_yet = read_samples(replace(snapshot, backup=BackupStatus(None, False, "", "")))
    gone = read_samples(replace(snapshot, backup=BackupStatus(1.0, False, "", "its file is gone")))
    disabled = read_samples(replace(snapshot, backup=None))

    for found in (none_yet, gone):
        assert get(found, "backup_age_seconds") is None
    assert (get(none_yet, "backup_late"), get(gone, "backup_late")) == (0, 1)
    assert get(disabled, "backup_enabled") == 0 and get(disabled, "backup_late") is None


async def test_hostile_names_cannot_break_the_format(snapshot: MonitoringSnapshot):
    names = ['a"} 1\ntaskdeck_evil 1', "back\\slash", "\udc80\x1b[2J", "日本", "a\tb", "a␉b"]
    queues = [make_queue(snapshot, name) for name in names]
    tasks = {(name, "queued"): 1 for name in names}
    counts = RuntimeCounts()
    for name in [*names, "a\tb"]:
        counts.add_start(name, 1.0)
    snapshot = replace(snapshot, queues=queues, tasks=tasks, counts=counts)
    for accept in ("", "application/openmetrics-text; version=1.0.0"):
        text, _ = render(snapshot, accept)
        assert b"\ntaskdeck_evil" not in text

    found = read_samples(snapshot)

    assert get(found, "queue_tasks", queue="back\\slash", state="queued") == 1
    assert get(found, "queue_tasks", queue="日本", state="queued") == 1
    assert get(found, "queue_tasks", queue=OTHERS, state="queued") == 1
    assert get(found, "runs_started_total", queue="a␉b") == 2
    assert get(found, "task_wait_seconds_count", queue=OTHERS) == 1


async def test_a_label_has_a_bounded_number_of_values(snapshot: MonitoringSnapshot):
    names = [f"q{number}" for number in range(3 * MAX_VALUES)]
    counts = RuntimeCounts()
    for name in reversed(names):
        counts.add_start(name, 1.0)
    found = read_samples(
        replace(
            snapshot, queues=[make_queue(snapshot, name) for name in names], counts=counts,
            tasks={(name, "queued"): 1 for name in names},
            waits={name: float(place) for place, name in enumerate(names)},
        )
    )  # fmt: skip

    for name in ("taskdeck_queue_tasks", "taskdeck_runs_started_total", "taskdeck_queue_capacity"):
        values = {dict(labels)["queue"] for found_name, labels in found if found_name == name}
        assert len(values) == MAX_VALUES + 1 and OTHERS in values
    assert get(found, "queue_tasks", queue=OTHERS, state="queued") == 2 * MAX_VALUES
    assert get(found, "queue_oldest_wait_seconds", queue=OTHERS) == 2 * MAX_VALUES - 1
    assert get(found, "runs_started_total", queue=OTHERS) == 2 * MAX_VALUES


def test_a_name_like_the_label_of_the_others_joins_them():
    names = LabelValues([OTHERS, "a"])

    assert (names.get(OTHERS), names.get("a"), names.get("unknown")) == (OTHERS, "a", OTHERS)


def test_a_queue_keeps_its_label_while_others_come():
    before = LabelValues(f"q{number}" for number in range(MAX_VALUES))
    after = LabelValues(f"q{number}" for number in range(2 * MAX_VALUES))

    assert all(before.get(f"q{n}") == after.get(f"q{n}") for n in range(MAX_VALUES))


@pytest.mark.process
@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool")
async def test_promtool_finds_nothing_to_say(snapshot: MonitoringSnapshot):
    text, _ = render(make_full_snapshot(snapshot), "")

    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
