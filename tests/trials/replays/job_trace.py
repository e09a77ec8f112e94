"""Recorded jobs of a machine, from a Standard Workload Format or a Slurm accounting file.

The Standard Workload Format (Feitelson, Parallel Workloads Archive) has 18 numbers a line, and a
header of `;` lines; -1 is unknown. Slurm accounting is the output of `sacct --parsable2`, with the
names of its columns in the first line, or the 26 columns that XDMoD collects, without names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isfinite

from app.core.scheduling.amounts import Amounts, can_fit
from app.core.scheduling.resources import CPU, MEMORY
from app.core.text.units import parse_duration, parse_size, quote
from tests.trials.replays.replay import TraceJob

SWF_COLUMNS = 18
XDMOD_COLUMNS = (
    "jobid", "jobidraw", "cluster", "partition", "qos", "account", "group", "gid", "user", "uid",
    "submit", "eligible", "start", "end", "elapsed", "exitcode", "state", "nnodes", "ncpus",
    "reqcpus", "reqmem", "reqtres", "alloctres", "timelimit", "nodelist", "jobname",
)  # fmt: skip
"""Columns that XDMoD asks sacct for, in its order and without a header."""
NEEDED_COLUMNS = "JobID,Submit,Start,End,NCPUS,ReqMem,AllocTRES,Timelimit"
UNKNOWN = frozenset({"", "unknown", "none", "unlimited", "partition_limit", "invalid", "n/a"})

NEVER_RAN = "never ran"
NO_CORES = "named no number of processors"
NOT_ENDED = "had not ended"
JOB_STEP = "ran as a step of a job"
TOO_LARGE = "needed more than the machine has"

_PER_CPU = 0x80000000
"""Flag in `ReqMem` that Slurm prints as part of the number: `2147486648Mn` is 3000 MiB per CPU."""


class TraceError(ValueError):
    """A file that is no trace; the message names the line."""


@dataclass(slots=True)
class Skipped:
    """Jobs left out for one reason, and the line of the first one."""

    count: int
    first_line: int


@dataclass(slots=True)
class Trace:
    """Jobs of a file, the processors named in its header (None: not named), and jobs left out."""

    jobs: list[TraceJob] = field(default_factory=list[TraceJob])
    lines: list[int] = field(default_factory=list[int])
    """Line of each job."""
    cpu: float | None = None
    has_priorities: bool = False
    skipped: dict[str, Skipped] = field(default_factory=dict[str, Skipped])
    _shared: dict[tuple[tuple[str, float], ...], Amounts] = field(
        default_factory=dict[tuple[tuple[str, float], ...], Amounts]
    )

    def add(self, line: int, job: TraceJob) -> None:
        """Add a job; jobs with equal needs share one mapping."""
        needs = self._shared.setdefault(tuple(job.needs.items()), job.needs)
        self.jobs.append(TraceJob(job.number, job.submit, job.run, job.limit, needs, job.priority))
        self.lines.append(line)

    def skip(self, line: int, reason: str) -> None:
        """Count a job that is left out."""
        self.skipped.setdefault(reason, Skipped(0, line)).count += 1


def read_trace(lines: Iterable[str]) -> Trace:
    """Return the jobs of a file. Raise TraceError."""
    trace, read = Trace(), None
    for number, line in enumerate(lines, 1):
        text = line.rstrip("\r\n")
        if not text.strip():
            continue
        if text.lstrip().startswith(";"):
            _read_header(trace, text)
            continue
        try:
            if read is None:
                read = _choose_reader(text)
                if read is not _read_swf_job and _is_slurm_header(text):
                    continue
            read(trace, number, text)
        except ValueError as wrong:
            raise TraceError(f"line {number}: {wrong}") from None
    if read is None:
        raise TraceError("the file has no jobs")
    return trace


def fit_jobs(trace: Trace, totals: Amounts) -> list[TraceJob]:
    """Return the jobs that fit a machine, with their needs of its resources; skip the others."""
    found: list[TraceJob] = []
    reduced: dict[int, Amounts] = {}
    for job, line in zip(trace.jobs, trace.lines, strict=True):
        needs = reduced.get(id(job.needs))
        if needs is None:
            needs = {name: job.needs.get(name, 0.0) for name in totals}
            reduced[id(job.needs)] = needs
        if all(can_fit(need, totals[name]) for name, need in needs.items()):
            found.append(TraceJob(job.number, job.submit, job.run, job.limit, needs, job.priority))
        else:
            trace.skip(line, TOO_LARGE)
    return found


Reader = Callable[[Trace, int, str], None]


def _choose_reader(text: str) -> Reader:
    if "|" not in text:
        return _read_swf_job
    names = text.lower().split("|")
    if not _is_slurm_header(text):
        if len(names) != len(XDMOD_COLUMNS):
            raise ValueError(
                "the names of the columns are missing; run sacct without --noheader, with"
                f" --format={NEEDED_COLUMNS}"
            )
        names = XDMOD_COLUMNS
    return _SlurmReader(names).read_job


def _is_slurm_header(text: str) -> bool:
    return "submit" in text.lower().split("|")


def _read_header(trace: Trace, text: str) -> None:
    """Take the processors: `MaxProcs`, or `MaxNodes` where that is not known."""
    name, _, value = text.lstrip("; \t").partition(":")
    if name.strip() not in ("MaxProcs", "MaxNodes"):
        return
    words = value.split()
    number = float(words[0]) if words and words[0].isdigit() else 0.0
    if number > 0 and (trace.cpu is None or name.strip() == "MaxProcs"):
        trace.cpu = number


def _read_swf_job(trace: Trace, line: int, text: str) -> None:
    """Read a job: the larger of requested and allotted processors, requested memory and time."""
    words = text.split()
    if len(words) < SWF_COLUMNS:
        raise ValueError(f"{SWF_COLUMNS} columns expected, {len(words)} found: {quote(text)}")
    number, submit, run, allotted, requested, limit, memory = (
        _parse_number(words, column) for column in (1, 2, 4, 5, 8, 9, 10)
    )
    cores = max(allotted, requested)
    if run <= 0:
        return trace.skip(line, NEVER_RAN)
    if cores <= 0:
        return trace.skip(line, NO_CORES)
    needs = {CPU: cores, MEMORY: max(memory, 0.0) * cores / 1024}
    return trace.add(line, TraceJob(int(number), submit, run, limit if limit > 0 else None, needs))


def _parse_number(words: Sequence[str], column: int) -> float:
    try:
        number = float(words[column - 1])
    except ValueError:
        number = float("nan")
    if not isfinite(number):
        raise ValueError(f"column {column} must be a number, not {quote(words[column - 1])}")
    return number


class _SlurmReader:
    """Reader of the lines of a Slurm accounting file with certain columns."""

    def __init__(self, names: Sequence[str]) -> None:
        self._column = {name: at for at, name in enumerate(names)}
        self._count = len(names)
        for needed in (("jobid", "jobidraw"), ("submit",), ("start",), ("end", "elapsed")):
            if not self._column.keys() & set(needed):
                missing = " or ".join(needed)
                raise ValueError(
                    f"the column {missing} is missing; run sacct with --format={NEEDED_COLUMNS}"
                )
        if not self._column.keys() & {"alloctres", "alloccpus", "ncpus", "reqcpus"}:
            raise ValueError(f"no column has the cores; run sacct with --format={NEEDED_COLUMNS}")

    def read_job(self, trace: Trace, line: int, text: str) -> None:
        """Read a job; job steps, such as `42.batch`, are no jobs."""
        fields = text.split("|")
        if len(fields) != self._count:
            raise ValueError(f"{self._count} columns expected, {len(fields)} found: {quote(text)}")
        row = {name: fields[at].strip() for name, at in self._column.items()}
        job_id = row.get("jobidraw") or row.get("jobid", "")
        if "." in job_id:
            return trace.skip(line, JOB_STEP)
        submit, start = _parse_time(row, "submit"), _parse_time(row, "start")
        end = _parse_time(row, "end") if "end" in row else None
        if start is None or submit is None:
            return trace.skip(line, NEVER_RAN)
        if "end" in row and end is None:
            return trace.skip(line, NOT_ENDED)
        run = _parse_span(row, "elapsed") if end is None else end - start
        if not run or run <= 0:
            return trace.skip(line, NEVER_RAN)
        needs = _read_needs(row)
        if needs[CPU] <= 0:
            return trace.skip(line, NO_CORES)
        priority = _parse_priority(row)
        trace.has_priorities |= priority is not None
        return trace.add(
            line,
            TraceJob(
                _parse_job_number(job_id),
                submit,
                run,
                _parse_span(row, "timelimit") or None,
                needs,
                priority or 0.0,
            ),
        )


def _parse_job_number(job_id: str) -> int:
    """Return the number of `42`, `42_7` (a job of an array) or `42+1` (a part of a job)."""
    digits = job_id.partition("_")[0].partition("+")[0]
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"the job id must begin with a number, not {quote(job_id)}")
    return int(digits)


def _parse_time(row: Mapping[str, str], name: str) -> float | None:
    """Return the seconds of a wall time as if it were UTC; the differences count."""
    text = row[name]
    if text.lower() in UNKNOWN:
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise ValueError(f"{name} must be a time, not {quote(text)}") from None


def _parse_span(row: Mapping[str, str], name: str) -> float | None:
    """Return the seconds of `1-02:00:00`, `02:00:00` or `30:00`, or None if unknown."""
    text = row.get(name, "")
    if text.lower() in UNKNOWN:
        return None
    try:
        return parse_duration(f"0:{text}" if text.count(":") == 1 else text)
    except ValueError as wrong:
        raise ValueError(f"{name} {wrong}") from None


def _parse_priority(row: Mapping[str, str]) -> float | None:
    text = row.get("priority", "")
    return float(text) if text.isascii() and text.isdigit() else None


def _read_needs(row: Mapping[str, str]) -> Amounts:
    """Return the allotted resources, else the requested ones.

    `gres/gpu` is `gpu`, and `license/matlab` is `license.matlab`.
    """
    given = _parse_tres(row.get("alloctres", "")) or _parse_tres(row.get("reqtres", ""))
    needs = {
        name.removeprefix("gres/").replace("license/", "license."): _parse_amount(name, text)
        for name, text in given.items()
        if name == CPU or name.startswith(("gres/", "license/"))
    }
    if CPU not in needs:
        counts = (row.get(name, "") for name in ("alloccpus", "ncpus", "reqcpus"))
        needs[CPU] = next((float(text) for text in counts if text.isdigit()), 0.0)
    memory = given.get("mem")
    requested = row.get("reqmem", "")
    needs[MEMORY] = (
        _parse_memory(memory)
        if memory
        else _parse_requested_memory(requested, needs[CPU], row.get("nnodes", ""))
    )
    return needs


def _parse_tres(text: str) -> dict[str, str]:
    """Return {resource: amount} of `cpu=8,mem=24000M,gres/gpu=2`."""
    parts = (part.partition("=") for part in text.split(","))
    return {name.strip().lower(): amount.strip() for name, sign, amount in parts if sign}


def _parse_amount(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} must be a number, not {quote(text)}") from None


def _parse_memory(text: str) -> float:
    try:
        return parse_size(text)
    except ValueError as wrong:
        raise ValueError(f"memory {wrong}") from None


def _parse_requested_memory(text: str, cores: float, nodes: str) -> float:
    """Return the MiB of `ReqMem`: `4000Mc` is for each CPU, `4000Mn` for each node, `4G` in all."""
    if text.lower() in UNKNOWN | {"0"}:
        return 0.0
    amount = text.rstrip("cn")
    if amount[:-1].isdigit() and int(amount[:-1]) >= _PER_CPU:
        return _parse_memory(f"{int(amount[:-1]) - _PER_CPU}{amount[-1]}") * cores
    mib = _parse_memory(amount)
    if text.endswith("c"):
        return mib * cores
    return mib * (float(nodes) if text.endswith("n") and nodes.isdigit() else 1.0)
