"""Cluster mode: Pacemaker starts, stops and moves the runtime of a home.

With `cluster = true` in config.toml nothing else starts or stops a runtime, and no home is created:
on the passive host the mount point of the home is an empty folder.
"""

from __future__ import annotations

import os
import shlex

from app import paths
from app.errors import Refused
from app.translation import tr

RESOURCE = "taskdeck"
"""Name of the resource in the `pcs` lines that `service install --pacemaker` prints."""
DEFAULT_ROOT = "/usr/lib/ocf"
"""Folder of resource agents unless OCF_ROOT names another."""
STOP_REASON = "cluster"
"""Reason with which the keeper stops runs whose home leaves the host. Such runs end as lost."""
STOPPED_BY = "the cluster"
"""Name in the stop mark of a runtime that the cluster stopped."""


def get_agent_path() -> str:
    """Return the path of the agent in the folder of resource agents."""
    root = os.environ.get("OCF_ROOT") or DEFAULT_ROOT
    return os.path.join(root, "resource.d", "taskdeck", "home")


def is_enabled() -> bool:
    """Return True if config.toml says that a cluster runs the homes of this user."""
    path = paths.get_config_path()
    if not os.path.exists(path):
        return False
    from app import config

    return config.read(path).settings.cluster


def require_home(home: str) -> None:
    """Raise Refused in cluster mode if the home does not exist on this host."""
    if has_home(home) or paths.is_replica(home) or not is_enabled():
        return
    raise Refused(
        "the home {home} is not on this host, and config.toml says cluster = true. Nothing"
        " was created.",
        "See which host has it: pcs status. To use another home: --home DIR",
        home=home,
    )


def has_home(home: str) -> bool:
    """Return True if the home exists on this host."""
    return os.path.isdir(os.path.join(home, "run"))


def refuse_start(home: str) -> None:
    """Raise Refused in cluster mode, where only the cluster starts a runtime."""
    if is_enabled():
        raise Refused(
            "the cluster starts the runtime of this home (cluster = true in config.toml)."
            " Nothing was started.",
            advise_start(home),
        )


def refuse_stop() -> None:
    """Raise Refused in cluster mode, where the cluster would start the runtime again."""
    if is_enabled():
        raise Refused(
            "the cluster would start the runtime of this home again (cluster = true in"
            " config.toml). Nothing was stopped.",
            "Stop it: pcs resource disable {resource}",
            resource=RESOURCE,
        )


def refuse_replacement(home: str) -> None:
    """Raise Refused while the cluster stops the runtime: a new one would stay behind."""
    if is_enabled() and (advice := advise_stop(home)):
        raise Refused("the runtime of this home drains. Nothing was replaced.", advice)


def find_start_command(home: str) -> str:
    """Return the command that lets the cluster start the runtime; "" if no cluster does."""
    mark = paths.read_stop_marker(home)
    resource = mark[2] if mark else ""
    return (
        f"pcs resource enable {shlex.quote(resource or RESOURCE)}"
        if resource or is_enabled()
        else ""
    )


def advise_start(home: str) -> str:
    """Return the advice to start the runtime: with the command of the cluster if one has it."""
    return find_cure(home) or "Start it: taskdeck serve --detach"


def advise_stop(home: str) -> str:
    """Return the advice while the cluster stops the runtime; "" if no cluster does."""
    mark = paths.read_stop_marker(home)
    return "The cluster stops or moves it: pcs status" if mark and mark[2] else ""


def find_cure(home: str) -> str:
    """Return the advice for a home of a cluster without a runtime; "" if no cluster has it."""
    if command := find_start_command(home):
        if not has_home(home):
            return "The home is not on this host. See which host has it: pcs status"
        return tr("See why it is down: pcs status. Start it: {command}", command=command)
    return ""
