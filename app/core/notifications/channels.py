"""Settings of notifications: the sections `channels`, `notifications` and `actions`.

Secrets are referred to as `{env:NAME}` or `{file:/path}` and read only when a message is sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any
from urllib.parse import quote as quote_url

from app.core.json_types import is_array, is_object
from app.core.maintenance_settings import SettingFault, add_fault, format_unknown_setting
from app.core.notifications.notices import OUTCOMES, RESERVED
from app.core.text.sanitize import MASK, find_name_error, find_nearest, sanitize, truncate
from app.translation import tr, tr_noop

MAX_NAMED = 8
"""Channels that a refusal names."""
Network = IPv4Network | IPv6Network
_CHANNEL_KEYS = ("url", "urls", "webhook", "secret")
_REFERENCE = re.compile(r"\{(env|file):([^{}]+)\}")
_LIKE_REFERENCE = re.compile(r"\{[^{}]*(?::[^{}]*\}|$)")
"""Text that looks like a reference; only a right one matches `_REFERENCE` too."""
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=://.)")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_URL_EXAMPLE = tr_noop('a URL such as "mailto://user:{env:MAIL_PASSWORD}@example.com"')
_REFERENCE_ADVICE = "Secrets: {env:NAME} or {file:/path}"


@dataclass(frozen=True, slots=True)
class Channel:
    """A named target of messages: URLs of Apprise, or one webhook with the key of its signature.

    The texts still contain the references to secrets.
    """

    name: str
    urls: tuple[str, ...] = ()
    webhook: str = ""
    secret: str = ""

    @property
    def kinds(self) -> list[str]:
        """Kinds of the targets without their secrets: `mailto`, `slack`, `webhook`."""
        if self.webhook:
            return ["webhook"]
        return list(dict.fromkeys(_find_scheme(url) for url in self.urls))

    @property
    def masked(self) -> list[str]:
        """URLs with everything after the scheme masked, since any part may be a secret."""
        schemes = (_find_scheme(url) for url in (self.urls or (self.webhook,)))
        return [f"{scheme}://{MASK}" for scheme in schemes]


@dataclass(frozen=True, slots=True)
class NotificationSettings:
    """Channels by name, the default for tasks, and limits of what rules may do.

    `default` is the channel for the end of tasks that name no channel, "" for none. `problems` is
    the channel for alerts of Taskdeck itself, "" for none. `on` is `failed` or `ended`. `faulty`
    names the channels with a fault. `has_output` adds the last lines of failed tasks to messages.
    """

    channels: Mapping[str, Channel] = field(default_factory=dict[str, Channel])
    default: str = ""
    on: str = "failed"
    problems: str = ""
    allow_command: bool = False
    allow_private: tuple[Network, ...] = ()
    faulty: frozenset[str] = frozenset()
    has_output: bool = True


def parse_notifications(
    sections: Mapping[str, Any],
) -> tuple[NotificationSettings, list[SettingFault]]:
    """Parse the sections; return defaults for invalid settings, and all faults."""
    faults: list[SettingFault] = []
    channels = _parse_channels(sections.get("channels", {}), faults)
    named = sections.get("channels", {})
    names = list(named) if is_object(named) else []
    tables = {
        name: _parse_table(name, sections.get(name, {}), parsers, faults)
        for name, parsers in _TABLE_PARSERS.items()
    }
    default, problems = (
        _get_known(name, tables["notifications"], names, faults) for name in ("default", "problems")
    )
    actions = tables["actions"]
    settings = NotificationSettings(
        channels,
        default,
        tables["notifications"].get("on", "failed"),
        problems,
        actions.get("command", False),
        actions.get("allow_private", ()),
        frozenset(map(str, names)) - channels.keys(),
        tables["notifications"].get("output", True),
    )
    return settings, faults


def _get_known(
    setting: str, table: Mapping[str, Any], names: Sequence[str], faults: list[SettingFault]
) -> str:
    """Return the channel of a setting, "" for none. Add a fault if there is no such channel."""
    name: str = table.get(setting, "")
    if not name or name in names:
        return name
    near = find_nearest(name, names)
    known = f" Nearest: {near}." if near else ""
    add_fault(
        faults,
        ("notifications", setting),
        tr('there is no channel "{name}".{known}', name=sanitize(name), known=known),
        "Example: [channels.ops]",
    )
    return ""


def explain_missing(settings: NotificationSettings, name: str) -> str:
    """Return why there is no such channel, as a sentence."""
    shown = truncate(sanitize(name), 60)
    if name in settings.faulty:
        return tr('the channel "{shown}" has a mistake in config.toml.', shown=shown)
    names = [*settings.channels]
    known = ", ".join([*names[:MAX_NAMED], *["…"] * (len(names) > MAX_NAMED)])
    near = find_nearest(name, settings.channels)
    advice = f" Nearest: {near}." if near else f" Channels: {known}." if known else ""
    return tr('there is no channel "{shown}" in config.toml.{advice}', shown=shown, advice=advice)


def resolve_references(
    text: str,
    read_variable: Callable[[str], str | None],
    read_file: Callable[[str], str],
    in_url: bool = False,
) -> tuple[str, list[str]]:
    """Return the text with its secrets, and the secrets, for the mask of later errors.

    In a URL a secret is percent-encoded, unless the secret is the whole URL. Raise ValueError with
    the name of the secret that cannot be read.
    """
    secrets: list[str] = []
    is_whole = _REFERENCE.fullmatch(text) is not None

    def resolve(found: re.Match[str]) -> str:
        secret = _read_secret(found[1], found[2], read_variable, read_file)
        shown = quote_url(secret, safe="") if in_url and not is_whole else secret
        secrets.extend({secret, shown})
        return shown

    return _REFERENCE.sub(resolve, text), secrets


def hide_references(text: str) -> str:
    """Return a text with a word in place of each reference to a secret."""
    return _REFERENCE.sub("secret", text)


def mask_secrets(text: str, secrets: list[str]) -> str:
    """Return an error text without the secrets that it may repeat."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def find_reference_error(text: str) -> str | None:
    """Return why a text holds a wrong reference, or None. The text itself is not shown."""
    for found in _LIKE_REFERENCE.finditer(text):
        kind, _, name = found[0].strip("{}").partition(":")
        if not found[0].endswith("}"):
            return tr("has a {open} without its {close}", open="{", close="}")
        if kind not in ("env", "file"):
            return tr("has an unknown reference {{{kind}:…}}", kind=truncate(sanitize(kind), 20))
        if kind == "env" and not _VARIABLE.fullmatch(name):
            return tr("must name a variable in {env:NAME}")
        if kind == "file" and not name.startswith("/"):
            return tr("must give an absolute path in {file:/path}")
    return None


def _read_secret(
    kind: str,
    name: str,
    read_variable: Callable[[str], str | None],
    read_file: Callable[[str], str],
) -> str:
    if kind == "env":
        value = read_variable(name)
        if not value:
            raise ValueError(
                tr(
                    "the variable {name} is not set where the runtime was started",
                    name=sanitize(name),
                )
            )
        return value
    try:
        value = read_file(name).strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or tr("not UTF-8 text")
        raise ValueError(
            tr("{name} cannot be read: {reason}", name=sanitize(name), reason=why.lower())
        ) from None
    if not value:
        raise ValueError(tr("{name} is empty", name=sanitize(name)))
    return value


def _parse_channels(value: Any, faults: list[SettingFault]) -> dict[str, Channel]:
    if not is_object(value):
        add_fault(faults, ("channels",), tr("must be tables, such as [channels.ops]."))
        return {}
    found: dict[str, Channel] = {}
    for name, table in value.items():
        before = len(faults)
        channel = _parse_channel(str(name), table, faults)
        if len(faults) == before:
            found[channel.name] = channel
    return found


def _parse_channel(name: str, table: Any, faults: list[SettingFault]) -> Channel:
    where = ("channels", name)
    if wrong := find_name_error(name):
        add_fault(faults, where, tr("the name {wrong}.", wrong=wrong))
    if name in RESERVED:
        add_fault(
            faults, where, tr('the name "{name}" has a meaning of its own in --notify.', name=name)
        )
    if not is_object(table):
        add_fault(faults, where, tr("must be a table."), 'Example: url = "ntfy://example"')
        return Channel(name)
    for key in table:
        if key not in _CHANNEL_KEYS:
            add_fault(faults, (*where, key), format_unknown_setting(str(key), _CHANNEL_KEYS))
    targets = [key for key in ("url", "urls", "webhook") if key in table]
    if len(targets) != 1:
        add_fault(
            faults,
            where,
            tr("needs one of url, urls and webhook."),
            tr("Example: {url_example}", url_example=tr(_URL_EXAMPLE)),
        )
    if "secret" in table and "webhook" not in table:
        add_fault(faults, (*where, "secret"), tr("goes with webhook; it signs what is sent there."))
    urls = _list_urls(table, where, faults)
    for key in {"webhook", "secret"} & table.keys():
        _check_text(table[key], (*where, key), faults, is_url=key == "webhook")
    if "webhook" in table and _is_other_scheme(table["webhook"]):
        add_fault(faults, (*where, "webhook"), tr("must begin with https:// or http://."))
    texts = {key: str(table.get(key, "")) for key in ("webhook", "secret")}
    return Channel(name, tuple(urls), **texts)


def _is_other_scheme(url: Any) -> bool:
    return (
        isinstance(url, str)
        and not _REFERENCE.match(url)
        and _find_scheme(url) not in ("http", "https")
    )


def _list_urls(
    table: Mapping[Any, Any], where: tuple[str, ...], faults: list[SettingFault]
) -> Iterator[str]:
    if "url" in table:
        _check_text(table["url"], (*where, "url"), faults, is_url=True)
        yield str(table["url"])
    several = table.get("urls", ())
    if "urls" in table and (not is_array(several) or not several):
        add_fault(
            faults, (*where, "urls"), tr("must be a list of URLs."), 'Example: ["ntfy://example"]'
        )
        return
    for url in several:
        _check_text(url, (*where, "urls"), faults, is_url=True)
        yield str(url)


def _check_text(
    value: Any, where: tuple[str, ...], faults: list[SettingFault], is_url: bool
) -> None:
    """Add the faults of a text that may be secret, without showing it."""
    if not isinstance(value, str) or not value.strip():
        what = tr(_URL_EXAMPLE) if is_url else tr('text, such as "{env:HOOK_SECRET}"')
        add_fault(faults, where, tr("must be {what}.", what=what))
    elif wrong := find_reference_error(value):
        add_fault(faults, where, f"{wrong}.", _REFERENCE_ADVICE)
    elif not value.isprintable():
        add_fault(faults, where, tr("must not contain control or invisible characters."))
    elif is_url and not _REFERENCE.match(value) and not _SCHEME.match(value):
        add_fault(faults, where, tr("must be {url_example}.", url_example=tr(_URL_EXAMPLE)))


def _find_scheme(url: str) -> str:
    """Return the scheme of a URL; `url` where a secret hides it."""
    found = _SCHEME.match(url)
    return found[0].lower() if found else "url"


def _parse_table(
    section: str,
    value: Any,
    parsers: Mapping[str, Callable[[Any], Any]],
    faults: list[SettingFault],
) -> dict[str, Any]:
    if not is_object(value):
        add_fault(faults, (section,), tr("must be a table."))
        return {}
    found: dict[str, Any] = {}
    for name, one in value.items():
        if name not in parsers:
            add_fault(faults, (section, str(name)), format_unknown_setting(str(name), parsers))
            continue
        try:
            found[name] = parsers[name](one)
        except ValueError as error:
            add_fault(faults, (section, name), f"{error}.")
    return found


def _parse_default(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(tr('must be the name of a channel, such as "ops"'))
    return value


def _parse_outcome(value: Any) -> str:
    if value not in OUTCOMES:
        raise ValueError(tr("must be {outcomes}", outcomes=" or ".join(OUTCOMES)))
    return value


def _parse_switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(tr("must be true or false"))
    return value


def _parse_networks(value: Any) -> tuple[Network, ...]:
    example = tr('such as ["10.1.0.0/16", "127.0.0.1"]')
    if not is_array(value):
        raise ValueError(tr("must be a list of networks, {example}", example=example))
    found: list[Network] = []
    for one in value:
        try:
            found.append(ip_network(one if isinstance(one, str) else "", strict=False))
        except ValueError:
            raise ValueError(tr("must be a list of networks, {example}", example=example)) from None
    return tuple(found)


_TABLE_PARSERS: Mapping[str, Mapping[str, Callable[[Any], Any]]] = {
    "notifications": {
        "default": _parse_default, "on": _parse_outcome, "problems": _parse_default,
        "output": _parse_switch,
    },
    "actions": {"command": _parse_switch, "allow_private": _parse_networks},
}  # fmt: skip
