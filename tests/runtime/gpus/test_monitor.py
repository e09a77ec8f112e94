from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from app.core.scheduling.devices import Device
from app.runtime.dispatch.dispatcher import Dispatcher
from app.runtime.gpus import monitor as gpu_monitor
from app.runtime.gpus.monitor import GpuMonitor
from app.service import gpus
from app.service.context import Call
from app.service.definitions import queues
from app.service.tasks.inspection import views
from tests.runtime.conftest import FakeKeeper
from tests.service.calls import execute_sql, submit_task

ONE, TWO = Device(0, "GPU-00000001", "H100"), Device(1, "GPU-00000002", "H100")


class FakeReader:
    """A reader with fixed answers, which may hang."""

    def __init__(self) -> None:
        self.answer: tuple[Device, ...] | None | Exception = (ONE, TWO)
        self.go, self.reads = threading.Event(), 0
        self.go.set()

    def read(self, keepers: Any) -> tuple[Device, ...] | None:
        self.reads += 1
        self.go.wait(10)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def reader() -> FakeReader:
    return FakeReader()


@pytest.fixture
def monitor(call: Call, dispatcher: Dispatcher, reader: FakeReader) -> Iterator[GpuMonitor]:
    made = GpuMonitor(call.db, dispatcher)
    made._reader = reader  # type: ignore[assignment]
    dispatcher.poll_gpus = made.poll
    yield made
    gpus.set_look(None)


async def make_pool(call: Call) -> None:
    await queues.pool_create(call, name="g", cpu=8, memory="1G", resources={"gpu": 8})
    await queues.queue_create(call, name="g", pool="g", capacity=8)


async def test_nothing_is_read_without_gpus_in_a_pool(monitor: GpuMonitor, reader: FakeReader):
    await monitor.check()
    assert reader.reads == 0 and gpus.get_devices() is None


async def test_a_claim_waits_for_a_new_look(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper, monitor: GpuMonitor
):
    await make_pool(call)
    await submit_task(call, queue="g", resources={"gpu": 2})
    await dispatcher.run_round()
    assert fake_keeper.spawned_runs == [] and monitor._polls
    await asyncio.gather(*monitor._polls)
    await dispatcher.run_round()
    (order,) = fake_keeper.get_orders("spawn")
    assert order[0]["env"]["CUDA_VISIBLE_DEVICES"] == "GPU-00000001,GPU-00000002"


async def test_a_run_with_an_index_holds_the_device_of_that_index(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper, monitor: GpuMonitor
):
    await make_pool(call)
    monitor._reader.answer = None  # type: ignore[attr-defined]
    for answer in (None, (ONE, TWO)):
        monitor._reader.answer = answer  # type: ignore[attr-defined]
        await monitor.check()
        await submit_task(call, queue="g", resources={"gpu": 1})
        await dispatcher.run_round()
    told = [run["env"]["CUDA_VISIBLE_DEVICES"] for (run,) in fake_keeper.get_orders("spawn")]
    assert told == ["0", "GPU-00000002"]


async def test_no_index_is_given_while_a_run_holds_a_uuid(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper, monitor: GpuMonitor
):
    await make_pool(call)
    for answer in ((ONE, TWO), None):
        monitor._reader.answer = answer  # type: ignore[attr-defined]
        await monitor.check()
        await submit_task(call, queue="g", resources={"gpu": 1})
        await dispatcher.run_round()
    assert len(fake_keeper.spawned_runs) == 1
    await execute_sql(call, "UPDATE instances SET devices = NULL")
    await dispatcher.run_round()
    assert len(fake_keeper.spawned_runs) == 2


async def test_a_driver_that_fails_or_hangs_gives_no_device(
    call: Call, dispatcher: Dispatcher, fake_keeper: FakeKeeper, monitor: GpuMonitor,
    reader: FakeReader, monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    await make_pool(call)
    await monitor.check()
    number = (await submit_task(call, queue="g", resources={"gpu": 1}))["number"]
    reader.answer = OSError("NVML does not work: a mismatch")
    await monitor.check()
    await dispatcher.run_round()
    assert fake_keeper.spawned_runs == []
    (why,) = await views.explain(call, ids=[number])
    texts = [reason["text"] for reason in why["reasons"]]
    assert any("GPU 0 is drained: NVML does not work: a mismatch" in text for text in texts)
    assert "none is given" in monitor.problems["gpus"]

    reader.answer = (ONE,)
    reader.go.clear()
    monkeypatch.setattr(gpu_monitor, "WAIT", 0.001)
    monkeypatch.setattr(gpu_monitor, "SILENT", 0.0)
    await monitor.check()
    assert "the driver has not answered" in monitor.problems["gpus"] and reader.reads == 3
    await monitor.check()
    assert reader.reads == 3
    reader.go.set()
    monkeypatch.setattr(gpu_monitor, "WAIT", 10.0)
    await monitor.check()
    assert monitor.problems == {}
    await dispatcher.run_round()
    assert len(fake_keeper.spawned_runs) == 1
