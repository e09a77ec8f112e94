"""Tests of the doctor's systemd checks, with laid-out files and no systemd calls."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli.commands.service import make_unit
from app.health import systemd


@pytest.fixture
def systemd_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder with the files of a systemd machine of a non-root user."""
    me = pwd.getpwuid(os.getuid())
    monkeypatch.setattr(systemd, "is_booted", lambda: True)
    monkeypatch.setattr(systemd, "LINGER_FOLDER", str(tmp_path / "linger"))
    monkeypatch.setattr(systemd, "LOGIND_FOLDERS", (str(tmp_path / "usr"), str(tmp_path / "etc")))
    monkeypatch.setattr(systemd, "_query", lambda *argv: "")
    monkeypatch.setattr(systemd.pwd, "getpwuid", lambda uid: me)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


def write_file(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def enable_linger(machine: Path) -> None:
    write_file(machine / "linger" / pwd.getpwuid(0).pw_name, "")


def test_a_logout_that_ends_everything_is_broken_until_linger_is_on(systemd_machine: Path):
    write_file(systemd_machine / "usr" / "logind.conf", "[Login]\nKillUserProcesses=no\n")
    assert [one.state for one in systemd.check_logout()] == ["well"]
    write_file(
        systemd_machine / "etc" / "logind.conf.d" / "50-local.conf",
        "[Login]\n#KillUserProcesses=no\nKillUserProcesses=yes\n",
    )

    (found,) = systemd.check_logout()
    assert (
        found.state == "broken"
        and found.cure == f"sudo loginctl enable-linger {pwd.getpwuid(0).pw_name}"
    )

    enable_linger(systemd_machine)
    assert [one.state for one in systemd.check_logout()] == ["well"]


def test_logind_takes_precedence_over_its_files(
    systemd_machine: Path, monkeypatch: pytest.MonkeyPatch
):
    write_file(systemd_machine / "etc" / "logind.conf", "[Login]\nKillUserProcesses=no\n")
    monkeypatch.setattr(systemd, "_query", lambda *argv: "b true")

    assert systemd.kills_at_logout()


def test_the_generated_unit_passes(systemd_machine: Path):
    write_file(
        systemd_machine / "config" / "systemd" / "user" / "taskdeck.service",
        make_unit("/a b", system=False),
    )

    assert [(one.check, one.state) for one in systemd.check_units("/a b")] == [("unit", "well")]


@pytest.mark.process
@pytest.mark.parametrize(
    "change",
    [
        ("KillMode=process", "KillMode=mixed"),
        ("OOMPolicy=continue\n", ""),
        ("TasksMax=infinity", "TasksMax=99"),
    ],
)
def test_a_unit_that_would_end_jobs_is_broken_with_a_fix(
    systemd_machine: Path, change: tuple[str, str]
):
    path = systemd_machine / "config" / "systemd" / "user" / "my taskdeck's.service"
    write_file(path, make_unit("/srv", system=False).replace(*change))

    (found,) = systemd.check_units("/srv")
    assert found.state == "broken" and change[0].strip() in found.text

    subprocess.run(
        ["sh", "-c", found.cure.removesuffix(" && systemctl --user daemon-reload")], check=True
    )
    assert [one.state for one in systemd.check_units("/srv")] == ["well"]


def test_drop_ins_override_the_unit(systemd_machine: Path):
    path = write_file(
        systemd_machine / "config" / "systemd" / "user" / "taskdeck.service",
        make_unit("/srv", system=False),
    )
    write_file(Path(f"{path}.d") / "override.conf", "[Service]\nKillMode=control-group\n")

    assert [one.state for one in systemd.check_units("/srv")] == ["broken"]


def test_a_unit_without_its_program_is_broken_and_reinstalled(
    systemd_machine: Path, tmp_path: Path
):
    text = make_unit("/a b", system=False).replace(
        "ExecStart=", f"ExecStart={tmp_path}/no-such/taskdeck --home '/a b' serve #"
    )
    write_file(systemd_machine / "config" / "systemd" / "user" / "taskdeck.service", text)

    (found,) = systemd.check_units("/a b")

    assert (found.state, found.cure) == ("broken", "taskdeck --home '/a b' service install --user")
    assert "no-such/taskdeck, which does not exist" in found.text


def test_a_unit_beside_a_cluster_is_broken(systemd_machine: Path):
    write_file(
        systemd_machine / "config" / "systemd" / "user" / "taskdeck.service",
        make_unit("/srv", system=False),
    )
    write_file(systemd_machine / "config" / "taskdeck" / "config.toml", "cluster = true\n")

    (found,) = systemd.check_units("/srv")

    assert found.state == "broken" and "only the cluster" in found.text
    assert found.cure == "taskdeck --home /srv service uninstall --user"


def test_a_unit_of_another_home_names_that_home(systemd_machine: Path):
    write_file(
        systemd_machine / "config" / "systemd" / "user" / "taskdeck.service",
        make_unit("/elsewhere", system=False),
    )

    (found,) = systemd.check_units("/srv")

    assert (found.state, "of another home (/elsewhere)" in found.text) == ("well", True)


def test_units_of_other_programs_are_ignored(systemd_machine: Path):
    write_file(
        systemd_machine / "config" / "systemd" / "user" / "other.service",
        "[Service]\nExecStart=/bin/serve --all\n",
    )

    assert list(systemd.check_units("/srv")) == []


@pytest.fixture
def check_cgroup(
    systemd_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], systemd.Finding]:
    """Return a function that checks a keeper in the given control group."""

    def put(path: str) -> systemd.Finding:
        monkeypatch.setattr(systemd, "read_cgroups", lambda pid: {"": path})
        (found,) = systemd.check_cgroup("/srv", {"keeper": {"pid": 1}})
        return found

    return put


USER = "/user.slice/user-1000.slice"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        f"{USER}/session-2.scope",
        "/system.slice/taskdeck-keeper-1-2.scope",
        "/system.slice/cron.service",
    ],
)
def test_a_group_that_nothing_ends_passes(check_cgroup, path: str):
    assert check_cgroup(path).state == "well"


def test_a_session_ends_at_logout_where_logind_kills_it(check_cgroup, systemd_machine: Path):
    write_file(systemd_machine / "etc" / "logind.conf", "[Login]\nKillUserProcesses=yes\n")

    assert check_cgroup(f"{USER}/session-2.scope").cure.startswith("sudo loginctl enable-linger ")


def test_the_user_manager_ends_at_logout_without_linger(check_cgroup, systemd_machine: Path):
    path = f"{USER}/user@1000.service/app.slice/taskdeck-keeper-1-2.scope"
    assert "when you log out (linger is off)" in check_cgroup(path).text

    enable_linger(systemd_machine)

    assert check_cgroup(path).state == "well"


@pytest.mark.parametrize(
    ("mode", "state"), [("control-group", "broken"), ("mixed", "broken"), ("process", "well")]
)
def test_a_service_ends_its_processes_unless_configured_otherwise(
    check_cgroup, monkeypatch: pytest.MonkeyPatch, mode: str, state: str
):
    monkeypatch.setattr(systemd, "_query", lambda *argv: mode)

    found = check_cgroup("/system.slice/deploy.service")

    assert (
        found.state == state
        and found.cure == ("" if state == "well" else found.cure)
        and ("deploy" in found.text)
    )


def test_no_systemd_reports_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(systemd, "is_booted", lambda: False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert list(systemd.check_logout()) == []
