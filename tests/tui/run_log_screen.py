"""A program: the real deck on this terminal, in which every log is the file that is the first argument."""

from __future__ import annotations

import sys

from app.tui.app import TaskdeckApp
from app.tui.terminal.driver import ClicksOnlyDriver
from tests.tui import boards
from tests.tui.fake_runtime import Answers, log_answer, run, task


def main(path: str) -> int:
    """Open it; the exit code is 1 when something failed in it."""
    row = task(status="running", number=1042, name="resnet50-sweep-06")
    answers = Answers(log=log_answer(row, run(path=path, runid="r1042")), show=row)
    app = TaskdeckApp(answers, now=lambda: boards.NOW, first=answers.board, driver_class=ClicksOnlyDriver)
    code = app.run()
    return 1 if app.failure else code or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
