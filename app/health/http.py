"""Health check of HTTP: served as the settings ask, or why not."""

from __future__ import annotations

from app import config
from app.core.text.sanitize import sanitize
from app.health.finding import Finding, make_command, make_edit_command
from app.paths import get_config_path
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def check_http(path: str, status: dict[str, Any] | None) -> Iterator[Finding]:
    """Check the HTTP server of the runtime of a home; nothing while HTTP is off."""
    if status is None or status["runtime"]["state"] != "running":
        return
    served, settings = status.get("http") or {}, config.read(get_config_path()).http
    cure = make_command(path, "serve --replace --detach")
    if settings.lacks_token:  # a restart alone would refuse the address again
        cure = f"{make_edit_command()} && {cure}"
    if problem := served.get("problem"):
        text = tr("HTTP is not served: {problem}", problem=sanitize(problem))
        yield Finding("http", text, "broken", cure)
        return
    if url := served.get("url"):
        yield Finding("http", tr("HTTP is served at {url}", url=sanitize(url)))
        return
    if settings.listen is not None:
        text = tr(
            "config.toml asks for HTTP at {address}, but the runtime started before this setting",
            address=sanitize(str(settings.listen)),
        )
        if settings.lacks_token:
            text = tr("{text}; set token_file there, or listen on 127.0.0.1", text=text)
        yield Finding("http", text, "hint", cure)
