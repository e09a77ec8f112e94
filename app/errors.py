"""Problem types of the verbs. `db.errors` holds the base class and database problems."""

from __future__ import annotations

from db.errors import Problem, Storage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "NOT_SUBMITTED",
    "Conflict",
    "NotFound",
    "Problem",
    "Refused",
    "Remote",
    "Storage",
    "TimedOut",
    "Usage",
    "find_process_limit",
    "make_process_limit_error",
]


NOT_SUBMITTED = "Nothing was submitted."


class Usage(Problem):
    """Invalid arguments or options."""

    code = "usage"
    exit_code = 2


class NotFound(Problem):
    """A named object does not exist."""

    code = "not-found"
    exit_code = 3


class Conflict(Problem):
    """The present state does not allow the request."""

    code = "conflict"
    exit_code = 4


class Stopped(Conflict):
    """No runtime is running, and none may be started automatically."""

    code = "stopped"


class Refused(Conflict):
    """A request that can never succeed."""

    code = "refused"


class TimedOut(Problem):
    """A wait reached its time limit."""

    code = "wait-timeout"
    exit_code = 6


class Remote(Problem):
    """Problem reported by the runtime, rebuilt in the client."""

    def __init__(
        self, message: str, hint: str = "", code: str = "failed", exit_code: int = 1
    ) -> None:
        super().__init__(message, hint)
        self.code = code
        self.exit_code = exit_code


def problem_to_dict(problem: Problem) -> dict[str, Any]:
    """Return the problem as sent over the control socket."""
    return {
        "code": problem.code,
        "exit_code": problem.exit_code,
        "message": problem.message,
        "hint": problem.hint,
    }


def find_process_limit(error: BaseException) -> str:
    """Return the message for a fork or a thread that a process limit prevented.

    Return "" for another error.
    """
    is_fork = isinstance(error, BlockingIOError)
    if not is_fork and not (isinstance(error, RuntimeError) and "new thread" in str(error)):
        return ""
    import resource

    soft = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    named = "pids.max of the cgroup, or kernel.pid_max"
    if soft != resource.RLIM_INFINITY:
        named = f"ulimit -u is {soft}, and counts all of your processes and threads"
    return f"no more processes can be started ({named})"


def make_process_limit_error(error: BaseException) -> Problem | None:
    """Return the problem of an exhausted process limit, or None for another error."""
    limit = find_process_limit(error)
    return Problem(f"{limit}.", "See what is used: taskdeck doctor") if limit else None
