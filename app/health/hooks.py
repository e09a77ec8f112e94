"""Health check of hooks: missing programs, failures and events left out."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

from app import config
from app.core.text.sanitize import sanitize, truncate
from app.health.finding import Finding, make_command
from app.paths import get_config_path

HELP = "taskdeck help hooks"


def check_hooks(home: str, status: dict[str, Any] | None) -> Iterator[Finding]:
    """Check the hooks of config.toml; nothing without one."""
    states = {state["name"]: state for state in (status or {}).get("hooks", ())}
    for hook in config.read(get_config_path()).hooks.values():
        name, state = sanitize(hook.name), states.get(hook.name, {})
        if shutil.which(hook.argv[0]) is None:
            program = truncate(sanitize(hook.argv[0]), 80)
            yield Finding("hooks", f'hook {name}: there is no program "{program}"', "broken", HELP)
        if failing := state.get("failing"):
            times = "once" if failing == 1 else f"{failing:,} times"
            error = truncate(sanitize(state["last_error"] or ""), 200)
            text = f"hook {name} failed {times} since its last success: {error}"
            yield Finding("hooks", text, "broken", make_command(home, "notify ls"))
        if dropped := state.get("dropped"):
            text = f"hook {name} is too slow: {dropped:,} events were left out so far"
            yield Finding("hooks", text, "hint", HELP)
        if not state and status and status["runtime"]["state"] == "running":
            text = f"hook {name} is not followed: the runtime uses other settings"
            yield Finding("hooks", text, "hint", make_command(home, "serve --replace --detach"))
