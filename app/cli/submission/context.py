"""Submission context: directory, umask and environment of the submitting shell."""

from __future__ import annotations

import os

from app.core import shell_context
from app.core.text.joining import join_sentences
from app.core.text.sanitize import find_nearest, sanitize, truncate
from app.errors import NOT_SUBMITTED, Usage
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.parser import Args


def collect_context(args: Args, unchanged: str = NOT_SUBMITTED) -> dict[str, Any]:
    """Return the context of `collect_shell_context` with the variables of `--env`."""
    found = collect_shell_context(args, unchanged)
    return found | {"env": found["env"] | dict(args.env or ())}


def collect_shell_context(args: Args, unchanged: str = NOT_SUBMITTED) -> dict[str, Any]:
    """Return `cwd`, `umask` and `env` for these options. Raise Usage that ends with `unchanged`."""
    cwd = resolve_directory(args.cwd, unchanged)
    env = select_environment(args.keep_env, unchanged)
    if args.cwd and "PWD" in env:
        env["PWD"] = cwd
    return {"cwd": cwd, "umask": shell_context.read_umask(), "env": env}


def collect_context_changes(args: Args, unchanged: str) -> dict[str, Any]:
    """Return what the options change of a stored context: `cwd`, `kept_env` and `env`.

    `kept_env` replaces the whole environment, `env` adds to it. Raise Usage that ends with
    `unchanged`.
    """
    found: dict[str, Any] = {}
    if args.cwd:
        found["cwd"] = resolve_directory(args.cwd, unchanged)
    if args.keep_env is not None:
        found["kept_env"] = select_environment(args.keep_env, unchanged)
    return found | ({"env": dict(args.env)} if args.env else {})


def check_output_folders(args: Args, cwd: str) -> None:
    """Raise Usage if the folder of --output or --error is fixed and does not exist.

    A folder with a placeholder in its name is made when the task starts.
    """
    for option in ("output", "error"):
        folder, _, _ = (getattr(args, option) or "").rpartition("/")
        path = os.path.join(cwd, folder)
        if "{" in folder or os.path.isdir(path):
            continue
        from shlex import quote

        shown = truncate(sanitize(folder), 200)
        what = tr("is not a folder") if os.path.exists(path) else tr("does not exist")
        made = truncate(sanitize(quote(path)), 200)
        hint = "" if os.path.exists(path) else tr("Make it: mkdir -p {folder}", folder=made)
        raise Usage(
            tr(
                "--{option}: the folder {folder} {problem}. {not_submitted}",
                option=option,
                folder=shown,
                problem=what,
                not_submitted=tr(NOT_SUBMITTED),
            ),
            hint,
        )


def resolve_directory(folder: str | None, unchanged: str) -> str:
    """Return the working directory, absolute. Raise Usage if it does not exist."""
    try:
        here = os.getcwd()
    except OSError:
        if folder is None or not os.path.isabs(folder):
            raise Usage(
                "this directory no longer exists. {unchanged}",
                "Choose another: --cwd DIR",
                unchanged=unchanged,
            ) from None
        here = "/"
    if folder is None:
        return here
    path = os.path.normpath(os.path.join(here, folder))
    if not os.path.isdir(path):
        raise _make_directory_error(path, unchanged)
    return path


def _make_directory_error(path: str, unchanged: str) -> Usage:
    shown = truncate(sanitize(path), 200)
    fault = (
        tr("{path} is not a directory.", path=shown)
        if os.path.exists(path)
        else tr("{path} does not exist on {host}.", path=shown, host=os.uname().nodename)
    )
    near = _find_nearest_directory(path)
    hint = [tr("Nearest: {meant}.", meant=truncate(sanitize(near), 200))] if near else []
    return Usage(join_sentences(fault, *hint, tr(unchanged)))


def _find_nearest_directory(path: str) -> str | None:
    """Return the existing directory most similar to a mistyped path, if any."""
    parent, name = os.path.split(path)
    while parent != "/" and not os.path.isdir(parent):
        parent, name = os.path.split(parent)
    try:
        names = [entry.name for entry in os.scandir(parent) if entry.is_dir()]
    except OSError:
        return None
    meant = find_nearest(name, names)
    return os.path.join(parent, meant) if meant else None


def select_environment(keep: str | None, unchanged: str) -> dict[str, str]:
    """Return the variables of a task.

    Without `keep`, all but those of the terminal session; else `all`, `none` or comma-separated
    names.
    """
    if keep is None:
        return shell_context.read_environment()
    if keep == "all":
        return {n: v for n, v in os.environ.items() if not n.startswith("TASKDECK_")}
    names = [] if keep == "none" else keep.split(",")
    missing = [n for n in names if n not in os.environ]
    if missing:
        raise Usage(
            '--keep-env names "{missing}", which is not set here. {unchanged}',
            missing=truncate(sanitize(missing[0]), 40),
            unchanged=unchanged,
        )
    return {n: os.environ[n] for n in names}
