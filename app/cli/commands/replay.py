"""`taskdeck replay`: run a recorded trace through the dispatch plan in virtual time.

No home is read and no runtime is needed.
"""

from __future__ import annotations

from contextlib import contextmanager
from time import monotonic

from app.cli import output
from app.cli.definition_group import format_page
from app.cli.parser import Args, Command, OneOf, Parser, add_json_options, make_type
from app.cli.submission.resources import add_resource_options, collect_resources
from app.core.scheduling.order import POLICIES, PRIORITY, parse_ageing
from app.core.scheduling.replays import job_trace
from app.core.scheduling.replays import replay as replays
from app.core.scheduling.resources import CPU, MEMORY, format_amount
from app.core.text import units
from app.core.text.sanitize import sanitize, truncate
from app.errors import NotFound, Usage
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import IO, Any

    from app.cli.context import CommandContext
    from app.core.scheduling.plan import Amounts

MAX_CORES = 100_000_000
MAX_LINE = 1 << 20
FIRST_SHOWN, SHOWN_EVERY = 1.0, 0.2
"""Seconds before the first line of progress, and between two lines."""
_STEPS = 2000
"""Lines or decisions between two looks at the clock."""


def replay_trace(context: CommandContext, args: Args) -> int:
    """Replay a trace and print its figures."""
    if len(args.files) != 1:
        raise Usage(
            "replay which file? Give one: taskdeck replay TRACE", "See: taskdeck help replay"
        )
    file = args.files[0]
    shown = tr("standard input") if file == "-" else truncate(sanitize(file), 200)
    options = replays.ReplayOptions(args.policy, args.estimates, not args.no_backfill, args.ageing)
    try:
        with _open_trace(file, shown) as source:
            trace = job_trace.read_trace(_read_lines(source))
    except job_trace.TraceError as wrong:
        if str(wrong).startswith(tr("line ")):
            raise Usage("{file}, {problem}.", file=shown, problem=wrong) from None
        raise Usage("{file}: {problem}.", file=shown, problem=wrong) from None
    totals = _choose_totals(args, trace, shown)
    jobs = job_trace.fit_jobs(trace, totals)
    if not jobs:
        raise Usage(
            "{shown} has no job to replay: {skipped}.",
            shown=shown,
            skipped="; ".join(_describe_skipped(trace)),
        )
    replay = replays.TraceReplay(jobs, totals, options)
    _run_with_progress(replay)
    answer = _make_answer(shown, trace, replay)
    if args.json or args.jsonl:
        output.print_json(answer, args.jsonl)
    else:
        output.print_lines(format_page(shown, _list_facts(answer, trace)))
    return 0


@contextmanager
def _open_trace(file: str, shown: str) -> Iterator[IO[bytes]]:
    """Open a file or standard input, decompressed if the data is that of gzip."""
    import gzip
    import io
    from contextlib import nullcontext
    from typing import cast

    try:
        with (
            nullcontext(output.open_stdin("a trace")) if file == "-" else open(file, "rb")
        ) as opened:
            source = io.BufferedReader(cast("io.RawIOBase", opened))
            is_gzip = source.peek(2)[:2] == b"\x1f\x8b"
            yield cast("IO[bytes]", gzip.GzipFile(fileobj=source) if is_gzip else source)
    except FileNotFoundError:
        raise NotFound("{shown} does not exist.", shown=shown) from None
    except job_trace.TraceError:
        raise
    except (OSError, ValueError) as error:
        why = (getattr(error, "strerror", None) or tr("invalid file name")).lower()
        raise Usage("{shown} cannot be read: {why}.", shown=shown, why=why) from None


def _read_lines(source: IO[bytes]) -> Iterator[str]:
    """Yield the lines. Raise TraceError if the data is damaged or cut off."""
    from zlib import error as damaged

    number = 0
    with _show_progress() as show:
        try:
            while line := source.readline(MAX_LINE):
                number += 1
                if number % _STEPS == 0:
                    show(tr("reading line {number:,}", number=number))
                yield line.decode("utf-8", "replace")
        except (EOFError, damaged) as error:
            text = (
                tr("line {line}: the file is cut off", line=number + 1)
                if isinstance(error, EOFError)
                else tr("line {line}: the file is damaged", line=number + 1)
            )
            raise job_trace.TraceError(text) from None
        except OSError as error:
            if error.errno is not None:
                raise
            raise job_trace.TraceError(
                tr("line {line}: the file is damaged", line=number + 1)
            ) from None


def _choose_totals(args: Args, trace: job_trace.Trace, shown: str) -> Amounts:
    """Return what the machine has: the given amounts, or the processors of the header."""
    cpu = args.cpu or trace.cpu
    if not cpu:
        most = max((job.needs[CPU] for job in trace.jobs), default=0.0)
        raise Usage(
            "{shown} does not say how many processors the machine has; the largest job has"
            " {number}.",
            "Give them: taskdeck replay --cpu N TRACE",
            shown=shown,
            number=units.format_number(most),
        )
    memory = {} if args.memory is None else {MEMORY: args.memory}
    return {CPU: float(cpu), **memory, **collect_resources(args).get("resources", {})}


def _run_with_progress(replay: replays.TraceReplay) -> None:
    total = len(replay.jobs)
    with _show_progress() as show:
        for number, _ in enumerate(replay):
            if number % _STEPS == 0:
                show(tr("replayed {done:,} of {total:,} jobs", done=replay.done, total=total))


@contextmanager
def _show_progress() -> Iterator[Callable[[str], None]]:
    """Show lines of progress in place on a terminal, from the second second on."""
    last = monotonic()
    drawn = False

    def show(text: str) -> None:
        nonlocal last, drawn
        if monotonic() - last >= (SHOWN_EVERY if drawn else FIRST_SHOWN):
            last, drawn = monotonic(), True
            output.print_progress(text)

    try:
        yield show
    finally:
        if drawn:
            output.print_progress("")


def _make_answer(shown: str, trace: job_trace.Trace, replay: replays.TraceReplay) -> dict[str, Any]:
    figures, options = replays.compute_figures(replay), replay.options
    return {
        "file": shown,
        "policy": options.policy,
        "estimates": options.estimates,
        "backfill": options.backfills,
        "ageing": options.ageing or None,
        "machine": dict(replay.totals),
        "jobs": figures.jobs,
        "mean_wait": figures.mean_wait,
        "p95_wait": figures.p95_wait,
        "longest_wait": figures.longest_wait,
        "longest_wait_job": figures.longest_number,
        "mean_bounded_slowdown": figures.mean_slowdown,
        "makespan": figures.makespan,
        "utilisation": dict(figures.utilisation),
        "without_estimate": sum(job.limit is None for job in replay.jobs),
        "has_priorities": trace.has_priorities,
        "skipped": [
            {"reason": reason, "jobs": one.count, "first_line": one.first_line}
            for reason, one in trace.skipped.items()
        ],
    }


def _list_facts(answer: dict[str, Any], trace: job_trace.Trace) -> list[tuple[str, str]]:
    used = (
        tr("{share:.1f} % of {resource}", share=100 * share, resource=_name_resource(name))
        for name, share in answer["utilisation"].items()
    )
    return [
        (
            tr("jobs"),
            tr("{n:,} in {time}", n=answer["jobs"], time=units.format_duration(answer["makespan"])),
        ),
        (tr("machine"), _describe_machine(answer["machine"])),
        (tr("policy"), _describe_policy(answer)),
        (tr("mean wait"), units.format_duration(answer["mean_wait"])),
        (tr("p95 wait"), units.format_duration(answer["p95_wait"])),
        (
            tr("longest wait"),
            tr(
                "{wait}, job {job}",
                wait=units.format_duration(answer["longest_wait"]),
                job=answer["longest_wait_job"],
            ),
        ),
        (
            tr("slowdown"),
            tr("{mean:,.2f} (mean of bounded slowdowns)", mean=answer["mean_bounded_slowdown"]),
        ),
        (tr("utilisation"), ", ".join(used)),
        (tr("skipped"), "\n".join(_describe_skipped(trace)) or tr("none")),
    ]


def _describe_machine(totals: Amounts) -> str:
    return ", ".join(
        f"{format_amount(name, amount)} {_name_resource(name)}" for name, amount in totals.items()
    )


def _name_resource(name: str) -> str:
    return tr("cores") if name == CPU else sanitize(name)


def _describe_policy(answer: dict[str, Any]) -> str:
    estimates = (
        tr("perfect estimates")
        if answer["estimates"] == replays.PERFECT
        else tr("users' estimates")
    )
    lines = [f"{answer['policy']}, {estimates}"]
    if not answer["backfill"]:
        lines[0] += tr(", no backfill")
    if answer["ageing"]:
        lines[0] += tr(", ageing {time}", time=units.format_duration_setting(answer["ageing"]))
    if answer["policy"] == PRIORITY and not answer["has_priorities"]:
        lines.append(tr("the trace has no priorities, so tasks start in order of submission"))
    if answer["estimates"] == replays.USER and answer["without_estimate"]:
        lines.append(
            tr(
                "{n:,} jobs have no estimate; their run time takes its place",
                n=answer["without_estimate"],
            )
        )
    return "\n".join(lines)


def _describe_skipped(trace: job_trace.Trace) -> list[str]:
    return [
        tr("{n:,} {reason}, first in line {line}", n=one.count, reason=reason, line=one.first_line)
        for reason, one in trace.skipped.items()
    ]


def _add_arguments(parser: Parser) -> None:
    parser.add_option(
        "files", nargs="*", metavar="TRACE", help="file (.swf, sacct, .gz); - is stdin"
    )
    parser.add_option(
        "--policy",
        type=OneOf(*POLICIES),
        default=PRIORITY,
        metavar="NAME",
        help="order of the tasks: priority (default), fifo or shortest",
    )
    parser.add_option(
        "--estimates",
        type=OneOf(*replays.ESTIMATES),
        default=replays.USER,
        metavar="KIND",
        help="run times that the plan expects: user (default) or perfect",
    )
    parser.add_option(
        "--ageing",
        type=make_type(parse_ageing),
        default=0.0,
        metavar="TIME",
        help="wait after which the oldest task goes first: 7d, or never (default)",
    )
    parser.add_option("--no-backfill", action="store_true", help="let no task overtake another")
    parser.add_option(
        "--cpu",
        type=make_type(units.parse_int, 1, MAX_CORES),
        metavar="N",
        help="processors of the machine (default: from the header)",
    )
    parser.add_option(
        "--memory",
        type=make_type(units.parse_size),
        metavar="SIZE",
        help="memory of the machine (default: memory does not count)",
    )
    add_resource_options(parser.add_option, "give the machine")
    add_json_options(parser)


COMMANDS = {
    "replay": Command(
        "run a recorded job trace through the plan in virtual time",
        replay_trace,
        _add_arguments,
        "  taskdeck replay log.swf.gz --policy shortest\n"
        "  sacct --allusers --parsable2 --format=JobID,Submit,Start,End,NCPUS,Timelimit |\n"
        "    taskdeck replay - --cpu 64\n"
        "  taskdeck help replay",
    )
}
