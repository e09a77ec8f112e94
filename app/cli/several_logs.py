"""Output of several tasks at once, each line with the number of its task."""

from __future__ import annotations

import os
import time

from app import paths
from app.cli import output
from app.core.text import log_rows
from app.core.text.sanitize import PLAIN, parse_sgr_line
from db.states import ENDED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import CommandContext
    from app.core.text.sanitize import Style

BLOCK_SIZE = 1 << 20
MAX_LINE = 1 << 20
"""Bytes of a line without an end, as of a progress bar, that are printed as a line."""
INTERVAL = 0.25
"""Seconds between looks at the files."""


def print_logs(
    context: CommandContext, idents: list[str], is_followed: bool, last: int | None
) -> None:
    """Print the output of tasks and groups; followed, until all have ended.

    Of each task the latest attempt counts, and all later ones.
    """
    logs: dict[str, RunLog] = {}
    seen: dict[int, int] = {}
    after: str | None = None
    while True:
        reply = context.call("logs", ids=idents, after=after)
        after = reply["after"]
        for task in reply["tasks"]:
            earlier = seen.setdefault(task["number"], max(0, len(task["runs"]) - 1))
            for run in task["runs"][earlier:]:
                log = logs.get(run["runid"])
                if log is None:
                    log = logs[run["runid"]] = RunLog(task["number"], run, last)
                log.print_new(run)
        output.flush()
        if reply["more"]:
            continue
        if not is_followed or not reply["left"]:
            break
        time.sleep(INTERVAL)
    for log in logs.values():
        log.finish()


class RunLog:
    """The growing log of one run, printed line by line."""

    def __init__(self, number: int, run: dict[str, Any], last: int | None) -> None:
        self.prefix = f"#{number} | "
        self._is_terminal = output.is_stdout_terminal()
        self._style: Style = PLAIN
        self._at = 0
        self._pending = b""
        self._is_complete = False
        if last is not None:
            from app.cli.commands.tasks.logs import read_tail

            self._pending = read_tail(run, last)
            self._at = _get_size(run["path"])

    def print_new(self, run: dict[str, Any]) -> None:
        """Print the lines that are complete; all that is left, if the run has ended."""
        if self._is_complete:
            return
        try:
            with paths.open_regular(run["path"]) as file:
                file.seek(self._at)
                while block := file.read(BLOCK_SIZE):
                    self._at += len(block)
                    self._add(block)
        except OSError:  # the file is gone, and the database has its end
            if not self._at and run["status"] in ENDED:
                self._add((run.get("logs") or "").encode("utf-8", "surrogateescape"))
        if run["status"] in ENDED:
            self.finish()

    def finish(self) -> None:
        """Print the last line, even without its end."""
        self._is_complete = True
        self._add(b"\n" if self._pending and not self._pending.endswith(b"\n") else b"")

    def _add(self, data: bytes) -> None:
        lines, newline, self._pending = (self._pending + data).rpartition(b"\n")
        if newline:
            self._print(lines + newline)
        if len(self._pending) > MAX_LINE:
            self._print(self._pending + b"\n")
            self._pending = b""

    def _print(self, data: bytes) -> None:
        if not self._is_terminal:
            prefix = self.prefix.encode()
            lines = data[:-1].split(b"\n")
            output.write_bytes(b"".join(prefix + line + b"\n" for line in lines))
            return
        for row in log_rows.iterate_rows(data):
            spans = parse_sgr_line(row.removesuffix(b"\r"), self._style)
            self._style = spans[-1][1]
            output.print_line(self.prefix + output.format_coloured(spans))


def _get_size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
