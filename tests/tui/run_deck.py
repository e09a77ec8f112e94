"""Program that opens the real deck on this terminal.

The first argument names a board of `tests.tui.boards`.
"""

from __future__ import annotations

import sys
from typing import Any

from app.tui import run
from app.tui.app import TaskdeckApp
from app.tui.style import Look
from app.tui.terminal import capabilities
from app.tui.terminal.driver import ClickDriver
from tests.tui import boards
from tests.tui.recording_runtime import RecordingRuntime


def main(name: str) -> int:
    """Open the deck and return its exit code, which is 1 after a failure."""
    plain, utf8 = capabilities.detect_characters(0, 2)
    recording = RecordingRuntime(getattr(boards, name)())
    factory: Any = recording
    look = Look(ascii=plain, colour=capabilities.can_use_colour(), utf8=utf8)
    app = TaskdeckApp(factory, look=look, now=lambda: boards.NOW, driver_class=ClickDriver)
    code = app.run()
    sys.stderr.write(run.format_farewell(app.board or recording.board, app.failure) + "\n")
    return 1 if app.fatal else code or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
