"""Parser of crontabs, with the meaning that Debian's cron gives them.

An entry becomes the definition of a schedule. Cron runs the command in HOME, by SHELL, with few
variables: those of its lines, and HOME, LOGNAME, PATH and SHELL.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any, NamedTuple

from app.core.schedules import cron
from app.core.text.sanitize import sanitize
from app.core.text.units import quote
from app.translation import tr, tr_noop

DEFAULT_SHELL, DEFAULT_PATH = "/bin/sh", "/usr/bin:/bin"
UMASK = 0o022
BOOT = "@reboot"
_BLANKS = " \t"
_MARK = "\ufeff"
"""Byte order mark, with which some editors begin a file."""
_ASSIGNMENT = re.compile(
    r"""(?:"(?P<double>[^"=]*)"|'(?P<single>[^'=]*)'|(?P<plain>[^\s"'=][^\s=]*))
        [ \t]*=[ \t]*
        (?:"(?P<in_double>[^"]*)"|'(?P<in_single>[^']*)'|(?P<bare>(?![ \t"']).*))[ \t]*""",
    re.VERBOSE,
)
"""A variable: quotes around name or value are removed, those inside stay."""
_HALF_QUOTED = re.compile(r"[A-Za-z_]\w*[ \t]*=[ \t]*[\"']")
_PERCENT = re.compile(r"(?<!\\)%")
_COMMENT = "#taskdeck "
"""Beginning of a line that an import has commented out."""


class Account(NamedTuple):
    """Owner of a crontab."""

    name: str
    home: str


class CrontabEntry(NamedTuple):
    """A line that runs a command.

    `schedule` is as written, with single blanks; `user` is None but in system crontabs; `command`
    still has its percent signs. `env` holds the variables in force at this line.
    """

    line: int
    schedule: str
    user: str | None
    command: str
    env: dict[str, str]


class CrontabFault(NamedTuple):
    """A line that cron would not accept, and the reason, such as `has a wrong hour: "25"`."""

    line: int
    text: str
    reason: str


class Crontab(NamedTuple):
    """Lines of a crontab: those that run a command, and the malformed ones, in order."""

    entries: tuple[CrontabEntry, ...]
    faults: tuple[CrontabFault, ...]


def parse_crontab(text: str, is_system: bool = False) -> Crontab:
    """Return the lines of a crontab. A system crontab names a user before the command."""
    entries, faults = list[CrontabEntry](), list[CrontabFault]()
    env: dict[str, str] = {}
    for number, line in _iterate_lines(text):
        if found := _parse_assignment(line):
            env = {**env, found[0]: found[1]}
            continue
        try:
            entries.append(CrontabEntry(number, *_parse_entry(line, is_system), env))
        except ValueError as error:
            faults.append(CrontabFault(number, line, str(error)))
    return Crontab(tuple(entries), tuple(faults))


def _iterate_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line that is neither blank nor a comment."""
    for number, line in enumerate(text.removeprefix(_MARK).split("\n"), 1):
        line = line.removesuffix("\r").lstrip(_BLANKS)
        if line and not line.startswith("#"):
            yield number, line


def _parse_assignment(line: str) -> tuple[str, str] | None:
    """Return name and value of an environment line, or None for another line."""
    found = _ASSIGNMENT.fullmatch(line)
    if not found:
        return None
    groups = found.groupdict()
    name = next(groups[key] for key in ("double", "single", "plain") if groups[key] is not None)
    value = next(
        groups[key] for key in ("in_double", "in_single", "bare") if groups[key] is not None
    )
    if not name or "\0" in line:
        return None
    return name, value if groups["bare"] is None else value.rstrip(_BLANKS)


def _parse_entry(line: str, is_system: bool) -> tuple[str, str | None, str]:
    """Return schedule, user and command of a line. Raise ValueError."""
    if "\0" in line:
        raise ValueError(tr("contains a NUL byte"))
    if "\r" in line:
        raise ValueError(tr("contains a carriage return: end each line with a line feed"))
    count = 1 if line.startswith("@") else 5
    words = re.split(r"[ \t]+", line, maxsplit=count + is_system)
    schedule = " ".join(words[:count])
    if _HALF_QUOTED.match(line):
        raise ValueError(tr("is no valid variable: quotes must enclose the whole value"))
    if len(words) < count:
        raise ValueError(tr("is no NAME=VALUE, and has only {n} of 5 time fields", n=len(words)))
    if schedule.lower() == BOOT:
        schedule = BOOT
    else:
        cron.normalize_cron(schedule)
    rest = [word for word in words[count:] if word]
    if is_system and not rest:
        raise ValueError(tr("has no user and no command"))
    if len(rest) < 1 + is_system:
        raise ValueError(
            tr("has no command after the user {user}", user=quote(rest[0]))
            if rest
            else tr(_NO_COMMAND)
        )
    # There may be other blanks, such as a pasted no-break space.
    if not split_input(rest[-1])[0].strip():
        raise ValueError(_NO_COMMAND)
    return schedule, rest[0] if is_system else None, rest[-1].rstrip(_BLANKS)


_NO_COMMAND = tr_noop("has no command")


def split_input(command: str) -> tuple[str, str | None]:
    r"""Return the command and its standard input, or None.

    The first percent sign ends the command, further ones are line breaks; `\%` is a percent sign.
    """
    parts = [part.replace("\\%", "%") for part in _PERCENT.split(command)]
    if len(parts) == 1:
        return parts[0], None
    text = "\n".join(parts[1:])
    return parts[0], text if not text or text.endswith("\n") else f"{text}\n"


def get_mailto(entry: CrontabEntry) -> str | None:
    """Return where cron mails the output: addresses, "" for nowhere, None without a MAILTO."""
    mail = entry.env.get("MAILTO")
    if mail is None or not mail.replace(",", " ").replace(";", " ").strip():
        return mail and ""
    return mail.strip(", \t")


def make_environment(entry: CrontabEntry, account: Account) -> dict[str, str]:
    """Return the variables that cron gives the command. LOGNAME cannot be changed."""
    defaults = {"SHELL": DEFAULT_SHELL, "PATH": DEFAULT_PATH, "HOME": account.home}
    return {**defaults, **entry.env, "LOGNAME": account.name}


def find_obstacle(entry: CrontabEntry, account: Account) -> str | None:
    """Return why cron could not run an entry, or None."""
    env = make_environment(entry, account)
    if not env["SHELL"]:
        return tr("has no shell: SHELL is empty")
    if not env["HOME"].startswith("/"):
        return tr(
            "has no directory: HOME must be a whole path, not {home}", home=quote(env["HOME"])
        )
    return None


def make_definition(entry: CrontabEntry, account: Account, zone: str) -> dict[str, Any]:
    """Return the keys of a schedule that runs an entry as cron does.

    Cron makes up for no missed fire time. It starts a command again while the last run has not
    ended, which a schedule does not.
    """
    env = make_environment(entry, account)
    kind: dict[str, Any] = {"cron": entry.schedule, "timezone": zone}
    return {
        **({"at_boot": True, "timezone": zone} if entry.schedule == BOOT else kind),
        "missed": "skip",
        "description": sanitize(f"crontab: {entry.schedule} {entry.command}"),
        **_make_work(entry.command, env["SHELL"]),
        "env": env,
        "cwd": env["HOME"],
    }


def _make_work(command: str, shell: str) -> dict[str, Any]:
    text, data = split_input(command)
    if data is None:
        return {"script": text} if shell == DEFAULT_SHELL else {"argv": [shell, "-c", text]}
    words = f"exec {shlex.quote(shell)} -c {shlex.quote(text)}"
    end = "END"
    while f"\n{end}\n" in f"\n{data}":
        end += "_"
    return {"script": f"{words} <<'{end}'\n{data}{end}"}


def list_notes(entry: CrontabEntry, account: Account) -> list[str]:
    """Return what a schedule does otherwise than cron, for this entry, in sentences."""
    env, notes = entry.env, list[str]()
    if "CRON_TZ" in env:
        notes.append(
            tr(
                "CRON_TZ={cron_tz} is only a variable of the command, as in Debian's cron; to"
                " fire by that zone: taskdeck schedule set NAME --tz ZONE",
                cron_tz=env["CRON_TZ"],
            )
        )
    if "TZ" in env:
        notes.append(
            tr("TZ={tz} applies to the command, not to the fire times, as in cron", tz=env["TZ"])
        )
    if env.get("LOGNAME", account.name) != account.name:
        notes.append(tr("LOGNAME stays {name}: cron ignores this variable, too", name=account.name))
    if entry.schedule == BOOT:
        notes.append(
            tr(
                "fires when the runtime first starts after a boot; to start it then: taskdeck"
                " service install"
            )
        )
    return notes


def map_comments(text: str) -> dict[int, str]:
    """Return the text of each comment by the number of the line below it."""
    lines = (line.lstrip(_BLANKS) for line in text.split("\n"))
    return {at: line[1:] for at, line in enumerate(lines, 2) if line.startswith("#")}


def comment_out(text: str, lines: set[int]) -> str:
    """Return a crontab with these lines commented out; all others stay as they are."""
    return "\n".join(
        f"{_COMMENT}{line}" if number in lines else line
        for number, line in enumerate(text.split("\n"), 1)
    )
