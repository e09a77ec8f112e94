"""Metric families about work: queues, runs, pools, devices and rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import Metric

from app.core.board import DeviceEntry, PoolEntry
from app.core.runtime_counts import OTHER, QueueCounts
from app.http.metric_rows import (
    LabelValues,
    Row,
    make_counter,
    make_gauge,
    make_histogram,
    make_plain_gauge,
)
from app.service.monitoring import RULE_STATES, MonitoringSnapshot, RuleUse
from db.states import RUN_ENDED, WAITING, TaskStatus, list_states

MIB = 2**20
DEPTH_STATES = (*list_states(WAITING), TaskStatus.RUNNING.value)
"""States of tasks that are not over, whose number no retention changes."""
OUTCOMES = list_states(RUN_ENDED)
ALERT_STATES = ("firing", "acknowledged", "silenced", "pending")


def list_families(snapshot: MonitoringSnapshot) -> Iterator[Metric]:
    """Yield the families about work."""
    queues = LabelValues([*(name for name in snapshot.counts.queues if name != OTHER),
                         *(row.name for row in snapshot.queues)])  # fmt: skip
    yield from _list_queue_families(snapshot, queues)
    yield from _list_run_families(snapshot.counts.queues, queues)
    yield from _list_pool_families(
        snapshot.pools, LabelValues(pool.name for pool in snapshot.pools)
    )
    yield from _list_named_resources(snapshot)
    yield from _list_device_families(snapshot.devices)
    yield from _list_rule_families(
        snapshot.rules, LabelValues(rule.name for rule in snapshot.rules)
    )


def _list_queue_families(snapshot: MonitoringSnapshot, names: LabelValues) -> Iterator[Metric]:
    labels = {row.name: names.get(row.name) for row in snapshot.queues}
    depth = (
        ((labels[row.name], state), snapshot.tasks.get((row.name, state), 0))
        for row in snapshot.queues
        for state in DEPTH_STATES
    )
    yield make_gauge(
        "queue_tasks", "Tasks of a queue by state, without those that are over.",
        ("queue", "state"), depth,
    )  # fmt: skip
    yield make_gauge(
        "queue_oldest_wait_seconds",
        "Longest wait of a queued task since it could have started; 0 if none is queued.",
        ("queue",),
        (((labels[row.name],), snapshot.waits.get(row.name, 0.0)) for row in snapshot.queues),
        max,
    )
    yield make_gauge(
        "queue_capacity", "Tasks that a queue runs at most at the same time.", ("queue",),
        (((labels[row.name],), row.capacity) for row in snapshot.queues),
    )  # fmt: skip
    yield make_gauge(
        "queue_active", "1 if a queue starts tasks, 0 if it is paused or draining.", ("queue",),
        (((labels[row.name],), row.status == "active") for row in snapshot.queues), min,
    )  # fmt: skip


def _list_run_families(counts: Mapping[str, QueueCounts], names: LabelValues) -> Iterator[Metric]:
    labelled: dict[tuple[str], QueueCounts] = {}
    for name, counted in counts.items():  # several names may share a label
        labelled.setdefault((names.get(name),), QueueCounts()).merge(counted)
    yield make_counter(
        "runs_started", "Runs given to the keeper or to Slurm since the start of the runtime.",
        ("queue",), ((words, counted.started) for words, counted in labelled.items()),
    )  # fmt: skip
    ends = (
        ((*words, outcome), counted.ended[outcome])
        for words, counted in labelled.items()
        for outcome in OUTCOMES
    )
    yield make_counter(
        "runs_ended", "Runs that ended since the start of the runtime, by outcome.",
        ("queue", "outcome"), ends,
    )  # fmt: skip
    yield make_histogram(
        "task_wait_seconds", "Waits of first attempts since they could have started.", ("queue",),
        {words: one.waits for words, one in labelled.items() if any(one.waits.counts)},
    )  # fmt: skip
    yield make_histogram(
        "run_duration_seconds", "Durations of the runs that ended, whatever the outcome.",
        ("queue",), {words: one.runs for words, one in labelled.items() if any(one.runs.counts)},
    )  # fmt: skip


def _list_pool_families(pools: Iterable[PoolEntry], names: LabelValues) -> Iterator[Metric]:
    local = [(names.get(pool.name), pool) for pool in pools if pool.outer is None]
    slurm = [(names.get(pool.name), pool, pool.outer) for pool in pools if pool.outer]
    every = [(names.get(pool.name), pool) for pool in pools]
    yield make_gauge(
        "pool_active", "1 if a pool starts tasks, 0 if it is paused or draining.", ("pool",),
        (((name,), pool.status == "active") for name, pool in every), min,
    )  # fmt: skip
    yield make_gauge(
        "pool_trouble", "1 if an active pool starts nothing, such as without an answer of Slurm.",
        ("pool",), (((name,), bool(pool.outer and pool.outer.trouble)) for name, pool in every),
        max,
    )  # fmt: skip
    for word, text, column in (
        ("capacity", "Amount that a pool has", "total"),
        ("reserved", "Amount that the runs of a pool reserve", "used"),
        ("used", "Amount that the processes of a pool use, as measured", "measured"),
    ):
        cores = [((name,), getattr(pool, f"{column}_cpu")) for name, pool in local]
        memory = [((name,), getattr(pool, f"{column}_memory")) for name, pool in local]
        yield make_gauge(f"pool_cpu_{word}_cores", f"{text}: CPU.", ("pool",), _drop_none(cores))
        yield make_gauge(
            f"pool_memory_{word}_bytes", f"{text}: memory.", ("pool",), _drop_none(memory, MIB)
        )
    yield make_gauge(
        "pool_slurm_jobs", "Runs that a pool has handed over to Slurm, by state.",
        ("pool", "state"),
        [*(((name, "running"), use.running) for name, _, use in slurm),
         *(((name, "waiting"), use.waiting) for name, _, use in slurm)],
    )  # fmt: skip


def _drop_none(
    rows: Iterable[tuple[tuple[str, ...], float | None]], factor: float = 1
) -> Iterator[Row]:
    return ((words, value * factor) for words, value in rows if value is not None)


def _list_named_resources(snapshot: MonitoringSnapshot) -> Iterator[Metric]:
    pools = LabelValues(pool.name for pool in snapshot.pools)
    named = [(pools.get(pool.name), one) for pool in snapshot.pools for one in pool.resources]
    names = LabelValues([*(one.name for one in snapshot.shared), *(one.name for _, one in named)])
    for word, column in (("capacity", "total"), ("reserved", "used")):
        yield make_gauge(
            f"pool_resource_{word}", f"Named resource of a pool: {word} amount.",
            ("pool", "resource"),
            (((pool, names.get(one.name)), getattr(one, column)) for pool, one in named),
        )  # fmt: skip
        yield make_gauge(
            f"shared_resource_{word}", f"Named resource that all pools share: {word} amount.",
            ("resource",),
            (((names.get(one.name),), getattr(one, column)) for one in snapshot.shared),
        )  # fmt: skip


def _list_device_families(devices: Iterable[DeviceEntry]) -> Iterator[Metric]:
    names = LabelValues(str(device.number) for device in devices)
    rows = [((names.get(str(device.number)),), device) for device in devices]
    for name, text, column, factor in (
        ("load_ratio", "Share of time in which a GPU was in use, from 0 to 1.", "use", 1),
        ("memory_used_bytes", "Memory of a GPU in use.", "used_memory", MIB),
        ("memory_capacity_bytes", "Memory of a GPU.", "total_memory", MIB),
        ("temperature_celsius", "Temperature of a GPU.", "temperature", 1),
    ):
        values = ((words, getattr(device, column)) for words, device in rows)
        yield make_gauge(f"device_{name}", text, ("device",), _drop_none(values, factor), max)
    yield make_gauge(
        "device_held", "1 if a run holds a GPU.", ("device",),
        ((words, device.run is not None) for words, device in rows),
    )  # fmt: skip
    yield make_gauge(
        "device_trouble", "1 if no run gets a GPU, since it fails or another program uses it.",
        ("device",), ((words, device.trouble is not None) for words, device in rows),
    )  # fmt: skip


def _list_rule_families(rules: Iterable[RuleUse], names: LabelValues) -> Iterator[Metric]:
    rows = [((names.get(rule.name), rule.severity), rule) for rule in rules]
    yield make_gauge(
        "sla_rule_state", "1 for the state of an SLA rule, 0 for its other states.",
        ("rule", "severity", "state"),
        (((*words, state), rule.state == state) for words, rule in rows for state in RULE_STATES),
    )  # fmt: skip
    yield make_gauge(
        "sla_alerts", "Open alerts of an SLA rule, by state.", ("rule", "severity", "state"),
        (((*words, state), rule.alerts.get(state, 0))
         for words, rule in rows for state in ALERT_STATES),
    )  # fmt: skip
    yield make_plain_gauge(
        "sla_rules", "SLA rules that are on.", sum(rule.state != "off" for _, rule in rows)
    )
