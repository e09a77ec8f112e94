"""Settings of config.toml. Unknown names are errors that suggest the nearest known name.

Commands and the runtime ignore faulty settings, so that a misspelt colour costs no submission.
While a fault may concern retention, nothing is removed.
"""

from __future__ import annotations

import errno
import os
import stat
from types import MappingProxyType
from typing import NamedTuple

from app.errors import Usage
from app.translation import LANGUAGES, tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from app.core.agent_clients import McpSettings
    from app.core.http_settings import HttpSettings
    from app.core.maintenance_settings import MaintenanceSettings, SettingFault
    from app.core.notifications.channels import NotificationSettings
    from app.core.notifications.hooks import Hook
    from app.core.slurm.settings import SlurmSettings
    from app.core.user_commands import UserCommand

CHOICES: dict[str, tuple[str, ...]] = {
    "theme": ("quiet", "light", "contrast"),
    "glyphs": ("auto", "unicode", "ascii"),
    "mouse": ("clicks", "off"),
    "unfocused": ("still", "live"),
    "bell": ("critical", "off"),
    "language": LANGUAGES,
}
"""Allowed values of the settings with a fixed set of words."""
CGROUP_EXAMPLE = "/sys/fs/cgroup/taskdeck"
SWITCHES = ("autostart", "cluster")
"""Settings that are true or false."""
MAINTENANCE_SECTIONS = ("backup", "retention", "slow")
"""Sections parsed by the maintenance settings."""
NOTIFICATION_SECTIONS = ("channels", "notifications", "actions")
"""Sections parsed by `app.core.notifications.channels`."""
RETENTION_SECTIONS = ("backup", "retention")
"""Sections that concern retention."""
COMMANDS = "commands"
"""Table of `keys` with the commands of the user."""
_EMPTY: Mapping[str, Any] = MappingProxyType({})
FOLDER_UNKNOWN = "The backup folder is therefore unknown."
"""Consequence shown when a fault may hide the backup folder."""


class Config(NamedTuple):
    """Settings of a user.

    `autostart` lets a command start a runtime when none is running. `cluster` says that Pacemaker
    starts and stops the runtime, which turns `autostart` off. `cgroup` is a folder that keepers may
    divide to enforce limits, instead of their scope. The other scalars belong to the deck:
    `theme`; `glyphs`, where auto follows the terminal; `mouse`; `unfocused`, the drawing mode
    while another window has the focus; `bell`, the alerts that ring it; `keys`, key bindings by
    action id, several separated by commas. `language` counts where the locale names none.
    """

    autostart: bool = True
    cluster: bool = False
    cgroup: str = ""
    theme: str | None = None
    glyphs: str = "auto"
    mouse: str = "clicks"
    unfocused: str = "still"
    bell: str = "critical"
    language: str | None = None
    keys: Mapping[str, str] = _EMPTY
    backup: Mapping[str, Any] = _EMPTY
    retention: Mapping[str, Any] = _EMPTY
    slow: Mapping[str, Any] = _EMPTY
    channels: Mapping[str, Any] = _EMPTY
    notifications: Mapping[str, Any] = _EMPTY
    actions: Mapping[str, Any] = _EMPTY
    slurm: Mapping[str, Any] = _EMPTY
    hooks: Mapping[str, Any] = _EMPTY
    mcp: Mapping[str, Any] = _EMPTY
    http: Mapping[str, Any] = _EMPTY

    @property
    def maintenance(self) -> MaintenanceSettings:
        """Maintenance settings: the sections `backup`, `retention` and `slow`."""
        from app.core import maintenance_settings

        return maintenance_settings.parse_settings(
            {name: getattr(self, name) for name in MAINTENANCE_SECTIONS}
        )


CLUSTERED = Config(autostart=False, cluster=True)
"""Settings of a cluster. A fault must not turn them off: a new home would be made in the empty
mount point of the passive host."""


class LoadedConfig(NamedTuple):
    """Settings of one file and the faults found in it.

    `settings` omits faulty values. `faults` name the file and, where known, the line;
    possible retention faults come first. `folder_fault` summarizes faults that may hide the
    backup folder. `commands` are the valid commands of the user for the deck.
    """

    path: str
    settings: Config = Config()
    faults: tuple[SettingFault, ...] = ()
    folder_fault: str = ""
    commands: tuple[UserCommand, ...] = ()

    @property
    def fault_summary(self) -> str:
        """Summary of the faults in one line; empty without faults."""
        return _summarize(self.faults)

    def shorten_path(self, text: str) -> str:
        """Replace the path of the file in `text` by its name."""
        from app.core.text.sanitize import sanitize

        return text.replace(sanitize(self.path), os.path.basename(self.path))

    @property
    def ignored_notice(self) -> str:
        """Notice that the faults are ignored; empty without faults."""
        removed = "; nothing is removed until it is fixed" if self.retention_fault else ""
        return (
            tr(
                "{fault_summary} Ignored{removed}.",
                fault_summary=self.fault_summary,
                removed=removed,
            )
            if self.faults
            else ""
        )

    @property
    def short_notice(self) -> str:
        """One-line notice for a screen that may cut its end. The hint comes first."""
        if not self.faults:
            return ""
        location, colon, fault = (
            self.shorten_path(self.faults[0].message)
            .partition(". ")[0]
            .removesuffix(".")
            .partition(": ")
        )
        more = (
            tr(" (and {more} more: taskdeck doctor)", more=len(self.faults) - 1)
            if len(self.faults) > 1
            else ""
        )
        return tr(
            "{location}{more}{colon}{fault}; ignored.",
            location=location,
            more=more,
            colon=colon,
            fault=fault,
        )

    def require_folder(self) -> None:
        """Raise Usage while the backup folder is unknown."""
        if self.folder_fault:
            from app.core.text.joining import join_sentences

            raise Usage(join_sentences(self.folder_fault, tr(FOLDER_UNKNOWN)), "Fix it.")

    @property
    def retention_fault(self) -> str:
        """Summary of faults that may concern retention and therefore pause removals."""
        return _summarize([one for one in self.faults if _concerns_retention(one)])

    @property
    def doubtful_sections(self) -> frozenset[str]:
        """Maintenance sections that are faulty, or missing while a misspelt section exists."""
        names = {one.where[0] if one.where else "" for one in self.faults}
        has_misspelt = not names <= set(Config._fields)
        return frozenset(
            name
            for name in MAINTENANCE_SECTIONS
            if name in names or (has_misspelt and not getattr(self.settings, name))
        )

    @property
    def maintenance(self) -> MaintenanceSettings:
        """Maintenance settings, with defaults for faulty values.

        While there is a retention fault, nothing is removed.
        """
        from app.core import maintenance_settings as core_maintenance_settings

        found, _ = core_maintenance_settings.parse_lenient(
            {name: getattr(self.settings, name) for name in MAINTENANCE_SECTIONS}
        )
        return found.suspend_removal(self.retention_fault) if self.retention_fault else found

    @property
    def notifications(self) -> NotificationSettings:
        """Settings of notifications, with defaults for faulty values."""
        from app.core.notifications import channels

        sections = {name: getattr(self.settings, name) for name in NOTIFICATION_SECTIONS}
        return channels.parse_notifications(sections)[0]

    @property
    def hooks(self) -> Mapping[str, Hook]:
        """Valid hooks by name."""
        from app.core.notifications.hooks import parse_hooks

        return parse_hooks(self.settings.hooks)[0]

    @property
    def slurm(self) -> SlurmSettings:
        """Settings of Slurm pools, with defaults for faulty values."""
        from app.core.slurm.settings import parse_slurm

        return parse_slurm(self.settings.slurm)[0]

    @property
    def mcp(self) -> McpSettings:
        """Limits of the clients of `taskdeck mcp`, without faulty ones."""
        from app.core.agent_clients import parse_mcp

        return parse_mcp(self.settings.mcp)[0]

    @property
    def mcp_fault(self) -> str:
        """Summary of faults that may lift a limit of a client."""
        return _summarize([one for one in self.faults if _concerns_section(one, ("mcp",))])

    @property
    def http(self) -> HttpSettings:
        """Settings of the HTTP server, with defaults for faulty values."""
        from app.core.http_settings import parse_http

        return parse_http(self.settings.http)[0]

    @property
    def http_fault(self) -> str:
        """Summary of faults that may hide the token of the HTTP server."""
        return _summarize([one for one in self.faults if one.where[:1] in ((), ("http",))])


def _concerns_retention(fault: SettingFault) -> bool:
    """Return True if the fault may concern retention. Unknown names may."""
    return _concerns_section(fault, RETENTION_SECTIONS)


def _concerns_section(fault: SettingFault, names: Sequence[str]) -> bool:
    """Return True if the fault is in one of these sections, or may hide one."""
    return not fault.where or fault.where[0] in names or fault.where[0] not in Config._fields


def _may_hide_folder(where: tuple[str, ...], values: Mapping[str, Any]) -> bool:
    """Return True if the fault may hide the backup folder.

    A misspelt setting may be the folder if its value is an absolute path.
    """
    from app.core.maintenance_settings import BackupSettings

    if where in (("backup",), ("backup", "folder")):
        return True
    if where[0] in Config._fields and (
        where[0] != "backup" or where[1] in BackupSettings.__slots__
    ):
        return False
    value = values[where[0]] if len(where) == 1 else values["backup"][where[1]]
    inside = value.values() if isinstance(value, dict) else [value]
    return any(isinstance(one, str) and one.startswith("/") for one in inside)


def _summarize(faults: Sequence[SettingFault]) -> str:
    return (
        (
            faults[0].message
            + (
                tr(" And {more} more: taskdeck doctor.", more=len(faults) - 1)
                if len(faults) > 1
                else ""
            )
        )
        if faults
        else ""
    )


_SECOND, _MINUTE, _HOUR, _DAY = 1.0, 60.0, 3600.0, 86400.0


def find_short_retention(upkeep: MaintenanceSettings) -> list[str]:
    """Return a warning per suspiciously short retention time: 1m may mean a month."""
    from app.core.text.sanitize import sanitize

    rules = upkeep.retention
    keeps = {"backup": (upkeep.backup.keep, _DAY), "retention": (rules.all.keep, _DAY)}
    for kind, named in (("queue", rules.queues), ("template", rules.templates)):
        keeps |= {
            f"retention.{kind}.{sanitize(name)}": (rule.keep, _HOUR) for name, rule in named.items()
        }
    return [
        tr(
            "[{where}] keeps only {time} (m is minutes, d is days)"
            if keep >= _MINUTE
            else "[{where}] keeps only {time} (s is seconds, d is days)",
            where=where,
            time=_format_seconds(keep),
        )
        for where, (keep, least) in keeps.items()
        if keep and keep < least
    ]


def _format_seconds(seconds: float) -> str:
    sizes = (_HOUR, "hour"), (_MINUTE, "minute"), (_SECOND, "second")
    size, word = next((one for one in sizes if seconds >= one[0]), sizes[-1])
    number = f"{seconds / size:.3g}"
    return f"{number} {word}{'' if number == '1' else 's'}"


def read(path: str) -> LoadedConfig:
    """Return the settings of the file at `path` and its faults; defaults without a file."""
    try:
        text = read_regular_file(path).decode()
    except FileNotFoundError:
        return LoadedConfig(path)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "not UTF-8 text"
        return _make_unreadable(path, tr("cannot be read: {why}", why=why))
    import tomllib  # rarely needed: most users have no file

    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _make_unreadable(path, tr("is not valid TOML: {error}", error=error))
        return found._replace(settings=CLUSTERED) if _names_cluster(text) else found
    return _check_settings(found, text, path)


def read_regular_file(path: str) -> bytes:
    """Return the bytes of a regular file.

    Raise OSError for a pipe or a device, because reading one may never end.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(
                errno.EINVAL,
                os.strerror(errno.EISDIR) if stat.S_ISDIR(mode) else "not a regular file",
            )
        with open(fd, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(fd)


def _names_cluster(text: str) -> bool:
    """Return True if a faulty file has a line that sets `cluster`, but not to false."""
    import re

    return bool(re.search(r"^\s*cluster\s*=(?!\s*false\b)", text, re.MULTILINE))


def _make_unreadable(path: str, why: str) -> LoadedConfig:
    from app.core.text.joining import end_sentence
    from app.core.text.sanitize import sanitize

    text = end_sentence(f"{sanitize(path)} {sanitize(why)}")
    faults = (_make_fault((), text, tr("Fix it.")),)
    return LoadedConfig(path, faults=faults, folder_fault=_summarize(faults))


def _check_settings(values: Mapping[str, Any], text: str, path: str) -> LoadedConfig:
    faults = sorted(_find_faults(values), key=_concerns_retention, reverse=True)
    names = {one.where for one in faults}
    valid_sections = {name: value for name, value in values.items() if (name,) not in names}
    if "keys" in valid_sections:
        valid_sections["keys"] = {
            name: keys
            for name, keys in valid_sections["keys"].items()
            if ("keys", name) not in names and name != COMMANDS
        }
    located = tuple(
        one._replace(message=f"{_locate(path, text, one)}: {one.message}") for one in faults
    )
    if valid_sections.get("cluster") or ("cluster",) in names:
        valid_sections |= {"autostart": False, "cluster": True}
    loaded = LoadedConfig(
        path, Config(**valid_sections), located, commands=_parse_commands(values.get("keys"))[0]
    )
    if loaded.maintenance.backup.folder is not None:
        return loaded
    hiding = [one for one in located if _may_hide_folder(one.where, values)]
    return loaded._replace(folder_fault=_summarize(hiding))


def _find_faults(values: Mapping[str, Any]) -> Iterator[SettingFault]:
    for name, value in values.items():
        if name not in Config._fields:
            yield _make_unknown_fault(name)
        elif name in SWITCHES and not isinstance(value, bool):
            switch = "true" if name == "cluster" else "false"
            example = tr("Example: {name} = {switch}", name=name, switch=switch)
            until = "; until then it counts as true" if name == "cluster" else ""
            yield _make_fault(
                (name,), tr("{name} must be true or false{until}.", name=name, until=until), example
            )
        elif name == "cgroup" and not (isinstance(value, str) and value.startswith("/")):
            example = tr('Example: cgroup = "{example}"', example=CGROUP_EXAMPLE)
            yield _make_fault((name,), "cgroup must be the path of a folder.", example)
        elif name == "keys":
            yield from _find_key_faults(value)
        elif name in CHOICES and value not in CHOICES[name]:
            yield _make_fault(
                (name,),
                tr("{name} must be one of {choices}.", name=name, choices=", ".join(CHOICES[name])),
                tr('Example: {name} = "{choice}"', name=name, choice=CHOICES[name][-1]),
            )
    yield from _find_section_faults(values)


def _find_section_faults(values: Mapping[str, Any]) -> Iterator[SettingFault]:
    if sections := {name: values[name] for name in MAINTENANCE_SECTIONS if name in values}:
        from app.core.maintenance_settings import parse_lenient

        yield from parse_lenient(sections)[1]
    if sections := {name: values[name] for name in NOTIFICATION_SECTIONS if name in values}:
        from app.core.notifications.channels import parse_notifications

        yield from parse_notifications(sections)[1]
    if "hooks" in values:
        from app.core.notifications.hooks import parse_hooks

        yield from parse_hooks(values["hooks"])[1]
    if "slurm" in values:
        from app.core.slurm.settings import parse_slurm

        yield from parse_slurm(values["slurm"])[1]
    if "mcp" in values:
        from app.core.agent_clients import parse_mcp

        yield from parse_mcp(values["mcp"])[1]
    if "http" in values:
        from app.core.http_settings import parse_http

        yield from parse_http(values["http"])[1]


def _make_unknown_fault(name: str) -> SettingFault:
    from app.core.maintenance_settings import format_unknown_setting

    return _make_fault((name,), format_unknown_setting(name, Config._fields))


def _find_key_faults(value: Any) -> Iterator[SettingFault]:
    from app.core.text.sanitize import sanitize

    example = 'Example: [keys] followed by "task.cancel" = "c". In the deck, ? then i shows ids.'
    if not isinstance(value, dict):
        yield _make_fault(("keys",), "keys must be a table.", example)
        return
    yield from _parse_commands(value)[1]
    for name, keys in value.items():
        if name == COMMANDS:
            continue
        if not isinstance(keys, str) or not keys.strip():
            yield _make_fault(
                ("keys", name),
                tr('keys."{name}" must be a string of key names.', name=sanitize(name)),
                example,
            )


def _parse_commands(keys: Any) -> tuple[tuple[UserCommand, ...], Sequence[SettingFault]]:
    if not isinstance(keys, dict) or COMMANDS not in keys:
        return (), ()
    from app.core.user_commands import parse_user_commands

    return parse_user_commands(keys[COMMANDS])


def _make_fault(where: tuple[str, ...], message: str, advice: str = "") -> SettingFault:
    from app.core.maintenance_settings import (
        SettingFault,
    )  # slower to import than most files are to read

    return SettingFault(where, message, advice)


def _locate(path: str, text: str, fault: SettingFault) -> str:
    from app.core.text.sanitize import sanitize

    line = _find_line(text, fault.where)
    return sanitize(path) + (tr(", line {line}", line=line) if line else "")


def _find_line(text: str, where: tuple[str, ...]) -> int | None:
    """Return the first line (from 1) that names the setting, or None if not found."""
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        word = line.strip()
        if word.startswith("["):
            table, names = _split_dotted_name(word.strip("[").partition("]")[0]), ()
        else:
            names = _split_dotted_name(word.partition("=")[0])
        if (*table, *names)[: len(where)] == where:
            return number
    return None


def _split_dotted_name(dotted: str) -> tuple[str, ...]:
    return tuple(word.strip().strip("\"'") for word in dotted.split(".")) if dotted.strip() else ()
