"""`taskdeck service`: have systemd keep the runtime up, from boot on."""

from __future__ import annotations

import os
import sys

from app.cli import output
from app.cli.options import Args, Command, Parser, as_json
from app.core.clean import clean
from app.errors import Problem, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from app.cli.session import Session

_UNIT = """\
[Unit]
Description=Taskdeck runtime of {home}
StartLimitIntervalSec=0

[Service]
{user}ExecStart={program} --home {home} serve --replace
Restart=always
RestartSec=5
KillMode=process
OOMPolicy=continue
TasksMax=infinity

[Install]
WantedBy={target}
"""
"""KillMode=process: jobs live through a restart of the unit. OOMPolicy=continue: one job's end by the kernel is not ours."""


def install(session: Session, args: Args) -> int:
    """Write the unit and say what to type next; nothing is started."""
    if args.user and args.system:
        raise Usage("--user and --system: which of the two?")
    system = args.system or (not args.user and os.geteuid() == 0)
    path = _path(system)
    text = unit(session.home, system)
    if _text(path) == text:
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
    import pwd

    user = f"User={pwd.getpwuid(os.geteuid()).pw_name}\n" if system else ""
    target = "multi-user.target" if system else "default.target"
    return _UNIT.format(home=_quoted(home), program=_quoted(_program()), user=user, target=target)


def _program() -> str:
    """The console script beside our interpreter."""
    return os.path.join(os.path.dirname(os.path.abspath(sys.executable)), "taskdeck")


def _quoted(word: str) -> str:
    """A word as systemd reads it back: % is a specifier there, quotes and backslashes are escaped. Raises Usage."""
    if any(c < " " for c in word):
        raise Usage(
            f"{clean(word)} has control characters, which a unit file cannot hold.", "Choose another: --home DIR"
        )
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if escaped != word or " " in word else word


def _path(system: bool) -> str:
    if system:
        return "/etc/systemd/system/taskdeck.service"
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(base, "systemd", "user", "taskdeck.service")


def _text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
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
