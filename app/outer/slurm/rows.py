"""Rows of `squeue` and `sinfo`.

Other programs write these rows, so each field is cut and sanitized here. Free text comes last in a
row, because it may hold the separator.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from app.core.text.sanitize import sanitize, truncate

NAME_PREFIX = "td-"
"""Beginning of the name of a job. The run id follows: the name is its identity, the id is not."""
JOB_FORMAT = "%j|%i|%T|%N|%S|%r"
"""Name, id, state, nodes, start or expected start, reason."""
NODE_FORMAT = "%N|%T|%E"
"""Name, state, reason."""

_MAX_FIELD = 200
_MAX_REASON = 300
_STATE_MARKS = "*~#!%$@^-+"
"""Marks that sinfo puts behind a state, such as `*`: the node does not respond."""
_JOB = re.compile("[0-9]{1,10}")
_NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class JobRow(NamedTuple):
    """One job of a run, as squeue shows it."""

    job: str
    state: str
    node: str
    start: float | None
    """UNIX time of the start; while the job waits, the start that Slurm expects."""
    reason: str


class NodeRow(NamedTuple):
    """One node, as sinfo shows it."""

    name: str
    state: str
    reason: str
    """Reason of an operator or of Slurm; "" if none is given."""
    responds: bool = True


def make_name(runid: str) -> str:
    """Return the name of the jobs of a run."""
    return f"{NAME_PREFIX}{runid}"


def group_lines(output: str) -> dict[str, tuple[str, ...]]:
    """Return the lines of squeue by run id, unparsed: most lines equal those of the last poll."""
    found: dict[str, tuple[str, ...]] = {}
    for line in output.split("\n"):
        if line.startswith(NAME_PREFIX):
            runid = line[len(NAME_PREFIX) : line.find("|")]
            found[runid] = (*found.get(runid, ()), line)
    return found


def parse_jobs(lines: Iterable[str]) -> tuple[JobRow, ...]:
    """Parse lines in `JOB_FORMAT`. Skip lines of another form."""
    rows = []
    for line in lines:
        fields = line.split("|", 5)
        if len(fields) == 6 and _JOB.fullmatch(fields[1]):
            _, job, state, node, start, reason = fields
            row = JobRow(job, _clean(state), _clean(node), _parse_time(start), _clean_text(reason))
            rows.append(row)
    return tuple(rows)


def parse_nodes(output: str) -> tuple[NodeRow, ...]:
    """Parse lines in `NODE_FORMAT`. A node of several partitions counts once."""
    nodes: dict[str, NodeRow] = {}
    for line in output.split("\n"):
        fields = line.split("|", 2)
        if len(fields) == 3 and _NODE_NAME.fullmatch(fields[0]):
            name, state, reason = fields
            word = state.rstrip(_STATE_MARKS)
            reason = "" if reason == "none" else _clean_text(reason)
            nodes[name] = NodeRow(_clean(name), _clean(word), reason, "*" not in state)
    return tuple(nodes.values())


def _parse_time(text: str) -> float | None:
    return float(text) if text.isdecimal() and text.isascii() and len(text) < 12 else None


def _clean(text: str) -> str:
    return truncate(sanitize(text.strip()), _MAX_FIELD)


def _clean_text(text: str) -> str:
    return truncate(sanitize(text.strip()), _MAX_REASON)
