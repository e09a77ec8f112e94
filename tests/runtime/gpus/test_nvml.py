"""GPUs as NVML tells them, with a small library in its place that a file drives."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from app.client import Client
from app.service import gpus
from tests.acceptance.acceptance_home import AcceptanceHome
from tests.runtime_process import kill_processes, wait_until

A, B, C = (f"GPU-{digit * 8}-1111-2222-3333-444444444444" for digit in "abc")
TELL = 'echo "<$CUDA_VISIBLE_DEVICES|$CUDA_DEVICE_ORDER>"; until [ -e "$0" ]; do sleep 0.05; done'


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the library. Building it needs a C compiler, as `.ci/run` has."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler (cc) on this machine to build the library with")
    folder = tmp_path_factory.mktemp("nvml")
    source = Path(__file__).with_name("stand_in_nvml.c")
    target = folder / "libnvidia-ml.so.1"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", target, source], check=True)
    return folder


class GpuHome(AcceptanceHome):
    """A home on a machine whose GPUs are the lines of a file."""

    def __init__(self, root: Path, library: Path) -> None:
        super().__init__(root)
        self.file = root / "devices"
        self.env |= {"LD_LIBRARY_PATH": str(library), "NVML_STAND_IN": str(self.file)}
        self.client = Client(self.home)
        self.gate, self.tasks = self.work / "gate", list[str]()

    def tell(self, *devices: Sequence[object]) -> None:
        """Say which devices there are: uuid, error, memory errors, failed repair, XID, pid, MIG."""
        lines = (" ".join(map(str, (*device, *[0] * (7 - len(device))))) for device in devices)
        new = self.file.with_suffix(".new")
        new.write_text("\n".join(lines) + "\n")
        new.rename(self.file)

    def run(self, *words: object) -> Any:
        """Run a command as a new process, so that the loader finds the library."""
        return self.run_cli(*words, NVML_STAND_IN=str(self.file))

    def start(self, count: int = 0) -> str:
        """Submit a task that tells its variables and ends with its gate file."""
        task: dict[str, Any] = {
            "argv": ["sh", "-c", TELL, str(self.gate)], "queue": "a", "cpu": 0,
            "resources": {"gpu": count},
        }  # fmt: skip
        (done,) = self.call(
            "submit", tasks=[task], cwd=str(self.work), umask=0o022, env={"PATH": self.env["PATH"]}
        )
        self.tasks.append(str(done["number"]))
        return self.tasks[-1]

    def end_all(self) -> None:
        """Let all tasks end, and those of the next test wait for a gate of their own."""
        self.gate.touch()
        self.call("wait", ids=self.tasks, timeout=60)
        self.gate, self.tasks = self.gate.with_name(f"{self.gate.name}x"), []

    def call(self, verb: str, **args: Any) -> Any:
        return self.client.call(verb, args)

    def read_told(self, task: str) -> str:
        """Return what a task has told of its variables."""

        def find() -> str | None:
            runs = self.call("show", id=task)["instances"]
            logs = [*(self.home / "runs").glob(f"*/{runs[-1]['runid']}.log")] if runs else []
            return logs[0].read_text().strip() if logs else None

        return wait_until(find, f"the variables of #{task}")

    def wait_for_trouble(self, text: str) -> None:
        """Wait until the runtime has seen this trouble of a device."""

        def find() -> bool:
            devices = self.call("pool.show", name="a")["devices"]
            return any(one["trouble"] == text for one in devices)

        wait_until(find, text)

    def find_why(self, task: str) -> str:
        """Return why a task waits."""
        return " ".join(one["text"] for one in self.call("why", ids=[task])[0]["reasons"])


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, library: Path) -> Iterator[GpuHome]:
    """Yield a home on a machine with three GPUs; the pools a and b have four and two."""
    home = GpuHome(tmp_path_factory.mktemp("machine"), library)
    home.tell((A,), (B,), (C,))
    home.run("submit", "--", "true")  # starts a runtime with these variables
    for name, amount in (("a", 4), ("b", 2)):
        home.call("pool.create", name=name, cpu=8, memory="1G", resources={"gpu": amount})
        home.call("queue.create", name=name, pool=name, capacity=9)
    yield home
    home.client.close()
    kill_processes({os.fsencode(home.home), b"TASKDECK_HOME=" + os.fsencode(home.home)})


def test_runs_get_the_uuids_of_the_machine_and_no_more(machine: GpuHome):
    one, two = machine.start(2), machine.start(1)
    assert machine.read_told(one) == f"<{A},{B}|>"
    assert machine.read_told(two) == f"<{C}|>"
    three = machine.start(1)
    assert "needs 1 gpu, 0 free" in machine.find_why(three)
    refused = machine.run("submit", "-q", "a", "--gpu", 4, "--", "true")
    assert refused.returncode == 4 and "this machine has 3" in refused.stderr
    machine.gate.touch()
    assert machine.read_told(three) in {f"<{name}|>" for name in (A, B, C)}
    machine.end_all()


@pytest.fixture
def unrelated() -> Iterator[subprocess.Popen[bytes]]:
    """Yield a process that is no task."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def test_a_device_of_an_unrelated_process_is_not_given(
    machine: GpuHome, unrelated: subprocess.Popen[bytes]
):
    machine.tell((A, 0, 0, 0, 0, unrelated.pid), (B,), (C,))
    used = f"GPU 0 is used by sleep (pid {unrelated.pid}), which is no task"
    machine.wait_for_trouble(used)
    first, second = machine.start(2), machine.start(1)
    assert machine.read_told(first) == f"<{B},{C}|>"
    assert used in machine.find_why(second)
    shown = machine.run_ok("pool", "show", "a")
    assert f"0 Stand-in 9000 GPU-aaaaaaaa: {used}" in shown
    assert f"GPU-bbbbbbbb: #{first}, 62%, 20.0/80G, 61°C" in shown
    board = {one["number"]: one for one in machine.call("board")["devices"]}
    assert board[1]["run"] == int(first) and board[0]["trouble"] == used
    assert board[2]["used_memory"] == 20 * 1024 and board[2]["temperature"] == 61
    run = machine.call("show", id=first)["instances"][0]
    machine.tell((A,), (B, 0, 0, 0, 0, run["pid"]), (C,))  # a process of a task is no stranger
    assert machine.read_told(second) == f"<{A}|>"
    assert not any(one["trouble"] for one in machine.call("pool.show", name="a")["devices"])
    machine.end_all()


def test_a_failed_device_is_drained_with_an_alert(machine: GpuHome):
    names = [A, B, C, A.replace("a", "d"), A.replace("a", "e"), A.replace("a", "f")]
    names.append(A.replace("a", "9"))
    machine.tell(*((name,) for name in names))
    machine.call("pool.set", name="a", resources={"gpu": 9})
    wait_until(lambda: len(machine.call("pool.show", name="a")["devices"]) == 7, "seven devices")
    first = machine.start(1)
    assert machine.read_told(first) == f"<{A}|>"
    faults = ((), (15,), (0, 3), (0, 0, 1), (0, 0, 0, 79), (0, 0, 0, 13), (*[0] * 5, 1))
    machine.tell(*((name, *fault) for name, fault in zip(names, faults, strict=True)))

    def list_alerts() -> dict[str, str]:
        found = {one["sla"]: one["text"] for one in machine.call("alert.ls")}
        return {name: text for name, text in found.items() if name.startswith("gpu-")}

    alerts = wait_until(list_alerts, "the alerts")
    words = {
        "gpu-1": "GPU is lost",
        "gpu-2": "3 uncorrected memory errors",
        "gpu-3": "its memory could not be repaired (row remapping)",
        "gpu-4": "XID error 79",
        "gpu-6": "it is split into MIG instances, which Taskdeck does not give to runs",
    }
    assert alerts == {
        name: f"GPU {name[-1]} is drained: {text} (Stand-in 9000, {names[int(name[-1])]})"
        for name, text in words.items()
    }
    second, third = machine.start(1), machine.start(1)
    assert machine.read_told(second) == f"<{names[5]}|>"
    assert all(f"is drained: {text}" in machine.find_why(third) for text in words.values())


def test_reading_without_a_runtime_knows_no_device():
    assert gpus.get_devices() is None
