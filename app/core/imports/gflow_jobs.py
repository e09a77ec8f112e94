"""Jobs of gflow, as the tasks that they become."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from app.core.imports.items import PeerItem, PeerPhase, clean_name, format_start
from app.core.schedules.crontab_names import make_name
from app.core.task_spec import MAX_PRIORITY
from app.core.text.sanitize import sanitize, truncate
from app.errors import Usage
from app.translation import tr

QUEUE = "gflow"
USUAL_PRIORITY = 10
"""Priority of a job without --priority."""
_AUTOMATIC_NAME = re.compile(r"gjob-\d+(?:-(?P<chosen>.*))?", re.DOTALL)
_PHASES = {
    "Queued": PeerPhase.WAITING, "Hold": PeerPhase.WAITING, "Running": PeerPhase.ACTIVE,
    "Finished": PeerPhase.ENDED, "Failed": PeerPhase.ENDED, "Cancelled": PeerPhase.ENDED,
    "Timeout": PeerPhase.ENDED,
}  # fmt: skip


class _Moment(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    secs_since_epoch: int
    nanos_since_epoch: int = 0

    def to_unix(self) -> float:
        return self.secs_since_epoch + self.nanos_since_epoch / 1e9


class _Span(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    secs: int
    nanos: int = 0


class _Job(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    id: int
    state: str
    script: str | None = None
    command: str | None = None
    run_dir: str = "/"
    conda_env: str | None = None
    gpus: int = 0
    gpu_sharing_mode: str | None = None
    gpu_memory_limit_mb: int | None = None
    priority: int = USUAL_PRIORITY
    depends_on: int | None = None
    depends_on_ids: list[int] = Field(default_factory=list[int])
    dependency_mode: str | None = None
    auto_cancel_on_dependency_failure: bool = True
    task_id: int | None = None
    time_limit: _Span | None = None
    memory_limit_mb: int | None = None
    submitted_by: str | None = None
    max_retries: int = 0
    parameters: dict[str, str] = Field(default_factory=dict[str, str])
    group_id: str | None = None
    max_concurrent: int | None = None
    run_name: str | None = None
    project: str | None = None
    submitted_at: _Moment | None = None
    started_at: _Moment | None = None
    scheduled_at: _Moment | None = None
    notifications: Any = None


_JOBS = TypeAdapter(list[_Job])


def parse_jobs(data: bytes, user: str, env: dict[str, str]) -> list[PeerItem]:
    """Return what the jobs of an answer of the daemon become; `env` is theirs. Raise Usage."""
    try:
        jobs = _JOBS.validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise Usage(
            "the daemon of gflow answers otherwise than expected: {where}: {why}."
            " Nothing was changed.",
            where=truncate(sanitize(".".join(map(str, first["loc"]))), 80) or "-",
            why=truncate(sanitize(first["msg"]), 200),
        ) from None
    ended_well = {job.id for job in jobs if job.state == "Finished"}
    return [_make_item(job, user, env, ended_well) for job in jobs]


def _make_item(job: _Job, user: str, env: dict[str, str], ended_well: set[int]) -> PeerItem:
    item = PeerItem(
        id=job.id,
        created=job.submitted_at.to_unix() if job.submitted_at else 0.0,
        command=job.command or job.script or "",
        status=truncate(sanitize(job.state), 30),
        phase=_PHASES.get(job.state, PeerPhase.ACTIVE),
        is_done=job.state == "Finished",
        never_ran=job.state == "Cancelled" and job.started_at is None,
        queue=QUEUE,
        cwd=job.run_dir,
        env=env,
        parents=tuple(job.depends_on_ids) or ((job.depends_on,) if job.depends_on else ()),
        is_held=job.state == "Hold",
    )
    if item.phase is PeerPhase.WAITING:
        _set_obstacle(item, job, user, ended_well)
        item.task, item.losses = _make_task(job), _list_losses(job)
    return item


def _set_obstacle(item: PeerItem, job: _Job, user: str, ended_well: set[int]) -> None:
    """Set the reason why a job stays; drop its parents if any one of them was enough."""
    if job.submitted_by not in (None, "unknown", user):
        item.obstacle = tr("was submitted by {user}", user=truncate(sanitize(job.submitted_by), 40))
    if job.dependency_mode == "Any" and len(item.parents) > 1:
        if ended_well.intersection(item.parents):
            item.parents = ()
        else:
            item.obstacle = tr("waits for any one of several jobs (--depends-on-any)")
    if not item.command:
        item.obstacle = tr("has no command")


def _make_task(job: _Job) -> dict[str, Any]:
    """Return the keys of the submission."""
    text = job.command or job.script or ""
    for name, value in job.parameters.items():
        text = text.replace(f"{{{name}}}", value)
    argv = ["bash", "-c", text] if job.command else ["bash", text]
    if job.conda_env:
        argv = ["conda", "run", "--no-capture-output", "-n", job.conda_env, *argv]
    known = _AUTOMATIC_NAME.fullmatch(job.run_name or "")
    name = clean_name(known["chosen"] if known else job.run_name)
    priority = max(-MAX_PRIORITY, min(MAX_PRIORITY, job.priority - USUAL_PRIORITY))
    tags = {"project": job.project, "gflow-group": job.group_id and job.group_id[:8]}
    found = {
        "priority": priority or None,
        "gpu": job.gpus or None,
        "memory": job.memory_limit_mb,
        "timeout": job.time_limit and job.time_limit.secs + job.time_limit.nanos / 1e9,
        "retries": job.max_retries or None,
        "at": job.scheduled_at and format_start(job.scheduled_at.to_unix()),
        "tags": {key: sanitize(value) for key, value in tags.items() if value} or None,
        "env": None if job.task_id is None else {"GFLOW_ARRAY_TASK_ID": str(job.task_id)},
    }
    return {"argv": argv, "name": name or make_name(text)} | {
        key: value for key, value in found.items() if value is not None
    }


def _list_losses(job: _Job) -> list[str]:
    losses = [tr("the variables are those of this shell: gflow keeps none")]
    if job.conda_env:
        losses.append(tr("-c: runs by `conda run`, not after `conda activate`"))
    if job.gpu_sharing_mode == "Shared" or job.gpu_memory_limit_mb:
        losses.append(tr("--shared: each task has its GPUs for itself"))
    if job.max_concurrent and job.group_id:
        command = f"taskdeck limit set gflow-group={job.group_id[:8]} --running"
        losses.append(
            tr("--max-concurrent: to keep it: {command}", command=f"{command} {job.max_concurrent}")
        )
    if not job.auto_cancel_on_dependency_failure:
        losses.append(tr("--no-auto-cancel: is cancelled if a task that it waits for fails"))
    if job.notifications:
        losses.append(tr("--notify-email: no mail is sent; for a message: submit --notify"))
    return losses
