"""A runtime that is killed at random moments while hooks run, and hooks that hang or are loud."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.runtime_process import RuntimeProcess, wait_until

LONGEST_LIFE = 0.5
"""Maximum seconds from the start of a runtime to its kill."""
TASKS_PER_LIFE = 15
_HOOKS = """
[hooks.keep]
on = ["start", "end"]
argv = ["sh", "-c", "IFS= read -r line; printf '%s\\\\n' \\"$line\\" >> {out}"]
[hooks.hang]
on = ["end"]
argv = ["sleep", "1000"]
timeout = "2s"
[hooks.loud]
on = ["end"]
argv = ["sh", "-c", "head -c 3000000 /dev/zero >&2; exit 1"]
"""


@dataclass(frozen=True, slots=True)
class HookReport:
    """Events told of the tasks of a trial: {(event, task number): times}, by their keys too."""

    tasks: int
    kills: int
    told: Mapping[tuple[str, int], int]
    keys: Mapping[str, int]
    seconds: float

    @property
    def repeated(self) -> int:
        """Number of events told again after a kill."""
        return sum(times - 1 for times in self.told.values())

    def find_faults(self) -> list[str]:
        """Return the events that were not told, and those told again with another key."""
        wanted = {(kind, n) for kind in ("start", "end") for n in range(1, self.tasks + 1)}
        faults = [f"{kind} of #{n} was not told" for kind, n in sorted(wanted - self.told.keys())]
        if len(self.keys) != len(self.told):
            faults.append(f"{len(self.told)} events have {len(self.keys)} keys")
        return faults


def run_trial(folder: Path, kills: int, tasks: int, dice: random.Random) -> HookReport:
    """Kill the runtime `kills` times among tasks, then run `tasks` at once."""
    out, began = folder / "out", time.monotonic()
    with _open_home(folder, _HOOKS.format(out=out)) as home:
        done = 0
        for _ in range(kills):
            for _ in range(TASKS_PER_LIFE):
                home.submit("true")
            done += TASKS_PER_LIFE
            time.sleep(dice.random() * LONGEST_LIFE)
            home.kill()
            home.start()
        flood: dict[str, Any] = {"cwd": str(folder), "umask": 0o022, "env": {}}
        home.call("submit", tasks=[{"argv": ["true"]}] * tasks, **flood)
        done += tasks
        wait_until(lambda: len(_read(out)[0]) == 2 * done, "all events are told")
    return HookReport(done, kills, *_read(out), time.monotonic() - began)


@contextmanager
def _open_home(folder: Path, settings: str) -> Any:
    config = folder / "config" / "taskdeck" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        (folder / "home").mkdir()
        home = RuntimeProcess(folder / "home")
        try:
            home.start()
            yield home
        finally:
            home.kill_all()


def _read(out: Path) -> tuple[Counter[tuple[str, int]], Counter[str]]:
    """Return how often each event was told, and how often each key."""
    lines = out.read_text().splitlines() if out.exists() else []
    found = [json.loads(line) for line in lines]
    told = Counter((one["event"], one["task"]["number"]) for one in found)
    return told, Counter(one["key"] for one in found)
