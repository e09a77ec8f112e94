"""Health checks of systemd: what ends jobs at logout, with a control group or with a unit."""

from __future__ import annotations

import glob
import os
import pwd
import shlex
import shutil
import subprocess

from app import cluster
from app.core.text.sanitize import sanitize
from app.health.finding import (
    Finding,
    make_command,
    make_restart_command,
    make_root_command,
    quote_word,
)
from app.health.limits import read_cgroups
from app.health.procfs import read_file
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

SYSTEMD_MARKER = "/run/systemd/system"
LINGER_FOLDER = "/var/lib/systemd/linger"
LOGIND_FOLDERS = ("/usr/lib/systemd", "/usr/local/lib/systemd", "/run/systemd", "/etc/systemd")
"""Configuration folders of logind; later ones win."""
QUERY_TIMEOUT = 2.0

REQUIRED_SETTINGS = {"KillMode": "process", "OOMPolicy": "continue", "TasksMax": "infinity"}
"""Settings without which jobs end with the unit, end with one another, or cannot start."""


def is_booted() -> bool:
    """Return True if systemd runs this machine."""
    return os.path.isdir(SYSTEMD_MARKER)


def check_logout() -> Iterator[Finding]:
    """Check whether logging out ends jobs."""
    if not is_booted() or os.geteuid() == 0:
        return
    user = get_user()
    if has_linger(user):
        yield Finding("logout", "jobs survive (linger is on)")
    elif kills_at_logout():
        text = "logind ends all your processes at logout, including jobs (KillUserProcesses=yes)"
        yield Finding("logout", text, "broken", f"sudo loginctl enable-linger {quote_word(user)}")
    else:
        yield Finding("logout", "jobs survive (KillUserProcesses=no)")


def get_user() -> str:
    """Return the name of the user, or the number of one without a name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def has_linger(user: str) -> bool:
    """Return True if the user's systemd stays after the last logout."""
    return os.path.exists(os.path.join(LINGER_FOLDER, user))


def kills_at_logout() -> bool:
    """Return logind's KillUserProcesses, from logind itself or else its configuration.

    The last file wins.
    """
    output = _query("busctl", "get-property", "org.freedesktop.login1", "/org/freedesktop/login1",
                  "org.freedesktop.login1.Manager", "KillUserProcesses")  # fmt: skip
    if output in ("b true", "b false"):
        return output == "b true"
    files = [f"{folder}/logind.conf" for folder in LOGIND_FOLDERS]
    more = sorted(
        (path for folder in LOGIND_FOLDERS for path in glob.glob(f"{folder}/logind.conf.d/*.conf")),
        key=os.path.basename,
    )
    answer = ""
    for path in [*files, *more]:
        answer = parse_section(read_file(path), "Login").get("KillUserProcesses", answer)
    return answer.lower() in ("yes", "true", "1", "on", "y", "t")


def _query(*argv: str) -> str:
    """Return the output of a systemd program; empty on failure."""
    if not shutil.which(argv[0]):
        return ""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=QUERY_TIMEOUT,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def parse_section(text: str, section: str) -> dict[str, str]:
    """Return one section of a systemd file; the later of two lines wins."""
    found: dict[str, str] = {}
    inside = False
    for line in text.replace("\\\n", " ").splitlines():
        line = line.strip()
        if line.startswith("["):
            inside = line == f"[{section}]"
        elif inside and "=" in line and line[0] not in "#;":
            name, _, value = line.partition("=")
            found[name.strip()] = value.strip()
    return found


# --- units


def check_units(home: str) -> Iterator[Finding]:
    """Check that restarts and memory pressure spare the jobs of units that run a runtime."""
    for system, path in _iter_unit_files():
        found = parse_section(read_file(path), "Service")
        parts = sorted(glob.glob(f"{glob.escape(path)}.d/*.conf"), key=os.path.basename)
        for part in parts:
            found |= parse_section(read_file(part), "Service")
        start = found.get("ExecStart", "")
        if "taskdeck" not in start or "serve" not in start:
            continue
        program, unit_home = _parse_exec_start(start)
        if not os.access(program, os.X_OK):
            install_command = f"service install {'--system' if system else '--user'}"
            yield Finding(
                "unit",
                tr(
                    "{path} runs {program}, which does not exist",
                    path=sanitize(path),
                    program=sanitize(program),
                ),
                "broken",
                make_command(unit_home or home, install_command),
            )
            continue
        wrong = [
            f"{name}={value}"
            for name, value in REQUIRED_SETTINGS.items()
            if found.get(name) != value
        ]
        if unit_home == home and cluster.is_enabled():
            yield _make_rival_finding(home, system, path)
        elif wrong:
            text = tr(
                "{path} lacks {wrong}: jobs could end with the unit",
                path=sanitize(path),
                wrong=", ".join(wrong),
            )
            yield Finding("unit", text, "broken", _make_drop_in_command(system, path))
        else:
            whose = (
                ""
                if not unit_home or os.path.realpath(unit_home) == os.path.realpath(home)
                else tr(", of another home ({unit_home}),", unit_home=sanitize(unit_home))
            )
            yield Finding(
                "unit", tr("{path}{whose} lets jobs survive", path=sanitize(path), whose=whose)
            )


def _make_rival_finding(home: str, system: bool, path: str) -> Finding:
    text = tr("{path} starts the runtime, which only the cluster may do", path=sanitize(path))
    command = f"service uninstall {'--system' if system else '--user'}"
    return Finding("unit", text, "broken", make_command(home, command))


def _parse_exec_start(start: str) -> tuple[str, str]:
    try:
        words = [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(start)]
    except ValueError:
        words = start.split()
    at = words.index("--home") + 1 if "--home" in words else len(words)
    return words[0].lstrip("@-:+!") if words else "", words[at] if at < len(words) else ""


def _iter_unit_files() -> Iterator[tuple[bool, str]]:
    """Yield pairs of system flag and path of service files."""
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    for system, folder in (
        (True, "/etc/systemd/system"),
        (False, os.path.join(base, "systemd", "user")),
    ):
        for path in sorted(glob.glob(os.path.join(glob.escape(folder), "*.service"))):
            yield system, path


def _make_drop_in_command(system: bool, path: str) -> str:
    """Return the command that writes a drop-in with the missing settings."""
    lines = "".join(f"{name}={value}\\n" for name, value in REQUIRED_SETTINGS.items())
    folder = f"{path}.d"
    write = (
        f"mkdir -p {quote_word(folder)} && printf '[Service]\\n{lines}' >"
        f" {quote_word(f'{folder}/zz-taskdeck.conf')}"
    )
    if not system:
        return f"{write} && systemctl --user daemon-reload"
    return make_root_command(f"sh -c {quote_word(f'{write} && systemctl daemon-reload')}")


# --- control groups


def check_cgroup(home: str, status: dict[str, Any] | None) -> Iterator[Finding]:
    """Check what ends the control group of the keeper."""
    pid = ((status or {}).get("keeper") or {}).get("pid")
    if not pid:
        return
    found = read_cgroups(pid)
    path = found.get("name=systemd") or found.get("", "")
    if not path:
        return
    generation = "v2" if set(found) == {""} else "v1"
    text = tr("the keeper is in {path} ({generation})", path=sanitize(path), generation=generation)
    ends = _find_end(path) if is_booted() else ""
    if not ends:
        yield Finding("cgroups", text)
    else:
        yield Finding(
            "cgroups",
            tr("{said}, which ends {ends}, with every job", said=text, ends=ends),
            "broken",
            _make_move_command(home),
        )


def _find_end(path: str) -> str:
    """Return when systemd would end the group; "" if only a shutdown does."""
    parts = [part for part in path.split("/") if part]
    last = next((part for part in reversed(parts) if part.endswith((".service", ".scope"))), "")
    manager = next(
        (part for part in parts if part.startswith("user@") and part.endswith(".service")), ""
    )
    if manager and not has_linger(get_user()):
        return "when you log out (linger is off)"
    if (
        last.startswith("session-")
        and os.geteuid()
        and kills_at_logout()
        and not has_linger(get_user())
    ):
        return "when you log out (KillUserProcesses=yes)"
    if last.endswith(".service") and last != manager and not _spares_jobs(last, user=bool(manager)):
        return tr("when {last} is stopped or restarted", last=last)
    return ""


def _spares_jobs(unit: str, user: bool) -> bool:
    """Return True if the unit ends only its main process, or if unknown."""
    output = _query(
        "systemctl", *(["--user"] if user else []), "show", "-p", "KillMode", "--value", unit
    )
    return output in ("", "process", "none")


def _make_move_command(home: str) -> str:
    """Return the command that starts the next keeper in a safe control group."""
    again = make_restart_command(home)
    user = get_user()
    if os.geteuid() and not has_linger(user):
        return f"sudo loginctl enable-linger {quote_word(user)} && {again}"
    return again
