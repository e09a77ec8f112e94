"""`taskdeck service`: run the runtime as a systemd unit, or as a resource of Pacemaker."""

from __future__ import annotations

import os
import shlex
import sys

from app import cluster, paths
from app.cli import output
from app.cli.parser import Args, Command, Parser, add_json_options
from app.core.text.sanitize import sanitize
from app.errors import Conflict, Problem, Usage
from app.translation import tr

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


def install(context: CommandContext, args: Args) -> int:
    """Write the unit or the agent and print the next commands; start nothing."""
    system = _is_system(args)
    if args.pacemaker:
        return _install_agent(context, args)
    if cluster.is_enabled():
        raise Conflict(
            "only the cluster starts the runtime of this home (cluster = true in config.toml). No"
            " unit was written.",
            "As a resource of the cluster: taskdeck service install --pacemaker",
        )
    path = _get_unit_path(system)
    text = make_unit(context.home, system)
    found = _read_unit(path)
    if _is_foreign_unit(found, context.home):
        raise Conflict(
            "{path} runs another home. The unit was not changed.",
            "To replace it: rm {word}",
            path=sanitize(path),
            word=shlex.quote(path),
        )
    if found == text:
        output.print_note(tr("{path} is up to date.", path=sanitize(path)))
    else:
        _write_file(
            path, text, tr("To install for your user only: taskdeck service install --user")
        )
        output.print_note(tr("wrote {path}.", path=sanitize(path)))
    if args.json or args.jsonl:
        output.print_json({"path": path, "unit": text}, args.jsonl)
        return 0
    for line in _list_next_commands(system):
        output.print_line(line)
    return 0


def _is_system(args: Args) -> bool:
    """Return True for a system unit. Raise Usage if the options contradict each other."""
    if args.user + args.system + args.pacemaker > 1:
        raise Usage("--user, --system and --pacemaker cannot be combined.")
    return args.system or (not args.user and os.geteuid() == 0)


def _install_agent(context: CommandContext, args: Args) -> int:
    """Write the resource agent and print the `pcs` commands that use it."""
    from app.cli.pacemaker import agent

    path, text = cluster.get_agent_path(), agent.make_agent(_find_program())
    found = _read_unit(path)
    if found is not None and agent.SIGNATURE not in found:
        raise Conflict(
            "{path} is not an agent of Taskdeck. It was not changed.",
            "To replace it: rm {word}",
            path=sanitize(path),
            word=shlex.quote(path),
        )
    if found == text and os.access(path, os.X_OK):
        output.print_note(tr("{path} is up to date.", path=sanitize(path)))
    else:
        command = f"{shlex.quote(_find_program())} --home {shlex.quote(context.home)}"
        if root := os.environ.get("OCF_ROOT"):
            command = f"env {shlex.quote(f'OCF_ROOT={root}')} {command}"
        hint = tr("As root: sudo {command} service install --pacemaker", command=command)
        _write_file(path, text, hint, agent.MODE)
        output.print_note(tr("wrote {path}. Do so on the other host, too.", path=sanitize(path)))
    lines = agent.list_pcs_lines(context.home)
    if args.json or args.jsonl:
        output.print_json({"path": path, "agent": text, "commands": lines}, args.jsonl)
        return 0
    for line in lines:
        output.print_line(sanitize(line))
    return 0


def uninstall(context: CommandContext, args: Args) -> int:
    """Remove the unit or the agent of this home and print the next commands; stop nothing."""
    system = _is_system(args)
    if args.pacemaker:
        return _uninstall_agent(args)
    path = _get_unit_path(system)
    found = _read_unit(path)
    if found is not None and _is_foreign_unit(found, context.home):
        raise Conflict("{path} runs another home. Nothing was removed.", path=sanitize(path))
    target = "multi-user.target" if system else "default.target"
    wanted = os.path.join(os.path.dirname(path), f"{target}.wants", os.path.basename(path))
    control = "systemctl" if system else "systemctl --user"
    commands = [f"{control} stop taskdeck", f"{control} daemon-reload"]
    return _remove_files([path, wanted] if found is not None else [], path, commands, args)


def _uninstall_agent(args: Args) -> int:
    from app.cli.pacemaker import agent

    path = cluster.get_agent_path()
    found = _read_unit(path)
    if found is not None and agent.SIGNATURE not in found:
        raise Conflict(
            "{path} is not an agent of Taskdeck. Nothing was removed.", path=sanitize(path)
        )
    commands = [f"pcs resource delete {cluster.RESOURCE}"]
    return _remove_files([path] if found is not None else [], path, commands, args)


def _remove_files(paths_to_remove: list[str], path: str, commands: list[str], args: Args) -> int:
    """Remove files, of which only the first must exist, and print what is left to do."""
    for one in paths_to_remove:
        try:
            os.unlink(one)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise Problem(
                "cannot remove {one}: {reason}.", one=sanitize(one), reason=error.strerror
            ) from None
    removed = bool(paths_to_remove)
    output.print_note(
        tr("removed {path}.", path=sanitize(path))
        if removed
        else tr("{path} is not there.", path=sanitize(path))
    )
    if args.json or args.jsonl:
        output.print_json({"path": path, "removed": removed}, args.jsonl)
    elif removed:
        for line in commands:
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
            ("{word} contains control characters or invalid UTF-8, which a unit file cannot hold."),
            "Choose another: --home DIR",
            word=sanitize(word),
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


def _write_file(path: str, text: str, hint: str, mode: int = 0o644) -> None:
    """Write a file at once, so that nobody reads half of it. Raise Problem with the hint."""
    new = f"{path}.new"
    try:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        with open(new, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), mode)
        os.replace(new, path)
    except OSError as error:
        raise Problem(f"cannot write {sanitize(path)}: {error.strerror}.", hint) from None


def _list_next_commands(system: bool) -> list[str]:
    control = "systemctl" if system else "systemctl --user"
    lines = [f"{control} daemon-reload", f"{control} enable --now taskdeck"]
    return (
        lines
        if system
        else [*lines, tr("loginctl enable-linger    (keeps jobs running after logout)")]
    )


def _add_arguments(parser: Parser) -> None:
    parser.add_option(
        "--user", action="store_true", help="a user unit (default, unless you are root)"
    )
    parser.add_option("--system", action="store_true", help="a system unit that runs as you")
    parser.add_option(
        "--pacemaker",
        action="store_true",
        help="the resource agent of a cluster: taskdeck help two-hosts",
    )
    add_json_options(parser)


COMMANDS = {
    "install": Command(
        "write the systemd unit, or the agent of Pacemaker",
        install,
        _add_arguments,
        "  taskdeck service install --user\n"
        "  sudo taskdeck --home /srv/taskdeck/home service install --pacemaker",
    ),
    "uninstall": Command(
        "remove the systemd unit, or the agent of Pacemaker", uninstall, _add_arguments
    ),
}
