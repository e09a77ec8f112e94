"""Tests of the resource agent, run as Pacemaker runs it: each action and its exit code."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from app import paths
from app.cli.pacemaker.agent import make_agent
from tests.acceptance.acceptance_home import PROGRAM, AcceptanceHome
from tests.runtime_process import wait_until

NAME = "my home'\"$(touch hacked)`x`;\n\\ -e"
GENERIC, UNIMPLEMENTED, NOT_INSTALLED, NOT_CONFIGURED, NOT_RUNNING = 1, 3, 5, 6, 7


class ClusterHome(AcceptanceHome):
    """Home with a hostile name, in cluster mode, and the agent of its resource `td`."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.home = root / NAME
        self.env |= {"TASKDECK_HOME": str(self.home), "XDG_CONFIG_HOME": str(root / ".config")}
        self.tools = root / "tools"
        self.tools.mkdir()
        self.agent = root / "agent"
        self.install(str(PROGRAM))

    def install(self, program: str) -> None:
        """Write the agent for a program."""
        self.agent.write_text(make_agent(program))
        self.agent.chmod(0o755)

    def enable_cluster(self) -> None:
        """Write cluster = true to the settings of the owner."""
        folder = Path(self.env["XDG_CONFIG_HOME"], "taskdeck")
        folder.mkdir(parents=True)
        (folder / "config.toml").write_text("cluster = true\n")

    def write_tool(self, name: str, text: str) -> str:
        """Write a shell script that the agent finds before the tools of the system."""
        path = self.tools / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)

    def act(self, action: str, *wrapper: str, **settings: str) -> tuple[int, str]:
        """Run an action of the agent; return its exit code and what it says to Pacemaker."""
        env = {
            "PATH": f"{self.tools}:{os.environ['PATH']}", "HOME": self.env["HOME"],
            "OCF_ROOT": "/nowhere", "OCF_RESOURCE_INSTANCE": "td",
            "OCF_RESKEY_home": str(self.home), "OCF_RESKEY_CRM_meta_timeout": "40000",
        }  # fmt: skip
        done = subprocess.run(
            [*wrapper, self.agent, action], env=env | settings, capture_output=True, text=True,
            timeout=60, cwd=self.work, stdin=subprocess.DEVNULL
        )  # fmt: skip
        return done.returncode, done.stderr

    def is_running(self, number: int) -> bool:
        """Return True if the task runs."""
        return self.map_statuses()[number] == "running"


@pytest.fixture(scope="module")
def module_home() -> Iterator[ClusterHome]:
    """Yield a home for several tests that change nothing."""
    with tempfile.TemporaryDirectory(prefix="td-", ignore_cleanup_errors=True) as root:
        found = ClusterHome(Path(root))
        yield found
        found.close()


@pytest.fixture(scope="module")
def started_home(fresh_database: Path) -> Iterator[ClusterHome]:
    """Yield a home in cluster mode, whose runtime the agent has started."""
    with tempfile.TemporaryDirectory(prefix="td-", ignore_cleanup_errors=True) as root:
        found = ClusterHome(Path(root))
        paths.make_home(found.home)
        shutil.copy(fresh_database, paths.get_database_path(found.home))
        found.enable_cluster()
        assert found.act("start") == (0, "")
        yield found
        found.close()


@pytest.fixture
def cluster_home(started_home: ClusterHome) -> Iterator[ClusterHome]:
    """Yield the started home, which each test leaves started and without running tasks."""
    yield started_home
    started_home.run_cli("cancel", "--filter", "status:active,waiting", "--yes")
    wait_until(lambda: "running" not in started_home.map_statuses().values())


def test_the_meta_data_is_xml_with_each_action(module_home: ClusterHome):
    done = subprocess.run([module_home.agent, "meta-data"], capture_output=True, env={}, check=True)

    described = ElementTree.fromstring(done.stdout)
    assert {one.get("name") for one in described.iter("action")} == {
        "start", "stop", "monitor", "validate-all", "meta-data",
    }  # fmt: skip
    assert [one.get("name") for one in described.iter("parameter")] == ["home", "user"]


def test_an_unknown_action_is_not_implemented(module_home: ClusterHome):
    assert module_home.act("promote")[0] == UNIMPLEMENTED


@pytest.mark.parametrize("settings", [{"OCF_RESKEY_home": one} for one in ("", "a", "/", "//./")])
def test_a_bad_home_is_a_configuration_error(module_home: ClusterHome, settings: dict[str, str]):
    code, said = module_home.act("validate-all", **settings)

    assert code == NOT_CONFIGURED and said.startswith("ocf-exit-reason:home must")


def test_what_this_host_lacks_is_not_installed(module_home: ClusterHome):
    code, said = module_home.act("validate-all", OCF_RESKEY_user="no-such-user")
    assert (code, said) == (
        NOT_INSTALLED,
        "ocf-exit-reason:there is no user no-such-user on this host\n",
    )

    module_home.install("/nowhere/taskdeck")
    assert module_home.act("monitor")[0] == NOT_INSTALLED
    module_home.install(str(PROGRAM))


def test_an_empty_mount_point_stays_empty(module_home: ClusterHome):
    assert module_home.act("validate-all") == (0, "")
    assert module_home.act("monitor")[0] == NOT_RUNNING
    assert module_home.act("stop") == (0, "")
    code, said = module_home.act("start")
    assert code == NOT_INSTALLED and "is its volume mounted?" in said
    assert not module_home.home.exists()
    (module_home.home / "run").mkdir(parents=True)
    code, said = module_home.act("start")
    assert code == NOT_INSTALLED and "there is no database in" in said
    assert not list((module_home.home / "run").iterdir())
    shutil.rmtree(module_home.home)


def test_trouble_of_the_monitor_is_a_failure_not_a_stop(module_home: ClusterHome):
    (module_home.home / "run").mkdir(parents=True)
    module_home.install(module_home.write_tool("silent", "echo no answer >&2; exit 1"))

    assert module_home.act("monitor") == (GENERIC, "no answer\n")
    shutil.rmtree(module_home.home)
    module_home.install(str(PROGRAM))


def test_without_the_program_an_unused_home_is_stopped(module_home: ClusterHome):
    run = module_home.home / "run"
    run.mkdir(parents=True)
    module_home.install("/nowhere/taskdeck")

    assert module_home.act("stop") == (0, "")
    with (run / "keeper2.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, said = module_home.act("stop")
    assert code == NOT_INSTALLED and "the home is in use" in said
    shutil.rmtree(module_home.home)
    module_home.install(str(PROGRAM))


@pytest.mark.parametrize(
    ("plan", "keeps"),
    [
        ('<rsc_action action="recover" resource="td" node="alpha"/>', True),
        ('<rsc_action action="recover" resource="td" node="beta"/>', False),
        ('<rsc_action action="move" resource="td" source="alpha" dest="beta"/>', False),
        (
            '<rsc_action action="recover" resource="volume" node="alpha"/>\n'
            '<rsc_action action="recover" resource="td" node="alpha"/>',
            False,
        ),
        ("", False),
    ],
)
def test_only_a_plan_to_recover_the_runtime_alone_keeps_runs(
    module_home: ClusterHome, plan: str, keeps: bool
):
    (module_home.home / "run").mkdir(parents=True, exist_ok=True)
    module_home.write_tool("crm_node", "echo alpha")
    module_home.write_tool("crm_simulate", f"cat <<'END'\n  {plan}\n<rsc_action op=''/>\nEND")
    program = module_home.write_tool("stub", 'echo "$*"; [ "$2" = stop ] || exit 3')
    module_home.install(program)

    code, said = module_home.act("stop")

    assert (code, "--keep-runs" in said) == (0, keeps)
    shutil.rmtree(module_home.home)
    module_home.install(str(PROGRAM))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to act as another user")
def test_an_owner_without_an_account_prevents_a_start_but_no_stop(module_home: ClusterHome):
    (module_home.home / "run").mkdir(parents=True)
    module_home.home.parent.chmod(0o755)
    (module_home.home / "taskdeck.db").touch()
    module_home.install(module_home.write_tool("down", "exit 3"))
    for uid, settings, reason in (
        (987654, {}, "uid 987654, has no account"),
        (65534, {"OCF_RESKEY_user": "root"}, "belongs to uid 65534, which is not root"),
    ):
        os.chown(module_home.home / "run", uid, uid)

        assert module_home.act("monitor", **settings)[0] == NOT_RUNNING
        code, said = module_home.act("start", **settings)
        assert code == NOT_INSTALLED and reason in said
    module_home.install(module_home.write_tool("down", '[ "$2" = status ] && exit 3; exit 0'))
    assert module_home.act("stop", OCF_RESKEY_CRM_meta_timeout="a[0]") == (0, "")
    shutil.rmtree(module_home.home)
    module_home.install(str(PROGRAM))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to act as another user")
def test_the_program_runs_as_the_owner_with_a_clean_environment(module_home: ClusterHome):
    (module_home.home / "run").mkdir(parents=True)
    os.chown(module_home.home / "run", 65534, 65534)
    module_home.home.parent.chmod(0o755)
    stub = module_home.write_tool("stub", 'id -u; id -g; env; printf "%s\\n" "$@"; exit 1')
    module_home.install(stub)

    _, said = module_home.act("monitor", OCF_SECRET="seen")

    uid, gid, *rest = said.splitlines()
    assert (uid, gid) == ("65534", "65534") and "seen" not in said
    assert f"--home={module_home.home}\n" in said and rest[-3:] == ["status", "--check", "--here"]
    shutil.rmtree(module_home.home)
    module_home.install(str(PROGRAM))


def test_a_stop_by_the_cluster_ends_everything_and_says_who(cluster_home: ClusterHome):
    log = cluster_home.work / "starts"
    script = f"echo x >>{log}; sleep 300"
    retried = int(cluster_home.submit("--retries", "1", "--", "sh", "-c", script))
    deaf = int(cluster_home.submit("--", "sh", "-c", "trap '' TERM; sleep 301"))
    wait_until(lambda: cluster_home.is_running(retried) and cluster_home.is_running(deaf))

    code, said = cluster_home.act("stop", OCF_RESKEY_CRM_meta_timeout="4000")

    assert code == 0 and "2 running tasks ended with this host" in said
    assert cluster_home.act("monitor")[0] == NOT_RUNNING and cluster_home.act("stop") == (0, "")
    refused = cluster_home.run_cli("submit", "--", "true")
    assert refused.returncode == 4 and "stopped by the cluster" in refused.stderr
    assert "pcs resource enable td" in refused.stderr
    assert "pcs resource enable td" in cluster_home.run_ok("status")
    assert cluster_home.act("start") == (0, "") and cluster_home.act("start") == (0, "")
    wait_until(lambda: cluster_home.is_running(retried))
    assert cluster_home.map_statuses()[deaf] == "lost" and log.read_text() == "x\nx\n"
    assert not (cluster_home.work / "hacked").exists()


def test_persons_neither_start_nor_stop_the_runtime_of_a_cluster(cluster_home: ClusterHome):
    stop, serve = (
        cluster_home.run_cli("--home", cluster_home.home, *words) for words in (["stop"], ["serve"])
    )

    assert (stop.returncode, serve.returncode) == (4, 4)
    assert "pcs resource disable taskdeck" in stop.stderr and "taskdeck --home" not in stop.stderr
    assert "pcs resource enable taskdeck" in serve.stderr and "taskdeck --home" not in serve.stderr
    assert cluster_home.run_cli("serve", "--detach").returncode == 0
    assert cluster_home.act("monitor") == (0, "")
    assert cluster_home.run_cli("serve", "--detach", "--replace").returncode == 0
    elsewhere = cluster_home.run_cli("--home", f"{cluster_home.work}/none", "ls")
    assert elsewhere.returncode == 4 and "pcs status" in elsewhere.stderr
    assert not (cluster_home.work / "none").exists()


def test_runs_go_on_only_below_a_restart_in_place(cluster_home: ClusterHome):
    number = int(cluster_home.submit("--", "sleep", "300"))
    wait_until(lambda: cluster_home.is_running(number))
    cluster_home.write_tool("crm_node", "echo alpha")
    answer = '<rsc_action action="recover" resource="td" node="{}"/>'
    for node, status in (("alpha", "running"), ("beta", "lost")):
        cluster_home.write_tool("crm_simulate", f"echo '{answer.format(node)}'")
        pid = cluster_home.run_json("status")["runtime"]["pid"]
        os.kill(pid, 9)
        wait_until(lambda: cluster_home.act("monitor")[0] == NOT_RUNNING)
        assert cluster_home.run_cli("submit", "--", "true").returncode == 4

        assert cluster_home.act("stop")[0] == 0 and cluster_home.act("start") == (0, "")
        wait_until(lambda status=status: cluster_home.map_statuses()[number] == status)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make a PID namespace")
def test_a_runtime_of_another_host_is_not_running_here(cluster_home: ClusterHome):
    other_host = ("unshare", "--pid", "--fork", "--mount-proc")

    assert cluster_home.act("monitor", *other_host)[0] == NOT_RUNNING
    assert cluster_home.act("stop", *other_host) == (0, "")
    assert cluster_home.act("monitor") == (0, "")
