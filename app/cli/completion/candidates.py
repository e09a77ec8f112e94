"""Completion candidates. The runtime supplies them quickly or not at all.

The scripts of `taskdeck completion` pass the kind and the words of the line; the last word is being
completed. Each line printed is a candidate, a tab and a description. Errors are never printed, and
no runtime is ever started.
"""

from __future__ import annotations

import os

from app.cli import output, styles
from app.core.text import units
from app.core.text.sanitize import sanitize, truncate
from app.core.verb_states import VERB_STATES
from db.states import ENDED, list_states

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Call = Callable[..., Any]
    Candidates = Iterator[tuple[str, str]]

TIMEOUT = 0.5
"""Seconds to wait for candidates."""
MAX_CANDIDATES = 100

_STATES = {**VERB_STATES, "wait": VERB_STATES["cancel"], "retry": list_states(ENDED)}
"""States of the tasks a command applies to; other commands take any task."""


def print_candidates(words: list[str]) -> int:
    """Print the candidates for the arguments SHELL KIND WORD…."""
    import signal

    def late(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, TIMEOUT)
    try:
        found = _find_candidates(words)
    except Exception:
        found = []  # an error message would garble the line being typed
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    output.write_bytes(
        "".join([f"{value}\t{what}\n" for value, what in found]).encode("utf-8", "replace")
    )
    return 0


def _find_candidates(given: list[str]) -> list[tuple[str, str]]:
    shell, kind, *words = given
    words = [unquote_bash(word) if shell == "bash" else word for word in _strip_program(words)]
    from app import client, paths

    line = client.connect(paths.resolve_home(_find_home(words)))
    if line is None:
        return []
    try:
        found = [
            pair
            for pair in _query_kind(kind, words, lambda verb, /, **args: line.ask(verb, args, None))
            if _is_typeable(pair[0])
        ]
    finally:
        line.close()
    current = (
        words[-1].partition("=")[2] if words[-1][:2] == "--" and "=" in words[-1] else words[-1]
    )
    shown = [
        (value, truncate(sanitize(what), 60)) for value, what in found if value.startswith(current)
    ]
    return (
        [(quote_bash(value, given[-1]), what) for value, what in shown]
        if shell == "bash"
        else shown
    )


def _strip_program(words: list[str]) -> list[str]:
    """Return the words after the program, which may follow others (`sudo`, a pipe)."""
    at = [at for at, word in enumerate(words[:-1]) if os.path.basename(word) == "taskdeck"]
    return words[at[-1] + 1 :] if at else words[1:]


def _find_home(words: list[str]) -> str | None:
    for at, word in enumerate(words[:-1]):
        name, sign, value = word.partition("=")
        if name == "--home":
            return os.path.expanduser(value if sign else words[at + 1])
    return None


def _is_typeable(value: str) -> bool:
    return value.isprintable() and sanitize(value) == value


def _query_kind(kind: str, words: list[str], call: Call) -> Candidates:
    if kind.startswith("task"):
        return _list_tasks(kind.partition(":")[2], words, call)
    if kind == "parameter":
        return _list_parameters(words, call)
    if kind == "template" and _find_template(words[:-1]) is not None:
        return iter(())
    return _LISTERS[kind](call)


def _list_tasks(verb: str, words: list[str], call: Call) -> Candidates:
    """Yield numbers of tasks the command applies to, in the order of `ls`.

    Those already typed are left out.
    """
    import json

    states = {"status": list(_STATES[verb])} if verb in _STATES else {}
    for line in json.loads(call("ls", **states, limit=MAX_CANDIDATES, brief=True)["lines"]):
        number = str(line[1])
        if number not in words[:-1]:
            yield number, f"{line[2]}, {styles.format_status(line[3])}"
    for group in call("group.ls", recent=True, limit=MAX_CANDIDATES):
        if group["group"] not in words[:-1]:
            yield group["group"], f"{group['name']}, {group['ended']}/{group['total']}"


def _list_queues(call: Call) -> Candidates:
    return (
        (row["name"], f"{row['current_load']}/{row['capacity']} running, {row['waiting']} waiting")
        for row in call("queue.ls")
    )


def _list_pools(call: Call) -> Candidates:
    return ((row["name"], row.get("description") or row["status"]) for row in call("pool.ls"))


def _list_limits(call: Call) -> Candidates:
    return ((row["name"], row.get("description") or "") for row in call("limit.ls"))


def _list_shared_resources(call: Call) -> Candidates:
    return ((row["name"], f"{row['used']}/{row['total']}") for row in call("resource.ls"))


def _list_reservations(call: Call) -> Candidates:
    return ((row["name"], f"pool {row['pool']} for {row['tag']}") for row in call("reserve.ls"))


def _list_templates(call: Call) -> Candidates:
    rows = (row for row in call("template.ls", brief=True) if not row.get("retired_at"))
    return ((row["name"], row.get("description") or row["engine"]) for row in rows)


def _list_schedules(call: Call) -> Candidates:
    return ((row["name"], f"{row['state']}, {row['words']}") for row in call("schedule.ls"))


def _list_slas(call: Call) -> Candidates:
    return ((row["name"], "on" if row["enabled"] else "off") for row in call("sla.ls"))


def _list_alerts(call: Call) -> Candidates:
    return (
        (str(row["id"]), f"{row['sla']} {styles.format_status(row['status'])}")
        for row in call("alert.ls")
    )


def _list_silences(call: Call) -> Candidates:
    return ((row["id"], row["words"]) for row in call("alert.silences"))


def _list_operations(call: Call) -> Candidates:
    rows = (row for row in call("operations", limit=MAX_CANDIDATES) if row["undoable"])
    return ((str(row["id"]), f"{row['verb']} {row['object']}") for row in rows)


def _list_backups(call: Call) -> Candidates:
    return (
        (row["id"], f"{row['kind']}, {units.format_bytes(row['bytes'])}")
        for row in reversed(call("db.backups"))
    )


_LISTERS: dict[str, Callable[[Call], Candidates]] = {
    "queue": _list_queues,
    "pool": _list_pools,
    "limit": _list_limits,
    "resource": _list_shared_resources,
    "reserve": _list_reservations,
    "template": _list_templates,
    "schedule": _list_schedules,
    "sla": _list_slas,
    "alert": _list_alerts,
    "silence": _list_silences,
    "operation": _list_operations,
    "backup": _list_backups,
}


def _find_template(words: list[str]) -> str | None:
    """Return the template of a submission: the first word that belongs to no option."""
    from app.cli import registry as verbs

    options = verbs.load_commands("submit")["submit"].make_parser("submit")._option_string_actions
    rest = iter(words[words.index("submit") + 1 :] if "submit" in words else ())
    for word in rest:
        if word == "--":
            return None
        if word[:1] != "-" or word == "-":
            return word
        if word in options and options[word].nargs is None:
            next(rest, None)
    return None


def _list_parameters(words: list[str], call: Call) -> Candidates:
    """Yield `NAME=` for missing parameters, and known values after the equals sign."""
    template = _find_template(words[:-1])
    if template is None:
        return
    schema = call("template.show", name=template)["parameters"] or {}
    key, sign, _ = words[-1].partition("=")
    for name, about in (schema.get("properties") or {}).items():
        about = about if isinstance(about, dict) else {}
        if sign and name == key:
            yield from ((f"{name}={value}", "") for value in _list_values(about))
        elif not sign and not any(
            word.startswith((f"{name}=", f"{name}:=")) for word in words[:-1]
        ):
            yield f"{name}=", _describe_parameter(about, name in (schema.get("required") or ()))


def _list_values(about: dict[str, Any]) -> list[str]:
    found = about.get("enum") or (["true", "false"] if about.get("type") == "boolean" else [])
    return [value for value in found if isinstance(value, str)]


def _describe_parameter(about: dict[str, Any], needed: bool) -> str:
    kind = about.get("type", "any")
    notes = [kind if isinstance(kind, str) else "any", *(["required"] if needed else [])]
    notes += [f"default {about['default']}"] if "default" in about else []
    return ", ".join(notes) + (f": {about['description']}" if about.get("description") else "")


def unquote_bash(word: str) -> str:
    """Return a bash word without its quoting, even if a quote is still open."""
    found, quote, at = "", "", 0
    while at < len(word):
        sign = word[at]
        if sign == "\\" and quote != "'" and at + 1 < len(word):
            at += 1
            found += word[at] if not quote or word[at] in '"\\$`' else f"\\{word[at]}"
        elif sign in ("'", '"') and quote in ("", sign):
            quote = "" if quote else sign
        else:
            found += sign
        at += 1
    return found


def quote_bash(value: str, typed: str) -> str:
    """Quote a value for bash: inside the quote already begun, else with backslashes."""
    if typed[:1] == "'":
        return value.replace("'", "'\\''")
    special = '"\\$`' if typed[:1] == '"' else " \"'\\$`&|;<>()*?[]{}!#~"
    return "".join(f"\\{sign}" if sign in special else sign for sign in value)
