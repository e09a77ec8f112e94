"""Snapshot for monitoring in which every family of metrics has samples, and its exposition."""

from __future__ import annotations

from dataclasses import replace

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from app.core.board import DeviceEntry, OuterUse, PoolEntry, ReplicaFacts, ResourceUse
from app.core.runtime_counts import RuntimeCounts
from app.http.metrics import render
from app.service.board import BackupStatus
from app.service.monitoring import MonitoringSnapshot, RuleUse


def make_full_snapshot(snapshot: MonitoringSnapshot) -> MonitoringSnapshot:
    """Return a snapshot in which every family has samples."""
    counts = RuntimeCounts()
    counts.add_start("default", 2.0)
    counts.add_end("default", "failed", 700.0)
    counts.rounds.add(0.002)
    return replace(
        snapshot, counts=counts, host=snapshot.host._replace(disk_free=10),
        runtime=snapshot.runtime._replace(since=1.0, tick_lag=0.1),
        pools=(
            PoolEntry("default", 4, 1024, 1, 512, "active", 0.5, 256,
                      resources=(ResourceUse("license", 3, 1),)),
            PoolEntry("far", 0, 0, 0, 0, "active", outer=OuterUse(2, 1, trouble="no answer")),
        ),
        shared=(ResourceUse("gpu", 2, 1),),
        devices=(DeviceEntry(0, "A", 7, None, 0.5, 1024, 2048, 60),
                 DeviceEntry(1, "B", None, "drained")),
        rules=(RuleUse("nightly", "critical", "firing", {"firing": 2}),),
        problems=["backup"], backup=BackupStatus(snapshot.at - 60, False, "", ""),
        replica=ReplicaFacts(3.0, False),
    )  # fmt: skip


def read_families(snapshot: MonitoringSnapshot) -> list[Metric]:
    """Return the families of an exposition as text."""
    return list(text_string_to_metric_families(render(snapshot, "")[0].decode()))
