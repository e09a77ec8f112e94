"""Schemas of the answers, in a short notation: `number:int reason:str? runs:[run]`.

A type is int, num, str, bool, map, any, a list such as `[str]`, or the name of another schema. A
`?` allows null. An answer may have more members than its schema: a new version may add some.
"""

from __future__ import annotations

from typing import Any

JsonSchema = dict[str, Any]

_SIMPLE: dict[str, JsonSchema] = {
    "int": {"type": "integer"},
    "num": {"type": "number"},
    "str": {"type": "string"},
    "bool": {"type": "boolean"},
    "map": {"type": "object"},
    "any": {},
}

_RECORDS = {
    "error": "error:fault",
    "fault": "code:str message:str hint:str",
    "health": "healthy:bool reasons:[str]",
    "task_page": "tasks:[listed_task] next:str? total:int? of:int",
    "listed_task": "uuid:str number:int name:str status:str queue:str template:str? priority:int"
    " front:int cpu:num memory:num resources:map timeout:num? retries:int attempts:int"
    " created_at:str started_at:str? ended_at:str? not_before:str? submitted_by:str? tags:map"
    " reason:str? group_index:int? sweep:map? run:str? run_reason:str? why:str? expected:num?"
    " expected_in:[num]? run_limit:num? at:any group:str?",
    "task": "uuid:str number:int name:str template:str? type:str status:str parameters:map"
    " priority:int timeout:num? queue:str cpu:num memory:num retries:int retry_delay:num grace:num"
    " not_before:str? retry_at:str? hold:bool held_by:str? front:int tags:map cwd:str umask:int"
    " launch:map? log_limit:int? submitted_by:str? pinned:bool reason:str? attempts:int"
    " failures:int started_at:str? ended_at:str? created_at:str updated_at:str notify:any"
    " resources:map early_signal:any output:str? stdin:any split:any error:str? retry_on_oom:any"
    " oom_memory:num? group_index:int? sweep:map? group:any pool:str? instances:[run]"
    " parents:[map] children:[map] events:[event] env_names:int place:any last_lines:[str] use:any"
    " expected_in:[num]? left:[any]",
    "event": "at:str status:str by:str? note:str? runid:str?",
    "run": "runid:str task_id:str number:int name:str queue:str pool:str attempt:int status:str"
    " start_time:str? end_time:str? exit_code:int? signal:int? reason:str? stop_reason:str? cpu:num"
    " memory:num cpu_seconds:num? max_rss:num? run_seconds:num? log_bytes:int? deadline:str?"
    " pid:int? tags:map created_at:str updated_at:str resources:map devices:[any] outer_job:str?"
    " node:str?",
    "explanation": "number:int uuid:str name:str status:str queue:str waits:num"
    " expected_start:str? expected_in:[num]? last_lines:[str] group:any group_index:int? needs:map"
    " reasons:[reason] cures:[map]",
    "reason": "code:str text:str short:str",
    "log": "number:int attempt:int runid:str status:str size:int offset:int next:int? text:str",
    "queue": "name:str capacity:int? current_load:int status:str priority:int pool:str"
    " description:str? status_by:str? status_at:str? created_at:str updated_at:str open:any"
    " waiting:int oldest_at:str? opens_at:any word:str",
    "pool": "name:str total_cpu:num? total_memory:num? used_cpu:num used_memory:num status:str"
    " sla_id:int? description:str? status_by:str? status_at:str? created_at:str updated_at:str"
    " resources:map policy:str ageing:num? kind:str options:any enforce:[str] trouble:str? sla:str?"
    " used_resources:map reservations:[any] devices:[any]",
    "group": "group:str number:int name:str submitted_by:str? created_at:str max_running:int?"
    " counts:map total:int ended:int failed:int running:int waiting:int status:str rate:num?"
    " eta:num? at:any",
    "alert": "id:int sla:str sla_id:int? severity:str status:str task_number:int? task_name:str?"
    " object:str? task_uuid:str? text:str short:str? since:str value:num? limit:num? metric:str?"
    " brief:any acknowledged_by:str? acknowledged_at:str? note:str? silenced_until:str?"
    " silence:str? silenced_by:str? silence_reason:str? resolved_at:str? created_at:str"
    " updated_at:str",
    "schedule": "name:str status:str kind:str expression:str zone:str start:str? task:map"
    " overlap:str missed:str missed_within:num? jitter:num until:str? exclude:[any]"
    " description:str? status_by:str? status_at:str? paused_until:str? next_fire:str? due_at:str?"
    " last_success:str? refusal:str? created_at:str updated_at:str cwd:str? words:str state:str"
    " fires:[map] missed_count:int run_seconds:num?",
    "usage": "by:str since:str complete_since:str? rows:[usage_row] total:usage_row",
    "usage_row": "name:str? tasks:int runs:int failed:int run_hours:num cpu_hours:num"
    " cpu_used_hours:num memory_gib_hours:num gpu_hours:num resource_hours:map mean_wait:num?"
    " longest_wait:num?",
    "status": "version:str home:str host:str runtime:map keeper:map http:map hooks:any counts:map"
    " storing:int today:map database:map backup:map? replica:map? queues:[queue] pools:[pool]"
    " resources:[map] alerts:[map]",
    "board": "at:num home:str runtime:map host:map database:str counts:map queues:[map]"
    " pools:[map] running:[map] next:[map] ended:[map] alerts:[map]",
}
_LISTS = {
    "runs": "run", "queues": "queue", "pools": "pool", "groups": "group", "alerts": "alert",
    "schedules": "schedule",
}  # fmt: skip


def refer_to(name: str) -> JsonSchema:
    """Return a reference to a schema of the OpenAPI document."""
    return {"$ref": f"#/components/schemas/{name}"}


def make_schemas() -> dict[str, JsonSchema]:
    """Return all schemas by name."""
    return {
        **{name: _parse_record(fields) for name, fields in _RECORDS.items()},
        **{name: {"type": "array", "items": refer_to(one)} for name, one in _LISTS.items()},
    }


def _parse_record(fields: str) -> JsonSchema:
    pairs = [field.partition(":")[::2] for field in fields.split()]
    return {
        "type": "object",
        "properties": {name: _parse_type(word) for name, word in pairs},
        "required": [name for name, _ in pairs],
    }


def _parse_type(word: str) -> JsonSchema:
    if word.endswith("?"):
        return {"anyOf": [_parse_type(word[:-1]), {"type": "null"}]}
    if word.startswith("["):
        return {"type": "array", "items": _parse_type(word[1:-1])}
    return _SIMPLE[word] if word in _SIMPLE else refer_to(word)
