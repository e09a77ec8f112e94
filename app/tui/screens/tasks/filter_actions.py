"""Actions on all tasks of a filter or of groups, which the runtime counts before they are asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from app.core.board import GroupEntry
from app.core.task_groups import format_group
from app.core.text import units
from app.translation import tr, tr_noop
from app.tui.actions.bulk import MAX_REVIEWED, build_requests, choose_toggle, confirm_all
from app.tui.actions.confirmations import ask_how_to_retry_group
from app.tui.actions.question import Answer, Question
from app.tui.actions.tasks import (
    get_underlying_row,
    retry_group_with_dependents,
    set_group_limit,
    set_group_priority,
)
from app.tui.rows.groups import find_telling_log
from app.tui.rows.tasks import make_rows
from app.tui.screens.alert_subjects import AlertSubjects
from app.tui.screens.dialogs.choice import ChoiceScreen
from app.tui.screens.dialogs.text_prompt import TextPromptScreen

MAX_LOOKED_AT = 500
"""Number of tasks of a group among which `l` chooses a log."""
FAILED_ONLY = "status:failed,timed-out,lost"
"""Tasks of a group that a retry means."""
MIXED_MARKS = tr_noop(
    "Both groups and single tasks are marked: act on one kind, then on the other."
)


def list_groups(rows: Sequence[Any]) -> list[GroupEntry]:
    """Return the groups among rows of any list."""
    return [row for row in map(get_underlying_row, rows) if isinstance(row, GroupEntry)]


def make_group_filter(groups: Sequence[GroupEntry]) -> str:
    """Return the filter for the tasks of groups."""
    return f"group:{','.join(format_group(group.number) for group in groups)}"


class FilterActions(AlertSubjects):
    """Base of screens with actions on all tasks of a filter."""

    def review_filter(self, verb: str, words: str, about: str = "") -> None:
        """Ask before an action on all tasks that match, naming its effect.

        `about` names the tasks in the question, instead of the filter.
        """
        if not self.deck.refuse_changes():
            self.read_then_open(
                lambda client: client.call("review", {"filter": words, "first": MAX_REVIEWED}),
                partial(self._ask_about_all, verb, words, about),
            )

    def _ask_about_all(
        self,
        verb: str,
        words: str,
        about: str,
        found: Mapping[str, Any] | None,
        error: Exception | None,
    ) -> None:
        if error or found is None:
            self.deck.show_message(self.look.sanitize(str(error)), "warn")
            return
        if self.app.screen is not self:
            self.deck.show_message(
                tr("The answer came late, so nothing was done. Press again."), "warn"
            )
            return
        verb = choose_toggle(found["statuses"]) if verb == "hold" else verb
        question = confirm_all(verb, words, found, self.look, about)
        if question is None:
            none = (
                tr("The action applies to none of the tasks of {about}.", about=about)
                if about
                else tr("The action applies to none of the matching tasks.")
            )
            self.deck.show_message(none, "warn")
        else:
            self.app.push_screen(
                ChoiceScreen(question),
                lambda key: self.send_for_filter(verb, words, found) if key else None,
            )

    def send_for_filter(self, verb: str, words: str, found: Mapping[str, Any]) -> None:
        """Send the confirmed action."""
        self.deck.requests.send(build_requests(verb, words, found))

    def act_on_groups(self, verb: str, rows: Sequence[Any]) -> bool:
        """Review an action on the tasks of the groups among `rows`; return False without one."""
        groups = list_groups(rows)
        if not groups:
            return False
        if len(groups) < len(rows):
            self.deck.show_message(tr(MIXED_MARKS), "warn")
            return True
        words = make_group_filter(groups)
        about = (
            self.look.sanitize(f"{format_group(groups[0].number)} {groups[0].name}")
            if len(groups) == 1
            else tr("{count:,} groups", count=len(groups))
        )
        self.review_filter(verb, f"{words} {FAILED_ONLY}" if verb == "retry" else words, about)
        return True

    def ask_how_to_retry_group(self, group: GroupEntry) -> None:
        """Ask whether the failed tasks of a group run with other requests or with dependents."""
        if self.deck.refuse_changes():
            return

        def act(key: str | None) -> None:
            if key == "f":
                self.act_on_groups("retry", [group])
            elif key == "d":
                self.deck.requests.send([retry_group_with_dependents(group)])
            elif key:
                from app.tui.screens.tasks.retry_form import RetryGroupScreen

                self.app.push_screen(RetryGroupScreen(self.deck.client_factory, group))

        about = self.look.sanitize(f"{format_group(group.number)} {group.name}")
        self.app.push_screen(
            ChoiceScreen(ask_how_to_retry_group(about, group.failed, self.look)), act
        )

    def open_group_log(self, group: GroupEntry) -> None:
        """Open the log that tells most about a group, and tell how to see all."""
        name = format_group(group.number)

        def opens(found: Mapping[str, Any] | None, error: Exception | None) -> None:
            if error or found is None:
                self.deck.show_message(self.look.sanitize(str(error)), "warn")
                return
            if self.app.screen is not self:
                return
            chosen = find_telling_log(make_rows(found["columns"], found["rows"]))
            if chosen is None:
                self.deck.show_message(
                    tr("No task of {name} has a log yet; enter lists its tasks.", name=name), "warn"
                )
                return
            row, words = chosen
            self.deck.open_log(row.key)
            self.deck.show_message(
                tr(
                    "#{number}, {words} of {name}. All at once: taskdeck logs -f {name}",
                    number=row.number,
                    words=words,
                    name=name,
                )
            )

        args = {"id": name, "limit": MAX_LOOKED_AT}
        self.read_then_open(lambda client: client.call("group.tasks", args), opens)

    def edit_groups(self, groups: Sequence[GroupEntry]) -> None:
        """Ask what to change of a group, then for the value."""
        if len(groups) > 1:
            self.deck.show_message(tr("Edit one group at a time."), "warn")
            return
        name = format_group(groups[0].number)
        answers = [
            Answer("p", tr("priority of its tasks")),
            Answer("m", tr("how many run at once")),
            Answer("n", tr("nothing")),
        ]
        question = Question(
            tr("Edit {name}", name=name), [], answers, safe="n", column=True, confirm_delay=0.0
        )
        self.app.push_screen(
            ChoiceScreen(question),
            lambda key: self._ask_group_value(groups[0], key) if key else None,
        )

    def _ask_group_value(self, group: GroupEntry, key: str) -> None:
        title = tr("Priority") if key == "p" else tr("At most that many at once; 0: any number")
        was = "" if key == "p" else str(group.max_running or 0)
        make = set_group_priority if key == "p" else set_group_limit

        def act(text: str | None) -> None:
            if text:
                self.deck.requests.send([make(group, int(text))])

        prompt = tr("{group}; enter sets it", group=format_group(group.number))
        self.app.push_screen(TextPromptScreen(title, prompt, was, _find_number_fault), act)


def _find_number_fault(text: str) -> str:
    try:
        units.parse_int(text, -(10**9), 10**9)
    except ValueError:
        return tr("Give a whole number.")
    return ""
