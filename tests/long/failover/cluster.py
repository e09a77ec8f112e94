"""Two Pacemaker nodes in namespaces of this machine, with a power switch and one volume.

Each node has a PID, network, mount, UTS and IPC namespace of its own. The death of its first
process is a host without power. A folder stands for the volume, which the cluster mounts on one
node at a time.
"""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

HERE = Path(__file__).parent
PROGRAM = Path(sys.executable).with_name("taskdeck")
NODES = {"alpha": "10.77.0.1", "beta": "10.77.0.2"}
TOOLS = ("corosync", "pacemakerd", "crm_mon", "ip", "nsenter", "unshare", "fuser", "runuser")
PACKAGES = "corosync pacemaker pacemaker-cli-utils resource-agents psmisc iproute2 util-linux"
ONLINE_TIMEOUT = 90.0
"""Seconds until both nodes are online; Pacemaker waits 20 s for an election."""
STOP_TIMEOUT = 60
"""Seconds of the stop of the resource, of which the drain may take half."""

COROSYNC = """\
totem {
 version: 2
 cluster_name: taskdeck
 transport: knet
 crypto_cipher: none
 crypto_hash: none
 token: 1000
}
nodelist {
 node {
  ring0_addr: 10.77.0.1
  name: alpha
  nodeid: 1
 }
 node {
  ring0_addr: 10.77.0.2
  name: beta
  nodeid: 2
 }
}
quorum {
 provider: corosync_votequorum
 two_node: 1
 wait_for_all: 0
}
system {
 sched_rr: no
 move_to_root_cgroup: no
}
logging {
 to_logfile: yes
 logfile: /var/log/corosync.log
 to_syslog: no
 to_stderr: no
}
"""


@functools.cache
def find_obstacle() -> str:
    """Return why no cluster can be started here, or ""."""
    if os.geteuid() != 0:
        return "needs root, to make namespaces"
    if missing := [tool for tool in TOOLS if not shutil.which(tool)]:
        return f"{missing[0]} is missing: apt install {PACKAGES}"
    if not os.path.isdir("/usr/lib/ocf/resource.d/heartbeat"):
        return f"the resource agents are missing: apt install {PACKAGES}"
    probe = f"td-probe-{os.getpid()}"
    try:
        _run("unshare", "--mount", "--pid", "--fork", "mount", "-t", "tmpfs", "t", "/mnt")
        _run("ip", "netns", "add", probe)
        _run("ip", "-n", probe, "link", "add", "alpha", "type", "veth", "peer", "name", "beta")
    except RuntimeError as error:
        return f"this machine allows no hosts in namespaces: {error}"
    finally:
        subprocess.run(["ip", "netns", "del", probe], capture_output=True)
    return ""


def make_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder that a node sees: each has a /dev/shm and a /run of its own."""
    return tempfile.TemporaryDirectory(prefix="td-", dir="/tmp", ignore_cleanup_errors=True)


def wait_for(true: Callable[[], bool], what: str, seconds: float = 60.0) -> float:
    """Wait until something is true; return the seconds. Raise TimeoutError."""
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > seconds:
            raise TimeoutError(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(0.1)
    return time.monotonic() - began


class Cluster:
    """The two nodes, their power switch and their volume, below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mount, self.disk, self.switch = (folder / n for n in ("mnt", "disk", "switch"))
        self.home = self.mount / "home"
        self.env = {"PATH": os.environ["PATH"], "HOME": str(folder / "owner"), "LANG": "C.UTF-8"}
        self._networks = {node: f"{folder.name}-{node}" for node in NODES}
        self._init: dict[str, int] = {}
        self._hosts: dict[str, subprocess.Popen[bytes]] = {}
        self._ended = threading.Event()
        self._switching = threading.Thread(target=self._run_switch, daemon=True)
        self.fenced: list[str] = []
        """Names of the nodes that the power switch has killed."""

    def start(self) -> None:
        """Make the home, install the agent, boot both nodes and make the resources."""
        for path in (self.mount, self.disk, self.switch, self.folder / "sbin"):
            path.mkdir()
        self._make_home()
        for name, text in (("modprobe", "#!/bin/sh\n"), ("fence_trial", "")):
            path = self.folder / "sbin" / name
            path.write_text(text or (HERE / f"{name}.sh").read_text())
            path.chmod(0o755)
        self._connect_nodes()
        self._switching.start()
        for node in NODES:
            self.boot(node)
        self.wait_until_online()
        self._configure()

    def _make_home(self) -> None:
        """Make a home on the volume, then turn the cluster mode on."""
        ocf = {"OCF_ROOT": str(self.folder / "ocf")}
        home = str(self.disk / "home")
        for words in (["db", "migrate"], ["service", "install", "--pacemaker"]):
            subprocess.run(
                [PROGRAM, "--home", home, *words], env=self.env | ocf, check=True,
                capture_output=True
            )  # fmt: skip
        settings = Path(self.env["HOME"], ".config", "taskdeck", "config.toml")
        settings.parent.mkdir(parents=True)
        settings.write_text("cluster = true\n")

    def _connect_nodes(self) -> None:
        for network in self._networks.values():
            _run("ip", "netns", "add", network)
        _run("ip", "link", "add", "td-alpha", "netns", self._networks["alpha"], "type", "veth",
             "peer", "name", "td-beta", "netns", self._networks["beta"])  # fmt: skip
        for node, address in NODES.items():
            for words in (
                ["addr", "add", f"{address}/24", "dev", f"td-{node}"],
                ["link", "set", "lo", "up"],
                ["link", "set", f"td-{node}", "up"],
            ):
                _run("ip", "-n", self._networks[node], *words)

    def boot(self, node: str) -> None:
        """Boot a node."""
        own = self.folder / node
        for name in ("corosync", "pacemaker", "etc", "log"):
            (own / name).mkdir(parents=True, exist_ok=True)
        (own / "etc" / "corosync.conf").write_text(COROSYNC)
        (self.switch / f"{node}.dead").unlink(missing_ok=True)
        with (own / "boot.log").open("ab") as log:
            process = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{self._networks[node]}",
                 "unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child",
                 "--mount-proc",
                 "sh", HERE / "node.sh", node, self.folder],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env=self.env | {"HOME": str(self.folder / "owner")},
            )  # fmt: skip
        self._hosts[node] = process
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_for(lambda: bool(children.read_text().split()), f"the first process of {node}", 5.0)
        self._init[node] = int(children.read_text().split()[0])

    def pull_plug(self, node: str) -> None:
        """Kill a node as a power loss does."""
        os.kill(self._init[node], signal.SIGKILL)
        wait_for(lambda: not self.is_alive(node), f"the death of {node}")
        self._hosts[node].wait(10)

    def is_alive(self, node: str) -> bool:
        """Return True if the node has power."""
        try:
            state = Path(f"/proc/{self._init[node]}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return False
        return state != "Z"

    def cut_network(self) -> None:
        """Cut the network between the nodes."""
        _run("ip", "-n", self._networks["alpha"], "link", "set", "td-alpha", "down")

    def mend_network(self) -> None:
        """Connect the nodes again."""
        _run("ip", "-n", self._networks["alpha"], "link", "set", "td-alpha", "up")

    def run_in(
        self, node: str, *words: object, timeout: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a node, as the owner of the home."""
        try:
            return subprocess.run(
                ["nsenter", "-t", str(self._init[node]), "--all", "--wdns=/", *map(str, words)],
                env=self.env, capture_output=True, text=True, timeout=timeout,
                stdin=subprocess.DEVNULL
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess([], 124, "", "timed out")

    def run_taskdeck(
        self, node: str, *words: object, timeout: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of Taskdeck in a node."""
        return self.run_in(node, PROGRAM, "--home", self.home, *words, timeout=timeout)

    def has_runtime(self, node: str) -> bool:
        """Return True if the runtime runs on this node and answers."""
        if not self.is_alive(node):
            return False
        return self.run_taskdeck(node, "status", "--check", "--here", timeout=20).returncode == 0

    def find_active(self) -> str:
        """Return the node that has the runtime, or ""."""
        found = [node for node in NODES if self.has_runtime(node)]
        if len(found) > 1:
            raise AssertionError("two nodes have a runtime")
        return found[0] if found else ""

    def wait_until_online(self) -> float:
        """Wait until both nodes are members; return the seconds."""

        def is_online() -> bool:
            living = next(node for node in NODES if self.is_alive(node))
            said = self.run_in(living, "crm_mon", "-1", timeout=10).stdout
            return "Online: [ alpha beta ]" in said

        return wait_for(is_online, "both nodes online", ONLINE_TIMEOUT)

    def wait_for_runtime(self, node: str, seconds: float = 90.0) -> float:
        """Wait until the runtime runs on a node; return the seconds."""
        return wait_for(lambda: self.has_runtime(node), f"a runtime on {node}", seconds)

    def set_standby(self, node: str, on: bool) -> None:
        """Let the cluster move its resources off a node, or allow them there again."""
        value = "on" if on else "off"
        done = self.run_in(node, "crm_attribute", "-t", "nodes", "-N", node, "-n", "standby",
                           "-v", value)  # fmt: skip
        assert done.returncode == 0, done.stderr

    def _configure(self) -> None:
        """Make fencing and the group of volume and runtime, as the `pcs` lines do."""
        for name, value in (
            ("stonith-enabled", "true"),
            ("stonith-timeout", "20s"),
            ("priority-fencing-delay", "5s"),
        ):
            self._run_tool("crm_attribute", "-t", "crm_config", "-n", name, "-v", value)
        for name, value in (("resource-stickiness", "100"), ("priority", "10")):
            self._run_tool("crm_attribute", "-t", "rsc_defaults", "-n", name, "-v", value)
        self._run_tool("cibadmin", "-C", "-o", "resources", "-X", self._describe_fencing())
        self._run_tool("cibadmin", "-C", "-o", "resources", "-X", self._describe_group())

    def _run_tool(self, *words: str) -> None:
        done = self.run_in("alpha", *words)
        assert done.returncode == 0, f"{words}: {done.stderr}"

    def _describe_fencing(self) -> str:
        return (
            '<primitive id="power" class="stonith" type="fence_trial">'
            f"{_make_values('power', switch=self.switch, pcmk_host_list='alpha beta')}"
            f"{_make_operations('power', monitor=('60s', '20s'))}</primitive>"
        )

    def _describe_group(self) -> str:
        volume = _make_values(
            "volume", device=self.disk, directory=self.mount, fstype="none", options="bind"
        )
        return (
            '<group id="taskdeck-group">'
            '<primitive id="volume" class="ocf" provider="heartbeat" type="Filesystem">'
            f"{volume}{_make_operations('volume', monitor=('10s', '40s'))}</primitive>"
            '<primitive id="taskdeck" class="ocf" provider="taskdeck" type="home">'
            f"{_make_values('taskdeck', home=self.home)}"
            + _make_operations(
                "taskdeck",
                monitor=("2s", "20s"),
                start=("0", "60s"),
                stop=("0", f"{STOP_TIMEOUT}s"),
            )
            + "</primitive></group>"
        )

    def _run_switch(self) -> None:
        """Kill each node that the fence agent asks for, until the end of the trial."""
        while not self._ended.wait(0.05):
            for asked in self.switch.glob("*.off"):
                node = asked.stem
                if self.is_alive(node):
                    self.pull_plug(node)
                self.fenced.append(node)
                asked.rename(asked.with_suffix(".dead"))

    def close(self) -> None:
        """End both nodes and remove their networks."""
        self._ended.set()
        for node in self._init:
            if self.is_alive(node):
                self.pull_plug(node)
        for network in self._networks.values():
            subprocess.run(["ip", "netns", "del", network], capture_output=True)


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")


def _make_values(owner: str, **values: object) -> str:
    pairs = "".join(
        f'<nvpair id="{owner}-{name}" name="{name}" value="{value}"/>'
        for name, value in values.items()
    )
    return f'<instance_attributes id="{owner}-values">{pairs}</instance_attributes>'


def _make_operations(owner: str, **times: Sequence[str]) -> str:
    found = "".join(
        f'<op id="{owner}-{name}" name="{name}" interval="{every}" timeout="{limit}"/>'
        for name, (every, limit) in times.items()
    )
    return f"<operations>{found}</operations>"
