"""Options of `taskdeck submit` and the parsers of their values."""

from __future__ import annotations

from app.cli.parser import (
    CPU,
    DURATION,
    PRIORITY,
    RETRIES,
    SIZE,
    TIMEOUT,
    OneOf,
    Parser,
    make_type,
    parse_new_name,
    parse_pair,
    require_text,
)
from app.cli.submission.resources import add_resource_options
from app.core.text import units
from app.core.text.sanitize import sanitize
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def parse_parameter(text: str) -> tuple[str, Any, bool]:
    """Parse `KEY=VALUE` or `KEY:=JSON`."""
    key, value = parse_pair(text)
    if not key.endswith(":"):
        return key, value, False
    from argparse import ArgumentTypeError

    from app.core.strict_json import DuplicateKeyError, load_json

    try:
        return key[:-1], load_json(value), True
    except DuplicateKeyError as error:
        raise ArgumentTypeError(
            tr("{key}= has JSON in which {error}", key=sanitize(key), error=error)
        ) from None
    except (ValueError, RecursionError):
        # The schema that may declare the parameter secret is not known here.
        raise ArgumentTypeError(
            tr("{key}= must be followed by JSON, such as 1 or true", key=sanitize(key))
        ) from None


def parse_at(text: str) -> str:
    """Return a time as UTC, since the runtime may use another time zone than this shell."""
    from datetime import UTC, datetime, timedelta

    from app.core.text.units import parse_time, quote

    now = datetime.now(UTC)
    at = parse_time(text, now)
    if at < now - timedelta(minutes=1):  # a script may compute a time that is over by now
        raise ValueError(tr("must be in the future, not {text}", text=quote(text)))
    return at.astimezone(UTC).isoformat()


def parse_signal(text: str) -> str:
    """Return a signal before the timeout in its stored form. Raise ValueError."""
    from app.core.early_signal import normalize

    return normalize(text)


def parse_array(text: str) -> tuple[list[int], int | None]:
    """Return the indexes of `1-100%8`, and how many may run at once. Raise ValueError."""
    from app.core import task_groups

    return task_groups.parse_array(text)


def _parse_sweep(text: str) -> tuple[str, list[str]]:
    from app.core.sweeps import parse_sweep

    return parse_sweep(text)


def parse_oom(text: str) -> str:
    """Return a retry with more memory in its stored form. Raise ValueError."""
    from app.core.oom_retry import parse_oom_retry

    return str(parse_oom_retry(text))


def add_submit_options(parser: Parser) -> None:
    """Add the options in three groups: what to run, how, and what to do then."""
    add = parser.add_argument_group("what to run").add_argument
    _add_commands(add)
    _add_groups(add)
    _add_files(add)
    add = parser.add_argument_group("how it runs").add_argument
    _add_requests(add)
    _add_conditions(add)
    _add_labels(add)
    _add_surroundings(add)
    _add_streams(add)
    _add_answers(parser.add_argument_group("after submitting").add_argument)


def _add_commands(add: Callable[..., Any]) -> None:
    add(
        "words",
        nargs="*",
        metavar="TEMPLATE",
        help="template, or file with #SBATCH lines (- is stdin); a command goes after --",
    )
    add("-c", dest="script", metavar="SCRIPT", help="shell script; - reads it from stdin")
    add(
        "-p",
        dest="parameters",
        action="append",
        type=parse_parameter,
        metavar="K=V",
        help="template parameter; K:=JSON for other types",
    )


def _add_groups(add: Callable[..., Any]) -> None:
    add(
        "--each",
        action="store_true",
        help="one task per line of stdin; replaces {} (columns: {1} {2}) or is appended",
    )
    add(
        "-0",
        dest="nul",
        action="store_true",
        help="with --each: items end with NUL instead of a newline",
    )
    add(
        "--array",
        type=make_type(parse_array),
        metavar="LIST",
        help="one task per index of 1-100, 1,3,7 or 0-10:2; replaces {index}; %%8: 8 at once",
    )
    add(
        "--sweep",
        action="append",
        type=make_type(_parse_sweep),
        metavar="NAME=V,V",
        help="one task per value, replaces {NAME}; repeat for all combinations",
    )
    add(
        "--sweep-file",
        type=require_text,
        metavar="FILE",
        help="one task per row of a CSV file whose header names the parameters; - is stdin",
    )
    add(
        "--max-running",
        type=make_type(units.parse_int, 1, 100_000),
        metavar="N",
        help="tasks of an array, a sweep or --each that run at once (default: any number)",
    )


def _add_files(add: Callable[..., Any]) -> None:
    add(
        "--from",
        dest="lines",
        type=require_text,
        metavar="FILE",
        help="one task per line of JSON (- is stdin), or a workflow: FILE.toml; all or nothing",
    )
    add(
        "--keep-going",
        action="store_true",
        help="with --from: store valid lines and report the others",
    )


def _add_requests(add: Callable[..., Any]) -> None:
    add("-n", "--name", type=parse_new_name, help="name of the task")
    add("-q", "--queue", type=require_text, help="queue of the task (default: default)")
    add("-P", "--priority", type=PRIORITY, metavar="N", help="higher first (default: 0)")
    add(
        "-t",
        "--timeout",
        type=TIMEOUT,
        metavar="TIME",
        help="end the task after 30s, 5m, 2h, 1d (a bare number: seconds)",
    )
    add(
        "--signal",
        type=make_type(parse_signal),
        metavar="SIG@TIME",
        help="signal before the timeout, for a checkpoint: USR1@5m (without @: 1m before)",
    )
    add("--cpu", type=CPU, metavar="CORES", help="cores to reserve (default: 1)")
    add(
        "--memory",
        type=SIZE,
        metavar="SIZE",
        help="memory to reserve: 512M, 4G (a bare number: MiB; default: none)",
    )
    add_resource_options(add)


def _add_conditions(add: Callable[..., Any]) -> None:
    add("--retries", type=RETRIES, metavar="N", help="further attempts after a failure")
    add("--retry-delay", type=DURATION, metavar="TIME", help="time between attempts (default: 1s)")
    add(
        "--after",
        action="append",
        type=require_text,
        metavar="ID",
        help="start when this task, or all of a group, has succeeded; repeatable",
    )
    add(
        "--after-any",
        action="append",
        type=require_text,
        metavar="ID",
        help="start when this task has ended; repeatable",
    )
    add(
        "--after-failure",
        action="append",
        type=require_text,
        metavar="ID",
        help="start only if this task ends without success; repeatable",
    )
    add(
        "--after-start",
        action="append",
        type=require_text,
        metavar="ID",
        help="start when this task has started, or was cancelled; repeatable",
    )
    add(
        "--at",
        type=make_type(parse_at),
        metavar="TIME",
        help="start no earlier than 23:30, 'tomorrow 08:00', 2h (from now), or an ISO time",
    )


def _add_labels(add: Callable[..., Any]) -> None:
    add(
        "--notify",
        type=require_text,
        metavar="CHANNEL",
        help="tell a channel when the task ends (taskdeck notify ls)",
    )
    add(
        "--notify-on",
        type=OneOf("failed", "ended", "never"),
        metavar="WORD",
        help="failed: tell only failures; ended (default): every end; never: not even the default",
    )
    add(
        "--tag",
        dest="tags",
        action="append",
        type=parse_pair,
        metavar="K=V",
        help="tag for filters; repeatable",
    )
    add("--hold", action="store_true", help="hold the task until taskdeck release")


def _add_surroundings(add: Callable[..., Any]) -> None:
    add(
        "-C",
        "--cwd",
        type=require_text,
        metavar="DIR",
        help="working directory (default: the current one)",
    )
    add("--env", action="append", type=parse_pair, metavar="N=V", help="set a variable; repeatable")
    add(
        "--keep-env",
        metavar="WHICH",
        help=(
            "variables to keep: all, none, or a comma-separated list (default: all but "
            "the terminal's)"
        ),
    )


def _add_streams(add: Callable[..., Any]) -> None:
    add(
        "--output",
        type=require_text,
        metavar="FILE",
        help="copy the output to a file, too: train-{number}.log (also {name}, {attempt}, {first})",
    )
    add(
        "--retry-on-oom",
        type=make_type(parse_oom),
        metavar="FACTOR[,max=SIZE]",
        help="retry once with more memory after a kill for memory: 1.5,max=64G",
    )
    add(
        "--error",
        type=require_text,
        metavar="FILE",
        help="copy the error output alone to this file, and the rest to that of --output",
    )
    add(
        "--split",
        action="store_true",
        help="tell output and error output apart in the log (--error does so, too)",
    )
    add(
        "--stdin",
        action="store_true",
        help="keep the standard input open for taskdeck send (default: /dev/null)",
    )
    add("--grace", type=DURATION, metavar="TIME", help="time between TERM and KILL (default: 5s)")
    add(
        "--log-limit",
        type=SIZE,
        metavar="SIZE",
        help="end the task when its output exceeds 500M, 4G (default: 1G)",
    )


def _add_answers(add: Callable[..., Any]) -> None:
    add("--wait", action="store_true", help="wait for the task to end and exit with its code")
    add("--follow", action="store_true", help="wait, and show the output meanwhile")
    add("--dry-run", action="store_true", help="show what would be submitted; submit nothing")
    add("--json", action="store_true", help='print {"uuid", "number"}')
    add("--jsonl", action="store_true", help="print the same, one per line")


EXAMPLES = """\
  taskdeck submit -- ffmpeg -i a.mkv a.mp4
  taskdeck submit -c 'sort a | uniq > b'
  taskdeck submit encode -p input=a.mkv -p output=a.mp4
  taskdeck submit --cpu 2 --memory 4G --timeout 2h --after 41 -- ./train.sh
  ls *.log | taskdeck submit --each -n 'zip {}' -- gzip -k {}
  taskdeck submit --array 1-100 -- ./train.sh --seed {index}
  taskdeck submit --sweep lr=0.1,0.01 --sweep bs=32,64 -- ./train.sh {lr} {bs}
  taskdeck submit --from jobs.jsonl
                       {"argv": ["gzip", "-k", "a.log"], "name": "zip", "cpu": 2}
                       {"script": "sort a | uniq > b", "after": ["zip", 41]}
                       {"template": "encode", "parameters": {"input": "a.mkv"}}"""
