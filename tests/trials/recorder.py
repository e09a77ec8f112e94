"""Recorder: the process with the fixed clock, which asks the fixed home and prints the answers."""

from __future__ import annotations

import asyncio
import faulthandler
import json
import logging
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.trials import fixed_world
from tests.trials.fixed_world import clock, scrub

WORK = Path(tempfile.mkdtemp(prefix="td-", dir="/tmp"))
os.environ["HOME"] = os.fspath(WORK)
fixed_world.freeze()

from app import help as help_topics  # noqa: E402
from app.cli import registry as commands  # noqa: E402
from app.client import READ_ONLY_VERBS  # noqa: E402
from app.errors import Problem, problem_to_dict  # noqa: E402
from app.http.endpoints import API, ENDPOINTS  # noqa: E402
from app.service.registry import VERBS  # noqa: E402
from tests.trials import bad_inputs, calls, faces, fixed_home  # noqa: E402
from tests.trials.fixed_home import Stage  # noqa: E402
from tests.trials.record import PART_MARK  # noqa: E402

HOME = WORK / "home"
MAX_SECONDS = 300
MAX_WIDTH = 100
PATH_VALUES = {
    "/tasks/{number}": [4, 5, 13], "/queues/{name}": ["media"], "/pools/{name}": ["main"],
    "/groups/{group}": ["g1"], "/alerts/{id}": [1], "/schedules/{name}": ["hourly"],
}  # fmt: skip
"""Values for the paths of the API, by the beginning of the path."""
TOOL_CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("submit", {"argv": ["make"], "cpu": 2, "timeout": "10m"}),
    ("submit", {"argv": ["make"], "dry_run": True}),
    ("wait", {"numbers": [4, 5], "seconds": 0}),
    ("list", {"everyone": True, "limit": 3}),
    ("show", {"number": 5}),
    ("why", {"number": 16}),
    ("status", {}),
    ("what_if", {"cancel": [14]}),
    ("logs", {"number": 5}),
    ("retry", {"numbers": [5]}),
)
VOLATILE = frozenset({"bytes", "env_id"})
"""Keys whose values differ from run to run."""


class Recorder:
    """Asks copies of one fixed home. Each copy begins at the same time with the same ids."""

    def __init__(self) -> None:
        fixed_home.write_config(WORK / "config", fixed_home.CONFIG)
        (WORK / "files").mkdir()
        os.chdir(WORK / "files")
        for name, text in calls.FILES.items():
            Path(name).write_text(text, "utf-8")
        os.environ["TASKDECK_HOME"] = os.fspath(HOME)
        fixed_home.build_home(WORK / "origin")
        self._moment = clock.now, clock.ids
        self._stage: Stage | None = None

    def open_stage(self) -> Stage:
        """Return a copy of the home with its runtime, the last one if nothing changed it."""
        clock.now, clock.ids = self._moment
        if self._stage is None:
            self._stage = Stage(HOME, WORK / "origin")
        return self._stage

    def drop_stage(self) -> None:
        """Close the copy, because something may have changed it."""
        if self._stage is not None:
            self._stage.close()
            self._stage = None

    # --- verbs

    def record_verbs(self) -> str:
        """Return the answers of all verbs."""
        _require_same(VERBS, calls.VERB_CALLS, "verb")
        return _dump(
            {
                verb: [{"args": args, **self._ask(verb, args)} for args in arguments]
                for verb, arguments in sorted(calls.VERB_CALLS.items())
            }
        )

    def _ask(self, verb: str, args: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = self.open_stage().ask(verb, **args)
        except Problem as problem:
            return {"refused": problem_to_dict(problem)}
        except Exception as error:
            self.drop_stage()
            return {"failed": f"{type(error).__name__}: {error}"}
        if verb not in READ_ONLY_VERBS:
            self.drop_stage()
        return {"answer": _hide(answer)}

    def record_wrong_arguments(self) -> str:
        """Return the answers of all verbs to arguments that are unknown, missing or wrong."""
        found: dict[str, dict[str, str]] = {}
        for verb, arguments in sorted(calls.VERB_CALLS.items()):
            given = arguments[-1]
            wrong = [{"nosuch": 1}, *([{}] if given else [])]
            for name in VERBS[verb].signature.parameters:
                if name not in ("call", "values", "options"):
                    wrong += [given | {name: value} for value in bad_inputs.WRONG_VALUES]
            found[verb] = {
                json.dumps(args, sort_keys=True): _summarize(self._ask(verb, args))
                for args in wrong
            }
        return _dump(found)

    # --- commands

    def record_commands(self) -> str:
        """Return the output of all commands, as text and as JSON."""
        names = {name: parser for name, parser in _iter_commands()}
        _require_same(names, {**calls.COMMAND_LINES, **calls.UNRECORDED_COMMANDS}, "command")
        blocks = []
        for name, lines in sorted(calls.COMMAND_LINES.items()):
            for line in lines:
                words = [*name.split(), *shlex.split(line)]
                blocks.append(self._run(name, words))
                if "--json" in names[name] and "-o" not in words and "\n{" not in blocks[-1]:
                    options = words.index("--") if "--" in words else len(words)
                    words.insert(options, "--json")
                    blocks.append(self._run(name, words))
        return _join(blocks)

    def _run(self, name: str, words: list[str]) -> str:
        self.open_stage()
        output = _format_json(faces.run_command(words))
        if name.replace(" ", ".") not in READ_ONLY_VERBS:
            self.drop_stage()
        return output

    def record_offline(self) -> str:
        """Return the output of all commands without a runtime, which only read."""
        blocks = []
        self.open_stage()
        self.drop_stage()
        for name, lines in sorted(calls.COMMAND_LINES.items()):
            words = ["--read-only", *name.split(), *shlex.split(lines[0])]
            blocks.append(faces.run_command(words))
        return _join(blocks)

    def record_help(self) -> str:
        """Return the whole help."""
        lines = [["help"], *(["help", topic] for topic in help_topics.list_topics())]
        lines += [[*name.split(), "--help"] for name, _ in _iter_commands()]
        lines += [[group, "--help"] for group in commands.GROUPS]
        return _join([faces.run_command(words) for words in lines])

    # --- bad inputs

    def record_refusals(self) -> str:
        """Return the answers to bad command lines, settings, requests and lines."""
        blocks = []
        for line in bad_inputs.COMMAND_LINES:
            self.open_stage()
            blocks.append(faces.run_command(shlex.split(line)))
            if not blocks[-1].rpartition("\n")[2].startswith("exit"):
                self.drop_stage()
        for number, text in enumerate(bad_inputs.SETTINGS):
            fixed_home.write_config(WORK / f"config-{number}", text)
            self.drop_stage()
            self.open_stage()
            answers = [faces.run_command(words) for words in (["notify", "ls"], ["doctor"])]
            blocks.append("\n".join([f"config.toml: {text!r}", *answers]))
        os.environ["XDG_CONFIG_HOME"] = os.fspath(WORK / "config")
        self.drop_stage()
        self.open_stage()
        for line in bad_inputs.SOCKET_LINES:
            blocks.append(f"socket: {line[:80]!r}\n{faces.send_line(HOME, line)}")
        for method, path in bad_inputs.HTTP_REQUESTS:
            blocks.append("\n".join((f"{method} {path}", *faces.request(HOME, method, path))))
        answers = asyncio.run(faces.call_tools(HOME, bad_inputs.TOOL_CALLS))
        self.drop_stage()
        for call, answer in zip(bad_inputs.TOOL_CALLS, answers, strict=True):
            blocks.append(f"tool {call[0]} {json.dumps(call[1])}\n{_dump(answer)}")
        return _join(blocks)

    # --- HTTP and tools

    def record_openapi(self) -> str:
        """Return the description of the API."""
        self.open_stage()
        return _dump(json.loads(faces.request(HOME, "GET", f"{API}/openapi.json")[2]))

    def record_http(self) -> str:
        """Return the answers of all paths."""
        self.open_stage()
        blocks = []
        for path in [f"{API}{path}" for one in ENDPOINTS for path in _fill_path(one.path)]:
            status, kind, body = faces.request(HOME, "GET", path)
            shown = _dump(_hide(json.loads(body))) if "json" in kind else body
            blocks.append("\n".join((f"GET {path}", status, kind, shown.rstrip())))
        return _join(blocks)

    def record_metrics(self) -> str:
        """Return the metrics without their values, of which many are measurements."""
        self.open_stage()
        lines = faces.request(HOME, "GET", "/metrics")[2].splitlines()
        return "".join(
            f"{line if line.startswith('#') else line.rpartition(' ')[0]}\n" for line in lines
        )

    def record_tools(self) -> str:
        """Return the tools of coding agents with their schemas, and answers."""
        self.open_stage()
        tools = asyncio.run(faces.list_tools(HOME))
        answers = asyncio.run(faces.call_tools(HOME, TOOL_CALLS))
        self.drop_stage()
        return _dump({"tools": tools, "answers": _hide([*zip(TOOL_CALLS, answers, strict=True)])})


PARTS: dict[str, Callable[[Recorder], str]] = {
    "verbs.json": Recorder.record_verbs,
    "wrong_arguments.json": Recorder.record_wrong_arguments,
    "commands.txt": Recorder.record_commands,
    "offline.txt": Recorder.record_offline,
    "help.txt": Recorder.record_help,
    "refusals.txt": Recorder.record_refusals,
    "openapi.json": Recorder.record_openapi,
    "http.txt": Recorder.record_http,
    "metrics.txt": Recorder.record_metrics,
    "tools.json": Recorder.record_tools,
}


def _iter_commands() -> Iterator[tuple[str, str]]:
    """Yield the name and the help of each command."""
    for verb in commands.COMMAND_INDEX:
        for name, command in commands.load_commands(verb).items():
            if verb in commands.GROUPS or name == verb:
                full = f"{verb} {name}" if verb in commands.GROUPS else verb
                yield full, command.make_parser(full).format_help()


def _require_same(known: Any, listed: Any, kind: str) -> None:
    """Exit unless each verb or command has its entry."""
    if wrong := sorted(set(known) ^ set(listed)):
        sys.exit(f"tests/trials/calls.py: each {kind} needs an entry, and no other: {wrong}")


def _fill_path(path: str) -> list[str]:
    if "{" not in path:
        return [path]
    (beginning,) = [known for known in PATH_VALUES if path.startswith(known)]
    name = beginning[beginning.index("{") :]
    return [path.replace(name, str(value)) for value in PATH_VALUES[beginning]]


def _hide(value: Any) -> Any:
    """Return an answer without the values of volatile keys."""
    if isinstance(value, dict):
        return {
            key: "(varies)" if key in VOLATILE and inner is not None else _hide(inner)
            for key, inner in value.items()
        }
    if not isinstance(value, (list, tuple)):
        return value
    return [_hide(inner) for inner in value if not _is_of_machine(inner)]


def _is_of_machine(value: Any) -> bool:
    """Return true for a finding of `doctor` about the machine."""
    return isinstance(value, dict) and value.get("check") in fixed_world.MACHINE_CHECKS


def _summarize(answer: dict[str, Any]) -> str:
    """Return the refusal in one line; an answer that is no refusal is of other parts."""
    if "answer" in answer:
        return "accepted"
    if "failed" in answer:
        return f"failed: {answer['failed']}"
    problem = answer["refused"]
    return f"{problem['code']}: {problem['message']} {problem['hint']}".rstrip()


def _format_json(output: str) -> str:
    """Return the output of a command with a JSON document on lines of its own."""
    lines = []
    for line in output.split("\n"):
        if line[:1] in ("{", "[") and " --json" in lines[0]:
            try:
                line = _dump(_hide(json.loads(line))).rstrip()
            except ValueError:
                pass
        lines.append(line)
    return "\n".join(lines)


def _dump(value: Any, indent: str = "") -> str:
    """Return JSON with sorted keys; what fits into a line stands on one."""
    line = json.dumps(value, sort_keys=True, ensure_ascii=False)
    if len(indent + line) <= MAX_WIDTH or not isinstance(value, (dict, list, tuple)):
        return f"{line}\n" if not indent else line
    deeper = f"{indent} "
    if isinstance(value, dict):
        items = [
            f"{json.dumps(key, ensure_ascii=False)}: {_dump(value[key], deeper)}"
            for key in sorted(value)
        ]
    else:
        items = [_dump(inner, deeper) for inner in value]
    marks = "{}" if isinstance(value, dict) else "[]"
    body = f",\n{deeper}".join(items)
    return f"{marks[0]}\n{deeper}{body}\n{indent}{marks[1]}" + ("" if indent else "\n")


def _join(blocks: list[str]) -> str:
    return "\n".join(f"{block.rstrip()}\n" for block in blocks)


def main() -> None:
    """Print the parts that were asked for."""
    errors = os.fdopen(os.dup(2), "w")  # commands lead the stream elsewhere
    faulthandler.dump_traceback_later(MAX_SECONDS, exit=True, file=errors)
    logging.getLogger().addHandler(logging.NullHandler())
    began = time.monotonic()
    try:
        recorder = Recorder()
        for name in sys.argv[1:] or PARTS:
            text = scrub(PARTS[name](recorder))
            sys.stdout.write(f"{PART_MARK}{name}\n{text}")
            sys.stdout.flush()
            print(name, f"{time.monotonic() - began:.1f}", file=sys.stderr)
        recorder.drop_stage()
    finally:
        os.chdir("/")
        shutil.rmtree(WORK, ignore_errors=True)


if __name__ == "__main__":
    main()
