"""The composition root: the one place that knows both the command line and what it opens."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main() -> None:
    """What the console script `taskdeck` runs. Does not return."""
    try:
        from app.cli.main import run

        code = run(sys.argv[1:], deck=_deck, serve=_serve)
    except KeyboardInterrupt:
        code = 130
    # Everything is closed and flushed; taking the interpreter apart as well would be a tenth of what a submit costs.
    os._exit(code)


def _deck(home: str, **options: Any) -> int:
    from pathlib import Path

    from app.tui.start import run_deck

    return run_deck(Path(home), **options)


def _serve(home: str, **options: Any) -> int:
    from pathlib import Path

    from app.runtime.serve import serve

    return serve(Path(home), **options)


if __name__ == "__main__":
    main()
