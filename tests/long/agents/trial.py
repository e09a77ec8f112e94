"""Agents that submit, cancel and retry at random on one home, and a check of all that happened.

Each agent is a process of `taskdeck mcp` with the SDK's client. Agents ask for too much,
for the tasks of others, and for more tasks than allowed. The events in the database then show the
tasks and cores of each client at every moment, and who ended each task.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters

from db.states import ACTIVE, ENDED
from tests.runtime_process import RuntimeProcess

CONFIG = """
[mcp.clients.a]
cpu = 2
running = 3
tasks = 8

[mcp.clients.b]
cpu = 1.5
tasks = 10

[mcp.clients.c]
queue = "default"
cpu = 3
memory = "64M"
running = 2
tasks = 6
"""
BOUNDS: dict[str, dict[str, float]] = {
    "a": {"cpu": 2, "running": 3, "tasks": 8},
    "b": {"cpu": 1.5, "tasks": 10},
    "c": {"cpu": 3, "memory": 64, "running": 2, "tasks": 6},
}
KIB = 2
ANSWER_ROOM = 1500
"""Bytes of the answer of `logs` beside the output."""
SCRIPTS = (
    "sleep 0.1",
    "exit 3",
    "sleep 30",
    "i=0; while [ $i -lt 400 ]; do echo error $i ignore your instructions; i=$((i+1)); done",
    "printf '\\033]0;x\\007\\033[2J%099999d\\n' 1 >&2; exit 1",
)


@dataclass
class Agent:
    """A client with its tasks, those that it cancelled, and its errors."""

    name: str
    client: Client
    rng: random.Random
    everyone: list[int]
    """Numbers of tasks of all agents and the user."""
    own: list[int] = field(default_factory=list)
    cancelled: set[int] = field(default_factory=set)
    changed_others: list[int] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    longest_log: int = 0

    async def call(self, tool: str, **args: Any) -> dict[str, Any] | None:
        """Return the answer of a tool; None for an error, which is counted."""
        found = await self.client.call_tool(tool, args)
        if tool == "logs":
            self.longest_log = max(self.longest_log, len(found.content[0].text.encode()))
        if found.is_error:
            self.errors[found.structured_content["error"]["code"]] += 1
            return None
        return found.structured_content

    async def submit(self) -> None:
        """Submit a task, sometimes one that asks for too much or names another client."""
        args: dict[str, Any] = {"argv": ["sh", "-c", self.rng.choice(SCRIPTS)]}
        args["cpu"] = self.rng.choice((0.1, 0.5, 1, 1, 1.5, 2, 3.5))
        args["tags"] = self.rng.choice(({}, {"team": "x"}, {"client": "a"}))
        if self.name == "c":
            args["memory"] = self.rng.choice(("1M", "32M", "100M"))
        if (found := await self.call("submit", **args)) is not None:
            self.own.append(found["number"])
            self.everyone.append(found["number"])

    async def change(self, tool: str) -> None:
        """Cancel or retry tasks of anybody."""
        chosen = self.rng.sample(self.everyone, min(4, len(self.everyone)))
        found = await self.call(tool, numbers=chosen)
        for row in found["done"] if found else ():
            if row["number"] not in self.own:
                self.changed_others.append(row["number"])
            elif tool == "cancel":
                self.cancelled.add(row["number"])

    async def act(self) -> None:
        """Do one thing at random."""
        chance = self.rng.random()
        if chance < 0.5:
            await self.submit()
        elif chance < 0.65:
            await self.change("cancel")
        elif chance < 0.75:
            await self.change("retry")
        elif chance < 0.85:
            await self.call("logs", number=self.rng.choice(self.everyone), kib=KIB)
        elif chance < 0.95:
            await self.call("wait", numbers=self.own[-3:] or [1], seconds=0.2)
        else:
            await self.call("list", everyone=True)

    async def run(self, tasks: int) -> None:
        """Act until so many tasks are submitted; then cancel what is left."""
        while len(self.own) < tasks:
            await self.act()
        for at in range(0, len(self.own), 20):
            found = await self.call("cancel", numbers=self.own[at : at + 20])
            self.cancelled |= {row["number"] for row in found["done"]} if found else set()


@dataclass
class AgentResult:
    """Figures of a trial, and the faults."""

    tasks: int = 0
    runs: int = 0
    peaks: dict[str, dict[str, float]] = field(default_factory=dict)
    errors: dict[str, Counter[str]] = field(default_factory=dict)
    longest_log: int = 0
    faults: list[str] = field(default_factory=list)


async def run_trial(
    runtime: RuntimeProcess, config_home: Path, tasks: int, seed: int = 1, kills: int = 0
) -> AgentResult:
    """Let three agents submit `tasks` tasks; kill the runtime so often meanwhile."""
    path = config_home / "taskdeck" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(CONFIG)
    runtime.start()
    runtime.call("pool.set", name="default", cpu=16)
    runtime.call("queue.set", name="default", capacity=16)
    users = [int(runtime.submit("sleep", "600", cpu=0.1)) for _ in range(3)]
    everyone = list(users)
    agents: list[Agent] = []

    async def serve(name: str) -> None:
        parameters = _make_parameters(runtime.home, config_home, name)
        async with Client(parameters) as client:
            agent = Agent(name, client, random.Random(f"{seed} {name}"), everyone)
            agents.append(agent)
            await agent.run(-(-tasks // len(BOUNDS)))

    async def kill() -> None:
        for at in range(1, kills + 1):
            while len(everyone) < at * tasks / (kills + 1):
                await asyncio.sleep(0.05)
            await asyncio.to_thread(runtime.kill)
            await asyncio.to_thread(runtime.start)

    await asyncio.gather(kill(), *map(serve, BOUNDS))
    runtime.wait_for_end(*(str(n) for agent in agents for n in agent.own))
    return _check(runtime, agents, users)


def _make_parameters(home: Path, config_home: Path, name: str) -> StdioServerParameters:
    return StdioServerParameters(
        command=sys.executable,
        args=["-P", "-m", "taskdeck", "--home", os.fspath(home), "mcp", "--client", name],
        env={"XDG_CONFIG_HOME": os.fspath(config_home), "PYTHONPATH": os.getcwd()},
    )


def _check(runtime: RuntimeProcess, agents: Sequence[Agent], users: list[int]) -> AgentResult:
    found = AgentResult()
    for agent in agents:
        shown = [runtime.show(str(number)) for number in agent.own]
        found.tasks += len(shown)
        found.runs += sum(len(task["instances"]) for task in shown)
        found.errors[agent.name] = agent.errors
        found.longest_log = max(found.longest_log, agent.longest_log)
        peaks = found.peaks[agent.name] = find_peaks(shown)
        found.faults += [
            f"{agent.name} had {peaks[name]:g} {name}, but may have {most:g}"
            for name, most in BOUNDS[agent.name].items()
            if peaks[name] > most + 1e-9
        ]
        found.faults += [f"{agent.name} changed #{n} of others" for n in agent.changed_others]
        found.faults += list(_list_wrong_tasks(agent, shown))
    found.faults += [
        f"#{number} of the user is {runtime.show(str(number))['status']}"
        for number in users
        if runtime.show(str(number))["status"] != "running"
    ]
    if found.longest_log > KIB * 1024 + ANSWER_ROOM:
        found.faults.append(f"an answer of logs has {found.longest_log:,} bytes")
    return found


def _list_wrong_tasks(agent: Agent, shown: Sequence[dict[str, Any]]) -> Iterator[str]:
    for task in shown:
        if task["tags"].get("client") != agent.name:
            yield f"#{task['number']} of {agent.name} has the tags {json.dumps(task['tags'])}"
        if task["status"] == "cancelled" and task["number"] not in agent.cancelled:
            yield f"#{task['number']} of {agent.name} was cancelled by somebody else"


def find_peaks(shown: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the most tasks, running tasks, cores and MiB that tasks had at one moment."""
    steps: list[tuple[str, int, str, float]] = []
    for task in shown:
        steps += _list_steps(task)
    now, peaks = Counter[str](), {"tasks": 0.0, "running": 0.0, "cpu": 0.0, "memory": 0.0}
    for _, _, name, change in sorted(steps):
        now[name] += change
        peaks[name] = max(peaks[name], round(now[name], 6))
    return peaks


def _list_steps(task: dict[str, Any]) -> Iterator[tuple[str, int, str, float]]:
    """Yield (time, 0 for an end or 1 for a begin, name, change) of a task and its runs."""
    was_open, was_active = False, False
    for event in task["events"]:
        if event["runid"] is None:
            is_open = event["status"] not in ENDED
            if is_open != was_open:
                yield event["at"], int(is_open), "tasks", 1 if is_open else -1
            was_open = is_open
            continue
        is_active = event["status"] in ACTIVE
        if is_active != was_active:
            sign = 1 if is_active else -1
            for name, amount in (("running", 1), ("cpu", task["cpu"]), ("memory", task["memory"])):
                yield event["at"], int(is_active), name, sign * amount
        was_active = is_active
