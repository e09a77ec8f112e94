"""`taskdeck logs`: show the output of a task.

A pipe receives the raw bytes; a terminal receives sanitized text with its colours.
"""

from __future__ import annotations

import errno
import os
import time

from app import paths
from app.cli import output
from app.cli.parser import Args, Command, Parser, add_json_options, add_task_ids, make_type
from app.core.task_groups import parse_group
from app.core.text import log_rows, units
from app.core.text.sanitize import PLAIN, parse_sgr_line, sanitize
from app.errors import Refused, Usage
from app.log_parts import LogPart, find_known_end, list_pieces, read_index
from app.translation import tr, tr_noop
from db.states import ENDED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, BinaryIO

    from app.cli.context import CommandContext
    from app.core.text.sanitize import Style

BLOCK_SIZE = 1 << 20
MAX_PENDING = 2 * BLOCK_SIZE
"""Bytes kept of lines that may still be rewritten."""
READ_INTERVAL = 0.05
REQUEST_INTERVAL = 0.25
"""Seconds between reads of the file and between requests to the runtime while following. Files send
no wake-ups."""


def show_logs(context: CommandContext, args: Args) -> int:
    """Show the output of a task; with -f, follow it until the task has ended."""
    if not args.ids:
        raise Usage("logs of which task? Give a number or group.", "List: taskdeck ls")
    if len(args.ids) > 1 or parse_group(args.ids[0]) is not None:
        return _show_several(context, args)
    if args.follow:
        if args.json or args.jsonl or args.attempt:
            raise Usage("-f cannot be combined with --json or --attempt.")
        return _follow_until_interrupt(context, args.ids[0], args.tail, args.part)
    reply = context.call("log", id=args.ids[0], attempt=args.attempt)
    if args.part != LogPart.ALL:
        _refuse_joined(reply)
        _print_parts(reply, args)
        return 0
    if args.json or args.jsonl:
        output.print_json(_add_texts(reply), args.jsonl)
        return 0
    _print_runs(reply, args.tail)
    return 0


def _show_several(context: CommandContext, args: Args) -> int:
    """Show the output of several tasks or of groups, each line with the number of its task."""
    if args.json or args.jsonl or args.attempt or args.part != LogPart.ALL:
        raise Usage(
            "logs of several tasks go with -f and --tail only.",
            "For one task: taskdeck logs NUMBER. Numbers: taskdeck ls {ids}",
            ids=args.ids[0],
        )
    from app.cli.several_logs import print_logs

    try:
        print_logs(context, args.ids, args.follow, args.tail)
    except KeyboardInterrupt:
        words = " ".join(args.ids)
        output.print_note(
            tr("the tasks continue. To follow again: taskdeck logs -f {words}", words=words)
        )
        raise
    return 0


def _refuse_joined(reply: dict[str, Any]) -> None:
    """Raise Refused if the streams of a task were not told apart."""
    if not reply.get("split"):
        raise Refused(
            "the log of #{number} does not tell output and error output apart.",
            "For the next task: taskdeck submit --split -- COMMAND",
            number=reply["number"],
        )


def _print_parts(reply: dict[str, Any], args: Args) -> None:
    """Print one part of the logs, also as JSON."""
    texts = [_read_part(run, args.part, args.tail) for run in reply["runs"]]
    if args.json or args.jsonl:
        runs = [
            {**run, "text": text.decode("utf-8", "replace")}
            for run, text in zip(reply["runs"], texts, strict=True)
        ]
        output.print_json({**reply, "runs": runs}, args.jsonl)
        return
    for text in texts:
        screen = LogPrinter() if output.is_stdout_terminal() else None
        _write_block(screen, text)
        if screen:
            screen.end()


def _read_part(run: dict[str, Any], part: LogPart, last: int | None) -> bytes:
    """Return one part of a log, or its last lines. Without the file, nothing is known."""
    try:
        with _open_log(run["path"]) as file:
            size = file.seek(0, os.SEEK_END)
            index = read_index(run["path"])
            if run["status"] in ENDED:
                index = index._replace(limit=None)
            text = b"".join(_read_piece(file, p) for p in list_pieces(part, index, 0, size))
    except FileNotFoundError:
        return b""
    return text if last is None else _keep_last_lines(text, last)


def _read_piece(file: BinaryIO, piece: range) -> bytes:
    file.seek(piece.start)
    return file.read(len(piece))


def _keep_last_lines(text: bytes, last: int) -> bytes:
    lines = text.splitlines(keepends=True)
    return b"".join(lines[-last:]) if last else b""


def _follow_until_interrupt(
    context: CommandContext, ident: str, last: int | None, part: LogPart
) -> int:
    try:
        follow(context, ident, last, part)
    except KeyboardInterrupt:
        output.print_note(
            tr("the task continues. To follow again: taskdeck logs -f {words}", words=ident)
        )
        raise
    return 0


def _print_runs(reply: dict[str, Any], last: int | None) -> None:
    if not reply["runs"]:
        output.print_message(f"taskdeck: {_explain_no_output(reply)}")
    for run in reply["runs"]:
        if len(reply["runs"]) > 1:
            output.print_message(
                tr(
                    "attempt {attempt}: {status}",
                    attempt=run["attempt"],
                    status=_name_status(run["status"]),
                )
            )
        _print_log(run, last)
        if run.get("log_bytes") == 0 and run["status"] in ENDED and run["status"] != "succeeded":
            output.print_message(
                tr(
                    "taskdeck: {task} wrote nothing: {end}",
                    task=f"#{reply['number']} {sanitize(reply['name'])}",
                    end=_format_end(run),
                )
            )


def _name_status(status: str) -> str:
    return tr(sanitize(status.replace("_", " ")))


def _format_end(run: dict[str, Any]) -> str:
    word = _name_status(run["status"])
    return (
        f"{word}, {output.add_home_option(sanitize(run['reason']))}" if run.get("reason") else word
    )


def _explain_no_output(reply: dict[str, Any]) -> str:
    shown = f"#{reply['number']} {sanitize(reply['name'])}"
    if reply["status"] in ENDED:
        return tr("{task} never ran ({status}).", task=shown, status=_name_status(reply["status"]))
    why = f": {sanitize(reply['why'])}" if reply.get("why") else ""
    return tr("{task} has not started{why}", task=shown, why=why)


def _print_log(run: dict[str, Any], last: int | None) -> None:
    screen = LogPrinter() if output.is_stdout_terminal() else None
    blocks = [read_tail(run, last)] if last is not None else _read_blocks(run)
    for block in blocks:
        _write_block(screen, block)
    if screen:
        screen.end()


def _write_block(screen: LogPrinter | None, block: bytes) -> None:
    if screen:
        screen.write(block)
    else:
        output.write_bytes(block)


def _open_log(path: str) -> BinaryIO:
    """Open a log. Raise OSError, or Refused if it is no regular file."""
    try:
        return paths.open_regular(path)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise Refused(
            "{path} is not a regular file: a program replaced this log. Nothing was read.",
            path=sanitize(path),
        ) from None


def _read_blocks(run: dict[str, Any]) -> Any:
    """Yield the log in blocks, or the stored end if the file is gone."""
    try:
        with _open_log(run["path"]) as file:
            while block := file.read(BLOCK_SIZE):
                yield block
    except OSError:
        yield _read_stored(run)


def read_tail(run: dict[str, Any], last: int) -> bytes:
    """Return the last lines of a run's log, read from its end."""
    if not last:
        return b""
    try:
        with _open_log(run["path"]) as file:
            return _read_last_lines(file, last)
    except OSError:
        from io import BytesIO

        return _read_last_lines(BytesIO(_read_stored(run)), last)


def _read_stored(run: dict[str, Any]) -> bytes:
    """Return the stored end of a missing log file; print a message if some of the log is lost."""
    stored, written = (
        (run.get("logs") or "").encode("utf-8", "surrogateescape"),
        run.get("log_bytes") or 0,
    )
    if written > len(stored):
        output.print_message(
            tr(
                "taskdeck: the log file is gone; the last {kept} of {all} were kept.",
                kept=units.format_bytes(len(stored)),
                all=units.format_bytes(written),
            )
        )
    return stored


def _read_last_lines(file: Any, last: int, end: int | None = None) -> bytes:
    at, reply = file.seek(0, os.SEEK_END) if end is None else end, b""
    while at and reply.count(b"\n") <= last:
        step = min(at, 1 << 16)
        at = file.seek(at - step)
        reply = file.read(step) + reply
    lines = reply.split(b"\n")
    keep = last + 1 if reply.endswith(b"\n") else last
    return b"\n".join(lines[-keep:])


def _add_texts(reply: dict[str, Any]) -> dict[str, Any]:
    """Return the answer for --json with the full text of each run."""
    runs = [
        {**run, "text": b"".join(_read_blocks(run)).decode("utf-8", "replace")}
        for run in reply["runs"]
    ]
    return {**reply, "runs": runs}


class LogPrinter:
    """Terminal output of a log, row by row.

    Lines that the program rewrites by moving the cursor up are printed once, in their last state.
    With `live`, lines are printed as they come: each later state follows below.
    """

    def __init__(self, live: bool = False) -> None:
        self.style: Style = PLAIN
        self.live = live
        self.pending = b""

    def write(self, data: bytes) -> None:
        """Print the rows completed by `data`."""
        data = self.pending + data
        end = data.rfind(b"\n") + 1
        if not self.live and len(data) < MAX_PENDING and log_rows.CURSOR_UP.search(data):
            end = log_rows.find_group_starts(data)[-1]
        self.pending = data[end:]
        self._print(log_rows.iterate_rows(data[:end]))

    def _print(self, rows: Iterable[bytes]) -> None:
        for row in rows:
            spans = parse_sgr_line(row.removesuffix(b"\r"), self.style)
            self.style = spans[-1][1]
            output.print_line(output.format_coloured(spans))

    def end(self) -> None:
        """Print what is left, without an empty last row."""
        rows = list(log_rows.iterate_rows(self.pending))
        self._print(rows if rows and rows[-1].strip(b"\r") else rows[:-1])
        self.pending = b""


class RunFollower:
    """Reader of the growing log of one run."""

    def __init__(self, run: dict[str, Any], last: int | None, part: LogPart) -> None:
        self.part = part
        self.attempt: int = run["attempt"]
        self.path: str = run["path"]
        self.at = 0
        self.screen = LogPrinter(live=True) if output.is_stdout_terminal() else None
        if last is not None:
            self._print_tail(last)

    def _print_tail(self, last: int) -> None:
        """Print the last lines and continue exactly behind them, since the log grows meanwhile."""
        try:
            with _open_log(self.path) as file:
                self.at = file.seek(0, os.SEEK_END)
                if self.part == LogPart.ALL:
                    text = _read_last_lines(file, last, self.at) if last else b""
                else:
                    text = self._read_part(file, 0, self.at)
                    text = _keep_last_lines(text, last)
                _write_block(self.screen, text)
        except FileNotFoundError:
            pass  # until the program starts

    def print_new(self) -> bool:
        """Print new output; return False if there is none."""
        try:
            with _open_log(self.path) as file:
                before = self.at
                if self.part == LogPart.ALL:
                    data = _read_piece(file, range(self.at, self.at + BLOCK_SIZE))
                    self.at += len(data)
                else:
                    size = min(file.seek(0, os.SEEK_END), self.at + BLOCK_SIZE)
                    data = self._read_part(file, self.at, size)
        except FileNotFoundError:
            return False
        if data:
            _write_block(self.screen, data)
            output.flush()
        return self.at > before

    def _read_part(self, file: BinaryIO, at: int, size: int) -> bytes:
        """Return one part of the log from `at` on, and move on as far as it is known."""
        index = read_index(self.path)
        self.at = max(at, find_known_end(self.part, index, size))
        return b"".join(_read_piece(file, p) for p in list_pieces(self.part, index, at, size))

    def finish(self) -> None:
        """Print all remaining output."""
        while self.print_new():
            pass
        if self.screen:
            self.screen.end()


def follow(
    context: CommandContext, ident: Any, last: int | None = None, part: LogPart = LogPart.ALL
) -> None:
    """Print the output of a task, attempt after attempt, until the task has ended."""
    follower: RunFollower | None = None
    last_reason, pause = "", READ_INTERVAL
    while True:
        reply = context.call("log", id=ident, attempt="all")
        if part != LogPart.ALL:
            _refuse_joined(reply)
        new_runs = [
            run for run in reply["runs"] if follower is None or run["attempt"] > follower.attempt
        ]
        if follower is None and new_runs and reply["status"] in ENDED and part == LogPart.ALL:
            return _print_last_run(new_runs[-1], last)
        for run in new_runs[-1:] if follower is None else new_runs:
            follower = _start_follower(follower, run, last, part)
            last = None
        if reply["status"] in ENDED:
            break
        last_reason = _print_wait_reason(reply, last_reason)
        _poll_file(follower, pause)
        pause = min(REQUEST_INTERVAL, pause * 2)
    if follower:
        follower.finish()
    else:
        output.print_message(f"taskdeck: {_explain_no_output(reply)}")


def _print_last_run(run: dict[str, Any], last: int | None) -> None:
    _print_attempt(run)
    _print_log(run, last)


def _start_follower(
    now: RunFollower | None, run: dict[str, Any], last: int | None, part: LogPart
) -> RunFollower:
    if now:
        now.finish()
    _print_attempt(run)
    return RunFollower(run, last, part)


def _print_attempt(run: dict[str, Any]) -> None:
    if run["attempt"] > 1:
        output.print_message(tr("attempt {attempt}", attempt=run["attempt"]))


def _print_wait_reason(reply: dict[str, Any], last_reason: str) -> str:
    """Print why the task waits, once per reason."""
    why = reply.get("why") or ""
    if why and why != last_reason:
        output.print_message(
            tr(
                "taskdeck: {task} waits: {why}",
                task=f"#{reply['number']} {sanitize(reply['name'])}",
                why=sanitize(why),
            )
        )
    return why


def _poll_file(now: RunFollower | None, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if now is None or not now.print_new():
            time.sleep(READ_INTERVAL)


def _parse_attempt(text: str) -> int | str:
    return "all" if text == "all" else units.parse_int(text, 1, 1_000_000)


def _add_arguments(parser: Parser) -> None:
    add_task_ids(parser)
    parser.add_option(
        "-f",
        "--follow",
        action="store_true",
        help="follow the output until the task has ended, retries included",
    )
    parser.add_option(
        "--attempt",
        type=make_type(_parse_attempt),
        metavar="N",
        help="show this attempt, or all (default: the latest)",
    )
    parser.add_option(
        "-n",
        "--tail",
        type=make_type(units.parse_int, 0, 100_000_000),
        metavar="N",
        help="show only the last N lines, of each task if there are several",
    )
    for option, part, what in (
        (
            "--stderr",
            LogPart.ERROR,
            tr_noop("show only the error output, of a task submitted with --split"),
        ),
        (
            "--stdout",
            LogPart.OUTPUT,
            tr_noop("show all but the error output, of a task submitted with --split"),
        ),
    ):
        parser.add_option(
            option, dest="part", action="store_const", const=part, default=LogPart.ALL, help=what
        )
    add_json_options(parser)


EXAMPLES = """\
  taskdeck logs 42
  taskdeck logs -f 42
  taskdeck logs -f g12                   (a group: each line with its number)
  taskdeck logs --tail 20 --attempt 2 42"""

COMMANDS = {
    "logs": Command(
        "show the output of a task",
        show_logs,
        _add_arguments,
        EXAMPLES,
        usage="[OPTION …] ID …",
        asks=lambda _: "log",
    )
}
