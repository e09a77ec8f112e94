"""Acquisition of a cgroup in which the keeper lets the kernel enforce limits of runs.

The keeper gets a cgroup only at its start, and only in homes with a pool that enforces limits.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.config import CGROUP_EXAMPLE
from app.core.scheduling.enforcement import Lack
from app.runtime import systemd_scope
from app.runtime.dispatch.keeper_client import KeeperClient, read_cgroup_setting
from app.service import enforced_limits

RESTART = "taskdeck stop --drain && taskdeck serve --detach"
SETTING = f'In config.toml: cgroup = "{CGROUP_EXAMPLE}" (taskdeck help resources)'


async def acquire_cgroup(keeper: KeeperClient | None, names: Sequence[str]) -> Lack | None:
    """Restart an idle keeper in a cgroup of its own, if systemd or the configuration has one.

    Return what is missing to enforce limits, or None.
    """
    if keeper is None or not keeper.connected:
        return Lack("no keeper answers", enforced_limits.CURE)
    if enforced_limits.find_lack(names) is None:
        return None
    if not (systemd_scope.has_scopes() or read_cgroup_setting()):
        return Lack("no systemd gives the keeper a cgroup of its own", SETTING)
    old, before, keeper.delegates = keeper.pid, keeper.delegates, True
    try:
        await keeper.renew()
    except TimeoutError:
        keeper.delegates = before
        return Lack("no new keeper answers", enforced_limits.CURE)
    lack = enforced_limits.find_lack(names)
    if lack is None:
        return None
    keeper.delegates = before
    if keeper.pid == old:
        return Lack("the keeper gets a cgroup only when it starts, and has runs now", RESTART)
    return Lack(lack.why, "taskdeck help resources")
