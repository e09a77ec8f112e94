"""The runs of a home as its keeper's journal and their logs show them, without a database: what a restore has when that is damaged."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from app import paths
from db.queries.transitions import MAX_NUMBER
from db.restore.adopt_runs import UNKNOWN_NAME, ObservedRun

Records = dict[str, dict[str, Any]]
"""The records of one run, by their letter; `f`: it was forgotten."""
END_OF_TIME = 253402300800
"""The UNIX time of the year 10000, which no stored time has."""


def read_runs(home: Path) -> dict[str, Records]:
    """What the journal says of each run that was started or may have been, oldest file first."""
    runs: dict[str, Records] = {}
    for record in _read_records(home):
        letter = next(iter(record), "")
        if letter == "f" and isinstance(record["f"], list):
            for runid in record["f"]:
                if isinstance(runid, str) and runid in runs:
                    runs[runid]["f"] = record
        elif letter == "i" and isinstance(record["i"], str):
            runs.setdefault(record["i"], {})["i"] = record
        elif letter in ("p", "e", "s", "r", "v") and isinstance(record[letter], str) and record[letter] in runs:
            runs[record[letter]].setdefault(letter, record)
    return {runid: records for runid, records in runs.items() if not records.keys() & {"r", "v"}}


def _read_records(home: Path) -> Iterator[dict[str, Any]]:
    """All of them; what is torn, or of another shape, is passed over."""
    for file in sorted((home / "run").glob("journal*/*.log")):
        with suppress(OSError):
            for line in file.read_bytes().rstrip(b"\0").split(b"\n"):
                with suppress(ValueError, RecursionError):
                    record = json.loads(line)
                    if isinstance(record, dict):
                        yield record


def list_known_runs(home: Path) -> set[str]:
    """Runs that a keeper will tell of in its hello."""
    return {runid for runid, records in read_runs(home).items() if "f" not in records}


def read_ends(home: Path, runids: Collection[str]) -> dict[str, dict[str, Any]]:
    """How those of these runs ended that the journal still tells of, as their keeper would: it forgets what was recorded, which a
    database that was put back may lack."""
    found = read_runs(home) if runids else {}
    return {runid: end for runid in runids if (end := _build_end(runid, found.get(runid, {}))) is not None}


def _build_end(runid: str, records: dict[str, Any]) -> dict[str, Any] | None:
    """None where it is not known, or not written as it should be."""
    with suppress(KeyError, TypeError, AttributeError):
        end, began = records["e"], records["i"]["at"] if "p" in records else None
        again = end.get("again", True) and "f" not in records  # forgotten, it was stored, and later attempts may have been made
        event = {"run": runid, "code": end["code"], "signal": end["signal"], "reason": end.get("reason"), "lost": end.get("lost", False),
                 "again": again, "stop": records["s"]["reason"] if "s" in records else None, "started_at": began,
                 "at": end["at"], "run_seconds": end["seconds"], "cpu": end["cpu"], "maxrss": end["rss"]}  # fmt: skip
        numbers = (event[name] for name in ("code", "signal", "started_at", "run_seconds", "cpu", "maxrss"))
        sound = all(number is None or 0 <= number < END_OF_TIME for number in numbers) and 0 <= event["at"] < END_OF_TIME
        return event if sound else None
    return None


def list_runs(home: Path) -> list[ObservedRun]:
    """Every run that the journal knows, and those of which there is only a log. No time tells which are new: a clock may be set back."""
    runs = read_runs(home)
    found = [_build_run(runid, records) for runid, records in runs.items()]
    return found + [ObservedRun(runid) for runid in list_logs(home) if runid not in runs]


def _build_run(runid: str, records: Records) -> ObservedRun:
    end = records.get("e")
    if end is not None:
        at = end.get("at") if isinstance(end.get("at"), int | float) and 0 <= end["at"] < END_OF_TIME else None
        code = end.get("code") if isinstance(end.get("code"), int) and 0 <= end["code"] < END_OF_TIME else None
        stop = str(records["s"].get("reason")) if "s" in records else None
        lost, again = bool(end.get("lost")), bool(end.get("again", True))
        return ObservedRun(runid, told="f" not in records, end=at, code=code, lost=lost, ended=True, stop=stop, again=again)
    began = records["i"].get("at") if isinstance(records.get("i"), dict) else None
    return _build_living_run(runid, records.get("p"), began, told="f" not in records)


def build_started_run(event: dict[str, Any]) -> ObservedRun:
    """A run that its keeper says goes on."""
    return _build_living_run(event["run"], event, event["at"], told=True)


def _build_living_run(runid: str, process: dict[str, Any] | None, began: Any, told: bool) -> ObservedRun:
    """A run that has not ended as far as is known, with what its leader shows if that lives."""
    number, attempt = _read_marks(process)
    begin = began if isinstance(began, int | float) and 0 <= began < END_OF_TIME else None
    trace = ObservedRun(runid, number, told, attempt=attempt, begin=begin)
    with suppress(psutil.Error, OSError, ValueError, KeyError, TypeError):
        if process is not None and _read_start_ticks(process["pid"]) == process["ticks"]:
            leader, argv, cwd = psutil.Process(process["pid"]), (), "/"
            with suppress(psutil.Error):  # it may be another user's by now
                argv, cwd = tuple(leader.cmdline()), leader.cwd()
            return replace(trace, lives=True, argv=argv, cwd=cwd, name=_make_name(argv) if argv else UNKNOWN_NAME)
    return trace


def _make_name(argv: tuple[str, ...]) -> str:
    from app.service.tasks import submit  # which few need, and takes long to read

    return submit.make_name(argv)


def read_task_numbers(home: Path) -> Iterator[int]:
    """The numbers of the tasks whose jobs live, as those were started with them."""
    for records in read_runs(home).values():
        number, _ = _read_marks(records.get("p"))
        if number is not None:
            yield number


def _read_marks(pid: dict[str, Any] | None) -> tuple[int | None, int]:
    """The number of the task and the attempt that a living process was started with."""
    with suppress(psutil.Error, OSError, ValueError, KeyError, TypeError):
        if pid is not None and _read_start_ticks(pid["pid"]) == pid["ticks"]:
            variables = psutil.Process(pid["pid"]).environ()
            number, attempt = int(variables["TASKDECK_TASK"]), int(variables["TASKDECK_ATTEMPT"])
            if 0 < number < MAX_NUMBER and 0 < attempt < MAX_NUMBER:  # a job may write into them what it likes
                return number, attempt
    return None, 1


def _read_start_ticks(pid: int) -> int | None:
    """When a process began, in ticks after the boot; None for one that is over and that nobody has waited for."""
    told = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return None if told[0] in b"ZX" else int(told[19])


def list_logs(home: Path) -> Iterator[str]:
    """The runs of which there is a log."""
    for folder in _list_entries(home / "runs"):
        for entry in _list_entries(folder):
            if entry.name.endswith(".log"):
                yield entry.name.removesuffix(".log")


def make_started_check(home: Path) -> Callable[[str], bool]:
    """Tells whether a run with a log was started: one that is empty may be left of a start that failed, unless the journal tells of it."""
    runs = read_runs(home)
    return lambda runid: runid in runs or _is_written(Path(paths.log_path(home, runid)))


def make_possible_start_check(home: Path) -> Callable[[str], bool]:
    """Tells whether a run with a log may have been started. Many a job writes nothing, and the journal goes with its keeper: an empty log
    is left of a start that failed only where that tells so."""
    failed = {str(record[letter]) for record in _read_records(home) if (letter := next(iter(record), "")) in ("r", "v")}
    return lambda runid: runid not in failed or _is_written(Path(paths.log_path(home, runid)))


def _is_written(log: Path) -> bool:
    try:
        return log.stat().st_size > 0
    except OSError:
        return False  # removed meanwhile


def _list_entries(folder: Path) -> Iterator[Path]:
    with suppress(OSError), os.scandir(folder) as found:
        for entry in found:
            yield Path(entry.path)
