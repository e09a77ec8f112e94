"""`taskdeck pool`: manage pools of CPU and memory, and pools of Slurm.

Requests of tasks are reserved, and enforced only if the pool says so. A Slurm pool reserves
nothing: Slurm admits its jobs.
"""

from __future__ import annotations

import time

from app.cli import definition_group, output, styles, time_format
from app.cli.parser import (
    CPU,
    SIZE,
    Args,
    Command,
    OneOf,
    Parser,
    make_type,
    require_new_name,
    require_one_name,
    require_text,
)
from app.cli.submission.resources import add_resource_options, collect_resources
from app.cli.table_layout import Column, Line, Span
from app.core.scheduling.devices import format_devices
from app.core.scheduling.enforcement import format_enforce, parse_enforce
from app.core.scheduling.order import (
    NEVER,
    POLICIES,
    PRIORITY,
    describe_policy,
    format_ageing,
    parse_ageing,
)
from app.core.scheduling.resources import format_amounts, format_named
from app.core.slurm.pool_options import KINDS, SLURM, WORDS
from app.core.text import units
from app.core.text.sanitize import sanitize
from app.errors import Usage
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from app.cli.context import CommandContext

COLUMNS = [
    Column("POOL", least=8, first=True),
    Column("CPU RESERVED", ">"),
    Column("MEMORY RESERVED", ">"),
    Column("RESOURCES", least=4),
    Column("ORDER"),
    Column("STATE"),
    Column("RULE", least=4),
]
FIELDS = (
    "name", "status", "used_cpu", "total_cpu", "used_memory", "total_memory", "resources",
    "used_resources", "policy", "ageing", "enforce", "kind", "partition", "account", "qos",
    "options", "sla", "description", "created_at", "updated_at",
)  # fmt: skip
_OPTIONS = (
    "cpu", "memory", "policy", "ageing", "enforce", "sla", "description", "partition", "account",
    "qos", "options",
)  # fmt: skip


def format_pool_row(pool: dict[str, Any]) -> list[Span]:
    """Return one line of `pool ls`."""
    cpu = units.format_cpu_pair(pool["used_cpu"], pool["total_cpu"])
    memory = units.format_memory_pair(pool["used_memory"], pool["total_memory"])
    is_outer = pool.get("kind") == SLURM
    return [
        (sanitize(pool["name"]), ""),
        *((units.MISSING if is_outer else text, "") for text in (cpu, memory)),
        (format_outer_use(pool) if is_outer else format_named_use(pool) or units.MISSING, ""),
        (sanitize(pool.get("policy") or PRIORITY), ""),
        styles.format_pool_state(sanitize(pool["status"])),
        (sanitize(pool.get("sla") or units.MISSING), ""),
    ]


def format_outer_use(pool: dict[str, Any]) -> str:
    """Format what a Slurm pool has handed over: `slurm 12 run 29 wait, 3/4 nodes`."""
    use = pool.get("outer") or {}
    counts = tr(
        "{kind} {running} run {waiting} wait",
        kind=SLURM,
        running=use.get("running", 0),
        waiting=use.get("waiting", 0),
    )
    if use.get("trouble"):
        return tr("{counts}, no Slurm", counts=counts)
    return (
        tr(
            "{counts}, {usable}/{nodes} nodes",
            counts=counts,
            usable=use["usable"],
            nodes=use["nodes"],
        )
        if use.get("nodes")
        else counts
    )


def format_named_use(pool: dict[str, Any]) -> str:
    """Format what is reserved of the named resources of a pool: `gpu 2/4`; "" for none."""
    return ", ".join(" ".join(one) for one in _list_named_use(pool))


def _list_named_use(pool: dict[str, Any]) -> list[tuple[str, str]]:
    """Return each named resource of a pool with what is reserved of it, in all: `2/4`."""
    used, totals = pool.get("used_resources") or {}, pool.get("resources") or {}
    parts = [(name, f"{used.get(name, 0)}/{total}") for name, total in totals.items()]
    parts += [(name, str(amount)) for name, amount in used.items() if name not in totals]
    return [(sanitize(name), amounts) for name, amounts in sorted(parts)]


def format_pool_facts(pool: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the lines of `pool show`."""
    return [
        (tr("description"), pool.get("description") or ""),
        (tr("state"), styles.format_pool_state(pool["status"])[0]),
        *(_list_slurm_facts(pool) if pool.get("kind") == SLURM else _list_amounts(pool)),
        *((tr("reservation"), format_kept(one)) for one in pool.get("reservations") or ()),
        (tr("order"), describe_policy(pool.get("policy") or PRIORITY)),
        (tr("ageing"), _describe_ageing(pool)),
        *((tr("enforced"), text) for text in [_describe_enforced(pool)] if text),
        *((tr("device"), _format_device(device)) for device in pool.get("devices") or ()),
        (tr("sla"), pool.get("sla") or ""),
        (
            tr("created"),
            (
                tr(
                    "{created}, changed {changed}",
                    created=time_format.format_clock(pool["created_at"]),
                    changed=time_format.format_clock(pool["updated_at"]),
                )
            ),
        ),
    ]


def _list_amounts(pool: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what is reserved of the amounts of a local pool."""
    cpu = units.format_cpu_pair(pool["used_cpu"], pool["total_cpu"])
    memory = units.format_memory_pair(pool["used_memory"], pool["total_memory"])
    found = [("cpu", cpu), ("memory", memory), *_list_named_use(pool)]
    return [(name, tr("{amounts} reserved", amounts=amounts)) for name, amounts in found]


def _list_slurm_facts(pool: dict[str, Any]) -> list[tuple[str, str]]:
    """Return where the jobs of a Slurm pool go."""
    words = [(name, sanitize(pool[name])) for name in WORDS if pool.get(name)]
    options = [(tr("option"), sanitize(one)) for one in pool.get("options") or ()]
    kind = (tr("kind"), tr("slurm: Slurm admits its jobs, nothing is reserved here"))
    return [kind, *words, *options, *_list_cluster_facts(pool)]


def _list_cluster_facts(pool: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what is handed over, and what the cluster said last."""
    use, cluster = pool.get("outer") or {}, pool.get("cluster") or {}
    found = [
        (
            tr("jobs"),
            tr(
                "{running} running, {waiting} waiting in Slurm",
                running=use.get("running", 0),
                waiting=use.get("waiting", 0),
            ),
        )
    ]
    if trouble := use.get("trouble"):
        found.append((tr("trouble"), sanitize(trouble)))
    if cluster:
        states = ", ".join(f"{n} {sanitize(state)}" for state, n in cluster["states"].items())
        nodes = tr(
            "{usable} of {nodes} in the cluster take jobs ({states})",
            usable=cluster["usable"],
            nodes=cluster["nodes"],
            states=states,
        )
        found.append((tr("nodes"), nodes))
        seconds = cluster["answer_seconds"] or 0.0
        age = max(0.0, time.time() - cluster["answered_at"])
        answer = tr("{age} ago, in {time:.0f} ms", age=units.format_age(age), time=seconds * 1000)
        found.append((tr("answer"), answer))
    for one in cluster.get("drained", ()):
        cure = tr(". Cure: {cure}", cure=one["cure"]) if one["cure"] else ""
        found.append((tr("drained"), sanitize(f"{one['text']}{cure}")))
    return found


def format_kept(one: dict[str, Any]) -> str:
    """Return `4 gpu kept for team=a until Fri 18:00`, or `from Mon 09:00`."""
    coming = time_format.format_future(one["begins_at"])
    when = (
        tr("from {time}", time=coming)
        if coming
        else tr("until {time}", time=time_format.format_clock(one["ends_at"]))
    )
    return tr(
        "{amounts} kept for {tag} {when}",
        amounts=format_amounts(one["needs"]),
        tag=sanitize(one["tag"]),
        when=when,
    )


def list_kept(found: list[dict[str, Any]]) -> list[Line]:
    """Return the reservations of pools: `pool gpu: 4 gpu kept for team=a until Fri 18:00`."""
    return [
        [(tr("pool {name}: {kept}", name=sanitize(pool["name"]), kept=format_kept(one)), "")]
        for pool in found
        for one in pool.get("reservations") or ()
    ]


def _describe_enforced(pool: dict[str, Any]) -> str:
    """Return what the kernel enforces, and why it cannot now; "" if it enforces nothing."""
    enforced, trouble = pool.get("enforce") or [], pool.get("trouble")
    text = (
        tr("{enforced} of each run, by the kernel", enforced=tr(" and ").join(enforced))
        if enforced
        else ""
    )
    return (
        tr("{enforced}; nothing starts: {trouble}", enforced=text, trouble=sanitize(trouble))
        if text and trouble
        else text
    )


def _describe_ageing(pool: dict[str, Any]) -> str:
    ageing = format_ageing(pool.get("ageing"))
    return (
        ageing
        if ageing == NEVER
        else tr("the oldest task goes first after {ageing}", ageing=ageing)
    )


def _format_device(device: dict[str, Any]) -> str:
    """Return `0 NVIDIA H100 GPU-5f2c81d0: #42, 62%, 40.0/80G, 61°C`, or why no run gets it."""
    who = f"#{device['run']}" if device["run"] else ""
    state = "; ".join(filter(None, (who, device["trouble"]))) or tr("free")
    # AMD's devices, and those without a driver, have no name but their index.
    names = dict.fromkeys((str(device["number"]), device["name"], format_devices([device["uuid"]])))
    shown = " ".join(filter(None, names))
    return sanitize(f"{shown}: {', '.join((state, *_list_measures(device['measures'])))}")


def _list_measures(found: dict[str, float | None]) -> Iterator[str]:
    """Yield the known measures of a device."""
    if (use := found["use"]) is not None:
        yield f"{use:.0%}"
    used, total = found["used_memory"], found["total_memory"]
    if used is not None and total is not None:
        yield units.format_memory_pair(used, total)
    if (heat := found["temperature"]) is not None:
        yield f"{heat:.0f}°C"


def create_pool(context: CommandContext, args: Args) -> int:
    """Create a pool."""
    name = require_new_name(args, "pool")
    is_local = args.kind != SLURM
    if is_local and (args.cpu is None or args.memory is None):
        raise Usage(
            "a pool needs both --cpu and --memory. Nothing was created.",
            "Example: --cpu 8 --memory 32G, or a pool of Slurm: --kind slurm",
        )
    kind = {"kind": args.kind} if args.kind else {}
    answer = context.call("pool.create", name=name, **_collect(args), **kind)
    has = _describe_amounts(answer) if is_local else _describe_jobs(answer)
    code = definition_group.print_result(
        args, answer, tr("pool {name} created: {has}", name=sanitize(name), has=has)
    )
    _warn_empty(args, answer)
    return code


def _describe_amounts(pool: dict[str, Any]) -> str:
    cpu, memory = pool["total_cpu"], pool["total_memory"]
    has = tr(
        "cpu {cpu}, memory {memory}",
        cpu=units.format_number(cpu),
        memory=units.format_memory(memory),
    )
    named = format_named(pool.get("resources"))
    return f"{has}, {named}" if named else has


def _describe_jobs(pool: dict[str, Any]) -> str:
    """Return how a Slurm pool submits jobs: `jobs of Slurm, partition long`."""
    words = [f"{name} {sanitize(pool[name])}" for name in WORDS if pool.get(name)]
    return ", ".join([tr("jobs of Slurm"), *words, *map(sanitize, pool.get("options") or ())])


def set_pool(context: CommandContext, args: Args) -> int:
    """Change a pool."""
    name = require_one_name(args, "pool")
    answer = context.call("pool.set", name=name, **_collect(args))
    code = definition_group.print_result(
        args,
        answer,
        tr(
            "pool {name} changed: {changes}",
            name=sanitize(name),
            changes=", ".join(_format_changes(args, answer)),
        ),
    )
    _warn_empty(args, answer)
    return code


def _format_changes(args: Args, pool: dict[str, Any]) -> list[str]:
    found = {
        "cpu": tr("cpu {cpu}", cpu=units.format_number(pool["total_cpu"])),
        "memory": tr("memory {memory}", memory=units.format_memory(pool["total_memory"])),
        "resources": tr(
            "resources {resources}", resources=format_named(pool.get("resources")) or tr("none")
        ),
        "policy": tr("order {policy}", policy=describe_policy(pool.get("policy") or PRIORITY)),
        "ageing": tr("ageing {ageing}", ageing=format_ageing(pool.get("ageing"))),
        "enforce": tr("enforced limits {enforce}", enforce=format_enforce(pool.get("enforce"))),
        "sla": tr("rule {rule}", rule=sanitize(pool.get("sla") or tr("none"))),
        "description": tr(
            'description "{description}"', description=sanitize(pool.get("description") or "")
        ),
        **{name: f"{name} {sanitize(pool.get(name) or tr('none'))}" for name in WORDS},
        "options": tr(
            "options {options}", options=sanitize(" ".join(pool.get("options") or ()) or tr("none"))
        ),
    }
    return [found[name] for name in _collect(args)]


def _collect(args: Args) -> dict[str, Any]:
    found = definition_group.collect_options(args, *_OPTIONS) | collect_resources(args)
    if "options" in found:
        found["options"] = [one for one in found["options"] if one]
    return found


def _warn_empty(args: Args, pool: dict[str, Any]) -> None:
    """Warn that a pool just set to zero CPU or memory starts no task that requests any."""
    name = sanitize(pool["name"])
    if args.cpu == 0:
        output.print_note(
            tr(
                "tasks that request CPU cannot start in pool {name}; only --cpu 0 requests none.",
                name=name,
            )
        )
    if args.memory == 0:
        output.print_note(tr("tasks that request memory cannot start in pool {name}.", name=name))


def _add_arguments(parser: Parser) -> None:
    definition_group.add_name(parser)
    parser.add_option("--cpu", type=CPU, metavar="CORES", help="total cores of the pool")
    parser.add_option(
        "--memory", type=SIZE, metavar="SIZE", help="total memory of the pool: 512M, 32G"
    )
    add_resource_options(parser.add_option, "give out", "; total of all pools: taskdeck resource")
    parser.add_option(
        "--policy", type=OneOf(*POLICIES), metavar="ORDER",
        help="order of its tasks: priority (default), fifo or shortest",
    )  # fmt: skip
    parser.add_option(
        "--ageing", type=make_type(parse_ageing), metavar="TIME",
        help="the oldest task goes first after this time (default 7d), or never",
    )  # fmt: skip
    parser.add_option(
        "--enforce", type=make_type(parse_enforce), metavar="LIMITS",
        help="let the kernel enforce memory, cpu or memory,cpu of each run; or none (default)",
    )  # fmt: skip
    parser.add_option(
        "--sla", type=require_text, metavar="RULE", help="rule for all tasks in the pool"
    )
    parser.add_option("--description", metavar="TEXT", help="description")
    for word in WORDS:
        parser.add_option(
            f"--{word}",
            metavar="NAME",
            help=tr("{word} of the jobs of a Slurm pool; '' for none", word=word),
        )
    parser.add_option(
        "--option", dest="options", action="append", metavar="OPTION",
        help="further option of sbatch, such as --option=--constraint=a100; repeatable",
    )  # fmt: skip


def _add_create_arguments(parser: Parser) -> None:
    _add_arguments(parser)
    parser.add_option(
        "--kind", type=OneOf(*KINDS), metavar="KIND",
        help="local (default): processes of this machine; slurm: jobs of a cluster",
    )  # fmt: skip


COMMANDS = {
    "ls": definition_group.make_list_command(
        "pool", COLUMNS, format_pool_row, FIELDS, below=list_kept
    ),
    "show": definition_group.make_show_command("pool", format_pool_facts),
    "create": Command(
        "create a pool",
        create_pool,
        _add_create_arguments,
        "  taskdeck pool create gpu --cpu 8 --memory 32G --gpu 4\n"
        "  taskdeck pool create big --kind slurm --partition long",
    ),
    "set": Command(
        "change a pool", set_pool, _add_arguments, "  taskdeck pool set gpu --memory 48G"
    ),
    "pause": definition_group.make_name_command(
        "pool", "pause", "start no more of its tasks; running tasks continue", "paused"
    ),
    "resume": definition_group.make_name_command(
        "pool", "resume", "resume starting tasks in a pool", "resumed"
    ),
    "drain": definition_group.make_name_command(
        "pool", "drain", "pause it, and show others that it is emptied on purpose", "draining"
    ),
    "rm": definition_group.make_name_command("pool", "rm", "remove an unused pool", "removed"),
}
