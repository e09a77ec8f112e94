"""Program that opens the real deck on this terminal.

The first argument is the file shown as every log.
"""

from __future__ import annotations

import sys

from app.tui.app import TaskdeckApp
from app.tui.terminal.driver import ClickDriver
from tests.tui import boards
from tests.tui.fake_runtime import FakeRuntime, make_log_answer, make_run_row, make_task_row


def main(path: str) -> int:
    """Open the deck and return its exit code, which is 1 after a failure."""
    row = make_task_row(status="running", number=1042, name="resnet50-sweep-06")
    answers = FakeRuntime(
        log=make_log_answer(row, make_run_row(path=path, runid="r1042")), show=row
    )
    app = TaskdeckApp(
        answers, now=lambda: boards.NOW, first=answers.board, driver_class=ClickDriver
    )
    code = app.run()
    return 1 if app.failure else code or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
