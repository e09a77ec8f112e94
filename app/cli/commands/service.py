"""`taskdeck service`: have systemd keep the runtime up, from boot on."""

from __future__ import annotations

import os
import shlex
import sys

from app import paths
from app.cli import output
from app.cli.parser import Args, Command, Parser, as_json
from app.core.text.sanitize import clean
from app.errors import Conflict, Problem, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from app.cli.context import Session

_UNIT = """\
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
"""KillMode=process: jobs live through a restart of the unit. OOMPolicy=continue: one job's end by the kernel is not ours.
RestartPreventExitStatus: after `taskdeck stop` nothing brings it up again but `systemctl start` or `taskdeck serve`."""

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@,=")
"""What systemd takes as it stands."""


def install(session: Session, args: Args) -> int:
    """Write the unit and say what to type next; nothing is started."""
    if args.user and args.system:
        raise Usage("--user and --system: which of the two?")
    system = args.system or (not args.user and os.geteuid() == 0)
    path = _path(system)
    text = unit(session.home, system)
    found = _text(path)
    if _another(found, session.home):
        raise Conflict(
            f"{clean(path)} runs another home. It was not changed.", f"To have it replaced: rm {shlex.quote(path)}"
        )
    if found == text:
        output.note(f"{clean(path)} is as it should be.")
    else:
        _write(path, text)
        output.note(f"wrote {clean(path)}.")
    if args.json or args.jsonl:
        output.document({"path": path, "unit": text}, args.jsonl)
        return 0
    for line in _next(system):
        output.line(line)
    return 0


def unit(home: str, system: bool) -> str:
    """The unit's text, for this program and that home."""
    user = f"User={_user()}\n" if system else ""
    target = "multi-user.target" if system else "default.target"
    word = _quoted(home).replace("$", "$$")  # in the first word, the program, a $ is only itself
    return _UNIT.format(
        home=word, described=home.replace("%", "%%"), program=_quoted(_program()), user=user, target=target, stopped=paths.STOPPED_CODE
    )


def _user() -> str:
    """Our login name, or the number."""
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _another(found: str | None, home: str) -> bool:
    """Is this the unit of a runtime of some other home?"""
    return found is not None and "ExecStart=" in found and f" --home {_quoted(home).replace('$', '$$')} serve" not in found


def _program() -> str:
    """The console script beside our interpreter."""
    return os.path.join(os.path.dirname(os.path.abspath(sys.executable)), "taskdeck")


def _quoted(word: str) -> str:
    """A word as systemd reads it back: % is a specifier there, quotes and backslashes are escaped. Raises Usage."""
    if not _writable(word):
        raise Usage(
            f"{clean(word)} has control characters or is no UTF-8, which a unit file cannot hold.", "Choose another: --home DIR"
        )
    if word.isascii() and not set(word) - _PLAIN:
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'


def _writable(word: str) -> bool:
    """Can it stand in a unit file at all?"""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return not any(c < " " or c == "\x7f" for c in word)


def _path(system: bool) -> str:
    if system:
        return "/etc/systemd/system/taskdeck.service"
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(base, "systemd", "user", "taskdeck.service")


def _text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return None


def _write(path: str, text: str) -> None:
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise Problem(
            f"cannot write {clean(path)}: {error.strerror}.", "For your user only: taskdeck service install --user"
        ) from None


def _next(system: bool) -> list[str]:
    control = "systemctl" if system else "systemctl --user"
    lines = [f"{control} daemon-reload", f"{control} enable --now taskdeck"]
    return lines if system else [*lines, "loginctl enable-linger    (so that logging out ends nothing)"]


def _arguments(parser: Parser) -> None:
    parser.option("--user", action="store_true", help="a unit of your user's systemd (usual, unless you are root)")
    parser.option("--system", action="store_true", help="a unit of the system's, that runs as you")
    as_json(parser)


COMMANDS = {
    "install": Command("write the systemd unit", install, _arguments, "  taskdeck service install --user"),
}
