"""A real Slurm cluster on the loopback of this machine, without systemd and cgroups.

Daemons are children of the tests and end with them. Slurm knows a controller by the name of its
host. So each daemon has a host name and a file of hosts of its own, in namespaces.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "unshare", "setpriv")
PACKAGES = "munge slurmctld slurmd slurm-client util-linux"
FIRST_PORT, PORT_STEP, PORT_BLOCKS = 21000, 50, 200
START_SECONDS = 90.0
"""Limit of a start; a quiet machine needs one second."""
SYSTEM_PATH = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"

ENTER = (
    'mount --bind "$1/hosts" /etc/hosts && mount --bind "$1/$2" "$1/run" && hostname "$3"'
    ' && shift 3 && exec "$@"'
)
"""Script of a new namespace: its hosts, its name, and the run folder of one controller."""

SETTINGS = {
    "ClusterName": "loop",
    "SlurmUser": "root",
    "SlurmdUser": "root",
    "AuthType": "auth/munge",
    "CredType": "cred/munge",
    "CommunicationParameters": "NoCtldInAddrAny,NoInAddrAny",
    "ProctrackType": "proctrack/linuxproc",
    "TaskPlugin": "task/none",
    "JobAcctGatherType": "jobacct_gather/none",
    "SelectType": "select/cons_tres",
    "SelectTypeParameters": "CR_CPU_Memory",
    "SchedulerType": "sched/backfill",
    "SchedulerParameters": "batch_sched_delay=0,sched_interval=1",
    "SlurmdParameters": "config_overrides",
    "ReturnToService": "2",
    "MpiDefault": "none",
    "SlurmctldTimeout": "10",
    "SlurmdTimeout": "20",
    "MailProg": "/bin/true",
    "MaxJobCount": "100000",
}
"""Settings of every cluster. `batch_sched_delay` saves 3 s of each job."""


def find_obstacle() -> str:
    """Return why no cluster can be started here, or ""."""
    missing = [name for name in PROGRAMS if not shutil.which(name, path=SYSTEM_PATH)]
    if missing:
        return f"{missing[0]} is missing: apt install {PACKAGES}"
    if os.geteuid() != 0:
        return "needs root, to make namespaces"
    command = ["unshare", "--uts", "--mount", "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"no namespaces here: {done.stderr.strip()}" if done.returncode else ""


@contextmanager
def open_cluster(nodes: int = 3, **options: object) -> Iterator[LoopbackCluster]:
    """Yield a running cluster. Options are those of LoopbackCluster."""
    folder = Path(tempfile.mkdtemp(prefix="td-slurm-"))
    cluster = LoopbackCluster(folder, nodes, **options)  # type: ignore[arg-type]
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(is_done: Callable[[], object], seconds: float = START_SECONDS) -> None:
    """Wait until something is true. Raise TimeoutError."""
    limit = time.monotonic() + seconds
    while not is_done():
        if time.monotonic() >= limit:
            raise TimeoutError(getattr(is_done, "__name__", "condition"))
        time.sleep(0.02)


class LoopbackCluster:
    """One controller, or two, and nodes n1, n2, … that claim more than the machine has.

    Daemons have the names `ctl`, `ctl2`, `munge`, `n1`, … . `settings` are further lines of
    slurm.conf, or replace those of SETTINGS.
    """

    def __init__(
        self,
        folder: Path,
        nodes: int = 3,
        *,
        cpus: int = 4,
        memory: int = 4000,
        has_backup: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self.nodes = folder, [f"n{number + 1}" for number in range(nodes)]
        self.conf = folder / "slurm.conf"
        self.has_backup = has_backup
        self._size = f"CPUs={cpus} RealMemory={memory}"
        self._settings = SETTINGS | dict(settings or {})
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._lock, self._port = take_ports(nodes)

    @property
    def env(self) -> dict[str, str]:
        """Environment of a command that uses the cluster."""
        return os.environ | {"SLURM_CONF": str(self.conf), "PATH": SYSTEM_PATH}

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command of Slurm and return its output."""
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    # --- all daemons

    def start(self) -> None:
        """Start all daemons; return when all nodes are idle."""
        for name in ("state", "run", "run2", "log", "munge", "spool"):
            (self.folder / name).mkdir(exist_ok=True)
        for path in (self.folder, self.folder / "munge"):
            path.chmod(0o711)
        (self.folder / "hosts").write_text("127.0.0.1 localhost ctl\n127.0.0.2 ctl2\n")
        self._write_conf()
        key = self.folder / "munge" / "key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        for name in ("munge", "ctl", *(["ctl2"] if self.has_backup else []), *self.nodes):
            self.up(name)
        self.wait_until_idle()

    def stop(self) -> None:
        """End all daemons and jobs."""
        for name in reversed(list(self._daemons)):
            self.kill(name)
        for node in self.nodes:
            self._kill_steps(node)
        self._lock.close()

    def wait_until_idle(self) -> None:
        """Wait until all nodes are idle."""
        wait_for(lambda: self.list_nodes("idle") == self.nodes)

    def list_nodes(self, state: str) -> list[str]:
        """Return the nodes in a state, such as idle, drain or down."""
        found = self.run("sinfo", "-h", "-N", "-t", state, "-o", "%N", check=False)
        return sorted(found.split())

    def reset(self) -> None:
        """End all jobs and make all nodes idle, whatever a test did."""
        for name in ("munge", "ctl", *self.nodes):
            if name not in self._daemons:
                self.up(name)
        self.run("scancel", "--full", "--signal=KILL", "--state=RUNNING", "--me")
        self.run("scancel", "--me")
        wait_for(self._revive)
        for node in self.nodes:
            self._kill_steps(node)

    def _revive(self) -> bool:
        """Resume the nodes that take no jobs; return True if all are idle."""
        for node in {*self.list_nodes("drain"), *self.list_nodes("down")}:
            self.run("scontrol", "update", f"nodename={node}", "state=resume", check=False)
        return self.list_nodes("idle") == self.nodes

    # --- single daemons and nodes

    def up(self, name: str) -> None:
        """Start a daemon."""
        munge = self.folder / "munge"
        if name == "munge":
            words = ["munged", "--foreground", "--force", f"--key-file={munge}/key"]
            words += [f"--socket={munge}/socket", f"--pid-file={self.folder}/run/munged.pid"]
            words += [f"--seed-file={munge}/seed", f"--log-file={self.folder}/log/munged.log"]
        elif name.startswith("ctl"):
            words = ["slurmctld", "-D", "-f", str(self.conf)]
        else:
            (self.folder / "spool" / name).mkdir(exist_ok=True)
            words = ["slurmd", "-D", "-N", name, "-f", str(self.conf)]
        host, run = ("ctl2", "run2") if name == "ctl2" else ("ctl", "run")
        enter = ["setpriv", "--pdeathsig", "KILL", "unshare", "--uts", "--mount", "sh", "-c", ENTER]
        command = [*enter, "sh", str(self.folder), run, host, *words]
        with (self.folder / "log" / f"{name}.out").open("ab") as output:
            self._daemons[name] = subprocess.Popen(
                command, env=self.env, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        if name == "munge":
            wait_for((munge / "socket").exists)
        elif name == "ctl":
            wait_for(lambda: "(primary) at ctl is UP" in self.run("scontrol", "ping", check=False))

    def kill(self, name: str) -> None:
        """Kill a daemon alone. The jobs of a node live on."""
        self._daemons[name].kill()
        self._daemons.pop(name).wait()

    def restart(self, name: str) -> None:
        """Kill a daemon and start it again."""
        self.kill(name)
        self.up(name)

    def lose(self, node: str) -> None:
        """Kill the daemon of a node with all its jobs, as if its host had no power."""
        self.kill(node)
        self._kill_steps(node)

    def drain(self, node: str, reason: str = "a test") -> None:
        """Let a node take no more jobs."""
        self.run("scontrol", "update", f"nodename={node}", "state=drain", f"reason={reason}")

    def resume(self, *nodes: str) -> None:
        """Let drained or lost nodes take jobs again."""
        for node in nodes or self.list_nodes("drain"):
            self.run("scontrol", "update", f"nodename={node}", "state=resume")

    def _kill_steps(self, node: str) -> None:
        """Kill the jobs of a node and their supervisors, until none is left."""
        while doomed := self._list_processes(node):
            for pid in doomed:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass

    def _list_processes(self, node: str) -> list[int]:
        """Return the jobs of a node, by their environment, and the supervisors, by their log."""
        log = str(self.folder / "log" / f"{node}.log")
        marks = {b"SLURM_CONF=" + os.fsencode(self.conf), b"SLURMD_NODENAME=" + node.encode()}
        daemons = {daemon.pid for daemon in self._daemons.values()}
        pids = {int(name) for name in os.listdir("/proc") if name.isdigit()} - daemons
        return [pid for pid in pids if marks <= read_environment(pid) or has_open(pid, log)]

    def _write_conf(self) -> None:
        controllers = ["ctl(127.0.0.1)", *(["ctl2(127.0.0.2)"] if self.has_backup else [])]
        folder = self.folder
        lines = [f"SlurmctldHost={controller}" for controller in controllers]
        lines += [f"{name}={value}" for name, value in self._settings.items()]
        lines += [
            f"SlurmctldPort={self._port}",
            f"AuthInfo=socket={folder}/munge/socket",
            f"StateSaveLocation={folder}/state",
            f"SlurmdSpoolDir={folder}/spool/%n",
            f"SlurmctldPidFile={folder}/run/slurmctld.pid",
            f"SlurmdPidFile={folder}/run/%n.pid",
            f"SlurmctldLogFile={folder}/log/slurmctld.log",
            f"SlurmdLogFile={folder}/log/%n.log",
        ]
        lines += [
            f"NodeName={node} NodeHostname=ctl NodeAddr=127.0.0.1 Port={self._port + 1 + number}"
            f" {self._size} State=UNKNOWN"
            for number, node in enumerate(self.nodes)
        ]
        lines.append("PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP")
        self.conf.write_text("\n".join(lines) + "\n")


def take_ports(nodes: int) -> tuple[socket.socket, int]:
    """Return the first of the free ports for a cluster, and a lock on them.

    Other test runs on this machine may start clusters at the same time.
    """
    for first in range(FIRST_PORT, FIRST_PORT + PORT_BLOCKS * PORT_STEP, PORT_STEP):
        lock = socket.socket(socket.AF_UNIX)
        try:
            lock.bind(f"\0taskdeck-test-ports-{first}")
            for port in range(first, first + nodes + 1):
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", port))
        except OSError:
            lock.close()
        else:
            return lock, first
    raise RuntimeError("no free ports")


def read_environment(pid: int) -> set[bytes]:
    """Return the environment of a process, empty if it is gone."""
    try:
        return set(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    except OSError:
        return set()


def has_open(pid: int, path: str) -> bool:
    """Return True if a process has a file open."""
    try:
        return any(os.readlink(fd) == path for fd in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False
