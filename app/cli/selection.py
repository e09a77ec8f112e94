"""Task selection by filters: default states, confirmation and summary of results."""

from __future__ import annotations

from app.cli import output, styles
from app.core.text.joining import end_question, join_colon
from app.core.text.sanitize import sanitize, truncate
from app.core.verb_states import VERB_STATES, WAITING_STATES
from app.errors import Usage
from app.translation import tr, tr_n, tr_noop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from app.cli.context import CommandContext
    from app.cli.parser import Args

MAX_NAMED = 3
"""Maximum number of tasks named in a question, and of refusals printed."""


_VERBS = (
    tr_noop("cancel"),
    tr_noop("pause"),
    tr_noop("resume"),
    tr_noop("hold"),
    tr_noop("release"),
    tr_noop("retry"),
    tr_noop("rm"),
    tr_noop("set"),
    tr_noop("front"),
)
"""Verbs in questions and messages."""


def add_default_states(verb: str, chosen: dict[str, Any], args: Args) -> dict[str, Any]:
    """Return the filters, with the verb's default states unless states are given."""
    again = ("succeeded",) if getattr(args, "again", False) else ()
    states = ["running"] if getattr(args, "signal", None) else [*VERB_STATES[verb], *again]
    if getattr(args, "to_at", None):
        states = [*WAITING_STATES]
    if "filter" in chosen:
        named = any(word.startswith("status:") for word in chosen["filter"].split())
        return chosen if named else {"filter": f"{chosen['filter']} status:{','.join(states)}"}
    return chosen if "status" in chosen else {**chosen, "status": states}


def format_default_states(verb: str) -> str:
    """Return the default states of a verb in words."""
    return _format_states(VERB_STATES[verb])


def _format_states(states: Iterable[str]) -> str:
    """Return `failed, timed out or lost`."""
    *others, last = map(styles.format_status, states)
    return tr("{words} or {last}", words=", ".join(others), last=last) if others else last


def confirm(
    context: CommandContext, args: Args, verb: str, what: str, chosen: dict[str, Any]
) -> tuple[dict[str, Any], int | None] | None:
    """Ask for confirmation, since filters may match more than expected.

    Return the selection and the number of tasks confirmed, or None if no task matches. A confirmed
    selection excludes tasks that changed after the question; with --yes there is no number. Raise
    Usage without a confirmation. `what` begins the question: "set priority 5 on".
    """
    if args.yes:
        return chosen, None
    counts, first, as_of = _query_matches(context, chosen)
    if not counts:
        print_no_match(verb, chosen)
        return None
    if not (output.is_stdin_terminal() and output.is_stderr_terminal()):
        raise Usage(
            "this would {what} {counts}. Nothing was changed.",
            "Confirm: --yes",
            what=tr(what),
            counts=_format_counts(counts),
        )
    which = join_colon(
        f"{tr(what)} {_format_counts(counts)}", _format_tasks(first, sum(counts.values()))
    )
    if verb == "cancel" and what == verb:
        which += _format_dependents(context, chosen)
    if not output.ask_yes_no(end_question(f"{which[:1].upper()}{which[1:]}")):
        raise Usage("nothing was changed.")
    return {**chosen, "as_of": as_of}, sum(counts.values())


def _format_dependents(context: CommandContext, chosen: dict[str, Any]) -> str:
    """Return the tasks that a cancel of the chosen ones ends too, or nothing."""
    dependents = context.call("cancel.preview", select=chosen)["dependents"]
    if not dependents:
        return ""
    count = len(dependents)
    return tr_n(
        count,
        "; 1 task that depends on them is cancelled too: {tasks}",
        "; {n:,} tasks that depend on them are cancelled too: {tasks}",
        tasks=_format_tasks(dependents, count),
    )


def print_no_match(verb: str, chosen: dict[str, Any]) -> None:
    """Print that no task matches, and which states were searched."""
    if "filter" in chosen:
        return output.print_note(
            tr(
                "nothing to {verb}: no task matches {filter}",
                verb=tr(verb),
                filter=truncate(sanitize(chosen["filter"]), 200),
            )
        )
    output.print_note(
        tr(
            "nothing to {verb}: no matching task is {states}. Others: --status STATE",
            verb=tr(verb),
            states=_format_states(chosen["status"]),
        )
    )


def _query_matches(
    context: CommandContext, chosen: dict[str, Any]
) -> tuple[dict[str, int], list[dict[str, Any]], int]:
    """Return the matches per state, the first of them and the last known event."""
    if "filter" in chosen:
        found = context.call("review", **chosen)
        return (
            {state: count for state, count in found["statuses"].items() if count},
            found["first"],
            found["as_of"],
        )
    first = context.call("ls", **chosen, limit=MAX_NAMED)
    states = chosen["status"] if first["total"] else []
    if len(states) == 1:
        return {states[0]: first["total"]}, first["tasks"], first["as_of"]
    counts = {
        state: context.call("ls", **{**chosen, "status": [state]}, limit=1)["total"]
        for state in states
    }
    return (
        {state: count for state, count in counts.items() if count},
        first["tasks"],
        first["as_of"],
    )


def _format_counts(counts: dict[str, int]) -> str:
    """Return `14 tasks (12 queued, 2 running)`, or `14 queued tasks` for one state."""
    total = sum(counts.values())
    if len(counts) == 1:
        status = styles.format_status(next(iter(counts)))
        return tr_n(total, "{n:,} {status} task", "{n:,} {status} tasks", status=status)
    counts_text = ", ".join(
        f"{count:,} {styles.format_status(state)}" for state, count in counts.items()
    )
    if not counts_text:
        return tr("no tasks")
    return tr_n(total, "{n:,} task ({counts})", "{n:,} tasks ({counts})", counts=counts_text)


def _format_tasks(tasks: list[dict[str, Any]], total: int) -> str:
    names = ", ".join(
        f"#{task['number']} {truncate(sanitize(task['name']), 24)}" for task in tasks[:MAX_NAMED]
    )
    return names if total <= len(tasks[:MAX_NAMED]) else f"{names}, …"


def print_summary(done: dict[str, Any], format_row: Callable[[dict[str, Any]], str]) -> None:
    """Print the results by count on stdout, and the first notes and refusals on stderr."""
    counts: dict[str, int] = {}
    for row in done["done"]:
        result = format_row(row)
        counts[result] = counts.get(result, 0) + row.get("count", 1)
    for outcome, count in counts.items():
        output.print_line(
            tr_n(count, "{n:,} task: {outcome}", "{n:,} tasks: {outcome}", outcome=outcome)
        )
    _print_some(done.get("notes", ()))
    _print_some(refusal["message"] for refusal in done.get("refused", ()))


def print_skipped(done: dict[str, Any], confirmed_count: int) -> None:
    """Print how many confirmed tasks were skipped because they changed meanwhile."""
    told = sum(row.get("count", 1) for row in done["done"])
    told += sum(len(done.get(key, ())) for key in ("refused", "notes"))
    if (left := confirmed_count - told) > 0:
        output.print_note(
            tr_n(
                left,
                "{n:,} of the {all:,} has changed since the question; nothing was done to it.",
                "{n:,} of the {all:,} have changed since the question; nothing was done to them.",
                all=confirmed_count,
            )
        )


def _print_some(texts: Iterable[str]) -> None:
    lines = list(texts)
    for text in lines[:MAX_NAMED]:
        output.print_note(text)
    if len(lines) > MAX_NAMED:
        output.print_note(tr("and {n:,} more.", n=len(lines) - MAX_NAMED))
