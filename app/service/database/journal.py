"""Runs of a home, read from the keeper's journal and the log files.

A restore uses them when the database is damaged.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from app import paths
from app.core.scheduling.devices import VARIABLE, parse_devices
from db.queries.tasks.task_numbers import MAX_NUMBER
from db.restore.adopt_runs import UNKNOWN_NAME, ObservedRun

Records = dict[str, dict[str, Any]]
"""Journal records of a run by their letter; `f` marks a forgotten run."""
END_OF_TIME = 253402300800
"""UNIX time of the year 10000, beyond all stored times."""


def read_runs(home: Path) -> dict[str, Records]:
    """Return the journal records of each run that was or may have been started."""
    runs: dict[str, Records] = {}
    for record in _read_records(home):
        letter = next(iter(record), "")
        if letter == "f" and isinstance(record["f"], list):
            for runid in record["f"]:
                if isinstance(runid, str) and runid in runs:
                    runs[runid]["f"] = record
        elif letter == "i" and isinstance(record["i"], str):
            runs.setdefault(record["i"], {})["i"] = record
        elif (
            letter in ("p", "e", "s", "r", "v")
            and isinstance(record[letter], str)
            and record[letter] in runs
        ):
            runs[record[letter]].setdefault(letter, record)
    return {runid: records for runid, records in runs.items() if not records.keys() & {"r", "v"}}


def _read_records(home: Path) -> Iterator[dict[str, Any]]:
    """Yield all records, oldest file first. Torn and malformed records are skipped."""
    for file in sorted((home / "run").glob("journal*/*.log")):
        with suppress(OSError):
            for line in file.read_bytes().rstrip(b"\0").split(b"\n"):
                with suppress(ValueError, RecursionError):
                    record = json.loads(line)
                    if isinstance(record, dict):
                        yield record


def list_known_runs(home: Path) -> set[str]:
    """Return the runs that a keeper reports in its hello."""
    return {runid for runid, records in read_runs(home).items() if "f" not in records}


def read_ends(home: Path, runids: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return the ends of runs that the journal still holds, as the keeper would report.

    The keeper forgets recorded ends, which a restored database may lack.
    """
    found = read_runs(home) if runids else {}
    return {
        runid: end
        for runid in runids
        if (end := _build_end(runid, found.get(runid, {}))) is not None
    }


def _build_end(runid: str, records: dict[str, Any]) -> dict[str, Any] | None:
    """Return the end of a run, or None if unknown or malformed."""
    with suppress(KeyError, TypeError, AttributeError):
        end, began = records["e"], records["i"]["at"] if "p" in records else None
        # A forgotten end was stored, and later attempts may exist.
        can_be_retried = end.get("again", True) and "f" not in records
        event = {
            "run": runid,
            "code": end["code"],
            "signal": end["signal"],
            "reason": end.get("reason"),
            "lost": end.get("lost", False),
            "again": can_be_retried,
            "stop": records["s"]["reason"] if "s" in records else None,
            "started_at": began,
            "at": end["at"],
            "run_seconds": end["seconds"],
            "cpu": end["cpu"],
            "maxrss": end["rss"],
            "oom": end.get("oom"),
        }
        numbers = (
            event[name] for name in ("code", "signal", "started_at", "run_seconds", "cpu", "maxrss")
        )
        sound = (
            all(number is None or 0 <= number < END_OF_TIME for number in numbers)
            and 0 <= event["at"] < END_OF_TIME
        )
        return event if sound else None
    return None


def list_runs(home: Path) -> list[ObservedRun]:
    """Return every run in the journal or with a log.

    Times do not show which runs are new, since the clock may have been set back.
    """
    runs = read_runs(home)
    found = [_build_run(runid, records) for runid, records in runs.items()]
    return found + [ObservedRun(runid) for runid in list_logs(home) if runid not in runs]


def _build_run(runid: str, records: Records) -> ObservedRun:
    end = records.get("e")
    if end is not None:
        at = (
            end.get("at")
            if isinstance(end.get("at"), int | float) and 0 <= end["at"] < END_OF_TIME
            else None
        )
        code = (
            end.get("code")
            if isinstance(end.get("code"), int) and 0 <= end["code"] < END_OF_TIME
            else None
        )
        stop = str(records["s"].get("reason")) if "s" in records else None
        lost, can_be_retried = bool(end.get("lost")), bool(end.get("again", True))
        return ObservedRun(
            runid,
            is_reported="f" not in records,
            end=at,
            code=code,
            has_unknown_end=lost,
            ended=True,
            stop=stop,
            is_surely_over=can_be_retried,
        )
    began = records["i"].get("at") if isinstance(records.get("i"), dict) else None
    return _build_living_run(runid, records.get("p"), began, is_reported="f" not in records)


def build_started_run(event: dict[str, Any]) -> ObservedRun:
    """Return a run that the keeper reports as running."""
    return _build_living_run(event["run"], event, event["at"], is_reported=True)


def _build_living_run(
    runid: str, process: dict[str, Any] | None, began: Any, is_reported: bool
) -> ObservedRun:
    """Return a run without a known end, with details of its leader if that is alive."""
    number, attempt, devices = _read_task_variables(process)
    begin = began if isinstance(began, int | float) and 0 <= began < END_OF_TIME else None
    run = ObservedRun(runid, number, is_reported, attempt=attempt, begin=begin, devices=devices)
    with suppress(psutil.Error, OSError, ValueError, KeyError, TypeError):
        if process is not None and _read_start_ticks(process["pid"]) == process["ticks"]:
            leader, argv, cwd = psutil.Process(process["pid"]), (), "/"
            with suppress(psutil.Error):  # The process may belong to another user by now.
                argv, cwd = tuple(leader.cmdline()), leader.cwd()
            return replace(
                run,
                is_alive=True,
                argv=argv,
                cwd=cwd,
                name=_make_name(argv) if argv else UNKNOWN_NAME,
            )
    return run


def _make_name(argv: tuple[str, ...]) -> str:
    from app.service.tasks.submission import (
        default_names,  # The import is slow, and few callers need it.
    )

    return default_names.make_name(argv)


def read_task_numbers(home: Path) -> Iterator[int]:
    """Yield the task numbers of living jobs, from their environment."""
    for records in read_runs(home).values():
        number, _, _ = _read_task_variables(records.get("p"))
        if number is not None:
            yield number


def _read_task_variables(pid: dict[str, Any] | None) -> tuple[int | None, int, tuple[str, ...]]:
    """Return task number, attempt and GPUs from a living process's environment."""
    with suppress(psutil.Error, OSError, ValueError, KeyError, TypeError):
        if pid is not None and _read_start_ticks(pid["pid"]) == pid["ticks"]:
            variables = psutil.Process(pid["pid"]).environ()
            number, attempt = int(variables["TASKDECK_TASK"]), int(variables["TASKDECK_ATTEMPT"])
            # A job may write anything into its environment.
            if 0 < number < MAX_NUMBER and 0 < attempt < MAX_NUMBER:
                return number, attempt, _read_devices(variables)
    return None, 1, ()


def _read_devices(variables: Mapping[str, str]) -> tuple[str, ...]:
    with suppress(KeyError, ValueError):
        return parse_devices(variables[VARIABLE])
    return ()


def _read_start_ticks(pid: int) -> int | None:
    """Return the start of a process in ticks since boot, or None for a zombie."""
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return None if fields[0] in b"ZX" else int(fields[19])


def list_logs(home: Path) -> Iterator[str]:
    """Yield the runs that have a log."""
    for folder in _list_entries(home / "runs"):
        for entry in _list_entries(folder):
            if entry.name.endswith(".log"):
                yield entry.name.removesuffix(".log")


def make_started_check(home: Path) -> Callable[[str], bool]:
    """Return a check that a run with a log was started.

    A start that failed may leave an empty log. The check accepts an empty log only if the journal
    knows the run.
    """
    runs = read_runs(home)
    return lambda runid: runid in runs or _is_written(Path(paths.get_log_path(home, runid)))


def make_possible_start_check(home: Path) -> Callable[[str], bool]:
    """Return a check that a run with a log may have been started.

    Many jobs write nothing, and a keeper without runs removes its journal. An empty log counts as a
    failed start only if the journal records the failure.
    """
    failed = {
        str(record[letter])
        for record in _read_records(home)
        if (letter := next(iter(record), "")) in ("r", "v")
    }
    return lambda runid: runid not in failed or _is_written(Path(paths.get_log_path(home, runid)))


def _is_written(log: Path) -> bool:
    try:
        return log.stat().st_size > 0
    except OSError:
        return False  # The log was deleted meanwhile.


def _list_entries(folder: Path) -> Iterator[Path]:
    with suppress(OSError), os.scandir(folder) as found:
        for entry in found:
            yield Path(entry.path)
