"""OCF resource agent `ocf:taskdeck:home`: its text, its place and the `pcs` lines that use it."""

from __future__ import annotations

import os
import pwd
import shlex
from importlib.resources import files

from app.cluster import RESOURCE

SIGNATURE = "# OCF resource agent ocf:taskdeck:home"
"""Text by which an installed agent is known as ours."""
MODE = 0o755
"""Mode of the installed agent, which Pacemaker executes."""
GROUP, VOLUME, DRBD = f"{RESOURCE}-group", f"{RESOURCE}-volume", f"{RESOURCE}-drbd"
"""Names of the resources behind which the runtime starts."""


def make_agent(program: str) -> str:
    """Return the agent that runs `program`."""
    text = files("app.cli.pacemaker").joinpath("home").read_text("utf-8")
    return text.replace("@PROGRAM@", shlex.quote(program))


def list_pcs_lines(home: str) -> list[str]:
    """Return the commands that make the home a resource, with comments between them."""
    volume = shlex.quote(_find_mount_point(home))
    return [
        "# Once, on one host. First set up fencing: pcs stonith create …",
        "pcs property set stonith-enabled=true priority-fencing-delay=15s",
        "pcs resource defaults update resource-stickiness=100 priority=10",
        "# The volume. With DRBD (protocol C), whose resource is called taskdeck:",
        f"pcs resource create {DRBD} ocf:linbit:drbd drbd_resource=taskdeck"
        " op monitor interval=29s role=Promoted op monitor interval=31s role=Unpromoted"
        " promotable promoted-max=1 clone-max=2 notify=true",
        _make_volume_line("/dev/drbd0", volume),
        f"pcs constraint colocation add {GROUP} with Promoted {DRBD}-clone",
        f"pcs constraint order promote {DRBD}-clone then start {GROUP}",
        "# Or with shared storage, such as a SAN or a cloud disk:",
        _make_volume_line("/dev/disk/by-label/taskdeck", volume),
        "# In both cases the runtime, behind the volume:",
        f"pcs resource create {RESOURCE} ocf:taskdeck:home {shlex.quote(f'home={home}')}"
        f"{_make_user_word(home)} op monitor interval=5s timeout=20s op start timeout=60s"
        f" op stop timeout=120s --group {GROUP}",
        f"# On both hosts, while the volume is not mounted: chattr +i {volume}",
        "# On both hosts, in ~/.config/taskdeck/config.toml of the owner: cluster = true",
    ]


def _make_volume_line(device: str, folder: str) -> str:
    return (
        f"pcs resource create {VOLUME} ocf:heartbeat:Filesystem device={device}"
        f" directory={folder} fstype=ext4 op monitor interval=10s timeout=40s --group {GROUP}"
    )


def _find_mount_point(home: str) -> str:
    """Return the mount point of the home, or its parent if no volume is mounted now."""
    folder = os.path.realpath(home)
    while not os.path.ismount(folder):
        folder = os.path.dirname(folder)
    return folder if folder != "/" else os.path.dirname(home)


def _make_user_word(home: str) -> str:
    """Return ` user=NAME` for a home that exists here, else "": the agent finds the owner."""
    try:
        return f" user={shlex.quote(pwd.getpwuid(os.stat(os.path.join(home, 'run')).st_uid)[0])}"
    except (OSError, KeyError):
        return ""
