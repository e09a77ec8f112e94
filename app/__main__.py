"""Composition root. The only module that imports both the command line and what it starts."""

from __future__ import annotations

import gc
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.config import LoadedConfig


STARTUP_GC_THRESHOLD = 200_000
"""Collector threshold while modules load, which creates no garbage."""
DEFAULT_GC_THRESHOLDS = gc.get_threshold()


def main() -> None:
    """Run the console script `taskdeck`. Never return."""
    gc.set_threshold(STARTUP_GC_THRESHOLD)
    try:
        code = _run(sys.argv[1:])
    except KeyboardInterrupt:
        code = _die_by_sigint()
    # Everything is closed and flushed; tearing down the interpreter would add a tenth to the cost
    # of a submit.
    os._exit(code)


def _die_by_sigint() -> int:
    """End by SIGINT itself.

    A mere exit code would not make the calling shell stop its loop or list.
    """
    import signal

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)
    return 128 + signal.SIGINT


def _run(argv: list[str]) -> int:
    from app.cli.main import run

    return run(argv, deck=_run_deck, serve=_run_serve, keys=_check_keys, agents=_serve_agent)


def _run_deck(home: str, *, in_process: bool, read_only: bool, **options: Any) -> int:
    if in_process:
        return _run_deck_in_process(home, **options)
    from pathlib import Path

    gc.set_threshold(*DEFAULT_GC_THRESHOLDS)
    gc.disable()  # until the remaining modules are loaded
    from app.tui.run import run_deck

    return run_deck(Path(home), read_only=read_only, **options)


def _run_deck_in_process(home: str, **options: Any) -> int:
    from pathlib import Path

    from app.runtime.embedded import InProcessRuntime, prepare_process
    from app.tui.run import run_deck_in_process

    gc.set_threshold(*DEFAULT_GC_THRESHOLDS)
    umask = prepare_process()
    return run_deck_in_process(InProcessRuntime(Path(home)), Path(home), umask=umask, **options)


def _run_serve(home: str, **options: Any) -> int:
    from pathlib import Path

    from app.runtime.serve import serve

    gc.set_threshold(*DEFAULT_GC_THRESHOLDS)
    return serve(Path(home), **options)


def _serve_agent(home: str, **options: Any) -> int:
    try:
        from app.agents.server import serve_agent
    except ImportError as error:
        from app.errors import Conflict
        from app.extras import make_install_command

        raise Conflict(
            "taskdeck mcp needs packages that are not installed: {names}.",
            "Install: {command}",
            names=(error.name or "mcp").partition("_")[0],
            command=make_install_command("mcp"),
        ) from None
    from app.agents.session import AgentSession

    gc.set_threshold(*DEFAULT_GC_THRESHOLDS)
    return serve_agent(AgentSession(home, **options))


def _check_keys(found: LoadedConfig) -> list[str]:
    from app.tui.command_keys import resolve_commands
    from app.tui.keymap import resolve_keys

    keys, odd = resolve_keys(found.settings.keys, found.path)
    return [*filter(None, [odd]), *resolve_commands(found.commands, keys, found.path)[1]]


if __name__ == "__main__":
    main()
