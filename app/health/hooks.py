"""Health check of hooks: missing programs, failures and events left out."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

from app import config
from app.core.text.sanitize import sanitize, truncate
from app.health.finding import Finding, make_command
from app.paths import get_config_path
from app.translation import tr, tr_n

HELP = "taskdeck help hooks"


def check_hooks(home: str, status: dict[str, Any] | None) -> Iterator[Finding]:
    """Check the hooks of config.toml; nothing without one."""
    states = {state["name"]: state for state in (status or {}).get("hooks", ())}
    for hook in config.read(get_config_path()).hooks.values():
        name, state = sanitize(hook.name), states.get(hook.name, {})
        if shutil.which(hook.argv[0]) is None:
            program = truncate(sanitize(hook.argv[0]), 80)
            yield Finding(
                "hooks",
                tr('hook {name}: there is no program "{program}"', name=name, program=program),
                "broken",
                HELP,
            )
        if failing := state.get("failing"):
            text = tr_n(
                failing,
                "hook {name} failed once since its last success: {error}",
                "hook {name} failed {n:,} times since its last success: {error}",
                name=name,
                error=truncate(sanitize(state["last_error"] or ""), 200),
            )
            yield Finding("hooks", text, "broken", make_command(home, "notify ls"))
        if dropped := state.get("dropped"):
            text = tr(
                "hook {name} is too slow: {dropped:,} events were left out so far",
                name=name,
                dropped=dropped,
            )
            yield Finding("hooks", text, "hint", HELP)
        if not state and status and status["runtime"]["state"] == "running":
            text = tr("hook {name} is not followed: the runtime uses other settings", name=name)
            yield Finding("hooks", text, "hint", make_command(home, "serve --replace --detach"))
