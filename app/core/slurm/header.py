"""`#SBATCH` lines of a batch script, as Slurm reads them.

Lines before the first command count. An option has a short name, or a long one; a unique beginning
of a long name is enough. A comment may follow.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from app.core.text.sanitize import find_nearest, sanitize, truncate
from app.translation import tr

_SHORT = {
    "A": "account", "a": "array", "b": "begin", "C": "constraint", "c": "cpus-per-task",
    "D": "chdir", "d": "dependency", "e": "error", "G": "gpus", "H": "hold", "i": "input",
    "J": "job-name", "L": "licenses", "M": "clusters", "m": "distribution", "N": "nodes",
    "n": "ntasks", "O": "overcommit", "o": "output", "p": "partition", "Q": "quiet", "q": "qos",
    "S": "core-spec", "s": "oversubscribe", "t": "time", "v": "verbose", "W": "wait",
    "w": "nodelist", "x": "exclude", "k": "no-kill", "F": "nodefile",
}  # fmt: skip
FLAGS = frozenset({
    "contiguous", "hold", "no-kill", "no-requeue", "overcommit", "parsable", "quiet", "reboot",
    "requeue", "spread-job", "test-only", "use-min-nodes", "verbose", "wait",
})  # fmt: skip
"""Options without a value."""
OPTIONAL = frozenset({"exclusive", "get-user-env", "nice", "oversubscribe", "propagate"})
"""Options whose value, if any, follows an equals sign."""
NAMES = frozenset({
    *_SHORT.values(), *FLAGS, *OPTIONAL, "acctg-freq", "bb", "bbf", "cluster-constraint",
    "comment", "container", "cores-per-socket", "cpu-freq", "cpus-per-gpu", "deadline",
    "delay-boot", "export", "export-file", "extra-node-info", "gpu-bind", "gpu-freq",
    "gpus-per-node", "gpus-per-socket", "gpus-per-task", "gres", "gres-flags", "hint",
    "kill-on-invalid-dep", "mail-type", "mail-user", "mcs-label", "mem", "mem-bind",
    "mem-per-cpu", "mem-per-gpu", "mincpus", "network", "ntasks-per-core", "ntasks-per-gpu",
    "ntasks-per-node", "ntasks-per-socket", "open-mode", "power", "prefer", "priority", "profile",
    "reservation", "segment", "signal", "sockets-per-node", "switches", "tasks-per-node",
    "thread-spec", "threads-per-core", "time-min", "tmp", "uid", "gid", "wckey", "workdir", "wrap",
})  # fmt: skip
_SAME = {"tasks-per-node": "ntasks-per-node", "workdir": "chdir"}


class Directive(NamedTuple):
    """An option of a script: its line, long name and value, and the text as written."""

    line: int
    name: str
    value: str
    text: str


class ScriptHeader(NamedTuple):
    """The options of a script, faults as (line, text), and lines that Slurm does not read."""

    directives: list[Directive]
    faults: list[tuple[int, str]]
    unread: list[int]


def read_header(text: str) -> ScriptHeader:
    """Return the options before the first command of a script."""
    found = ScriptHeader([], [], [])
    in_header = True
    for number, line in enumerate(text.split("\n"), 1):
        words = line.strip()
        if line.startswith("#SBATCH") and not in_header:
            found.unread.append(number)
        elif line.startswith("#SBATCH"):
            try:
                found.directives.extend(_read_line(number, line.removeprefix("#SBATCH")))
            except ValueError as error:
                found.faults.append((number, str(error)))
        elif words and not words.startswith("#"):
            in_header = False
    return found


def _read_line(number: int, text: str) -> Iterator[Directive]:
    try:
        words = shlex.split(text, comments=True)
    except ValueError:
        raise ValueError(tr("has a quote that does not end")) from None
    while words:
        word = words.pop(0)
        name, value = _split_word(word)
        if value is None and name not in FLAGS and name not in OPTIONAL:
            if not words:
                raise ValueError(tr("--{name} has no value", name=name))
            value = words.pop(0)
            word = f"{word} {value}"
        elif value is not None and name in FLAGS:
            raise ValueError(tr("--{name} takes no value", name=name))
        yield Directive(number, _SAME.get(name, name), value or "", truncate(sanitize(word), 60))


def _split_word(word: str) -> tuple[str, str | None]:
    """Return the long name of an option, and the value that is part of the word."""
    if word.startswith("--"):
        name, sign, value = word[2:].partition("=")
        return _complete(name), (value if sign else None)
    if word.startswith("-") and word[1:2] in _SHORT:
        name, value = _SHORT[word[1]], word[2:].removeprefix("=")
        return name, (value or None)
    raise ValueError(tr('"{word}" is no option of sbatch', word=truncate(sanitize(word), 40)))


def _complete(name: str) -> str:
    if name in NAMES:
        return name
    meant: Sequence[str] = [known for known in NAMES if re.match(re.escape(name), known) and name]
    if len(meant) == 1:
        return meant[0]
    near = find_nearest(name, NAMES)
    hint = f". Nearest: --{near}" if near else ""
    raise ValueError(
        tr(
            "--{name} is no option of sbatch{advice}",
            name=truncate(sanitize(name), 40),
            advice=hint,
        )
    )
