"""Alerts screen (key `7`): alerts, silences, the SLA rules behind them, and a detail box.

The three are sections of one table, so `j` walks through all. Silences are listed while active.
An action on an alert applies to the alert, or to its rule where only a rule makes sense.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.timer import Timer
from textual.widget import Widget

from app.core.board import AlertEntry
from app.core.text import units
from app.translation import tr, tr_noop
from app.tui.actions import rules as action_rules
from app.tui.actions.question import Question
from app.tui.actions.tasks import NotApplicableError, Request
from app.tui.data.list_rows import RuleRow, SilenceRow, has_subject
from app.tui.forms.edit_source import is_rule_of_conditions
from app.tui.pages.rule import build_alert_lines, build_rule_lines, build_silence_lines
from app.tui.rows.alerts import OVER, describe_hidden, is_over_now
from app.tui.rows.rules import (
    ALERT_SECTION,
    RULE_SECTION,
    SILENCE_SECTION,
    make_alert_line,
    make_rule_row,
    make_silence_row,
)
from app.tui.screens.alert_subjects import AlertSubjects
from app.tui.screens.base_list import ListScreen
from app.tui.screens.base_page import TextLine
from app.tui.screens.definitions.rule_form import (
    AcknowledgeScreen,
    MatchingSilenceScreen,
    SilenceScreen,
    make_rule_screen,
)
from app.tui.screens.dialogs.choice import ChoiceScreen
from app.tui.style import Span
from app.tui.widgets.detail import DetailBox, DetailContent
from app.tui.widgets.document import Section, make_title_rule
from app.tui.widgets.footer import KeyHint, list_subject_hints
from app.tui.widgets.mark_hints import MARK_HINT, list_marked_alert_hints
from app.tui.widgets.modal import is_visible_under_modal
from app.tui.widgets.table import Table
from app.tui.widgets.table_parts import SectionView, TableSection
from app.tui.widgets.table_title import Wordings

if TYPE_CHECKING:
    from app.client import Client

LIMIT = 500
"""Maximum number of alerts listed; more are only counted."""
RESOLVED_SINCE = "24h"
"""Age of the resolved alerts that `f` includes."""
LEVEL_SECONDS = 5
"""Seconds between two readings while rules have values, which change without a write."""
DETAIL_DELAY = 0.08
"""Seconds the cursor must rest on a row before its details are requested."""
FLAT, LOW, TALL, VAST = 16, 22, 36, 46
"""Heights in lines: up to FLAT no detail box, below LOW a short one, from TALL and VAST more."""


class AlertsTable(Table):
    """Table of alerts, active silences and rules, from top to bottom.

    Alerts get the lines they need as long as some rules stay visible.
    """

    def __init__(self, parts: Sequence[TableSection]) -> None:
        super().__init__(parts, id="list")
        for view in self.views:
            view.tail, view.tail_first = self._describe_hidden, True

    def _describe_hidden(self, view: SectionView) -> list[Wordings]:
        return describe_hidden(view, self.look)

    def is_moved_away(self, before: Any, after: Any) -> bool:
        return is_over_now(before, after)

    def share_lines(self, height: int) -> list[tuple[int, int]]:
        alerts, silences, rules = (len(view.rows) for view in self.views)
        room = max(0, height - 2)
        for_silences = min(silences, room // 4) if silences else -1
        room -= for_silences + 1
        for_rules = max(min(max(1, rules), room // 3), room - max(1, alerts))
        return [(room - for_rules, 0), (for_silences, 0), (for_rules, 0)]


class RuleDetail(DetailBox):
    """Box about the row under the cursor, always with a title rule; surplus lines are cut.

    The box is as high as its lines, so that the lists above get the rest.
    """

    most = 9
    """Maximum height."""

    def __init__(self) -> None:
        super().__init__("")

    def redraw(self) -> None:
        """Draw again in the present size."""
        room = self.size.width
        if not (room and self._make):
            return
        title, tail, lines = self._make(room, self.most - 1)
        shown = lines[: self.most - 1]
        while shown and not any(text.strip() for text, _ in shown[-1]):
            shown = shown[:-1]
        self.styles.height = 1 + len(shown)
        head = make_title_rule(self.look, Section(title, (), tail=tail), room, False)
        self.draw([head, *(self.look.strip(line, room) for line in shown)])


class AlertsScreen(AlertSubjects, ListScreen):
    """Alerts and the SLA rules that raise them."""

    TITLE_TEXT = tr_noop("7 Alerts and rules")
    PLACE = "7"
    QUALIFIERS = ("rule:", "severity:", "status:", "on:")
    DEFAULT_CSS = """
    AlertsScreen {
        #counts { height: 1; width: 1fr; }
        #detail { height: 2; width: 1fr; }
        &.-flat #detail { display: none; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "acknowledge", "Acknowledge", id="alert.acknowledge"),
        Binding("A", "note", "Acknowledge with a note", id="alert.note"),
        Binding("s", "silence", "Silence the rule: asks how long", id="alert.silence"),
        Binding("m", "new_silence", "New silence by names, severity", id="silence.new"),
        Binding("f", "past", "Show or hide alerts resolved in the last 24h", id="alert.past"),
        Binding("l", "log", "Log of the alert's task", id="task.log"),
        Binding("w", "why", "Why its task waits, or how it ended", id="task.why"),
        Binding("n", "new", "New rule", id="rule.new"),
        Binding("N", "new_text", "New rule of conditions, as text", id="rule.new-text"),
        Binding("e", "edit", "Edit the rule", id="rule.edit"),
        Binding("t", "edit_text", "Edit the rule as text", id="rule.edit-text"),
        Binding("p", "switch", "Turn the rule off, or on", id="rule.switch"),
        Binding("D", "delete", "Delete the rule, end the silence", id="rule.delete"),
        Binding("y", "copy", "Copy the row as a line", id="rule.copy"),
    ]

    def __init__(self, client_factory: Callable[[], Client]) -> None:
        super().__init__(client_factory)
        self.shows_past = False
        """True if resolved alerts are listed too."""
        self.alerts: tuple[AlertEntry, ...] = ()
        self.rules: dict[str, RuleRow] = {}
        self.silences: tuple[SilenceRow, ...] = ()
        self._loaded = False
        self._details: Mapping[str, Any] = {}
        self._details_key = ""
        self._ticks = 0
        self._timer: Timer | None = None

    # Widgets

    def list_sections(self) -> Sequence[TableSection]:
        return (ALERT_SECTION, SILENCE_SECTION, RULE_SECTION)

    def make_table(self) -> Table:
        return AlertsTable(self.list_sections())

    def compose_body(self) -> Iterable[Widget]:
        yield TextLine(id="counts")
        yield from super().compose_body()

    def compose_below(self) -> Iterable[Widget]:
        yield RuleDetail()

    def on_resize(self) -> None:
        height = self.app.size.height
        self.set_class(height <= FLAT, "-flat")
        most = 4 if height < LOW else 9 if height < TALL else 14 if height < VAST else 20
        self.query_one(RuleDetail).most = most
        super().on_resize()

    def collect_facts(self, row: Any) -> Mapping[str, Any]:
        if isinstance(row, SilenceRow):
            facts = {"rule": row.words, "severity": "", "status": "silenced", "on": row.words}
            return {**facts, "why": row.reason, "by": row.by}
        if isinstance(row, RuleRow):
            status = (
                "off"
                if not row.enabled
                else "silenced"
                if row.until is not None
                else "firing"
                if row.firing
                else "ok"
            )
            return {
                "rule": row.name,
                "severity": row.severity,
                "status": status,
                "on": "",
                "words": row.words,
            }
        return {
            "rule": row.sla,
            "severity": row.severity,
            "status": row.status,
            "on": row.object,
            "why": row.why,
            "by": row.by,
        }

    def list_values(self) -> Mapping[str, Sequence[str]]:
        states = ("firing", "acknowledged", "silenced", "resolved", "expired", "ok", "off")
        return {
            "rule": list(self.rules),
            "severity": ("critical", "warning", "info"),
            "status": states,
        }

    def list_row_hints(self) -> list[KeyHint]:
        row = self.table.item
        new = KeyHint("n", "new rule", "n", 3)
        if marked := self.table.list_marked():
            return [*list_marked_alert_hints(marked, can_silence=True), MARK_HINT, new]
        if isinstance(row, SilenceRow):
            return [
                KeyHint("s", "until when", "s", 1),
                KeyHint("D", "end", "D", 2),
                *self._list_rare_hints(),
            ]
        if isinstance(row, RuleRow):
            hint = KeyHint("p", tr("turn off") if row.enabled else tr("turn on"), "p", 6)
            tasks = [KeyHint("↵", "its tasks", "enter", 1)] if self._has_tasks(row) else []
            return [
                *tasks,
                KeyHint("e", "edit", "e", 2),
                KeyHint("s", "silence", "s", 5),
                hint,
                new,
                *self._list_rare_hints(),
            ]
        if isinstance(row, AlertEntry):
            ack = (
                [KeyHint("a", "ack", "a", 2), KeyHint("A", "with a note", "A", 9)]
                if row.status == "firing"
                else []
            )
            edit = [KeyHint("e", "edit rule", "e", 8)] if row.sla in self.rules else []
            silence = KeyHint("s", "silence", "s", 3)
            return [*ack, silence, *list_subject_hints(row), new, *edit, *self._list_rare_hints()]
        return [new, *self._list_rare_hints()]

    def _has_tasks(self, row: RuleRow) -> bool:
        try:
            action_rules.make_task_filter(row, self.rules)
        except NotApplicableError:
            return False
        return True

    def _list_rare_hints(self) -> list[KeyHint]:
        delete = [KeyHint("D", "delete", "D", 11)] if isinstance(self.table.item, RuleRow) else []
        past = KeyHint("f", tr("only open") if self.shows_past else tr("resolved too"), "f", 10)
        return [KeyHint("m", "new silence", "m", 9), past, *delete]

    # Reading

    def reread(self) -> None:
        self.read(
            partial(
                _read_alerts_and_rules,
                {"since": RESOLVED_SINCE, "limit": LIMIT} if self.shows_past else {"limit": LIMIT},
            ),
            self._apply_answer,
        )

    def _apply_answer(self, found: tuple[Sequence[Mapping[str, Any]], ...]) -> None:
        self.alerts = tuple(map(make_alert_line, found[0]))
        self.rules = {row["name"]: make_rule_row(row) for row in found[1]}
        self.silences = tuple(map(make_silence_row, found[2]))
        self._loaded = True
        self._show_rows()
        self.refresh_chrome()
        self._request_details_soon()

    def _show_rows(self) -> None:
        table = self.table
        alerts, rules = table.find_view("alerts"), table.find_view("rules")
        alerts.title = tr("Alerts {total}", total=self._format_total())
        alerts.empty = [[(f"  {self._format_empty_text()}", "dim")]]
        rules.title = tr("Rules {count}", count=len(self.rules))
        first = tr("  No rules yet: n creates a rule, such as: ")
        rules.empty = [[(first, "dim"), (tr("finishes within 45m, template encode"), "")]]
        table.find_view("silences").title = tr("Silences {count}", count=len(self.silences))
        rows = {"alerts": self.alerts, "silences": self.silences}
        table.show({**rows, "rules": tuple(self.rules.values())})
        self.query_one("#counts", TextLine).show(self._make_counts())

    def _format_total(self) -> str:
        """Return the number of open alerts, with `+` if the list was cut."""
        count = sum(alert.status not in OVER for alert in self.alerts)
        return f"{count:,}+" if len(self.alerts) >= LIMIT else f"{count:,}"

    def _format_empty_text(self) -> str:
        if not self._loaded:
            return self.freshness or ""
        return (
            tr("No alerts.")
            if self.rules
            else tr("There are no alerts, because there are no rules. n creates a rule.")
        )

    def _make_counts(self) -> list[Span]:
        """Return the counts line, such as `1 firing  1 acknowledged  1 silenced`.

        The counts cover all alerts, listed or not.
        """
        quiet = [row for row in self.rules.values() if row.until is not None]
        active_rules = [row for row in self.rules.values() if row.until is None]
        own = [alert.status for alert in self.alerts if alert.sla not in self.rules]
        counts = {
            tr_noop("firing"): sum(row.firing for row in active_rules) + own.count("firing"),
            tr_noop("acknowledged"): sum(row.acknowledged for row in active_rules)
            + own.count("acknowledged"),
            tr_noop("silenced"): sum(row.firing + row.acknowledged for row in quiet)
            + sum((row.facts.get("open") or {}).get("silenced", 0) for row in self.rules.values())
            + own.count("silenced"),
        }
        styles = {"firing": "broken", "acknowledged": "warn", "silenced": "dim"}
        spans = [
            (f" {units.format_count(n)} {tr(word)} ", styles[word] if n else "dim")
            for word, n in counts.items()
        ]
        over = sum(alert.status in OVER for alert in self.alerts)
        off = sum(not row.enabled for row in self.rules.values())
        more = (
            [
                (
                    tr(
                        " {count} resolved in {time} ",
                        count=units.format_count(over),
                        time=RESOLVED_SINCE,
                    ),
                    "dim",
                )
            ]
            if self.shows_past
            else []
        )
        rules = (
            tr("    rules {count:,}", count=len(self.rules))
            + (tr(", {count:,} off", count=off) if off else ""),
            "dim",
        )
        return [*spans, *more, rules] if self._loaded else []

    # Row under the cursor

    @on(Table.Moved)
    def _handle_row_change(self) -> None:
        self.show_detail()
        self._request_details_soon()

    def _request_details_soon(self) -> None:
        if self._timer:
            self._timer.stop()
        self._timer = self.set_timer(DETAIL_DELAY, self._request_details)

    def _request_details(self) -> None:
        """Request the details of the row under the cursor."""
        row = self.table.item
        if isinstance(row, AlertEntry):
            self.call("alert.show", {"id": row.id}, partial(self._store_details, row.key))
        elif isinstance(row, RuleRow):
            self.call("sla.history", {"name": row.name}, partial(self._store_details, row.key))

    def handle_missing(self, text: str) -> None:
        """Ignore a missing row; the next reading removes it from the list."""

    def _store_details(self, key: str, found: Mapping[str, Any]) -> None:
        self._details_key, self._details = key, found
        self.show_detail()

    def detail(self, room: int, height: int) -> DetailContent:
        row, look = self.table.item, self.look
        about = self._details if row is not None and row.key == self._details_key else {}
        if isinstance(row, RuleRow):
            lines = build_rule_lines(row.facts, about, room, height, self.now, look)
            return look.cut(look.sanitize(row.name), room - 20), tr(row.severity), lines
        if isinstance(row, AlertEntry):
            said: Sequence[Sequence[Span]] = [
                [(f"  {look.cut(look.sanitize(f'{row.object}: {row.why}'), room - 3)}", "bold")]
            ]
            lines = build_alert_lines(about, room, height, self.now, look) if about else said
            return look.cut(look.sanitize(row.sla), room - 20), tr(row.severity), lines
        if isinstance(row, SilenceRow):
            return tr("silence {id}", id=row.id), "", build_silence_lines(row, room, self.now, look)
        return "", "", []

    def refresh_each_second(self) -> None:
        super().refresh_each_second()
        if is_visible_under_modal(self):
            self.show_detail()
            if self._details.get("metric"):  # a metric changes without a database write
                self._request_details()
            self._ticks += 1
            if (
                self._ticks % LEVEL_SECONDS == 0
                and any(row.level for row in self.rules.values())
                or any(alert.until is not None and alert.until <= self.now for alert in self.alerts)
                or any(silence.until <= self.now for silence in self.silences)
            ):
                self.reread()

    # Actions

    def _perform(self, make: Callable[[], Sequence[Request]]) -> None:
        try:
            self.deck.requests.send(make())
        except NotApplicableError as unfit:
            self.deck.requests.show_not_applicable(unfit)
        else:
            self.table.clear_marks()

    def _get_rules(self) -> list[RuleRow]:
        """Return the rules that the key applies to.

        Raise NotApplicableError if there is none, or if nothing may be changed.
        """
        self._require_changes()
        return action_rules.find_rules(self.table.list_selected(), self.rules)

    def _require_changes(self) -> None:
        """Raise NotApplicableError if nothing may be changed."""
        if refusal := self.deck.refusal or self.unread_notice:
            raise NotApplicableError(refusal)

    def _with_rules(self, act: Callable[[list[RuleRow]], None]) -> None:
        try:
            act(self._get_rules())
        except NotApplicableError as unfit:
            self.deck.requests.show_not_applicable(unfit)

    def _ask_before(self, question: Question, act: Callable[[str], None]) -> None:
        self.app.push_screen(ChoiceScreen(question), lambda key: act(key) if key else None)

    def action_acknowledge(self) -> None:
        self._perform(lambda: action_rules.acknowledge_rows(self.table.list_selected()))

    def action_note(self) -> None:
        if self.deck.refuse_changes():
            return
        try:
            requests = action_rules.acknowledge_rows(self.table.list_selected())
        except NotApplicableError as unfit:
            self.deck.requests.show_not_applicable(unfit)
            return
        self.app.push_screen(
            AcknowledgeScreen(self.client_factory, requests), self._clear_marks_if_sent
        )

    def _clear_marks_if_sent(self, sent: bool | None) -> None:
        if sent:
            self.table.clear_marks()

    def action_silence(self) -> None:

        selected = self.table.list_selected()
        if silences := action_rules.list_silences(selected):
            self._with_changes(lambda: self._ask_end(silences))
            return
        try:
            self._require_changes()
            found = action_rules.find_silenceable(selected, self.rules)
        except NotApplicableError as unfit:
            self.deck.requests.show_not_applicable(unfit)
            return
        question = action_rules.ask_silence(found, self.look)
        self._ask_before(question, partial(self._silence, found))

    def _with_changes(self, act: Callable[[], None]) -> None:
        if not self.deck.refuse_changes():
            act()

    def _ask_end(self, silences: Sequence[SilenceRow]) -> None:
        def change(key: str) -> None:
            if key == "e":
                self._perform(lambda: action_rules.end_silences(silences))
            else:
                until = action_rules.SILENCE_ENDS[key]
                self._perform(lambda: action_rules.extend_silences(silences, until))

        self._ask_before(action_rules.ask_end(silences, self.look), change)

    def action_new_silence(self) -> None:
        if self.deck.refuse_changes():
            return
        row = self.table.item
        is_known = row is not None and row.key == self._details_key
        labels: Mapping[str, str] = (self._details.get("labels") or {}) if is_known else {}
        match = action_rules.suggest_match(row, labels)
        self.app.push_screen(MatchingSilenceScreen(self.client_factory, match, labels))

    def _silence(self, rules: list[action_rules.Silenceable], key: str) -> None:
        if key == "o":
            self.app.push_screen(SilenceScreen(self.client_factory, rules[0]))
        elif key == "e":
            self._perform(lambda: action_rules.unsilence_rules(rules))
        else:
            self._perform(lambda: action_rules.silence_rules(rules, action_rules.SILENCE_ENDS[key]))

    def action_switch(self) -> None:
        self._with_rules(lambda rules: self._perform(lambda: action_rules.toggle_rules(rules)))

    def action_delete(self) -> None:

        def ask(rules: list[RuleRow]) -> None:
            self._ask_before(
                action_rules.confirm_delete_rules(rules, self.look),
                lambda key: self._perform(lambda: action_rules.delete_rules(rules)),
            )

        if silences := action_rules.list_silences(self.table.list_selected()):
            self._perform(lambda: action_rules.end_silences(silences))
        else:
            self._with_rules(ask)

    def action_edit(self) -> None:

        def edit(rules: list[RuleRow]) -> None:
            if len(rules) > 1:
                raise NotApplicableError(
                    tr("e edits one rule; {count:,} are marked.", count=len(rules))
                )
            if is_rule_of_conditions(rules[0].facts):
                self.deck.open_editor("slas", rules[0].name)
            else:
                self.app.push_screen(make_rule_screen(self.client_factory, rules[0].name))

        self._with_rules(edit)

    def action_edit_text(self) -> None:

        def edit(rules: list[RuleRow]) -> None:
            if len(rules) > 1:
                raise NotApplicableError(
                    tr("t edits one rule; {count:,} are marked.", count=len(rules))
                )
            self.deck.open_editor("slas", rules[0].name)

        self._with_rules(edit)

    def action_new_text(self) -> None:
        table = self.table
        if not self.deck.refuse_changes():
            self.deck.open_editor(
                "slas", then=lambda name: table.go_when_listed(f"rule:{name}") if name else None
            )

    def action_new(self) -> None:
        if not self.deck.refuse_changes():
            form, table = make_rule_screen(self.client_factory), self.table
            self.app.push_screen(
                form, lambda sent: table.go_when_listed(form.created_key) if sent else None
            )

    def action_past(self) -> None:
        self.shows_past = not self.shows_past
        self.show_message(
            tr("Resolved alerts of the last 24h too.")
            if self.shows_past
            else tr("Only open alerts.")
        )
        self.reread()

    def action_copy(self) -> None:
        if self.table.item is None:
            self.show_message(tr("There is nothing to copy."), stays=False)
        else:
            self.app.copy_to_clipboard(self.look.sanitize(action_rules.format_row(self.table.item)))
            self.show_message(tr("Copied the line."))

    # Navigation

    @on(Table.Opened)
    def _handle_open(self, event: Table.Opened) -> None:
        row = event.item
        if isinstance(row, SilenceRow):
            self.show_message(tr("s changes the end of a silence, D ends it."), stays=False)
        elif isinstance(row, RuleRow):
            self._open_tasks(row)
        else:
            self.open_alert(row)

    def _open_tasks(self, row: RuleRow) -> None:
        self._open_list(lambda: action_rules.make_task_filter(row, self.rules))

    def _open_list(self, make_filter: Callable[[], str]) -> None:
        try:
            self.deck.open_tasks(make_filter(), returns=True)
        except NotApplicableError as unfit:
            self.show_message(self.look.sanitize(str(unfit)), "warn")

    def action_log(self) -> None:
        self._open_from_alert(
            "l", tr("l shows the log of an alert's task, but no such task is under the cursor.")
        )

    def action_why(self) -> None:
        self._open_from_alert(
            "w", tr("w explains the task of an alert, but no such task is under the cursor.")
        )

    def _open_from_alert(self, key: str, text: str) -> None:
        if isinstance(row := self.table.item, AlertEntry) and has_subject(row):
            self.open_alert(row, key)
        else:
            self.show_message(text, "warn")


def _read_alerts_and_rules(args: Mapping[str, Any], client: Client) -> tuple[Any, ...]:
    return client.call("alert.ls", dict(args)), client.call("sla.ls"), client.call("alert.silences")
