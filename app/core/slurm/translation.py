"""Translation of the options of a batch script: each is kept, left out or refused by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from app.core.scheduling.resources import GPU, format_named_option
from app.core.slurm import values
from app.core.slurm.header import Directive, ScriptHeader
from app.translation import tr, tr_noop

_ONE_MACHINE = tr_noop("a task runs on one machine")
_ONE_TASK = tr_noop(
    "a task is one program; for its cores: --cpus-per-task, or --cpu when you submit"
)
_BY_POOL = tr_noop("pools and resources choose: taskdeck help resources")
_REFUSED = {
    "exclusive": tr_noop("nothing reserves a machine; for its cores: --cpu N when you submit"),
    "constraint": _BY_POOL,
    "prefer": _BY_POOL,
    "nodelist": _ONE_MACHINE,
    "exclude": _ONE_MACHINE,
    "nodefile": _ONE_MACHINE,
    "clusters": _ONE_MACHINE,
    "cluster-constraint": _ONE_MACHINE,
    "reservation": tr_noop("submit to a queue for it: -q QUEUE"),
    "extra-node-info": _ONE_MACHINE,
    "gpus-per-socket": tr_noop("use --gpus"),
    "deadline": tr_noop("use --time and --begin"),
    "container": tr_noop("start the container in the script"),
    "bb": tr_noop("there is no burst buffer"),
    "bbf": tr_noop("there is no burst buffer"),
    "uid": tr_noop("tasks run as you"),
    "gid": tr_noop("tasks run as you"),
    "input": tr_noop("redirect it in the script: program < FILE"),
    "export-file": tr_noop("use --export"),
    "reboot": _ONE_MACHINE,
    "wrap": tr_noop("submit the command itself: taskdeck submit -- COMMAND"),
}
_NO_EFFECT = tr_noop("has no effect here")
_LEFT_OUT = {
    "requeue": tr_noop("nothing is requeued here; --retries runs failures again"),
    "no-requeue": tr_noop("nothing is requeued here"),
    "mail-user": tr_noop("channels are in config.toml: taskdeck help notifications"),
    "kill-on-invalid-dep": tr_noop("a task whose parent failed is cancelled"),
    "get-user-env": tr_noop("the environment of this shell is kept"),
    "tmp": tr_noop("disks are not reserved"),
    "time-min": tr_noop("the limit is --time"),
    "open-mode": tr_noop("the output of a run replaces the file"),
    "parsable": tr_noop("stdout has only numbers"),
    "oversubscribe": tr_noop("pools are shared"),
}
_TAGS = ("account", "qos", "comment", "wckey")
_COUNTS = {"nodes": _ONE_MACHINE} | dict.fromkeys(
    ("ntasks", "ntasks-per-node", "ntasks-per-core", "ntasks-per-socket", "ntasks-per-gpu"),
    _ONE_TASK,
)


@dataclass(frozen=True, slots=True)
class Translation:
    """Settings by the names of submit's options, with notes and faults.

    `resources`, `tags` and `env` add to those of the command line. `notes` say what each option
    became. `faults` are (line, sentence); `lines` has the line of each setting.
    """

    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    resources: dict[str, int] = field(default_factory=dict[str, int])
    tags: dict[str, str] = field(default_factory=dict[str, str])
    env: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    notes: list[str] = field(default_factory=list[str])
    faults: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    lines: dict[str, int] = field(default_factory=dict[str, int])


def translate(header: ScriptHeader, given: Set[str], user: str) -> Translation:
    """Translate the options of a script, except those that the command line has (`given`)."""
    last = {one.name: one for one in header.directives}
    found = _Translator(given, user, last)
    for one in last.values():
        found.add(one)
    found.result.faults.extend(header.faults)
    return found.result


class _Translator:
    def __init__(self, given: Set[str], user: str, options: Mapping[str, Directive]) -> None:
        self.given = given
        self.user = user
        self.options = options
        self.result = Translation()

    def add(self, one: Directive) -> None:
        """Translate an option, or note its fault."""
        try:
            note = self._translate(one)
        except ValueError as error:
            return self.result.faults.append((one.line, f"{one.text} {error}"))
        self.result.notes.append(f"{one.text} {note}")

    def _translate(self, one: Directive) -> str:
        name = one.name
        fields = _FIELDS.get(name, ())
        if any(option in self.given for option in fields):
            return tr("(the command line decides)")
        if name in _COUNTS:
            if values.parse_count(one.value) == 1 or (name != "nodes" and "cpu" in self.given):
                return f"({tr(_NO_EFFECT)})"
            raise ValueError(tr("is refused: {why}", why=tr(_COUNTS[name])))
        if name in _REFUSED:
            raise ValueError(tr("is refused: {why}", why=tr(_REFUSED[name])))
        if name in _TAGS:
            self.result.tags[name] = one.value
            return f"→ --tag {name}={one.value}"
        if name in _TRANSLATORS:
            return _TRANSLATORS[name](self, one.value)
        return f"({tr(_LEFT_OUT.get(name, _NO_EFFECT))})"

    def set(self, option: str, value: Any, shown: Any = None) -> str:
        self.result.settings[option] = value
        self.result.lines[option] = next(
            (one.line for one in self.options.values() if option in _FIELDS.get(one.name, ())), 0
        )
        return f"→ --{option.replace('_', '-')} {value if shown is None else shown}".rstrip()

    def get_count(self, name: str, usual: int = 1) -> int:
        one = self.options.get(name)
        return usual if one is None else values.parse_count(one.value)

    def get_gpus(self) -> int:
        """Return the GPUs that an amount per GPU counts for, at least one."""
        for name in ("gpus", "gpus-per-node", "gpus-per-task"):
            if name in self.options:
                return max(1, values.parse_gpus(self.options[name].value).amounts[GPU])
        if "gres" in self.options:
            return max(1, values.parse_gres(self.options["gres"].value).amounts.get(GPU, 0))
        return 1

    def set_resources(self, found: Mapping[str, int], types: Sequence[str] = ()) -> str:
        self.result.resources.update(found)
        note = "→ " + " ".join(format_named_option(*pair) for pair in found.items())
        return f"{note} ({values.describe_types(types)})" if types else note

    def set_memory(self, text: str, times: int = 1) -> str:
        mib = values.parse_mib(text) * times
        return self.set("memory", float(mib), f"{mib}M")

    def set_time(self, text: str) -> str:
        seconds = values.parse_time(text)
        return (
            tr("(no limit)") if seconds is None else self.set("timeout", seconds, f"{seconds:g}s")
        )

    def set_dependency(self, text: str) -> str:
        found = values.parse_dependency(text)
        return ", ".join(self.set(name, ids, " ".join(ids)) for name, ids in found.items())

    def set_begin(self, text: str) -> str:
        at = values.parse_begin(text)
        return self.set("at", at, f'"{at}"') if at else tr("(now)")

    def set_error(self, text: str) -> str:
        output = self.options.get("output")
        if output is not None and output.value == text:
            return tr("(--output has both streams)")
        return self.set("error", values.translate_pattern(text, self.user))

    def set_mail(self, text: str) -> str:
        types = values.parse_mail_types(text)
        return tr("(no message at the start)") if types is None else self.set("notify_on", types)

    def set_export(self, text: str) -> str:
        keep, pairs = values.parse_export(text)
        self.result.env.extend(pairs)
        shown = [f"--env {name}=…" for name, _ in pairs]
        if keep is None:
            return f"→ {' '.join(shown)}" if shown else tr("(all variables are kept)")
        return " ".join([self.set("keep_env", keep), *shown])

    def set_nice(self, text: str) -> str:
        return self.set("priority", -values.parse_integer(text or "100"))


_FIELDS: dict[str, Sequence[str]] = {
    "job-name": ("name",), "cpus-per-task": ("cpu",), "cpus-per-gpu": ("cpu",),
    "mincpus": ("cpu",), "mem": ("memory",), "mem-per-cpu": ("memory",),
    "mem-per-gpu": ("memory",), "time": ("timeout",), "output": ("output",), "error": ("error",),
    "array": ("array", "sweep", "sweep_file", "each"), "partition": ("queue",), "chdir": ("cwd",),
    "dependency": ("after", "after_any", "after_failure", "after_start"),
    "signal": ("signal",), "begin": ("at",), "nice": ("priority",), "priority": ("priority",),
    "export": ("keep_env",), "mail-type": ("notify", "notify_on"), "hold": ("hold",),
    "wait": ("wait",), "test-only": ("dry_run",),
}  # fmt: skip
"""Options of submit that win over an option of the script."""

_TRANSLATORS: dict[str, Callable[[_Translator, str], str]] = {
    "job-name": lambda to, text: to.set("name", text),
    "cpus-per-task": lambda to, text: to.set("cpu", values.parse_count(text)),
    "mincpus": lambda to, text: to.set(
        "cpu", max(values.parse_count(text), to.get_count("cpus-per-task"))
    ),
    "cpus-per-gpu": lambda to, text: to.set("cpu", values.parse_count(text) * to.get_gpus()),
    "mem": lambda to, text: to.set_memory(text),
    "mem-per-cpu": lambda to, text: to.set_memory(text, to.get_count("cpus-per-task")),
    "mem-per-gpu": lambda to, text: to.set_memory(text, to.get_gpus()),
    "time": _Translator.set_time,
    "gres": lambda to, text: to.set_resources(*values.parse_gres(text)),
    "gpus": lambda to, text: to.set_resources(*values.parse_gpus(text)),
    "gpus-per-node": lambda to, text: to.set_resources(*values.parse_gpus(text)),
    "gpus-per-task": lambda to, text: to.set_resources(*values.parse_gpus(text)),
    "licenses": lambda to, text: to.set_resources(values.parse_licenses(text)),
    "array": lambda to, text: to.set("array", text),
    "output": lambda to, text: to.set("output", values.translate_pattern(text, to.user)),
    "error": _Translator.set_error,
    "dependency": _Translator.set_dependency,
    "partition": lambda to, text: to.set("queue", text),
    "chdir": lambda to, text: to.set("cwd", text),
    "export": _Translator.set_export,
    "signal": lambda to, text: to.set("signal", values.parse_signal(text)),
    "begin": _Translator.set_begin,
    "nice": _Translator.set_nice,
    "priority": lambda to, text: to.set("priority", values.parse_integer(text)),
    "mail-type": _Translator.set_mail,
    "hold": lambda to, _: to.set("hold", True, ""),
    "wait": lambda to, _: to.set("wait", True, ""),
    "test-only": lambda to, _: to.set("dry_run", True, ""),
}
