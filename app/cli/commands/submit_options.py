"""Options of `taskdeck submit` and the parsers of their values."""

from __future__ import annotations

from app.cli.parser import (
    CPU,
    DURATION,
    PRIORITY,
    RETRIES,
    SIZE,
    Parser,
    make_type,
    parse_new_name,
    parse_pair,
    require_text,
)
from app.core.text.sanitize import sanitize, truncate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _parse_parameter(text: str) -> tuple[str, Any, bool]:
    """Parse `KEY=VALUE` or `KEY:=JSON`."""
    key, value = parse_pair(text)
    if not key.endswith(":"):
        return key, value, False
    import json
    from argparse import ArgumentTypeError

    try:
        return key[:-1], json.loads(value), True
    except (ValueError, RecursionError):
        raise ArgumentTypeError(f"{sanitize(key)}= must be followed by JSON, not {truncate(sanitize(value), 40)!r}") from None


def parse_at(text: str) -> str:
    """Return a time as UTC, since the runtime may use another time zone than this shell."""
    from datetime import UTC, datetime

    from app.core.text.units import parse_time

    return parse_time(text, datetime.now(UTC)).astimezone(UTC).isoformat()


def add_submit_options(parser: Parser) -> None:
    """Add the options in three groups: what to run, how, and what to do then."""
    what = parser.add_argument_group("what")
    what.add_argument("words", nargs="*", metavar="TEMPLATE", help="the template to run; a command stands after --")
    what.add_argument("-c", dest="script", metavar="SCRIPT", help="shell text; - reads it from stdin")
    what.add_argument(
        "-p", dest="parameters", action="append", type=_parse_parameter, metavar="K=V", help="a parameter; K:=JSON"
    )
    what.add_argument("--each", action="store_true", help="one task a line of stdin, put where {} stands (also in -n, --tag) or at the end")
    what.add_argument("-0", dest="nul", action="store_true", help="with --each: items end in NUL, not in a newline")
    what.add_argument("--from", dest="lines", type=require_text, metavar="FILE", help="one task a JSON line; - is stdin; all or nothing")
    what.add_argument("--keep-going", action="store_true", help="with --from: store the good lines, list the bad")
    _add_settings(parser.add_argument_group("how it runs"))
    after = parser.add_argument_group("then")
    after.add_argument("--wait", action="store_true", help="wait for the end and exit with the task's code")
    after.add_argument("--follow", action="store_true", help="show its output as it comes, too")
    after.add_argument("--dry-run", action="store_true", help="say what would be submitted")
    after.add_argument("--json", action="store_true", help='print {"uuid", "number"}')
    after.add_argument("--jsonl", action="store_true", help="the same, a line each")


def _add_settings(group: Any) -> None:
    add = group.add_argument
    add("-n", "--name", type=parse_new_name, help="what it is called")
    add("-q", "--queue", type=require_text, help="where it waits (default: default)")
    add("-P", "--priority", type=PRIORITY, metavar="N", help="higher first (default: 0)")
    add("-t", "--timeout", type=DURATION, metavar="TIME", help="ended after 30s, 5m, 2h, 1d (a bare number: seconds)")
    add("--cpu", type=CPU, metavar="CORES", help="cores it takes (default: 1)")
    add("--memory", type=SIZE, metavar="SIZE", help="memory it takes: 512M, 4G (a bare number: MiB; default: none)")
    add("--retries", type=RETRIES, metavar="N", help="further attempts after a failure")
    add("--retry-delay", type=DURATION, metavar="TIME", help="time between attempts (default: 1s)")
    add("--after", action="append", type=require_text, metavar="ID", help="start when that task has succeeded; may repeat")
    add("--after-any", action="append", type=require_text, metavar="ID", help="start when that task has ended; may repeat")
    add("--at", type=make_type(parse_at), metavar="TIME", help="not before 23:30, 'tomorrow 08:00', 2h (from now), or an ISO time")
    add("--tag", dest="tags", action="append", type=parse_pair, metavar="K=V", help="a tag to find it by; may repeat")
    add("--hold", action="store_true", help="keep it until taskdeck release")
    add("-C", "--cwd", type=require_text, metavar="DIR", help="run there instead of here")
    add("--env", action="append", type=parse_pair, metavar="N=V", help="one more variable; may repeat")
    add("--keep-env", metavar="WHICH", help="all, none, or names with commas (default: all but the terminal's)")
    add("--grace", type=DURATION, metavar="TIME", help="between TERM and KILL when it is ended (default: 5s)")


EXAMPLES = """\
  taskdeck submit -- ffmpeg -i a.mkv a.mp4
  taskdeck submit -c 'sort a | uniq > b'
  taskdeck submit encode -p input=a.mkv -p output=a.mp4
  taskdeck submit --cpu 2 --memory 4G --timeout 2h --after 41 -- ./train.sh
  ls *.log | taskdeck submit --each -n 'zip {}' -- gzip -k {}
  taskdeck submit --from jobs.jsonl
                       {"argv": ["gzip", "-k", "a.log"], "queue": "night", "cpu": 2}
                       {"script": "sort a | uniq > b", "after": [41], "timeout": "1h"}
                       {"template": "encode", "parameters": {"input": "a.mkv"}}"""
