"""Exposition of a snapshot to Prometheus: the families of `/metrics` and their text."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from app.http import health_metrics, work_metrics
from app.service.context import Call
from app.service.monitoring import MonitoringSnapshot, take_snapshot

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class MetricsExporter:
    """Answers of `/metrics`. Scrapes wait for each other, so that they take one reader at most."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._lock = asyncio.Lock()

    async def scrape(self, accept: str) -> tuple[bytes, str]:
        """Return the text in the format that an Accept header prefers, and its content type."""
        async with self._lock:
            found = await take_snapshot(self._call)
            return await asyncio.to_thread(render, found, accept)


def render(snapshot: MonitoringSnapshot, accept: str) -> tuple[bytes, str]:
    """Return the text and its content type: OpenMetrics if accepted, else Prometheus."""
    registry = CollectorRegistry()
    registry.register(SnapshotCollector(snapshot))
    if accepts_openmetrics(accept):
        return openmetrics.generate_latest(registry), OPENMETRICS_TYPE
    return generate_latest(registry), TEXT_TYPE


def accepts_openmetrics(accept: str) -> bool:
    """Return True if an Accept header takes version 1.0.0 of OpenMetrics.

    The library decides the same, but fails on a version that is no number.
    """
    for choice in accept.lower().split(","):
        kind, *parameters = (word.strip() for word in choice.split(";"))
        values = {name: value for name, _, value in (word.partition("=") for word in parameters)}
        if kind == "application/openmetrics-text" and values.get("version", "1.0.0") == "1.0.0":
            return values.get("q", "1").strip("0.") != ""
    return False


class SnapshotCollector(Collector):
    """Collector of the families of one snapshot."""

    def __init__(self, snapshot: MonitoringSnapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """Yield all families."""
        yield from work_metrics.list_families(self._snapshot)
        yield from health_metrics.list_families(self._snapshot)
