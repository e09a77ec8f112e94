"""The tool `logs`: lines that look like errors, and the end of the output, within a bound."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from app import paths
from app.agents.answers import LogAnswer, UntrustedOutput
from app.agents.arguments import LogsArguments
from app.agents.reading import read_task
from app.agents.session import ToolCall
from app.core.text import log_rows
from app.core.text.sanitize import parse_sgr_line
from app.errors import Conflict
from app.log_parts import LogPart, list_pieces, read_index
from db.states import ENDED

MAX_SEARCHED = 2 << 20
"""Bytes at the end of a log that are read."""
MAX_LINE = 2000
"""Bytes of a line that are shown."""
MAX_ERRORS = 40
_ERROR = re.compile(
    rb"(?i)\b(error|errors|fatal|failed|failure|exception|traceback|panic(?:ked)?|abort(?:ed)?"
    rb"|cannot|denied|undefined reference|segmentation fault|no such file|not found"
    rb"|assert(?:ion)?)\b|(?<![a-z])[A-Za-z]*(?:Error|Exception)\b"
)
_NO_ERROR = re.compile(rb"(?i)\b(?:0|no) (?:errors?|failed|failures?)\b")


def read_log(call: ToolCall, args: LogsArguments) -> LogAnswer:
    """Return errors and end of the output of a task, as data."""
    task = read_task(call, args.number)
    if not call.is_own(task["tags"]) and not call.session.load_settings().all_logs:
        raise Conflict(
            f"#{args.number} is no task of client {call.session.name}: its output is not shown.",
            "A user may allow it: all_logs = true in config.toml, see taskdeck help agents",
        )
    reply = call.call("log", id=args.number, attempt=args.attempt)
    if not reply["runs"]:
        if reply["why"]:
            call.add_note(f"the task has not started: {reply['why']}")
        return _make_answer(reply, {}, 0, b"", _make_output([], [], None, 0), call)
    run = reply["runs"][-1]
    size, data = _read_end(run)
    error, output = _split_streams(run, data, size) if reply["split"] else (None, data)
    chosen = _choose_errors([error, output] if error is not None else [output])
    found = _make_output(chosen, _split_lines(output), error, args.kib * 1024)
    return _make_answer(reply, run, size, data, found, call)


def _make_answer(
    reply: dict[str, Any],
    run: dict[str, Any],
    size: int,
    data: bytes,
    output: UntrustedOutput,
    call: ToolCall,
) -> LogAnswer:
    return LogAnswer(
        number=reply["number"],
        status=reply["status"],
        attempt=run.get("attempt"),
        exit_code=run.get("exit_code"),
        signal=run.get("signal"),
        log_bytes=size,
        searched_bytes=len(data),
        output=output,
        notes=call.notes,
    )


def _read_end(run: dict[str, Any]) -> tuple[int, bytes]:
    """Return the size of a log and its end, from the database if the file is gone."""
    try:
        return paths.read_log_end(run["path"], MAX_SEARCHED)
    except OSError:
        kept = (run["logs"] or "").encode("utf-8", "surrogateescape")
        return run["log_bytes"] or len(kept), kept[-MAX_SEARCHED:]


def _split_streams(run: dict[str, Any], data: bytes, size: int) -> tuple[bytes, bytes]:
    """Return the error output and the output in the end of a log."""
    index, begin = read_index(run["path"]), size - len(data)
    if run["status"] in ENDED:
        index = index._replace(limit=None)

    def join(part: LogPart) -> bytes:
        pieces = list_pieces(part, index, begin, size)
        return b"".join(data[one.start - begin : one.stop - begin] for one in pieces)

    return join(LogPart.ERROR), join(LogPart.OUTPUT)


def _split_lines(data: bytes) -> list[bytes]:
    """Return the rows that a terminal would show, without empty ones at the end."""
    return list(log_rows.iterate_rows(data.rstrip()))


def _choose_errors(streams: Iterable[bytes]) -> list[bytes]:
    """Return the first and last lines that look like errors."""
    found = [
        line
        for data in streams
        for line in data.split(b"\n")
        if _ERROR.search(line[:MAX_LINE]) and not _NO_ERROR.search(line[:MAX_LINE])
    ]
    if len(found) > MAX_ERRORS:
        return [*found[: MAX_ERRORS // 2], *found[-MAX_ERRORS // 2 :]]
    return found


def _make_output(
    errors: list[bytes], output: list[bytes], error: bytes | None, room: int
) -> UntrustedOutput:
    """Return the parts of the answer, each within its share: errors, error output, output."""
    shown, used = _take_first(errors, room // 2)
    stderr = None
    if error is not None:
        stderr, more = _take_last(_split_lines(error), (room - used) * 2 // 3)
        used += more
    stdout, _ = _take_last(output, room - used)
    return UntrustedOutput(errors=shown, stderr=stderr, stdout=stdout)


def _take_first(lines: Iterable[bytes], room: int) -> tuple[list[str], int]:
    """Return the first lines that fit, made safe, and the bytes that they take as JSON."""
    found, used = list[str](), 0
    for line in lines:
        text = _to_text(line)
        size = len(json.dumps(text, ensure_ascii=False).encode()) + 1
        if used + size > room:
            break
        found.append(text)
        used += size
    return found, used


def _take_last(lines: list[bytes], room: int) -> tuple[list[str], int]:
    found, used = _take_first(reversed(lines), room)
    return found[::-1], used


def _to_text(line: bytes) -> str:
    """Return a line as a terminal shows it, without escape sequences and not too long."""
    spans = parse_sgr_line(line[:MAX_LINE].removesuffix(b"\r"))
    return "".join(text for text, _ in spans).rstrip()
