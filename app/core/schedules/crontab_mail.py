"""Mail of a crontab: the channel that takes the place of MAILTO.

Cron mails all output of a command to MAILTO, and nothing if MAILTO is empty.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from app.core.notifications.channels import Channel, hide_references
from app.core.schedules.crontab_names import make_unique

_SCHEMES = frozenset({"mailto", "mailtos"})
_RECIPIENT_KEYS = ("to", "cc", "bcc")
_SEPARATORS = re.compile(r"[,;\s]+")
LOCALHOST = "localhost"


def make_notice(mailto: str | None, channel: str | None) -> dict[str, Any]:
    """Return the keys of a schedule that tell a channel of failures, or nobody.

    `mailto` is None without a MAILTO.
    """
    if mailto == "":
        return {"notify_on": "never"}
    return {"notify": channel, "notify_on": "failed"} if channel else {}


def find_channel(channels: Mapping[str, Channel], mailto: str, host: str) -> str | None:
    """Return the first channel that mails to these addresses and nobody else, or None."""
    wanted = _normalize(_split(mailto), host)
    for name, channel in sorted(channels.items()):
        found = [_list_recipients(url) for url in channel.urls]
        if found and None not in found:
            everybody = [address for addresses in found for address in addresses or ()]
            if _normalize(everybody, host) == wanted:
                return name
    return None


def make_channel(mailto: str, taken: Container[str], host: str) -> tuple[str, list[str]]:
    """Return name and lines of a channel in config.toml that mails by the server of the host."""
    addresses = sorted(_normalize(_split(mailto), host))
    local = re.sub(r"[^A-Za-z0-9]+", "-", addresses[0].partition("@")[0]).strip("-").lower()
    name = make_unique(f"mail-{local[:40]}".rstrip("-"), taken)
    to = ",".join(quote(address, safe="@") for address in addresses)
    sender = host if _is_domain(host) else LOCALHOST
    url = f"mailto://{LOCALHOST}?from=taskdeck@{sender}&to={to}"
    return name, [f"[channels.{name}]", f'url = "{url}"']


def _is_domain(host: str) -> bool:
    """Return True for a host that Apprise takes as the domain of an address."""
    return "." in host or len(host) > 5


def _split(mailto: str) -> list[str]:
    return [word for word in _SEPARATORS.split(mailto) if word]


def _normalize(addresses: Iterable[str], host: str) -> set[str]:
    """Return addresses in lower case; users of this machine at `localhost`."""
    found = set[str]()
    for address in addresses:
        user, _, domain = address.lower().rpartition("@")
        is_here = not user or domain in (LOCALHOST, host.lower())
        found.add(f"{user or domain}@{LOCALHOST}" if is_here else f"{user}@{domain}")
    return found


def _list_recipients(url: str) -> list[str] | None:
    """Return the addresses of a mail URL of Apprise, or None for another URL."""
    try:
        parts = urlsplit(hide_references(url))
    except ValueError:
        return None
    if parts.scheme.lower() not in _SCHEMES:
        return None
    query = parse_qs(parts.query)
    given = [text for key in _RECIPIENT_KEYS for text in query.get(key, ())]
    given += [unquote(part) for part in parts.path.split("/")]
    return [word for text in given for word in _split(text)] or [
        f"{unquote(parts.username or '')}@{parts.hostname or ''}"
    ]
