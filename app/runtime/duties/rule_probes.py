"""Values for SLA rules that the runtime measures: host, runs and its own lag."""

from __future__ import annotations

from collections.abc import Mapping

from app.runtime.dispatch.dispatcher import Dispatcher
from app.runtime.duties.usage import UsageSampler
from app.service.rules.facts.probes import HomeProbes, RunProbe


class RuntimeProbes(HomeProbes):
    """Probes that use the latest measurements of the runtime."""

    def __init__(self, usage: UsageSampler, dispatcher: Dispatcher) -> None:
        super().__init__(usage.home)
        self._usage, self._dispatcher = usage, dispatcher

    def read_host(self) -> Mapping[str, float | None]:
        host = self._usage.host
        cpu = host.cpu_used / host.cores if host.cores and host.cpu_used is not None else None
        return {**super().read_host(), "cpu_ratio": cpu}

    def read_run(self, runid: str) -> RunProbe:
        measured = self._usage.runs.get(runid)
        found = super().read_run(runid)
        if measured is None:
            return found
        return found._replace(cpu=measured.cpu, memory=measured.memory)

    def read_tick_lag(self) -> float | None:
        return self._dispatcher.tick_lag
