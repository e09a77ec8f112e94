"""`taskdeck status`: runtime, keeper, database, queues, pools and alerts."""

from __future__ import annotations

from app.cli import output, styles, time_format
from app.cli.commands.definitions import pools, queues
from app.cli.parser import Args, Command, Parser, add_json_options
from app.cli.table_layout import Column, Line, Span, format_table
from app.core.slurm.pool_options import SLURM
from app.core.text import units
from app.core.text.replica_text import format_age_and_missed
from app.core.text.sanitize import pad, sanitize
from app.errors import Usage
from app.translation import tr, tr_n

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import CommandContext

QUEUE_COLUMNS = [
    Column("QUEUE", least=8, first=True),
    Column("RUNNING"),
    Column("WAITING"),
    Column("OLDEST"),
    Column("STATE"),
    Column("POOL", least=4),
]
POOL_COLUMNS = [
    Column("POOL", least=8, first=True),
    Column("CPU RESERVED", ">"),
    Column("USED", ">"),
    Column("MEMORY RESERVED", ">"),
    Column("USED", ">"),
    Column("RESOURCES", least=4),
    Column("STATE"),
]
_COUNTED_STATES = ("running", "queued", "blocked", "held", "scheduled", "retrying")


def show_status(context: CommandContext, args: Args) -> int:
    """Show the status; with --check, exit 1 if something is wrong."""
    if args.tmux and not args.line:
        raise Usage("--tmux requires --line.")
    if args.here:
        return _check_here(context, args)
    if args.watch:
        return _watch_status(context, args)
    if args.line and not (args.json or args.jsonl):
        return _print_line(context, args)
    status = context.call("status")
    if args.json or args.jsonl:
        output.print_json(status, args.jsonl)
    else:
        output.print_lines(_format_page(status))
    return 1 if args.check and _has_trouble(status) else 0


def _check_here(context: CommandContext, args: Args) -> int:
    """Return 0 if a process of this host is the runtime and answers. Alerts do not count.

    Raise NotFound without a runtime here, and Problem if it does not answer.
    """
    if not args.check or args.watch or args.line or args.json or args.jsonl:
        raise Usage("--here goes with --check alone.", "Use: taskdeck status --check --here")
    from app import client
    from app.errors import NotFound

    sock = client.open_socket(context.home)
    if sock is None:
        raise NotFound("no runtime of {home} runs on this host.", home=context.home)
    with sock:
        # The kernel knows no pid for a process outside of this host.
        if not client.get_peer_pid(sock):
            raise NotFound("the runtime of {home} runs on another host.", home=context.home)
        client.read_greeting(sock)
    return 0


def _watch_status(context: CommandContext, args: Args) -> int:
    if args.json and not args.jsonl:
        raise Usage("--watch prints one JSON document per line. Use: --jsonl")
    from app.cli.status import line as status_line
    from app.cli.status import watch

    page = (
        (lambda status: [[(status_line.format_status_line(status, args.tmux), "")]])
        if args.line
        else _format_page
    )
    return watch.watch_status(context.home, page, args.jsonl)


def _print_line(context: CommandContext, args: Args) -> int:
    """Print one line and exit 0, unless --check finds trouble."""
    from app.cli.status import line as command_status_line

    status = command_status_line.query_status(context.home)
    output.print_line(command_status_line.format_status_line(status, args.tmux))
    return 1 if args.check and _has_trouble(status) else 0


def _has_trouble(status: dict[str, Any]) -> bool:
    critical = any(
        a["severity"] == "critical" and a["status"] == "firing" for a in status["alerts"]
    )
    return status["runtime"]["state"] != "running" or critical


def _format_page(status: dict[str, Any]) -> list[Line]:
    page = [_format_title(status), *_format_facts(status), [], _format_counts(status)]
    if storing := status.get("storing"):
        said = tr(
            "  {n:,} tasks of a bulk submission are being stored; none of them starts yet",
            n=storing,
        )
        page.append([(said, "warn")])
    room = output.get_room()
    for heads, rows in (
        (QUEUE_COLUMNS, [_format_queue_row(queue) for queue in status["queues"]]),
        _format_pools(status["pools"]),
        _format_shared(status.get("resources") or []),
        _format_alerts(status["alerts"]),
    ):
        if rows:
            page += [
                [],
                *(
                    [("  ", ""), *line]
                    for line in format_table(heads, rows, None if room is None else room - 2)
                ),
            ]
    if kept := pools.list_kept(status["pools"]):
        page += [[], *([("  ", ""), *line] for line in kept)]
    return page


def _format_alerts(found: list[dict[str, Any]]) -> tuple[list[Column], list[list[Span]]]:
    """Return the columns and rows of the alerts, without their ids."""
    if not found:
        return [], []
    from app.cli.commands.definitions import alerts  # 1 ms, of which most calls need nothing

    return alerts.COLUMNS[1:], [alerts.format_alert_row(alert)[1:] for alert in found]


def _format_title(status: dict[str, Any]) -> Line:
    return [
        ("Taskdeck", "bold"),
        (
            tr(
                " on {host}, home {home}",
                host=sanitize(status["host"]),
                home=sanitize(status["home"]),
            ),
            "",
        ),
    ]


def _format_facts(status: dict[str, Any]) -> list[Line]:
    return [
        _format_fact(tr("runtime"), *_format_runtime(status["runtime"])),
        _format_fact(
            tr("keeper"),
            *_format_keeper(status["keeper"], status["home"], count_local_runs(status)),
        ),
        [
            *_format_fact(tr("database"), *_format_database(status["database"])),
            _format_backup(status.get("backup")),
        ],
        *_format_replica(status.get("replica")),
        *_format_http(status.get("http") or {}),
    ]


def _format_fact(label: str, state: str, text: str) -> Line:
    sign = styles.GLYPHS[state]
    return [
        (f"  {pad(label, 10)}", "dim"),
        (f"{sign[1] if output.is_ascii_only() else sign[0]} ", sign[3]),
        (text, ""),
    ]


def _format_http(http: dict[str, Any]) -> list[Line]:
    """Return the address of HTTP, or why HTTP is not served; nothing while HTTP is off."""
    if problem := http.get("problem"):
        text = tr("not served: {problem}", problem=sanitize(problem))
        return [_format_fact("http", "failed", text)]
    return [_format_fact("http", "running", sanitize(http["url"]))] if http.get("url") else []


def _format_runtime(runtime: dict[str, Any]) -> tuple[str, str]:
    state, up = runtime["state"], units.format_age(time_format.seconds_since(runtime.get("since")))
    if state == "running":
        by = f" ({sanitize(runtime['by'])})" if runtime.get("by") else ""
        lag = (
            tr(", dispatch tick {lag:.0f} ms behind", lag=runtime["tick_lag"] * 1000)
            if runtime.get("tick_lag") is not None
            else ""
        )
        halted = (
            tr(". Nothing starts: {reason}", reason=sanitize(runtime["halted"]))
            if runtime.get("halted")
            else ""
        )
        text = tr(
            "pid {pid}{by}, up {age}{lag}{halted}",
            pid=runtime["pid"],
            by=by,
            age=up,
            lag=lag,
            halted=halted,
        )
        return "paused" if halted else "running", text
    if state == "stopped":
        person = sanitize(runtime.get("stopped_by") or "")
        cure = sanitize(runtime.get("cure") or tr("Start it: taskdeck serve --detach"))
        text = (
            tr("stopped by {person} {age} ago. {cure}", person=person, age=up, cure=cure)
            if person
            else tr("stopped {age} ago. {cure}", age=up, cure=cure)
        )
        return "stopped", text
    if state == "copy":
        return "none", tr("none; this is a replica, {age} old", age=up)
    if state == "none" and runtime.get("cure"):
        return "none", tr("none. {cure}", cure=sanitize(runtime["cure"]))
    return "none", tr("none; the first submit starts one") if state == "none" else sanitize(state)


def count_local_runs(status: dict[str, Any]) -> int:
    """Return the number of running tasks of this machine: others are jobs of Slurm."""
    outer = [pool.get("outer") or {} for pool in status["pools"]]
    handed_over = sum(use.get("running", 0) + use.get("waiting", 0) for use in outer)
    return max(0, status["counts"].get("running", 0) - handed_over)


def _format_keeper(keeper: dict[str, Any], home: str, running: int) -> tuple[str, str]:
    if not keeper.get("pid"):
        text = tr_n(
            running,
            "running; {n:,} job continues under it",
            "running; {n:,} jobs continue under it",
        )
        return ("running", text) if _is_keeper_alive(home) else ("none", tr("none"))
    return (
        "running",
        tr(
            "pid {pid}, guard {guard}, {jobs}",
            pid=keeper["pid"],
            guard=keeper["guard_pid"] or units.MISSING,
            jobs=_format_jobs(running),
        ),
    )


def _is_keeper_alive(home: str) -> bool:
    """Return True if a keeper of any version holds its lock.

    The check works without a runtime.
    """
    import os

    run = os.path.join(home, "run")
    try:
        names = os.listdir(run)
    except OSError:
        return False
    return any(
        _is_locked(os.path.join(run, name))
        for name in names
        if name.startswith("keeper") and name.endswith(".lock")
    )


def _is_locked(path: str) -> bool:
    import fcntl

    try:
        with open(path, "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _format_jobs(running: int) -> str:
    return tr_n(running, "{n:,} job", "{n:,} jobs")


def _format_database(database: dict[str, Any]) -> tuple[str, str]:
    state = database["state"]
    return (
        "running" if state == "ok" else "failed",
        f"{units.format_bytes(database['size'])}, {tr('ok') if state == 'ok' else sanitize(state)}",
    )


def _format_backup(backup: dict[str, Any] | None) -> Span:
    """Return `; backup 41m ago, verified`, or nothing if backups are off."""
    if backup is None:
        return "", ""
    if backup.get("gone"):
        reason = sanitize(backup["gone"])
        return (
            tr("; backup none: {reason}", reason=reason)
            if "folder" in backup["gone"]
            else tr("; backup lost: {reason}", reason=reason),
            "warn",
        )
    if backup["at"] is None:
        return tr("; no backups yet"), ""
    age = units.format_age(time_format.seconds_since(backup["at"]))
    return (
        (tr("; backup {age} ago, late", age=age), "warn")
        if backup["late"]
        else (tr("; backup {age} ago, verified", age=age), "")
    )


def _format_replica(replica: dict[str, Any] | None) -> list[Line]:
    """Return the age of the replica and its problem; no line without a replica."""
    if replica is None or replica["target"] is None:
        return []
    age = format_age_and_missed(replica)
    text = f"{sanitize(replica['target'])}, {age}{tr(', late') if replica['late'] else ''}"
    problem = f": {sanitize(replica['problem'])}" if replica["problem"] else ""
    return [
        [
            *_format_fact(tr("replica"), "firing" if replica["late"] else "running", text),
            (problem, "warn"),
        ]
    ]


def _format_counts(status: dict[str, Any]) -> Line:
    counts, today = status["counts"], status["today"]
    shown = [word for word in _COUNTED_STATES if counts.get(word) or word in ("running", "queued")]
    text = "  ".join(f"{tr(word)} {counts.get(word, 0):,}" for word in shown)
    return [
        (f"  {text}   ", ""),
        (tr("today {ok:,} ok, {failed:,} failed", ok=today["ok"], failed=today["failed"]), "dim"),
    ]


def _format_queue_row(queue: dict[str, Any]) -> list[Span]:
    name, running, waiting, oldest, _, (_, style), pool = queues.format_queue_row(queue)
    return [name, running, waiting, oldest, (_format_queue_state(queue), style), pool]


def _format_queue_state(queue: dict[str, Any]) -> str:
    word = queue.get("word") or queue["status"]
    if word == "no room":
        return tr("no room in pool {pool}", pool=sanitize(queue["pool"]))
    by = queue.get("status_by")
    return (
        tr("{state} by {person}", state=queues.name_state(word), person=sanitize(by))
        if by and queue["status"] != "active" and word == queue["status"]
        else sanitize(queues.name_state(word))
    )


def _format_pools(found: list[dict[str, Any]]) -> tuple[list[Column], list[list[Span]]]:
    """Return the table of pools; show named resources and states only if there are any."""
    rows = [_format_pool_row(pool) for pool in found]
    hidden = set() if any(pool["status"] != "active" for pool in found) else {"STATE"}
    if not any(row[-2][0] for row in rows):
        hidden.add("RESOURCES")
    shown = [i for i, column in enumerate(POOL_COLUMNS) if column.title not in hidden]
    return [POOL_COLUMNS[i] for i in shown], [[row[i] for i in shown] for row in rows]


def _format_shared(found: list[dict[str, Any]]) -> tuple[list[Column], list[list[Span]]]:
    """Return the table of the resources that all pools share."""
    rows = [[(sanitize(one["name"]), ""), (f"{one['used']}/{one['total']}", "")] for one in found]
    return [Column("SHARED", least=8, first=True), Column("RESERVED")], rows


def _format_pool_row(pool: dict[str, Any]) -> list[Span]:
    measured, memory = pool.get("measured_cpu"), pool.get("measured_memory")
    if pool.get("kind") == SLURM:
        return [
            (sanitize(pool["name"]), ""),
            *((units.MISSING, ""),) * 4,
            (pools.format_outer_use(pool), ""),
            styles.format_pool_state(sanitize(pool["status"])),
        ]
    return [
        (sanitize(pool["name"]), ""),
        (units.format_cpu_pair(pool["used_cpu"], pool["total_cpu"]), ""),
        (units.format_cpu(measured), ""),
        (units.format_memory_pair(pool["used_memory"], pool["total_memory"]), ""),
        (units.format_memory(memory), ""),
        (pools.format_named_use(pool), ""),
        styles.format_pool_state(sanitize(pool["status"])),
    ]


def _add_arguments(parser: Parser) -> None:
    parser.add_option(
        "--line",
        action="store_true",
        help="print one short line for a status bar: 7r 22q 1! tick 3ms",
    )
    parser.add_option("--tmux", action="store_true", help="with --line: use tmux colours")
    parser.add_option(
        "--check",
        action="store_true",
        help="exit 1 if no runtime is running or an unacknowledged critical alert fires",
    )
    parser.add_option(
        "--here",
        action="store_true",
        help="with --check: exit 3 unless the runtime runs on this host; alerts do not count",
    )
    parser.add_option("--watch", action="store_true", help="refresh after every change")
    add_json_options(parser)


EXAMPLES = """\
  taskdeck status --check || mail -s taskdeck ann
  taskdeck status --watch
  set -g status-right '#(taskdeck status --line --tmux)'     (in tmux.conf)"""

COMMANDS = {
    "status": Command(
        "show runtime, queues, pools and alerts", show_status, _add_arguments, EXAMPLES
    )
}
