"""Table of the paths of the API: the verb behind each, its parameters and the form of its answer.

Routes and the OpenAPI document are both made of the table, so the two cannot differ. Each verb
changes nothing.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from app.core.filter_query import MAX_LENGTH, STATES
from app.core.task_groups import format_group
from app.errors import Usage
from app.http.log_pages import DEFAULT_BYTES, MAX_BYTES
from app.http.parameters import Parameter, make_choice, make_integer, make_list, make_text

API = "/api/v1"
MAX_NUMBER = 10**18 - 1
MAX_PAGE, DEFAULT_PAGE = 1000, 100

Values = Mapping[str, Any]
MakeArguments = Callable[[Values], dict[str, Any]]
Shape = Callable[[Any, Values], Any]


def _take_values(values: Values) -> dict[str, Any]:
    return dict(values)


def _take_answer(answer: Any, values: Values) -> Any:
    return answer


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path of the API.

    `make_arguments` makes the arguments of the verb, `shape` the answer from its result. `schema`
    names the schema of the answer.
    """

    name: str
    path: str
    verb: str
    summary: str
    schema: str
    parameters: tuple[Parameter, ...] = ()
    make_arguments: MakeArguments = _take_values
    shape: Shape = _take_answer


# --- parameters

NUMBER = Parameter("number", "Number of the task.", make_integer(1, MAX_NUMBER), in_path=True)
LIMIT = Parameter("limit", "Maximum number of entries.", make_integer(1, MAX_PAGE, DEFAULT_PAGE))
SINCE = make_text(100)
ORDERS = (
    "number", "name", "queue", "status", "priority", "created", "template", "started", "ended",
)  # fmt: skip
TASK_PARAMETERS = (
    Parameter("filter", "Words that all tasks match; see: taskdeck help filters.",
              make_text(MAX_LENGTH)),
    Parameter("status", "A state, or one of several.",
              make_list({"type": "string", "enum": list(STATES)}, len(STATES))),
    Parameter("queue", "Name of the queue.", make_text(pattern='^[^"]*$')),
    Parameter("name", "Name of the task, exactly.", make_text(pattern='^[^"]*$')),
    Parameter("tag", "A tag, KEY=VALUE. With several, a task has all.",
              make_list(make_text(pattern='^[^"=]+=[^"]*$'), 16)),
    Parameter("since", "Submitted since then: 2h (ago), 10:00, yesterday, 2026-01-31, …", SINCE),
    Parameter("order", "Column by which tasks are sorted.", make_choice(*ORDERS)),
    Parameter("direction", "Greatest first (desc) or least first (asc).",
              make_choice("desc", "asc")),
    LIMIT,
    Parameter("after", "Cursor `next` of the page before, with the same order and filter.",
              make_text(4000, pattern="^[A-Za-z0-9_-]+$")),
)  # fmt: skip
LOG_PARAMETERS = (
    NUMBER,
    Parameter("attempt", "Number of the attempt; the latest by default.", make_integer(1, 10**6)),
    Parameter(
        "offset",
        "First byte; a negative number counts from the end.",
        make_integer(-MAX_NUMBER, MAX_NUMBER, 0),
    ),
    Parameter("limit", "Maximum number of bytes.", make_integer(1, MAX_BYTES, DEFAULT_BYTES)),
    Parameter("format", "The bytes as they are (text), or JSON.", make_choice("text", "json")),
)


def _make_name(kind: str) -> Parameter:
    return Parameter("name", f"Name of the {kind}.", make_text(200), in_path=True)


# --- lists of tasks


def make_browse_arguments(values: Values) -> dict[str, Any]:
    """Return the arguments of `browse`. Raise Usage for a faulty cursor or too long a filter."""
    return {
        "filter": _join_filter(values),
        "order": values["order"],
        "down": values["direction"] == "desc",
        "limit": values["limit"],
        "at": parse_cursor(values["after"]) if "after" in values else None,
    }


def _join_filter(values: Values) -> str:
    """Return one line of all conditions. Quotes keep `*` and commas as they are."""
    words = [values["filter"]] if "filter" in values else []
    if states := values.get("status"):
        words.append(f"status:{','.join(state.replace('_', '-') for state in states)}")
    words += [f'{name}:"{values[name]}"' for name in ("queue", "name") if name in values]
    for tag in values.get("tag", ()):
        key, _, value = tag.partition("=")
        words.append(f'tag:"{key}"="{value}"')
    if "since" in values:
        words.append(f'since:"{values["since"]}"')
    return " ".join(words)


def shape_task_page(answer: Any, values: Values) -> dict[str, Any]:
    """Return a page of tasks, each as `taskdeck ls --filter … --json` prints it."""
    tasks = [_name_group(dict(zip(answer["columns"], row, strict=True))) for row in answer["rows"]]
    position = answer["stopped"]
    if position is None and answer["more_after"] and tasks:
        position = [tasks[-1]["at"], tasks[-1]["number"]]
    return {
        "tasks": tasks,
        "next": None if position is None else format_cursor(position),
        "total": answer["total"],
        "of": answer["of"],
    }


def _name_group(task: dict[str, Any]) -> dict[str, Any]:
    number = task.pop("group_number")
    return task | {"group": None if number is None else format_group(number)}


def format_cursor(position: Any) -> str:
    """Return the position of a row, [value, number], as text for a query."""
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


def parse_cursor(text: str) -> list[Any]:
    """Return the position in a cursor. Raise Usage."""
    try:
        found = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        found = None
    if not isinstance(found, list):
        raise Usage("after is no cursor of this server.", "Take `next` of the page before.")
    return found


# --- the table

ENDPOINTS = (
    Endpoint("list_tasks", "/tasks", "browse", "Tasks, newest first, in pages", "task_page",
             TASK_PARAMETERS, make_browse_arguments, shape_task_page),
    Endpoint("show_task", "/tasks/{number}", "show", "One task in detail", "task", (NUMBER,),
             lambda values: {"id": values["number"]}),
    Endpoint("explain_task", "/tasks/{number}/why", "why", "Why a task waits, and until when",
             "explanation", (NUMBER,), lambda values: {"ids": [values["number"]]},
             lambda answer, values: answer[0]),
    Endpoint("list_runs", "/tasks/{number}/runs", "instances", "Runs of a task, oldest first",
             "runs", (NUMBER,), lambda values: {"id": values["number"]}),
    Endpoint("read_log", "/tasks/{number}/log", "log", "Part of the log of a run", "log",
             LOG_PARAMETERS,
             lambda values: {"id": values["number"], "attempt": values.get("attempt")}),
    Endpoint("list_queues", "/queues", "queue.ls", "Queues, highest priority first", "queues"),
    Endpoint("show_queue", "/queues/{name}", "queue.show", "One queue", "queue",
             (_make_name("queue"),)),
    Endpoint("list_pools", "/pools", "pool.ls", "Pools with what they hold", "pools"),
    Endpoint("show_pool", "/pools/{name}", "pool.show", "One pool", "pool",
             (_make_name("pool"),)),
    Endpoint("list_groups", "/groups", "group.ls", "Groups, newest first", "groups", (LIMIT,)),
    Endpoint("show_group", "/groups/{group}", "group.show", "One group with its progress",
             "group",
             (Parameter("group", "Group, such as g12.", make_text(20, pattern="^g[0-9]+$"),
                        in_path=True),),
             lambda values: {"id": values["group"]}),
    Endpoint("list_alerts", "/alerts", "alert.ls", "Open alerts, most severe first", "alerts",
             (Parameter("since", "Also those resolved since then: 24h (ago), …", SINCE), LIMIT)),
    Endpoint("show_alert", "/alerts/{id}", "alert.show", "One open alert in detail",
             "alert",
             (Parameter("id", "Id of the alert.", make_integer(1, MAX_NUMBER), in_path=True),)),
    Endpoint("list_schedules", "/schedules", "schedule.ls", "Schedules by name", "schedules"),
    Endpoint("show_schedule", "/schedules/{name}", "schedule.show",
             "One schedule with its next fire times", "schedule", (_make_name("schedule"),)),
    Endpoint("read_usage", "/usage", "usage", "Hours of CPU, memory and GPUs of a period",
             "usage",
             (Parameter("by", "queue, template, user, group, name or tag:KEY.",
                        make_text(200, pattern="^(queue|template|user|group|name|tag:.+)$")
                        | {"default": "queue"}),
              Parameter("since", "Beginning of the period: 30d (ago), …",
                        SINCE | {"default": "30d"}))),
    Endpoint("show_status", "/status", "status", "Runtime, queues, pools and open alerts",
             "status"),
    Endpoint("show_board", "/board", "board", "What the deck shows; may change with a version",
             "board"),
)  # fmt: skip
"""All paths of the API below `API`."""
