"""Where a submission comes from: directory, umask and environment of the shell it was typed in."""

from __future__ import annotations

import os

from app.core import shell_context
from app.core.text.sanitize import clean, cut, nearest
from app.errors import NOT_SUBMITTED, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.parser import Args



def of(args: Args) -> dict[str, Any]:
    """`cwd`, `umask` and `env` of a submission with these options. Raises Usage."""
    cwd = directory(args.cwd)
    env = environment(args.keep_env)
    if args.cwd and "PWD" in env:
        env["PWD"] = cwd
    return {"cwd": cwd, "umask": shell_context.umask(), "env": {**env, **dict(args.env or ())}}


def directory(given: str | None) -> str:
    """The directory to run in, absolute. Raises Usage when it is not there."""
    try:
        here = os.getcwd()
    except OSError:
        if given is None or not os.path.isabs(given):
            raise Usage(f"this directory no longer exists. {NOT_SUBMITTED}", "Name one: --cwd DIR") from None
        here = "/"
    if given is None:
        return here
    path = os.path.normpath(os.path.join(here, given))
    if not os.path.isdir(path):
        raise _no_directory(path)
    return path


def _no_directory(path: str) -> Usage:
    what = "is no directory" if os.path.exists(path) else f"does not exist on {os.uname().nodename}"
    near = _nearest_directory(path)
    hint = f"Nearest: {cut(clean(near), 200)}. " if near else ""
    return Usage(f"{cut(clean(path), 200)} {what}. {hint}{NOT_SUBMITTED}")


def _nearest_directory(path: str) -> str | None:
    """Where the first name that is not there may be a slip of the pen."""
    parent, name = os.path.split(path)
    while parent != "/" and not os.path.isdir(parent):
        parent, name = os.path.split(parent)
    try:
        names = [entry.name for entry in os.scandir(parent) if entry.is_dir()]
    except OSError:
        return None
    meant = nearest(name, names)
    return os.path.join(parent, meant) if meant else None


def environment(keep: str | None) -> dict[str, str]:
    """The variables a task gets: without `keep` all but the session's; else `all`, `none` or names with commas."""
    if keep is None:
        return shell_context.environment()
    if keep == "all":
        return {n: v for n, v in os.environ.items() if not n.startswith("TASKDECK_")}
    names = [] if keep == "none" else keep.split(",")
    missing = [n for n in names if n not in os.environ]
    if missing:
        raise Usage(f'--keep-env names "{cut(clean(missing[0]), 40)}", which is not set here. {NOT_SUBMITTED}')
    return {n: os.environ[n] for n in names}
