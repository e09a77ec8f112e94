"""What systemd would end, on a machine that has it: its files are laid out here, its programs are asked for nothing."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli.commands.service import unit
from app.health import systemd


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that systemd runs, for a user who is not root. Gives the folder of its files."""
    me = pwd.getpwuid(os.getuid())
    monkeypatch.setattr(systemd, "booted", lambda: True)
    monkeypatch.setattr(systemd, "LINGER", str(tmp_path / "linger"))
    monkeypatch.setattr(systemd, "LOGIND", (str(tmp_path / "usr"), str(tmp_path / "etc")))
    monkeypatch.setattr(systemd, "_asked", lambda *argv: "")
    monkeypatch.setattr(systemd.pwd, "getpwuid", lambda uid: me)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def linger(machine: Path) -> None:
    write(machine / "linger" / pwd.getpwuid(0).pw_name, "")


def test_a_logout_that_ends_everything_is_broken_until_linger_is_on(machine: Path):
    write(machine / "usr" / "logind.conf", "[Login]\nKillUserProcesses=no\n")
    assert [one.state for one in systemd.logout()] == ["well"]
    write(machine / "etc" / "logind.conf.d" / "50-local.conf", "[Login]\n#KillUserProcesses=no\nKillUserProcesses=yes\n")

    (found,) = systemd.logout()
    assert found.state == "broken" and found.cure == f"sudo loginctl enable-linger {pwd.getpwuid(0).pw_name}"

    linger(machine)
    assert [one.state for one in systemd.logout()] == ["well"]


def test_logind_itself_is_believed_before_its_files(machine: Path, monkeypatch: pytest.MonkeyPatch):
    write(machine / "etc" / "logind.conf", "[Login]\nKillUserProcesses=no\n")
    monkeypatch.setattr(systemd, "_asked", lambda *argv: "b true")

    assert systemd.kills_at_logout()


def test_a_unit_that_we_wrote_is_well(machine: Path):
    write(machine / "config" / "systemd" / "user" / "taskdeck.service", unit("/a b", system=False))

    assert [(one.check, one.state) for one in systemd.units("/a b")] == [("unit", "well")]


@pytest.mark.parametrize(
    "change", [("KillMode=process", "KillMode=mixed"), ("OOMPolicy=continue\n", ""), ("TasksMax=infinity", "TasksMax=99")]
)
def test_a_unit_that_would_end_jobs_is_broken_and_the_cure_mends_it(machine: Path, change: tuple[str, str]):
    path = machine / "config" / "systemd" / "user" / "my taskdeck's.service"
    write(path, unit("/srv", system=False).replace(*change))

    (found,) = systemd.units("/srv")
    assert found.state == "broken" and change[0].strip() in found.text

    subprocess.run(["sh", "-c", found.cure.removesuffix(" && systemctl --user daemon-reload")], check=True)
    assert [one.state for one in systemd.units("/srv")] == ["well"]


def test_what_is_added_to_a_unit_counts_more_than_the_unit(machine: Path):
    path = write(machine / "config" / "systemd" / "user" / "taskdeck.service", unit("/srv", system=False))
    write(Path(f"{path}.d") / "override.conf", "[Service]\nKillMode=control-group\n")

    assert [one.state for one in systemd.units("/srv")] == ["broken"]


def test_a_unit_whose_program_is_gone_is_broken_and_is_to_be_written_again(machine: Path, tmp_path: Path):
    text = unit("/a b", system=False).replace("ExecStart=", f"ExecStart={tmp_path}/no-such/taskdeck --home '/a b' serve #")
    write(machine / "config" / "systemd" / "user" / "taskdeck.service", text)

    (found,) = systemd.units("/a b")

    assert (found.state, found.cure) == ("broken", "taskdeck --home '/a b' service install --user")
    assert "no-such/taskdeck, which is gone" in found.text


def test_a_unit_of_another_home_says_whose_it_is(machine: Path):
    write(machine / "config" / "systemd" / "user" / "taskdeck.service", unit("/elsewhere", system=False))

    (found,) = systemd.units("/srv")

    assert (found.state, "of another home (/elsewhere)" in found.text) == ("well", True)


def test_units_of_other_programs_are_passed_over(machine: Path):
    write(machine / "config" / "systemd" / "user" / "other.service", "[Service]\nExecStart=/bin/serve --all\n")

    assert list(systemd.units("/srv")) == []


@pytest.fixture
def group(machine: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], systemd.Finding]:
    """The finding about a keeper in that control group."""

    def put(path: str) -> systemd.Finding:
        monkeypatch.setattr(systemd, "groups", lambda pid: {"": path})
        (found,) = systemd.cgroup("/srv", {"keeper": {"pid": 1}})
        return found

    return put


USER = "/user.slice/user-1000.slice"


@pytest.mark.parametrize("path", ["/", f"{USER}/session-2.scope", "/system.slice/taskdeck-keeper-1-2.scope", "/system.slice/cron.service"])
def test_a_group_that_nothing_ends_is_well(group, path: str):
    assert group(path).state == "well"


def test_a_session_is_ended_at_logout_where_logind_does_so(group, machine: Path):
    write(machine / "etc" / "logind.conf", "[Login]\nKillUserProcesses=yes\n")

    assert group(f"{USER}/session-2.scope").cure.startswith("sudo loginctl enable-linger ")


def test_the_users_own_systemd_is_ended_at_logout_unless_it_lingers(group, machine: Path):
    path = f"{USER}/user@1000.service/app.slice/taskdeck-keeper-1-2.scope"
    assert "when you log out (linger is off)" in group(path).text

    linger(machine)

    assert group(path).state == "well"


@pytest.mark.parametrize(("mode", "state"), [("control-group", "broken"), ("mixed", "broken"), ("process", "well")])
def test_a_service_ends_what_is_in_it_unless_it_is_told_not_to(group, monkeypatch: pytest.MonkeyPatch, mode: str, state: str):
    monkeypatch.setattr(systemd, "_asked", lambda *argv: mode)

    found = group("/system.slice/deploy.service")

    assert found.state == state and found.cure == ("" if state == "well" else found.cure) and ("deploy" in found.text)


def test_where_systemd_does_not_run_the_machine_nothing_is_said_of_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(systemd, "booted", lambda: False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert list(systemd.logout()) == []
