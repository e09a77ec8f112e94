"""Looks at the GPUs, off the event loop, because a driver in trouble may hang."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from math import inf
from time import monotonic

from app.core.scheduling.devices import Device, DeviceMeasures
from app.core.scheduling.resources import GPU
from app.runtime.dispatch.dispatcher import Dispatcher
from app.runtime.gpus.reader import GpuReader
from app.service import gpus
from db.engine import Connection, Database, WatchedRead
from db.queries import reads
from db.queries.scheduling import resources

log = logging.getLogger(__name__)

WAIT = 1.0
"""Seconds that a duty waits for the driver."""
SILENT = 10.0
"""Seconds without an answer after which no GPU is given."""

Devices = tuple[Device, ...] | None


class GpuMonitor:
    """The last look at the GPUs, and the alerts about them. At most one look is under way."""

    def __init__(self, db: Database, dispatcher: Dispatcher) -> None:
        self._dispatcher, self._reader = dispatcher, GpuReader()
        self._has_gpus = WatchedRead(db, _has_gpus)
        self._under_way: asyncio.Future[Devices] | None = None
        self._began = 0.0
        self._polls: set[asyncio.Task[None]] = set()
        self.problems: dict[str, str] = {}

    async def check(self) -> None:
        """Look at the GPUs if a pool has any."""
        if await self._has_gpus.read():
            await self._look()
        elif gpus.get_devices() is not None:
            self._keep(None)
            gpus.set_look(None)

    def poll(self) -> None:
        """Look at the GPUs soon, then wake the dispatcher."""
        if not self._polls:
            task = asyncio.get_running_loop().create_task(self._poll())
            self._polls.add(task)
            task.add_done_callback(self._polls.discard)

    async def close(self) -> None:
        """End the looks that the dispatcher asked for."""
        for task in (polls := [*self._polls]):
            task.cancel()
        await asyncio.gather(*polls, return_exceptions=True)
        gpus.set_look(None)

    async def _poll(self) -> None:
        if await self._look():
            self._dispatcher.wake()

    async def _look(self) -> bool:
        """Look at the GPUs; return False if the driver has not answered in time."""
        if self._under_way is None:
            self._began, keeper = monotonic(), self._dispatcher.keeper
            keepers = {pid for pid in (keeper.pid, keeper.guard_pid) if pid} if keeper else set()
            self._under_way = _run_aside(lambda: self._reader.read(keepers))
        await asyncio.wait({self._under_way}, timeout=WAIT)
        if not self._under_way.done():
            if (silent := monotonic() - self._began) > SILENT:
                self._fail(f"the driver has not answered for {silent:.0f} s")
            return False
        answer, self._under_way = self._under_way, None
        try:
            devices = answer.result()
        except Exception as error:  # a fault of the driver must not end the duty
            log.warning("the GPUs cannot be read: %s", error)
            self._fail(str(error))
            return False
        self._keep(devices)
        return True

    def _fail(self, why: str) -> None:
        """Give no GPU, because none can be seen."""
        if known := gpus.get_devices():
            self._keep(tuple(device._replace(failure=why, user=None) for device in known))
        else:
            gpus.set_look(gpus.DeviceLook(-inf, None))
        self.problems = {"gpus": f"the GPUs cannot be seen, so none is given: {why}"}

    def _keep(self, devices: Devices) -> None:
        """Keep what was seen, and tell the dispatcher if more than the measures changed."""
        changed = _drop_measures(devices) != _drop_measures(gpus.get_devices())
        gpus.set_look(gpus.DeviceLook(self._began, devices))
        self.problems = {
            f"gpu-{device.number}": f"{device.describe_trouble()} ({device.name}, {device.uuid})"
            for device in devices or ()
            if device.failure
        }
        if changed:
            self._dispatcher.wake()


def _drop_measures(devices: Devices) -> Devices:
    none = DeviceMeasures()
    return devices and tuple(device._replace(measures=none) for device in devices)


def _has_gpus(c: Connection) -> bool:
    named = (resources.parse_named(row.resources) for row in reads.list_pools(c))
    return any(amounts.get(GPU) for amounts in named) or bool(resources.read_totals(c).get(GPU))


def _run_aside(work: Callable[[], Devices]) -> asyncio.Future[Devices]:
    """Return the result of work in a thread that does not keep the process alive."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Devices] = loop.create_future()

    def tell(result: Devices, error: Exception | None) -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(result)
        else:
            answer.set_exception(error)

    def run() -> None:
        result, failed = None, None
        try:
            result = work()
        except Exception as error:
            failed = error
        try:
            loop.call_soon_threadsafe(tell, result, failed)
        except RuntimeError:
            pass  # the runtime has ended

    threading.Thread(target=run, name="taskdeck-gpus", daemon=True).start()
    return answer
