"""What a shell may complete at the end of a line: names and numbers of what there is now, asked of the runtime, quickly or not at all.

The scripts of `taskdeck completion` call this with the kind that is wanted and the words of the line, the last being the one that is
completed. It prints a candidate a line, a tab and what it is; it never prints an error, and never starts a runtime.
"""

from __future__ import annotations

import os

from app.cli import output, styles
from app.cli.commands import selection
from app.core.text import units
from app.core.text.sanitize import clean, cut
from db.states import ENDED, ordered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Call = Callable[..., Any]
    Found = Iterator[tuple[str, str]]

PATIENCE = 0.5
"""Seconds that a person who pressed tab is kept waiting."""
MOST = 100

_STATES = {**selection.STATES, "pause": ("running",), "resume": ("running",), "wait": selection.STATES["cancel"], "retry": ordered(ENDED)}
"""Which tasks a verb can do something with; the others take any."""


def complete(given: list[str]) -> int:
    """Print the candidates of a kind: SHELL KIND WORD…"""
    import signal

    def late(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        found = _candidates(given)
    except Exception:
        found = []  # whatever it is, the line that is being typed is no place to say it
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    output.raw("".join([f"{value}\t{what}\n" for value, what in found]).encode("utf-8", "replace"))
    return 0


def _candidates(given: list[str]) -> list[tuple[str, str]]:
    shell, kind, *words = given
    words = [unquoted(word) if shell == "bash" else word for word in _of_ours(words)]
    from app import client, paths

    line = client.connect(paths.home_from(_home(words)))
    if line is None:
        return []
    try:
        found = [pair for pair in _found(kind, words, lambda verb, /, **args: line.ask(verb, args, None)) if _typeable(pair[0])]
    finally:
        line.close()
    current = words[-1].partition("=")[2] if words[-1][:2] == "--" and "=" in words[-1] else words[-1]
    shown = [(value, cut(clean(what), 60)) for value, what in found if value.startswith(current)]
    return [(quoted(value, given[-1]), what) for value, what in shown] if shell == "bash" else shown


def _of_ours(words: list[str]) -> list[str]:
    """The words after the program; before it may stand others (`sudo`, a pipe)."""
    at = [at for at, word in enumerate(words[:-1]) if os.path.basename(word) == "taskdeck"]
    return words[at[-1] + 1 :] if at else words[1:]


def _home(words: list[str]) -> str | None:
    """The home that the line names."""
    for at, word in enumerate(words[:-1]):
        name, sign, value = word.partition("=")
        if name == "--home":
            return os.path.expanduser(value if sign else words[at + 1])
    return None


def _typeable(value: str) -> bool:
    return value.isprintable() and clean(value) == value


def _found(kind: str, words: list[str], call: Call) -> Found:
    """Candidates of a kind, and what they are."""
    if kind.startswith("task"):
        return _tasks(kind.partition(":")[2], words, call)
    if kind == "parameter":
        return _parameters(words, call)
    if kind == "template" and _template(words[:-1]) is not None:
        return iter(())
    return _NAMED[kind](call)


def _tasks(verb: str, words: list[str], call: Call) -> Found:
    """Numbers of tasks that the verb can do something with, newest first, less those that stand there already."""
    import json

    states = {"status": list(_STATES[verb])} if verb in _STATES else {}
    for line in json.loads(call("ls", **states, limit=MOST, brief=True)["lines"]):
        number = str(line[1])
        if number not in words[:-1]:
            yield number, f"{line[2]}, {styles.word(line[3])}"


def _queues(call: Call) -> Found:
    return ((row["name"], f"{row['current_load']}/{row['capacity']} running, {row['waiting']} waiting") for row in call("queue.ls"))


def _pools(call: Call) -> Found:
    return ((row["name"], row.get("description") or row["status"]) for row in call("pool.ls"))


def _templates(call: Call) -> Found:
    rows = (row for row in call("template.ls") if not row.get("retired_at"))
    return ((row["name"], row.get("description") or row["engine"]) for row in rows)


def _slas(call: Call) -> Found:
    return ((row["name"], "on" if row["enabled"] else "off") for row in call("sla.ls"))


def _alerts(call: Call) -> Found:
    return ((str(row["id"]), f"{row['sla']} {styles.word(row['status'])}") for row in call("alert.ls"))


def _operations(call: Call) -> Found:
    rows = (row for row in call("operations", limit=MOST) if row["undoable"])
    return ((str(row["id"]), f"{row['verb']} {row['object']}") for row in rows)


def _backups(call: Call) -> Found:
    return ((row["id"], f"{row['kind']}, {units.size(row['bytes'])}") for row in reversed(call("db.backups")))


_NAMED: dict[str, Callable[[Call], Found]] = {
    "queue": _queues,
    "pool": _pools,
    "template": _templates,
    "sla": _slas,
    "alert": _alerts,
    "operation": _operations,
    "backup": _backups,
}


def _template(words: list[str]) -> str | None:
    """The template that a submission names: the first word that is neither an option nor an option's value."""
    from app.cli import registry as verbs

    options = verbs.commands("submit")["submit"].parser("submit")._option_string_actions
    rest = iter(words[words.index("submit") + 1 :] if "submit" in words else ())
    for word in rest:
        if word == "--":
            return None
        if word[:1] != "-" or word == "-":
            return word
        if word in options and options[word].nargs is None:
            next(rest, None)
    return None


def _parameters(words: list[str], call: Call) -> Found:
    """`NAME=` for what the template takes and has not got yet; behind the sign the values, where they are few and known."""
    template = _template(words[:-1])
    if template is None:
        return
    schema = call("template.show", name=template)["parameters"] or {}
    key, sign, _ = words[-1].partition("=")
    for name, about in (schema.get("properties") or {}).items():
        about = about if isinstance(about, dict) else {}
        if sign and name == key:
            yield from ((f"{name}={value}", "") for value in _values(about))
        elif not sign and not any(word.startswith((f"{name}=", f"{name}:=")) for word in words[:-1]):
            yield f"{name}=", _about(about, name in (schema.get("required") or ()))


def _values(about: dict[str, Any]) -> list[str]:
    found = about.get("enum") or (["true", "false"] if about.get("type") == "boolean" else [])
    return [value for value in found if isinstance(value, str)]


def _about(about: dict[str, Any], needed: bool) -> str:
    kind = about.get("type", "any")
    told = [kind if isinstance(kind, str) else "any", *(["needed"] if needed else [])]
    told += [f"usually {about['default']}"] if "default" in about else []
    return ", ".join(told) + (f": {about['description']}" if about.get("description") else "")


def unquoted(word: str) -> str:
    """A word of bash as it is meant, though its quote may not be closed yet."""
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


def quoted(value: str, typed: str) -> str:
    """A value as bash wants it inserted: within the quote that was begun, else with backslashes."""
    if typed[:1] == "'":
        return value.replace("'", "'\\''")
    special = '"\\$`' if typed[:1] == '"' else " \"'\\$`&|;<>()*?[]{}!#~"
    return "".join(f"\\{sign}" if sign in special else sign for sign in value)
