"""The problems of the verbs. `db.errors` has the base and what concerns the database."""

from __future__ import annotations

from db.errors import Problem, Storage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["NOT_SUBMITTED", "Conflict", "NotFound", "Problem", "Refused", "Remote", "Storage", "TimedOut", "Usage"]


NOT_SUBMITTED = "Nothing was submitted."


class Usage(Problem):
    """The words of a command make no sense."""

    code = "usage"
    exit_code = 2


class NotFound(Problem):
    """There is no such thing."""

    code = "not-found"
    exit_code = 3


class Conflict(Problem):
    """It cannot be done as things stand."""

    code = "conflict"
    exit_code = 4


class Stopped(Conflict):
    """No runtime is up, and none may be started without being asked for."""

    code = "stopped"


class Refused(Conflict):
    """It could never be done."""

    code = "refused"


class TimedOut(Problem):
    """A wait came to its limit."""

    code = "wait-timeout"
    exit_code = 6


class Remote(Problem):
    """A problem that the runtime answered with, rebuilt on the client's side."""

    def __init__(self, message: str, hint: str = "", code: str = "failed", exit_code: int = 1) -> None:
        super().__init__(message, hint)
        self.code = code
        self.exit_code = exit_code


def problem_to_dict(problem: Problem) -> dict[str, Any]:
    """What goes over the control socket."""
    return {"code": problem.code, "exit_code": problem.exit_code, "message": problem.message, "hint": problem.hint}
