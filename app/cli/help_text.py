"""Help texts: the overview of all commands, the help of a command, the list of topics."""

from __future__ import annotations

from app.cli import registry
from app.cli.parser import make_sentence
from app.core.text.joining import end_heading
from app.translation import tr, tr_noop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from app.cli.parser import Command

GROUP_TOPICS = {
    "queue": "states",
    "pool": "states slurm-pools",
    "resource": "resources",
    "limit": "limits",
    "reserve": "limits",
    "template": "templates",
    "schedule": "schedules",
    "sla": "sla",
    "alert": "sla",
    "notify": "notifications",
    "import": "crontab from-pueue from-task-spooler from-gflow",
    "db": "backup restore data-model",
    "service": "service",
    "http": "http metrics",
}
"""Help topics about a group of commands."""

GLOBAL_OPTIONS = (
    ("--home DIR", tr_noop("home directory (default: TASKDECK_HOME, or XDG data)")),
    ("--read-only", tr_noop("change nothing, in the deck or by a command")),
    ("--ascii", tr_noop("draw the deck with ASCII characters only")),
    ("--plain", tr_noop("deck for screen readers: words instead of glyphs and bars")),
    ("--in-process", tr_noop("run the runtime inside the deck")),
)
"""Options before the command."""


def format_overview() -> str:
    """Return the help of the program: its options and commands."""
    found = [
        f"{tr('usage: ')}taskdeck [OPTION …] [COMMAND …]",
        "",
        tr(
            "Without a command, open the deck. See COMMAND --help for details, and\n"
            "taskdeck help TOPIC for explanations; taskdeck help lists the topics."
        ),
        "",
        tr("options, before the command:"),
        *(f"  {option:<13} {tr(text)}" for option, text in GLOBAL_OPTIONS),
        "",
    ]
    for title, verbs in registry.SECTIONS:
        found += [
            end_heading(tr(title)),
            *(f"  {verb:<11} {tr(registry.COMMAND_INDEX[verb][1])}" for verb in verbs.split()),
            "",
        ]
    return "\n".join(
        found
        + [
            tr("first steps:"),
            "  taskdeck submit -- gzip -k big.log",
            "  taskdeck logs -f 1",
            "  taskdeck demo",
        ]
    )


def format_topic_list() -> str:
    """Return the help topics, one line each."""
    from app.help import list_topics

    found = list_topics()
    most = max(map(len, found))
    lines = [f"  {name:<{most}}  {_lower_first(summary)}" for name, summary in found.items()]
    return "\n".join([tr("topics (taskdeck help TOPIC):"), *lines])


def format_help(words: list[str]) -> str:
    """Return the help of a command or a group. Raise Usage for unknown words."""
    verb = registry.ALIASES.get(words[0], words[0])
    found = registry.load_commands(verb)
    if verb not in registry.GROUPS:
        return format_command_help(verb, found[verb])
    if not words[1:]:
        return format_group_help(verb, found)
    if words[1] not in found:
        raise registry.make_unknown_in_group_error(verb, words[1], found)
    return format_command_help(f"{verb} {words[1]}", found[words[1]])


def format_group_help(group: str, found: dict[str, Command]) -> str:
    """Return the help of a group: its commands."""
    summary = make_sentence(registry.COMMAND_INDEX[group][1])
    lines = [f"{tr('usage: ')}taskdeck {group} COMMAND …", "", summary, ""]
    most = max(8, *map(len, found))
    lines += [f"  {name:<{most}} {tr(command.summary)}" for name, command in found.items()]
    topics = ", ".join(f"taskdeck help {topic}" for topic in GROUP_TOPICS[group].split())
    return "\n".join([*lines, "", tr("See also: {topics}", topics=topics)])


def format_command_help(name: str, command: Command) -> str:
    """Return the help of one command: usage, options and examples."""
    return command.make_parser(name).format_help().rstrip()


def _lower_first(text: str) -> str:
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]
