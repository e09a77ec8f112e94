"""`taskdeck status`: runtime, keeper, database, queues, pools and alerts on one screen, or in one line."""

from __future__ import annotations

from app.cli import output, styles, time_format
from app.cli.commands import alerts, queues
from app.cli.parser import Args, Command, Parser, as_json
from app.cli.table import Column, Line, Span, lines
from app.core.text import units
from app.core.text.sanitize import clean
from app.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import Session

QUEUES = [
    Column("QUEUE", least=8, first=True),
    Column("RUNNING"),
    Column("WAITING"),
    Column("OLDEST"),
    Column("STATE"),
    Column("POOL", least=4),
]
POOLS = [
    Column("POOL", least=8, first=True),
    Column("CPU RESERVED", ">"),
    Column("USED", ">"),
    Column("MEMORY RESERVED", ">"),
    Column("USED", ">"),
    Column("STATE"),
]
_COUNTED = ("running", "queued", "blocked", "held", "scheduled", "retrying")


def status(session: Session, args: Args) -> int:
    """Show how everything is; with --check also exit with 1 when something is wrong."""
    if args.tmux and not args.line:
        raise Usage("--tmux goes with --line.")
    if args.watch:
        return _watch(session, args)
    if args.line and not (args.json or args.jsonl):
        return _line(session, args)
    found = session.call("status")
    if args.json or args.jsonl:
        output.document(found, args.jsonl)
    else:
        output.lines(_page(found))
    return 1 if args.check and _trouble(found) else 0


def _watch(session: Session, args: Args) -> int:
    """Show it again after every change, until ^C."""
    if args.json and not args.jsonl:
        raise Usage("--watch with JSON is a document a line: --jsonl")
    from app.cli.commands import status_line, status_watch

    page = (lambda found: [[(status_line.of(found, args.tmux), "")]]) if args.line else _page
    return status_watch.watch(session.home, page, args.jsonl)


def _line(session: Session, args: Args) -> int:
    """The one line; exit code 0 whatever it says, unless --check asks."""
    from app.cli.commands import status_line as command_status_line

    found = command_status_line.ask(session.home)
    output.line(command_status_line.of(found, args.tmux))
    return 1 if args.check and _trouble(found) else 0


def _trouble(found: dict[str, Any]) -> bool:
    critical = any(a["severity"] == "critical" and a["status"] == "firing" for a in found["alerts"])
    return found["runtime"]["state"] != "running" or critical


def _page(found: dict[str, Any]) -> list[Line]:
    page = [_title(found), *_facts(found), [], _counts(found)]
    room = output.room()
    for heads, rows in (
        (QUEUES, [_queue(queue) for queue in found["queues"]]),
        _pools(found["pools"]),
        (alerts.COLUMNS[1:], [alerts.row(alert)[1:] for alert in found["alerts"]]),
    ):
        if rows:
            page += [[], *([("  ", ""), *line] for line in lines(heads, rows, None if room is None else room - 2))]
    return page


def _title(found: dict[str, Any]) -> Line:
    return [("Taskdeck", "bold"), (f" on {clean(found['host'])}, home {clean(found['home'])}", "")]


def _facts(found: dict[str, Any]) -> list[Line]:
    return [
        _fact("runtime", *_runtime(found["runtime"])),
        _fact("keeper", *_keeper(found["keeper"], found["home"], found["counts"].get("running", 0))),
        [*_fact("database", *_database(found["database"])), _backup(found.get("backup"))],
        *_replica(found.get("replica")),
    ]


def _fact(label: str, state: str, text: str) -> Line:
    sign = styles.SIGNS[state]
    return [(f"  {label:<10}", "dim"), (f"{sign[1] if output.ascii_only() else sign[0]} ", sign[3]), (text, "")]


def _runtime(runtime: dict[str, Any]) -> tuple[str, str]:
    state, up = runtime["state"], units.age(time_format.since(runtime.get("since")))
    if state == "running":
        by = f" ({clean(runtime['by'])})" if runtime.get("by") else ""
        lag = (
            f", dispatch tick {runtime['tick_lag'] * 1000:.0f} ms behind" if runtime.get("tick_lag") is not None else ""
        )
        halted = f". Nothing starts: {clean(runtime['halted'])}" if runtime.get("halted") else ""
        return "paused" if halted else "running", f"pid {runtime['pid']}{by}, up {up}{lag}{halted}"
    if state == "stopped":
        by = f" by {clean(runtime['stopped_by'])}" if runtime.get("stopped_by") else ""
        return "stopped", f"stopped{by} {up} ago. Start it: taskdeck serve --detach"
    return "none", "none; the first submit starts one" if state == "none" else clean(state)


def _keeper(keeper: dict[str, Any], home: str, running: int) -> tuple[str, str]:
    if not keeper.get("pid"):
        goes = "goes" if running == 1 else "go"
        return ("running", f"up; {_jobs(running)} {goes} on under it") if _keeper_lives(home) else ("none", "none")
    return "running", f"pid {keeper['pid']}, guard {keeper['guard_pid'] or units.MISSING}, {_jobs(running)}"


def _keeper_lives(home: str) -> bool:
    """Whether a keeper, of this version or another, holds its lock, which tells without a runtime to ask."""
    import os

    run = os.path.join(home, "run")
    try:
        names = os.listdir(run)
    except OSError:
        return False
    return any(_held(os.path.join(run, name)) for name in names if name.startswith("keeper") and name.endswith(".lock"))


def _held(path: str) -> bool:
    import fcntl

    try:
        with open(path, "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _jobs(running: int) -> str:
    return f"{running:,} job{'' if running == 1 else 's'}"


def _database(database: dict[str, Any]) -> tuple[str, str]:
    state = database["state"]
    return "running" if state == "ok" else "failed", f"{units.size(database['size'])}, {clean(state)}"


def _backup(backup: dict[str, Any] | None) -> Span:
    """`; backup 41m ago, verified`; nothing where none are taken."""
    if backup is None:
        return "", ""
    if backup.get("gone"):
        return f"; backup {'none' if 'folder' in backup['gone'] else 'lost'}: {clean(backup['gone'])}", "warn"
    if backup["at"] is None:
        return "; no backup yet", ""
    age = units.age(time_format.since(backup["at"]))
    return (f"; backup {age} ago, late", "warn") if backup["late"] else (f"; backup {age} ago, verified", "")


def _replica(replica: dict[str, Any] | None) -> list[Line]:
    """How old the copy is, and what keeps it from being younger; no line where there is none."""
    if replica is None or replica["target"] is None:
        return []
    age = f"{units.age(replica['lag'])} old" if replica["lag"] is not None else "never copied yet"
    text = f"{clean(replica['target'])}, {age}{', late' if replica['late'] else ''}"
    problem = f": {clean(replica['problem'])}" if replica["problem"] else ""
    return [[*_fact("replica", "firing" if replica["late"] else "running", text), (problem, "warn")]]


def _counts(found: dict[str, Any]) -> Line:
    counts, today = found["counts"], found["today"]
    shown = [word for word in _COUNTED if counts.get(word) or word in ("running", "queued")]
    told = "  ".join(f"{word} {counts.get(word, 0):,}" for word in shown)
    return [(f"  {told}   ", ""), (f"today {today['ok']:,} ok, {today['failed']:,} failed", "dim")]


def _queue(queue: dict[str, Any]) -> list[Span]:
    name, running, waiting, oldest, _, (word, style), pool = queues.row(queue)
    return [name, running, waiting, oldest, (_word(queue, word), style), pool]


def _word(queue: dict[str, Any], word: str) -> str:
    if word == "no room":
        return f"no room in pool {clean(queue['pool'])}"
    by = queue.get("status_by")
    return f"{word} by {clean(by)}" if by and queue["status"] != "active" and word == queue["status"] else word


def _pools(pools: list[dict[str, Any]]) -> tuple[list[Column], list[list[Span]]]:
    """The table of pools; their state only when one of them is not active."""
    shown = len(POOLS) if any(pool["status"] != "active" for pool in pools) else -1
    return POOLS[:shown], [_pool(pool)[:shown] for pool in pools]


def _pool(pool: dict[str, Any]) -> list[Span]:
    measured, memory = pool.get("measured_cpu"), pool.get("measured_memory")
    return [
        (clean(pool["name"]), ""),
        (units.cpu_pair(pool["used_cpu"], pool["total_cpu"]), ""),
        (units.cpu(measured), ""),
        (units.memory_pair(pool["used_memory"], pool["total_memory"]), ""),
        (units.memory(memory), ""),
        styles.place(clean(pool["status"])),
    ]


def _arguments(parser: Parser) -> None:
    parser.option("--line", action="store_true", help="one short line, for a status bar: 7r 22q 1! tick 3ms")
    parser.option("--tmux", action="store_true", help="with --line: in tmux's colours")
    parser.option("--check", action="store_true", help="exit 1 when no runtime is up or a critical alert fires")
    parser.option("--watch", action="store_true", help="show it again after every change")
    as_json(parser)


EXAMPLES = """\
  taskdeck status --check || mail -s taskdeck ann
  taskdeck status --watch
  set -g status-right '#(taskdeck status --line --tmux)'     (in tmux.conf)"""

COMMANDS = {"status": Command("runtime, queues, pools and alerts on one screen", status, _arguments, EXAMPLES)}
