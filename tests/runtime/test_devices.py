"""GPUs of real runs: the environment that their programs see, over kills of all processes."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from db.engine import create_write_engine
from tests.runtime_process import RuntimeProcess, is_alive, list_processes, wait_until

TELL = (
    'echo "<$CUDA_VISIBLE_DEVICES|$CUDA_DEVICE_ORDER|$TASKDECK_DEVICES>";'
    ' until [ -e "$TEST_HOME/$0" ]; do sleep 0.05; done'
)


@pytest.fixture(scope="module")
def gpus(module_runtime: RuntimeProcess) -> RuntimeProcess:
    """Return a home with two pools of two GPUs, and one without."""
    for name in ("a", "b"):
        module_runtime.call("pool.create", name=name, cpu=64, memory="1G", resources={"gpu": 2})
        module_runtime.call("queue.create", name=name, pool=name, capacity=64)
    module_runtime.call("queue.set", name="default", capacity=64)
    return module_runtime


def submit(living: RuntimeProcess, gate: str, count: int = 1, queue: str = "a", **more: Any) -> str:
    """Submit a task that tells its variables and ends once its gate file exists."""
    asked = {"resources": {"gpu": count}} if count else {}
    return living.submit("sh", "-c", TELL, gate, queue=queue, cpu=0, **asked, **more)


def read_told(living: RuntimeProcess, task: str) -> str:
    """Return the variables that the latest run of a task told."""
    runid = living.wait_for_status(task, "running")["instances"][-1]["runid"]
    log = next((living.home / "runs").glob(f"*/{runid}.log"))
    return wait_until(lambda: log.read_text().strip(), "the variables").splitlines()[-1]


def list_devices(living: RuntimeProcess, *tasks: str) -> list[list[str]]:
    """Return the devices of the latest run of each task."""
    return [living.show(task)["instances"][-1]["devices"] for task in tasks]


def end_all(living: RuntimeProcess, gate: str, *tasks: str) -> None:
    (living.home / gate).touch()
    assert {task["status"] for task in living.wait_for_end(*tasks)} == {"succeeded"}


def test_two_pools_never_share_an_index(gpus: RuntimeProcess):
    one, two = submit(gpus, "pools"), submit(gpus, "pools", 2, "b")
    three = submit(gpus, "pools")
    told = {task: read_told(gpus, task) for task in (one, two, three)}
    assert told[one] == "<0|PCI_BUS_ID|0>"
    assert sorted(told.values())[1:] == ["<1,2|PCI_BUS_ID|1,2>", "<3|PCI_BUS_ID|3>"]
    assert list_devices(gpus, one, two, three) == [["0"], ["1", "2"], ["3"]]
    holders = [int(one), int(two), int(two), int(three)]
    shown = [device["run"] for device in gpus.call("board")["devices"]]
    assert shown[:4] == holders and not any(shown[4:])
    pool = next(pool for pool in gpus.call("pool.ls") if pool["devices"])
    assert [device["run"] for device in pool["devices"]] == shown
    end_all(gpus, "pools", one, two, three)


def test_a_task_without_gpus_sees_none_once_a_pool_has_some(gpus: RuntimeProcess):
    other = submit(gpus, "none", 0, "default")
    hidden, own = submit(gpus, "none", 0), submit(gpus, "none", env={"CUDA_VISIBLE_DEVICES": "9"})
    assert read_told(gpus, hidden) == "<||>"
    assert read_told(gpus, other) == "<||>", "its own pool has none"
    assert read_told(gpus, own) == "<9|PCI_BUS_ID|0>"
    end_all(gpus, "none", other, hidden, own)


def test_a_device_is_held_over_kills_and_a_pause(gpus: RuntimeProcess):
    first = submit(gpus, "kills")
    assert read_told(gpus, first) == "<0|PCI_BUS_ID|0>"
    gpus.call("pause", ids=[first])
    process = gpus.show(first)["instances"][0]["pid"]
    keeper = gpus.call("status")["keeper"]["pid"]
    os.kill(keeper, signal.SIGKILL)
    gpus.kill()
    gpus.start()
    second = submit(gpus, "kills")
    assert read_told(gpus, second) == "<1|PCI_BUS_ID|1>"
    assert is_alive(process) and process in list(list_processes(gpus._marks))
    gpus.call("resume", ids=[first])
    (gpus.home / "kills").touch()
    gpus.wait_for_end(first, second)


def test_a_retry_gets_a_device_that_is_free_then(gpus: RuntimeProcess):
    gate = "retry"
    first = submit(gpus, gate)
    read_told(gpus, first)
    gpus.call("cancel", ids=[first])
    gpus.wait_for_end(first)
    second = submit(gpus, gate)
    read_told(gpus, second)
    gpus.call("retry", ids=[first])
    assert read_told(gpus, first) == "<1|PCI_BUS_ID|1>"
    assert [run["devices"] for run in gpus.call("instances", id=first)] == [["0"], ["1"]]
    end_all(gpus, gate, first, second)


def test_an_adopted_run_keeps_the_devices_of_its_variables(gpus: RuntimeProcess):
    first = submit(gpus, "adopted", 2)
    assert read_told(gpus, first) == "<0,1|PCI_BUS_ID|0,1>"
    gpus.kill()
    engine = create_write_engine(gpus.home / "taskdeck.db")
    with engine.begin() as c:
        c.exec_driver_sql("DELETE FROM instances WHERE end_time IS NULL")
    engine.dispose()
    gpus.start()
    second = submit(gpus, "adopted", 1, "b")
    assert read_told(gpus, second) == "<2|PCI_BUS_ID|2>"
    assert list_devices(gpus, first) == [["0", "1"]]
    end_all(gpus, "adopted", first, second)
