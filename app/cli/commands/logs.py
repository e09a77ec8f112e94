"""`taskdeck logs`: what a task wrote. To a pipe the bytes as they are; to a terminal cleaned, with their colours."""

from __future__ import annotations

import os
import time

from app.cli import output
from app.cli.parser import Args, Command, Parser, as_json, ids, read
from app.core.text import units
from app.core.text.sanitize import PLAIN, clean, sgr_line
from app.errors import Usage
from db.states import ENDED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import Session
    from app.core.text.sanitize import Style

BLOCK = 1 << 20
LOOK_EVERY = 0.05
ASK_EVERY = 0.25
"""Seconds between looks at the file, and between questions to the runtime, while following. Files send no wake-ups."""



def logs(session: Session, args: Args) -> int:
    """Show a task's output; with -f as it comes, until the task has ended."""
    if len(args.ids) != 1:
        raise Usage("logs of which task? Give one number.", "List: taskdeck ls")
    if args.follow:
        if args.json or args.jsonl or args.attempt:
            raise Usage("-f follows the task as text; --json and --attempt do not go with it.")
        return _followed(session, args.ids[0], args.tail)
    found = session.call("log", id=args.ids[0], attempt=args.attempt)
    if args.json or args.jsonl:
        output.document(_readable(found), args.jsonl)
        return 0
    _show(found, args.tail)
    return 0


def _followed(session: Session, given: str, last: int | None) -> int:
    try:
        follow(session, given, last)
    except KeyboardInterrupt:
        output.note(f"it goes on. Again: taskdeck logs -f {given}")
        raise
    return 0


def _show(found: dict[str, Any], last: int | None) -> None:
    if not found["runs"]:
        output.say(f"taskdeck: {_nothing(found)}")
    for run in found["runs"]:
        if len(found["runs"]) > 1:
            output.say(f"attempt {run['attempt']}: {clean(run['status'].replace('_', ' '))}")
        _write(run, last)
        if run.get("log_bytes") == 0 and run["status"] in ENDED and run["status"] != "succeeded":
            output.say(f"taskdeck: #{found['number']} {clean(found['name'])} wrote nothing: {_ended(run)}")


def _ended(run: dict[str, Any]) -> str:
    """How a run ended, and why."""
    word = clean(run["status"].replace("_", " "))
    return f"{word}, {output.for_home(clean(run['reason']))}" if run.get("reason") else word


def _nothing(found: dict[str, Any]) -> str:
    shown = f"#{found['number']} {clean(found['name'])}"
    if found["status"] in ENDED:
        return f"{shown} never ran ({found['status'].replace('_', ' ')})."
    why = f": {clean(found['why'])}" if found.get("why") else ""
    return f"{shown} has not started{why}"


def _write(run: dict[str, Any], last: int | None) -> None:
    screen = Screen() if output.terminal() else None
    blocks = [tail(run, last)] if last is not None else _blocks(run)
    for block in blocks:
        _put(screen, block)
    if screen:
        screen.end()


def _put(screen: Screen | None, block: bytes) -> None:
    if screen:
        screen.write(block)
    else:
        output.raw(block)


def _blocks(run: dict[str, Any]) -> Any:
    """The log in pieces; what is stored with the run when its file has gone."""
    try:
        with open(run["path"], "rb") as file:
            while block := file.read(BLOCK):
                yield block
    except OSError:
        yield _kept(run)


def tail(run: dict[str, Any], last: int) -> bytes:
    """The last lines of a run's log, read from its end."""
    if not last:
        return b""
    try:
        with open(run["path"], "rb") as file:
            return _tail_of(file, last)
    except OSError:
        from io import BytesIO

        return _tail_of(BytesIO(_kept(run)), last)


def _kept(run: dict[str, Any]) -> bytes:
    """What is stored with a run whose file has gone; says so when that is not all."""
    kept, written = (run.get("logs") or "").encode("utf-8", "surrogateescape"), run.get("log_bytes") or 0
    if written > len(kept):
        output.say(f"taskdeck: the log file has gone; of its {units.size(written)} the last {units.size(len(kept))} were kept.")
    return kept


def _tail_of(file: Any, last: int) -> bytes:
    at, found = file.seek(0, os.SEEK_END), b""
    while at and found.count(b"\n") <= last:
        step = min(at, 1 << 16)
        at = file.seek(at - step)
        found = file.read(step) + found
    lines = found.split(b"\n")
    keep = last + 1 if found.endswith(b"\n") else last
    return b"\n".join(lines[-keep:])


def _readable(found: dict[str, Any]) -> dict[str, Any]:
    """The answer for --json, with the whole text of each run."""
    runs = [{**run, "text": b"".join(_blocks(run)).decode("utf-8", "replace")} for run in found["runs"]]
    return {**found, "runs": runs}


class Screen:
    """A terminal that a log is written to, a line at a time; the last line, still without its end, is redrawn as it
    grows."""

    def __init__(self) -> None:
        self.style: Style = PLAIN
        self.open = b""

    def write(self, data: bytes) -> None:
        """Show the lines that are complete now."""
        *complete, self.open = (self.open + data).split(b"\n")
        for line in complete:
            spans = sgr_line(line.removesuffix(b"\r"), self.style)
            self.style = spans[-1][1]
            output.line(output.coloured_text(spans))

    def end(self) -> None:
        """Show what is left, without the newline that it lacks."""
        if self.open:
            output.line(output.coloured_text(sgr_line(self.open, self.style)))
        self.open = b""


class Follower:
    """What has been shown of one run."""

    def __init__(self, run: dict[str, Any], last: int | None) -> None:
        self.attempt: int = run["attempt"]
        self.path: str = run["path"]
        self.at = 0
        self.screen = Screen() if output.terminal() else None
        if last is not None:
            found = tail(run, last)
            _put(self.screen, found)
            self.at = _size(self.path)

    def more(self) -> bool:
        """Show what has come since; False when nothing has."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self.at)
                data = file.read(BLOCK)
        except FileNotFoundError:
            return False
        self.at += len(data)
        if data:
            _put(self.screen, data)
            output.flush()
        return bool(data)

    def finish(self) -> None:
        """Show the rest."""
        while self.more():
            pass
        if self.screen:
            self.screen.end()


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def follow(session: Session, given: Any, last: int | None = None) -> None:
    """Show the output of a task as it comes, attempt after attempt, until it has ended."""
    now: Follower | None = None
    said, pause = "", LOOK_EVERY
    while True:
        found = session.call("log", id=given, attempt="all")
        fresh = [run for run in found["runs"] if now is None or run["attempt"] > now.attempt]
        if now is None and fresh and found["status"] in ENDED:
            return _show_last(fresh[-1], last)
        for run in fresh[-1:] if now is None else fresh:
            now = _next(now, run, last)
            last = None
        if found["status"] in ENDED:
            break
        said = _tell(found, said)
        _look(now, pause)
        pause = min(ASK_EVERY, pause * 2)
    if now:
        now.finish()
    else:
        output.say(f"taskdeck: {_nothing(found)}")


def _show_last(run: dict[str, Any], last: int | None) -> None:
    """The latest run of a task that has ended: nothing more will come."""
    _head(run)
    _write(run, last)


def _next(now: Follower | None, run: dict[str, Any], last: int | None) -> Follower:
    if now:
        now.finish()
    _head(run)
    return Follower(run, last)


def _head(run: dict[str, Any]) -> None:
    if run["attempt"] > 1:
        output.say(f"attempt {run['attempt']}")


def _tell(found: dict[str, Any], said: str) -> str:
    """Say why it waits, once for each reason."""
    why = found.get("why") or ""
    if why and why != said:
        output.say(f"taskdeck: #{found['number']} {clean(found['name'])} waits: {clean(why)}")
    return why


def _look(now: Follower | None, seconds: float) -> None:
    """Look at the file for as long as the runtime need not be asked."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if now is None or not now.more():
            time.sleep(LOOK_EVERY)


def _attempt(text: str) -> int | str:
    return "all" if text == "all" else units.parse_int(text, 1, 1_000_000)


def _arguments(parser: Parser) -> None:
    ids(parser)
    parser.option("-f", "--follow", action="store_true", help="as it comes, until the task has ended, retries included")
    parser.option("--attempt", type=read(_attempt), metavar="N", help="of that attempt, or all (usually the latest)")
    parser.option("-n", "--tail", type=read(units.parse_int, 0, 100_000_000), metavar="N", help="the last N lines")
    as_json(parser)


EXAMPLES = """\
  taskdeck logs 42
  taskdeck logs -f 42
  taskdeck logs --tail 20 --attempt 2 42"""

COMMANDS = {"logs": Command("what a task wrote", logs, _arguments, EXAMPLES, asks=lambda _: "log")}
