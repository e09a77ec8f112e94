"""`taskdeck service`: run the runtime as a systemd unit."""

from __future__ import annotations

import os
import shlex
import sys

from app import paths
from app.cli import output
from app.cli.parser import Args, Command, Parser, add_json_options
from app.core.text.sanitize import sanitize
from app.errors import Conflict, Problem, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from app.cli.context import CommandContext

_UNIT_TEMPLATE = """\
[Unit]
Description=Taskdeck runtime ({described})
StartLimitIntervalSec=0

[Service]
{user}ExecStart={program} --home {home} serve --replace
Restart=always
RestartSec=5
RestartPreventExitStatus={stopped}
SuccessExitStatus={stopped}
KillMode=process
OOMPolicy=continue
TasksMax=infinity

[Install]
WantedBy={target}
"""
"""Template of the unit.

KillMode=process lets jobs survive a restart of the unit. OOMPolicy=continue keeps the unit running
when the kernel kills a job. RestartPreventExitStatus keeps the runtime down after `taskdeck stop`.
"""

_PLAIN_CHARACTERS = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@,="
)
"""Characters that systemd takes without quoting."""


def install_unit(session: CommandContext, args: Args) -> int:
    """Write the unit and print the next commands; start nothing."""
    if args.user and args.system:
        raise Usage("--user and --system cannot be combined.")
    system = args.system or (not args.user and os.geteuid() == 0)
    path = _get_unit_path(system)
    text = make_unit(session.home, system)
    found = _read_unit(path)
    if _is_foreign_unit(found, session.home):
        raise Conflict(
            f"{sanitize(path)} runs another home. The unit was not changed.",
            f"To replace it: rm {shlex.quote(path)}",
        )
    if found == text:
        output.print_note(f"{sanitize(path)} is up to date.")
    else:
        _write_unit(path, text)
        output.print_note(f"wrote {sanitize(path)}.")
    if args.json or args.jsonl:
        output.print_json({"path": path, "unit": text}, args.jsonl)
        return 0
    for line in _list_next_commands(system):
        output.print_line(line)
    return 0


def make_unit(home: str, system: bool) -> str:
    """Return the text of the unit for this program and `home`."""
    user = f"User={_get_user()}\n" if system else ""
    target = "multi-user.target" if system else "default.target"
    word = _quote_for_systemd(home).replace(
        "$", "$$"
    )  # $ is literal in the first word, the program
    return _UNIT_TEMPLATE.format(
        home=word,
        described=home.replace("%", "%%"),
        program=_quote_for_systemd(_find_program()),
        user=user,
        target=target,
        stopped=paths.STOPPED_CODE,
    )


def _get_user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _is_foreign_unit(found: str | None, home: str) -> bool:
    return (
        found is not None
        and "ExecStart=" in found
        and f" --home {_quote_for_systemd(home).replace('$', '$$')} serve" not in found
    )


def _find_program() -> str:
    """Return the console script next to the interpreter."""
    return os.path.join(os.path.dirname(os.path.abspath(sys.executable)), "taskdeck")


def _quote_for_systemd(word: str) -> str:
    """Quote a word for systemd, where % is a specifier. Raise Usage."""
    if not _is_writable(word):
        raise Usage(
            (
                f"{sanitize(word)} contains control characters or invalid UTF-8, which a unit "
                "file cannot hold."
            ),
            "Choose another: --home DIR",
        )
    if word.isascii() and not set(word) - _PLAIN_CHARACTERS:
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'


def _is_writable(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return not any(c < " " or c == "\x7f" for c in word)


def _get_unit_path(system: bool) -> str:
    if system:
        return "/etc/systemd/system/taskdeck.service"
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(base, "systemd", "user", "taskdeck.service")


def _read_unit(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return None


def _write_unit(path: str, text: str) -> None:
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise Problem(
            f"cannot write {sanitize(path)}: {error.strerror}.",
            "To install for your user only: taskdeck service install --user",
        ) from None


def _list_next_commands(system: bool) -> list[str]:
    control = "systemctl" if system else "systemctl --user"
    lines = [f"{control} daemon-reload", f"{control} enable --now taskdeck"]
    return (
        lines if system else [*lines, "loginctl enable-linger    (keeps jobs running after logout)"]
    )


def _add_arguments(parser: Parser) -> None:
    parser.add_option(
        "--user", action="store_true", help="install a user unit (default, unless you are root)"
    )
    parser.add_option(
        "--system", action="store_true", help="install a system unit that runs as you"
    )
    add_json_options(parser)


COMMANDS = {
    "install": Command(
        "write the systemd unit", install_unit, _add_arguments, "  taskdeck service install --user"
    )
}
