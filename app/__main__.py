"""The composition root: the one place that knows both the command line and what it opens."""

from __future__ import annotations

import gc
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


SELDOM = 200_000
"""Objects after which the collector looks for garbage while modules are read: there is none."""
USUAL = gc.get_threshold()


def main() -> None:
    """What the console script `taskdeck` runs. Does not return."""
    gc.set_threshold(SELDOM)
    try:
        code = _run(sys.argv[1:])
    except KeyboardInterrupt:
        code = _interrupted()
    # Everything is closed and flushed; taking the interpreter apart as well would be a tenth of what a submit costs.
    os._exit(code)


def _interrupted() -> int:
    """End by the signal itself: of a mere exit code a shell would not know that its loop or list is to end, too."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)
    return 128 + signal.SIGINT


def _run(argv: list[str]) -> int:
    from app.cli.main import run

    if "--in-process" in argv:
        from app.cli import in_process, output

        output.begin()
        words = in_process.take(argv)
        if words is not None and (refused := in_process.refusal(words)):
            output.problem(refused)
            return refused.exit_code
        if words is not None:
            return run(words, deck=_deck_with_runtime, serve=_serve, keys=_keys)
    return run(argv, deck=_deck, serve=_serve, keys=_keys)


def _deck(home: str, **options: Any) -> int:
    from pathlib import Path

    gc.set_threshold(*USUAL)
    gc.disable()  # until the rest is read
    from app.tui.run import run_deck

    return run_deck(Path(home), **options)


def _deck_with_runtime(home: str, ascii: bool | None, read_only: bool, plain: bool = False) -> int:
    from pathlib import Path

    from app.runtime.embedded import Inside, own_process
    from app.tui.run import run_deck_with

    gc.set_threshold(*USUAL)
    umask = own_process()
    return run_deck_with(Inside(Path(home)), Path(home), ascii=ascii, umask=umask, plain=plain)


def _serve(home: str, **options: Any) -> int:
    from pathlib import Path

    from app.runtime.serve import serve

    gc.set_threshold(*USUAL)
    return serve(Path(home), **options)


def _keys(chosen: Mapping[str, str], path: str) -> str:
    from app.tui.keymap import settled

    return settled(chosen, path)[1]


if __name__ == "__main__":
    main()
