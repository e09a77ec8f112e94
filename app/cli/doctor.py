"""`taskdeck doctor`: what could go wrong on this machine, and the cure. Works without a runtime and with a broken
home."""

from __future__ import annotations

import os
import sys

from app.cli import output
from app.cli.options import Args, Command, as_json
from app.cli.table import Line
from app.core import amounts
from app.core.clean import clean, cut
from app.errors import Problem, Storage, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from app.cli.session import Session

LEAST_FREE = 500 * 2**20
LEAST_SHARE = 0.05
"""Below either of these, bytes or share of the disk, nothing new is started."""

REMOTE = ("nfs", "cifs", "smb", "9p", "fuse.sshfs", "afs", "ceph", "gluster")


class Finding:
    """One thing that was looked at. `state` is well, hint or broken; `cure` is what to type, "" when nothing is
    wrong."""

    __slots__ = ("check", "cure", "state", "text")

    def __init__(self, check: str, text: str, state: str = "well", cure: str = "") -> None:
        self.check, self.text, self.state, self.cure = check, text, state, cure

    def as_dict(self) -> dict[str, Any]:
        """For --json: `ok` is false only for what is broken."""
        return {
            "check": self.check,
            "ok": self.state != "broken",
            "hint": self.state == "hint",
            "text": self.text,
            "cure": self.cure or None,
        }


def doctor(session: Session, args: Args) -> int:
    """Look at everything; 1 when something is broken, 0 when there are only hints."""
    found = list(_look(session))
    if args.json or args.jsonl:
        output.document([finding.as_dict() for finding in found], args.jsonl)
    else:
        output.lines(line for finding in found for line in _lines(finding))
    return 1 if any(finding.state == "broken" for finding in found) else 0


def _lines(finding: Finding) -> list[Line]:
    sign, style = {"well": ("✓", "well"), "hint": ("!", "warn"), "broken": ("✗", "broken")}[finding.state]
    lines: list[Line] = [[(f"{sign} ", style), (f"{finding.check:<10}", "dim"), (finding.text, "")]]
    return [*lines, [(f"  {'':<10}Cure: {finding.cure}", "")]] if finding.cure else lines


def _look(session: Session) -> Iterator[Finding]:
    home = session.home
    yield _versions()
    yield _home(home)
    yield _disk(home)
    yield _file_system(home)
    yield from _living(session)
    yield from _logout()


def _versions() -> Finding:
    import sqlite3

    from app.version import VERSION

    python = ".".join(map(str, sys.version_info[:3]))
    text = f"Taskdeck {VERSION}, Python {python}, SQLite {sqlite3.sqlite_version}"
    if sqlite3.sqlite_version_info < (3, 35):
        return Finding("versions", text, "broken", "a Python with SQLite 3.35 or later")
    return Finding("versions", text)


def _home(home: str) -> Finding:
    """Is the home ours, private and writable?"""
    shown = clean(home)
    try:
        found = os.stat(home)
    except FileNotFoundError:
        return Finding("home", f"{shown}, not made yet: the first submit makes it")
    except OSError as error:
        return Finding("home", f"{shown}: {(error.strerror or '').lower()}", "broken", "choose another: --home DIR")
    if not os.path.isdir(home):
        return Finding("home", f"{shown} is no directory", "broken", "choose another: --home DIR")
    if found.st_uid != os.geteuid():
        return Finding("home", f"{shown} belongs to somebody else (uid {found.st_uid})", "broken", "--home DIR")
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        return Finding("home", f"{shown} cannot be written to", "broken", f"chmod u+rwx {shown}")
    if found.st_mode & 0o077:
        return Finding("home", f"{shown} can be read by others", "hint", f"chmod 700 {shown}")
    return Finding("home", f"{shown}, private to you")


def _disk(home: str) -> Finding:
    space = os.statvfs(_existing(home))
    free, total = space.f_bavail * space.f_frsize, space.f_blocks * space.f_frsize
    text = f"{amounts.size(free)} free of {amounts.size(total)}"
    if not free:
        return Finding("disk", f"{text}: nothing can be accepted", "broken", f"free space in {clean(home)}")
    if free < LEAST_FREE or (total and free / total < LEAST_SHARE):
        return Finding("disk", f"{text}: nothing new starts below 500M or 5 %", "hint", f"free space in {clean(home)}")
    return Finding("disk", text)


def _existing(path: str) -> str:
    """The nearest folder above that is there."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def _file_system(home: str) -> Finding:
    """SQLite's write-ahead log needs memory shared between processes: a network file system has none."""
    kind = kind_of(os.path.realpath(_existing(home)))
    if kind and kind.startswith(REMOTE):
        return Finding(
            "files", f"the home is on {kind}, where a database is not safe", "broken", "--home on a local disk"
        )
    return Finding("files", f"on {kind or 'a local disk'}")


def kind_of(path: str) -> str:
    """The type of the file system that holds a path: the longest mount point above it."""
    best, kind = "", ""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
            for line in mounts:
                left, _, right = line.partition(" - ")
                point = left.split()[4]
                if len(point) >= len(best) and (path + "/").startswith(point.rstrip("/") + "/"):
                    best, kind = point, right.split()[0]
    except (OSError, IndexError):
        return ""
    return clean(kind)


def _living(session: Session) -> Iterator[Finding]:
    """Runtime, keeper and database, as `status` tells them."""
    try:
        found = session.call("status")
    except Problem as problem:
        yield Finding(_about(problem), cut(clean(problem.message), 300), "broken", clean(problem.hint) or "taskdeck db check")
        return
    runtime, keeper = found["runtime"], found["keeper"]
    if runtime["state"] != "running":
        stopped = runtime["state"] == "stopped"
        text = "stopped on purpose" if stopped else "none; the first submit starts one"
        yield Finding("runtime", text, "hint" if stopped else "well", "taskdeck serve --detach" if stopped else "")
    else:
        yield _runtime(runtime)
        yield _keeper(keeper)
    yield _database(found["database"])


def _about(problem: Problem) -> str:
    """What it is that keeps us from looking."""
    return {Storage.exit_code: "database", Usage.exit_code: "config"}.get(problem.exit_code, "runtime")


def _runtime(runtime: dict[str, Any]) -> Finding:
    if runtime.get("halted"):
        return Finding("runtime", f"pid {runtime['pid']}, but nothing starts: {clean(runtime['halted'])}", "hint")
    return Finding("runtime", f"pid {runtime['pid']}")


def _keeper(keeper: dict[str, Any]) -> Finding:
    pids = [keeper.get("pid"), keeper.get("guard_pid")]
    if all(pid and os.path.exists(f"/proc/{pid}") for pid in pids):
        return Finding("keeper", f"pid {pids[0]}, guard {pids[1]}")
    return Finding(
        "keeper", "keeper and guard are not both there", "broken", "they come back by themselves: look again"
    )


def _database(database: dict[str, Any]) -> Finding:
    text = f"{amounts.size(database['size'])}, {clean(database['state'])}"
    return Finding("database", text, "well" if database["state"] == "ok" else "broken")


def _logout() -> Iterator[Finding]:
    """Does logging out end what was started here?"""
    import pwd

    user = pwd.getpwuid(os.geteuid()).pw_name
    if os.geteuid() == 0 or not _kills_at_logout() or os.path.exists(f"/var/lib/systemd/linger/{user}"):
        return
    text = "logind ends everything you started when you log out (KillUserProcesses=yes), jobs too"
    yield Finding("logout", text, "hint", f"sudo loginctl enable-linger {user}")


def _kills_at_logout() -> bool:
    """What logind's configuration says; the last file wins."""
    answer = False
    folder = "/etc/systemd/logind.conf.d"
    more = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    for path in ["/etc/systemd/logind.conf", *(os.path.join(folder, name) for name in more if name.endswith(".conf"))]:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                for line in file:
                    key, _, value = line.partition("=")
                    if key.strip() == "KillUserProcesses":
                        answer = value.strip().lower() in ("yes", "true", "1", "on")
        except OSError:
            continue
    return answer


COMMANDS = {"doctor": Command("look for what could go wrong on this machine", doctor, as_json)}
