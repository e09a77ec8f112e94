"""Rules for names, docstrings and messages that the linters do not check."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

VAGUE_FIRST_WORDS = {"How", "Those", "What", "Where", "Whether", "Why"}
"""First words of a docstring that has no noun for its subject."""

ODD_WORDS = re.compile(r"\b(none that|stands|anew|is told)\b")

PARTICIPLE = re.compile(
    r"(?!feed|need|seed)([a-z]+ed|begun|broken|brought|built|chosen|done|drawn|driven|fallen|found"
    r"|frozen|given|gone|grown|heard|held|hidden|kept|known|laid|left|lent|lost|made|meant|met|paid"
    r"|said|seen|sent|shown|shut|sold|spent|split|spoken|stolen|stuck|taken|taught|thought|thrown"
    r"|told|understood|woken|won|worn|written)"
)

COVERING_TESTS = {
    "tests/runtime/messages/test_hook_runner.py": "db/queries/rules/{hooks,hook_alerts}"
    " service/hooks",
    "tests/http/test_openapi.py": "http/schemas",
    "tests/http/test_server.py": "http/{application,responses}",
    "tests/http/test_metrics.py": "http/{health_metrics,metric_rows,work_metrics}",
    "tests/runtime/messages/test_action_program.py": "output_tail",
    "tests/service/scheduling/test_beyond_window.py": "core/scheduling/stops",
    "tests/runtime/dispatch/test_outer_runs.py": "db/queries/tasks/outer_runs",
    "tests/service/definitions/test_enforced_pools.py": "service/enforced_limits",
    "tests/runtime/dispatch/test_dispatcher.py": "runtime/dispatch/first_tasks"
    " core/slurm/variables",
    "tests/acceptance/test_commands.py": "cli/commands/operations"
    " cli/commands/tasks/wait cli/selection",
    "tests/acceptance/test_damaged_database.py": "cli/commands/db/check home/database_presence",
    "tests/acceptance/test_db_backup.py": "cli/commands/db/backup db/queries/home/backups",
    "tests/acceptance/test_db_replica.py": "runtime/duties/replicator service/database/replica"
    " db/queries/home/{home_identity,replicas} db/restore/replica_file",
    "tests/acceptance/test_pacemaker_agent.py": "cli/cluster_stop offline/run_ends",
    "tests/cli/imports/test_take_over.py": "cli/imports/{journal,pueue}",
    "tests/cli/imports/test_task_spooler.py": "cli/imports/programs",
    "tests/cli/commands/definitions/test_import_tasks.py": "cli/imports/report",
    "tests/acceptance/test_notify.py": "cli/commands/definitions/notify",
    "tests/acceptance/test_replica_reads.py": "offline/replica_reads",
    "tests/acceptance/test_db_slow.py": "cli/commands/db/{slow,stats}",
    "tests/service/tasks/inspection/test_flow.py": "db/queries/tasks/flows",
    "tests/db/queries/scheduling/test_first_lines.py": "db/queries/scheduling/task_watch",
    "tests/db/queries/scheduling/test_kept_lines.py": "db/queries/scheduling/line_steps",
    "tests/service/scheduling/test_start_forecasts.py": "service/scheduling/forecast_leeway"
    " db/queries/scheduling/start_forecasts",
    "tests/service/definitions/test_slurm_pools.py": "service/outer",
    "tests/service/definitions/test_queues.py": "service/tasks/places"
    " db/queries/scheduling/resources",
    "tests/service/tasks/changes/test_send.py": "service/companions",
    "tests/service/tasks/changes/test_retry.py": "service/tasks/changes/new_values",
    "tests/agents/test_server.py": "agents/{answers,arguments,session,tools}",
    "tests/service/tasks/test_client_bounds.py": "db/queries/tasks/client_tasks",
    "tests/service/definitions/test_limits.py": "service/scheduling/limit_view"
    " service/tasks/limit_checks db/queries/scheduling/limits",
    "tests/service/definitions/test_bookings.py": "db/queries/scheduling/bookings",
    "tests/core/scheduling/test_plan.py": "core/scheduling/amounts",
    "tests/acceptance/test_demo.py": "cli/demo/teardown",
    "tests/acceptance/test_import_crontab.py": "cli/user_crontab",
    "tests/acceptance/test_in_process.py": "runtime/embedded tui/in_process",
    "tests/acceptance/test_every_key.py": "tui/navigation tui/screens/base_*"
    " tui/screens/tasks/task_actions"
    " tui/screens/dialogs/{choice,item_list,palette*,text_box,text_prompt,theme}",
    "tests/acceptance/test_readme.py": "cli/{main,parser,help_text}",
    "tests/acceptance/test_terminal_kinds.py": "tui/terminal/{app_internals,capabilities,driver}"
    " tui/themes",
    "tests/cli/test_definition_group.py": "cli/commands/definitions/{alerts,apply_export,pools}"
    " cli/commands/definitions/{queues,slas,templates}",
    "tests/cli/commands/test_demo.py": "cli/demo/workload",
    "tests/cli/commands/tasks/test_logs.py": "cli/several_logs",
    "tests/cli/commands/tasks/test_show.py": "cli/group_format cli/commands/tasks/{instances,why}"
    " core/text/left_text",
    "tests/cli/status/test_watch.py": "cli/status/line cli/commands/status",
    "tests/cli/commands/tasks/test_submit.py": "cli/submission/*",
    "tests/cli/completion/test_completion.py": "cli/commands/completion cli/completion/candidates",
    "tests/cli/completion/test_zsh_fish.py": "cli/completion/scripts",
    "tests/cli/test_output.py": "cli/{styles,table_layout,tsv}",
    "tests/cli/test_read_only.py": "cli/context",
    "tests/cli/test_time_format.py": "core/times tui/time_format",
    "tests/core/definitions/test_document.py": "core/definitions/fault_location",
    "tests/core/definitions/test_toml_yaml.py": "core/definitions/size_limits",
    "tests/core/schema/test_form_outline.py": "core/schema/form_fields",
    "tests/core/schema/test_parameters.py": "core/schema/error_text core/json_types",
    "tests/core/rules/test_conditions.py": "core/rules/{amounts,catalog,presets,rule_plan,words}",
    "tests/core/rules/test_evaluate.py": "core/rules/{active_time,deadlines,window_stats}",
    "tests/service/rules/test_cases.py": "service/rules/facts/{values,snapshot,run_memory,rings}"
    " service/rules/facts/{home_facts,instances,subjects}"
    " db/queries/rules/{rule_states,rule_values}",
    "tests/service/rules/evaluation/test_levels.py": "service/rules/evaluation/trails",
    "tests/service/rules/test_replay.py": "service/rules/facts/past",
    "tests/service/rules/evaluation/test_engine.py": "service/rules/{descriptions,checkins}"
    " service/rules/evaluation/{rule_changes,rule_pass}"
    " db/queries/rules/checkins cli/commands/definitions/checkin service/schedules/watchers",
    "tests/service/definitions/test_slas.py": "service/rules/zone_hints service/sla_evaluation",
    "tests/runtime/duties/test_periodic.py": "service/rules/facts/probes"
    " runtime/duties/rule_probes",
    "tests/core/scheduling/explanations/test_explain.py": "core/scheduling/explanations/"
    "{reasons,waiting_task}",
    "tests/core/scheduling/explanations/test_suggestions.py": "core/scheduling/explanations/"
    "suggestion",
    "tests/db/backup/test_create.py": "db/backup/{catalog,folder,space_errors,verify}",
    "tests/db/maintenance/test_integrity.py": "db/maintenance/value_checks db/sqlite_files",
    "tests/db/maintenance/test_slow_queries.py": "db/statement_timer",
    "tests/db/queries/history/test_operations.py": "db/queries/value_lists",
    "tests/db/queries/test_query_plans.py": "db/queries/scheduling/dispatch"
    " db/queries/history/state_at",
    "tests/db/queries/tasks/test_transitions.py": "db/states db/raw_sql"
    " db/queries/scheduling/loads db/queries/tasks/{packed_task,run_end,task_numbers}",
    "tests/db/queries/tasks/test_transitions_counters.py": "db/queries/counters",
    "tests/db/restore/test_restore.py": "db/queries/definitions db/restore/{adopt_runs,swap}"
    " db/restore/{previous_databases,reconcile,salvage}"
    " db/restore/merge/{decisions,ends,lineage,losses,numbers,observed_runs}"
    " db/restore/merge/{other_rows,result,rows,runs,tasks}",
    "tests/tui/screens/tasks/test_filter_actions.py": "tui/rows/groups",
    "tests/service/tasks/inspection/test_group_views.py": "db/search/folded"
    " service/tasks/inspection/group_page",
    "tests/tui/screens/tasks/test_flow.py": "tui/rows/flow",
    "tests/tui/screens/tasks/test_retry_form.py": "tui/forms/retry_model",
    "tests/db/search/test_pagination.py": "db/search/{candidates,conditions}"
    " service/tasks/{filters,search_text}",
    "tests/db/test_engine.py": "db/{error_translation,errors,readonly}",
    "tests/db/test_schema.py": "db/{defaults,rows}",
    "tests/engines/test_engines.py": "engines/*",
    "tests/cli/commands/test_doctor.py": "health/left_processes",
    "tests/health/test_limits.py": "db/host",
    "tests/keeper/test_journal.py": "keeper/journal_segment",
    "tests/keeper/test_launch.py": "keeper/{keeper_role,log,own_process,programs,requests}",
    "tests/keeper/test_run.py": "keeper/system_calls",
    "tests/keeper/test_server.py": "keeper/wire",
    "tests/keeper/test_stops_daemons.py": "keeper/{marks,members,processes,signals}",
    "tests/keeper/test_supervisor.py": "keeper/guard",
    "tests/outer/slurm/test_client.py": "outer/slurm/{client_settings,cluster_watch,facts}"
    " outer/slurm/{spool_access,stopper,submitter,watched_run}",
    "tests/offline/test_offline_verbs.py": "offline/*",
    "tests/runtime/messages/test_channel_sender.py": "runtime/messages/{sender,sender_client}",
    "tests/runtime/messages/test_notifier.py": "service/rules/{acting,process_table}",
    "tests/runtime/test_clock_guard.py": "home/clock_guard",
    "tests/runtime/test_control_server.py": "runtime/lock_notice",
    "tests/runtime/gpus/test_monitor.py": "service/gpus",
    "tests/service/test_monitoring.py": "db/queries/scheduling/waits",
    "tests/runtime/gpus/test_nvml.py": "runtime/gpus/{reader,processes}",
    "tests/runtime/dispatch/test_output_copier.py": "db/queries/tasks/run_outputs",
    "tests/service/test_usage.py": "db/queries/history/usage",
    "tests/cli/commands/tasks/test_what_if.py": "core/scheduling/forecasts/what_if_words",
    "tests/service/what_if/test_forecast.py": "service/what_if/{rules,settings,submissions}",
    "tests/runtime/test_restore_advice.py": "home/restore_advice",
    "tests/runtime/dispatch/test_run_verdict.py": "core/text/exit_text",
    "tests/runtime/test_start_stop.py": "__main__ home/setup runtime_launcher",
    "tests/service/definitions/test_editor.py": "core/definitions/one_definition",
    "tests/service/database/test_backups.py": "service/database/backup_files",
    "tests/service/database/test_cleanup.py": "service/database/cleanup_full_disk",
    "tests/service/database/test_integrity.py": "service/database/journal",
    "tests/service/schedules/test_firing.py": "service/schedules/rules",
    "tests/service/schedules/test_verbs.py": "service/schedules/changes",
    "tests/service/tasks/inspection/test_detail.py": "service/tasks/inspection/dependencies"
    " service/tasks/inspection/similar_runs",
    "tests/service/tasks/submission/test_submit.py": "service/tasks/submission/default_names"
    " service/tasks/submission/{json_lines,number_file,start_times}"
    " db/queries/tasks/environments db/queries/scheduling/run_history",
    "tests/service/tasks/submission/test_groups.py": "core/verb_states db/queries/tasks/groups",
    "tests/service/tasks/inspection/test_views.py": "service/tasks/inspection/suggestions",
    "tests/service/test_history.py": "db/queries/history/{rollups,samples} db/timestamps",
    "tests/service/test_name_hints.py": "db/queries/tasks/known_names",
    "tests/service/test_operations.py": "service/context",
    "tests/service/tasks/changes/test_actions.py": "db/queries/tasks/task_fields"
    " service/tasks/changes/{apply,option_values,setting_checks} service/tasks/inspection/wait",
    "tests/service/test_runtime_admin.py": "health/runner",
    "tests/service/test_sla_metrics.py": "core/metrics"
    " db/queries/rules/{alerts,metrics,sla_cursor}",
    "tests/service/undo/test_undo.py": "service/undo/{submissions,tasks}",
    "tests/test_client.py": "errors version",
    "tests/tui/actions/test_confirmations.py": "tui/actions/{bulk,question}",
    "tests/tui/forms/test_edit_model.py": "tui/forms/edit_{preview,source}",
    "tests/tui/forms/test_schema_form.py": "tui/forms/{fields,schema_fields,schema_rows}"
    " tui/forms/script_input",
    "tests/tui/forms/test_submit_draft.py": "tui/forms/submit_calls",
    "tests/tui/logviewer/test_pager.py": "tui/logviewer/{layout,search,source}",
    "tests/tui/logviewer/test_widget.py": "tui/logviewer/{prompt,reader}",
    "tests/tui/screens/test_usage.py": "tui/pages/usage",
    "tests/tui/screens/test_what_if.py": "tui/actions/what_if tui/pages/what_if",
    "tests/tui/panes/test_queues_and_pools.py": "tui/actions/queues_pools tui/panes/pools",
    "tests/tui/screens/deck/test_deck_keys.py": "tui/{app,app_host,base_app,deck_app,key_dispatch}"
    " tui/data/{background_calls,call_queue,connection,requests} tui/{error_boundary,error_log}"
    " tui/screens/deck/* tui/state/{pending_changes,undo_stack}",
    "tests/tui/screens/deck/test_screen.py": "tui/rows/work",
    "tests/tui/screens/test_alerts.py": "tui/actions/rules tui/data/list_rows"
    " tui/pages/{rule,rule_levels} tui/rows/{alerts,rules} tui/screens/definitions/rule_form",
    "tests/tui/screens/test_database.py": "tui/pages/database",
    "tests/tui/screens/definitions/test_definition_editor.py": "tui/actions/definitions",
    "tests/tui/screens/test_history.py": "tui/rows/history",
    "tests/tui/screens/test_operations.py": "tui/rows/operations",
    "tests/tui/screens/definitions/test_schedules.py": "tui/actions/schedules"
    " tui/data/schedule_rows tui/pages/schedule tui/rows/schedules"
    " tui/screens/definitions/{schedule,schedule_actions,schedule_form}",
    "tests/tui/screens/submission/test_submit_form.py": "tui/screens/copy_command tui/state/drafts"
    " tui/screens/submission/{fields,kept_drafts,texts}"
    " tui/terminal/text_input",
    "tests/tui/screens/tasks/test_task.py": "tui/actions/{clipboard,right_size,tasks}"
    " tui/logviewer/task_snapshot tui/pages/{task,task_facts,timeline,why} tui/state/row_changes",
    "tests/tui/screens/tasks/test_tasks.py": "tui/rows/tasks tui/widgets/paged_table",
    "tests/tui/screens/definitions/test_templates.py": "tui/rows/templates",
    "tests/tui/state/test_preferences.py": "tui/state/{read_marks,saved_views}",
    "tests/tui/test_typeahead.py": "tui/terminal/event_forwarding",
    "tests/tui/test_recent_messages.py": "tui/status_messages",
    "tests/tui/test_snapshots.py": "tui/widgets/*",
}
"""Tests of modules that have no test file of their own; `cli/a` means `app/cli/a.py`."""


def list_modules() -> list[Path]:
    """Return the modules of app and db, relative to the root."""
    return [
        path.relative_to(ROOT)
        for folder in ("app", "db")
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]


@cache
def parse_module(module: Path) -> ast.Module:
    return ast.parse((ROOT / module).read_text(encoding="utf-8"))


def iterate_nodes(*kinds: type[ast.AST]) -> Iterator[tuple[Path, ast.AST]]:
    """Yield the nodes of some kinds in all modules."""
    for module in list_modules():
        for node in ast.walk(parse_module(module)):
            if isinstance(node, kinds):
                yield module, node


def iterate_classes(node: ast.AST, is_nested: bool = False) -> Iterator[str]:
    """Yield the names of classes, except of messages nested in a widget."""
    for child in ast.iter_child_nodes(node):
        is_class = isinstance(child, ast.ClassDef)
        if is_class and not (is_nested and _is_message(child)):
            yield child.name
        yield from iterate_classes(child, is_nested or is_class)


def _is_message(node: ast.ClassDef) -> bool:
    return any("Message" in ast.unparse(base) for base in node.bases)


def _is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any("property" in ast.unparse(decorator) for decorator in node.decorator_list)


def expand_braces(pattern: str) -> list[str]:
    """Return the patterns of `a/{b,c}`: `a/b` and `a/c`."""
    found = re.search(r"\{(.*?)\}", pattern)
    if found is None:
        return [pattern]
    return [
        pattern[: found.start()] + word + pattern[found.end() :] for word in found[1].split(",")
    ]


def has_own_test(module: Path) -> bool:
    """Return True if a test file mirrors the path of a module."""
    folder = Path(*module.parts[1:]).parent if module.parts[0] == "app" else module.parent
    names = [f"test_{module.stem}.py", f"test_{module.stem}_*.py"]
    return any(list((ROOT / "tests" / folder).glob(name)) for name in names)


def test_docstrings_begin_with_a_noun_or_a_verb():
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = [
        (module, ast.get_docstring(node) or "-") for module, node in iterate_nodes(*kinds)
    ]

    assert [
        f"{module}: {text}" for module, text in docstrings if text.split()[0] in VAGUE_FIRST_WORDS
    ] == []


def test_texts_use_plain_words():
    assert [
        f"{module}:{node.lineno}: {node.value}"
        for module, node in iterate_nodes(ast.Constant)
        if isinstance(node.value, str) and " " in node.value and ODD_WORDS.search(node.value)
    ] == []


def test_no_two_classes_share_a_name():
    places = defaultdict(list)
    for module in list_modules():
        for name in iterate_classes(parse_module(module)):
            places[name].append(str(module))

    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_functions_are_not_named_by_a_participle():
    assert [
        f"{module}:{node.lineno}: {node.name}"
        for module, node in iterate_nodes(ast.FunctionDef, ast.AsyncFunctionDef)
        if PARTICIPLE.fullmatch(node.name) and not _is_property(node)
    ] == []


def test_every_module_has_a_test():
    patterns = {
        pattern
        for words in COVERING_TESTS.values()
        for word in words.split()
        for pattern in expand_braces(word)
    }
    without = {
        str(module.with_suffix("")).removeprefix("app/"): module
        for module in list_modules()
        if module.name != "__init__.py"
        and "migrations" not in module.parts
        and not has_own_test(module)
    }

    assert [
        str(module)
        for name, module in without.items()
        if not any(fnmatch(name, pattern) for pattern in patterns)
    ] == [], "give it a test file, or add it to COVERING_TESTS"
    assert [p for p in patterns if not any(fnmatch(name, p) for name in without)] == [], (
        "remove it from COVERING_TESTS"
    )


@pytest.mark.parametrize("test", COVERING_TESTS)
def test_a_covering_test_exists(test: str):
    assert (ROOT / test).is_file()
