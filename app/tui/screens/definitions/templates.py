"""Templates screen (key `6`): templates with their use, and keys to run, edit or retire one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget

from app.translation import tr, tr_n, tr_noop
from app.tui.actions.question import Answer, Question
from app.tui.actions.tasks import Request
from app.tui.rows.templates import (
    TEMPLATES,
    TemplateEntry,
    format_used,
    make_details,
    make_template,
)
from app.tui.screens.base_list import ListScreen
from app.tui.screens.dialogs.choice import ChoiceScreen
from app.tui.style import Look
from app.tui.widgets.detail import DetailBox, DetailContent
from app.tui.widgets.footer import KeyHint
from app.tui.widgets.table import Table
from app.tui.widgets.table_parts import TableSection

if TYPE_CHECKING:
    from app.client import Client

_ORDERS: Mapping[str, Callable[[TemplateEntry], Any]] = {
    "name": lambda row: row.name.casefold(),
    "used": lambda row: -row.used,
    "last": lambda row: (-row.active, -(row.last or 0.0)),
    "median": lambda row: -(row.median or 0.0),
}


class TemplatesScreen(ListScreen):
    """All templates; retired ones last and dim."""

    TITLE_TEXT = tr_noop("6 Templates")
    PLACE = "6"
    ORDERS = (
        ("a", "name", tr_noop("name")), ("u", "used", tr_noop("how often it was used")),
        ("l", "last", tr_noop("when it was last used")),
        ("r", "median", tr_noop("how long it usually runs")),
    )  # fmt: skip
    QUALIFIERS = ("engine:", "queue:")
    DEFAULT_CSS = """
    TemplatesScreen {
        #detail { height: 12; width: 1fr; }
        &.-low #detail { height: 6; }
        &.-flat #detail { display: none; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "new", "New template", id="template.new"),
        Binding("e", "edit", "Edit the definition", id="template.edit"),
        Binding("p", "retire", "Retire, or let it take tasks again", id="template.retire"),
        Binding("y", "copy", "Copy the definition", id="template.copy"),
        Binding("D", "delete", "Delete the template", id="template.delete"),
    ]

    def __init__(self, client_factory: Callable[[], Client]) -> None:
        super().__init__(client_factory)
        self.rows: tuple[TemplateEntry, ...] = ()

    # Widgets

    def list_sections(self) -> Sequence[TableSection]:
        return (TEMPLATES,)

    def make_table(self) -> Table:
        return Table(self.list_sections(), id="list", marks=False)

    def compose_below(self) -> Iterable[Widget]:
        yield DetailBox("e")

    def on_resize(self) -> None:
        height = self.app.size.height
        self.set_class(16 < height < 30, "-low")
        self.set_class(height <= 16, "-flat")

    def collect_facts(self, row: Any) -> Mapping[str, Any]:
        shown = {name: getattr(row, name) for name in ("name", "engine", "queue", "description")}
        return {**shown, "status": "retired" if row.retired else ""}

    def list_values(self) -> Mapping[str, Sequence[str]]:
        found = {
            "engine": [row.engine for row in self.rows],
            "queue": [row.queue for row in self.rows if row.queue],
        }
        return {name: list(dict.fromkeys(values)) for name, values in found.items()}

    def list_row_hints(self) -> list[KeyHint]:
        row, new = self.table.item, KeyHint("n", "new template", "n", 3)
        if not isinstance(row, TemplateEntry):
            return [new]
        form = [] if row.retired else [KeyHint("↵", "new task", "enter", 1)]
        turn = KeyHint("p", "reinstate" if row.retired else "retire", "p", 8)
        return [
            *form,
            KeyHint("e", "edit", "e", 2),
            new,
            turn,
            KeyHint("y", "copy", "y", 10),
            KeyHint("D", "delete", "D", 11),
        ]

    # Reading

    def reread(self) -> None:
        self.read(lambda client: client.call("template.ls", {"usage": True}), self._apply_answer)

    def _apply_answer(self, answer: Sequence[Mapping[str, Any]]) -> None:
        self.rows = tuple(map(make_template, answer))
        self._show_rows()

    def _show_rows(self) -> None:
        ordered = sorted(self.rows, key=_ORDERS[self.order], reverse=not self.down)
        view = self.table.find_view("templates")
        view.title = tr("Templates {count:,}", count=len(self.rows))
        retired = sum(row.retired for row in self.rows)
        view.tail = tr("{retired:,} retired", retired=retired) if retired else ""
        view.empty = [[(f"  {line}", "dim")] for line in map(tr, _EMPTY_TEXT)]
        self.table.show({"templates": tuple(sorted(ordered, key=lambda row: row.retired))})
        self.refresh_chrome()
        self.show_detail()

    def apply_order(self) -> None:
        self._show_rows()

    @on(Table.Moved)
    def _handle_row_change(self) -> None:
        self.show_detail()

    def detail(self, room: int, height: int) -> DetailContent:
        row = self.table.item
        if not isinstance(row, TemplateEntry):
            return "", "", []
        return (
            self.look.cut(self.look.sanitize(row.name), room - 20, "middle"),
            tr("retired") if row.retired else "",
            make_details(row, room, self.look),
        )

    # Actions

    def _act_on_row(self, act: Callable[[TemplateEntry], object]) -> None:
        row = self.table.item
        if isinstance(row, TemplateEntry):
            act(row)
        else:
            self.show_message(
                self.unread_notice
                or tr("No template is under the cursor. Press n to create a template."),
                "warn",
            )

    @on(Table.Opened)
    def _handle_open(self, event: Table.Opened) -> None:
        event.stop()
        row = event.item
        if row.retired:
            self.show_message(
                self.look.sanitize(
                    tr("{name} is retired and takes no tasks; p reinstates it.", name=row.name)
                ),
                "warn",
            )
        else:
            self.deck.open_form(template=row.name)

    def action_new(self) -> None:
        self.deck.open_editor(
            "templates", then=lambda name: self.table.go_when_listed(name) if name else None
        )

    def action_edit(self) -> None:
        self._act_on_row(lambda row: self.deck.open_editor("templates", row.name))

    def action_retire(self) -> None:
        """Retire the template, or let it take tasks again."""
        self._act_on_row(lambda row: self.deck.requests.send([make_retire_request(row)]))

    def action_copy(self) -> None:
        self._act_on_row(
            lambda row: self.call(
                "definition.show", {"kind": "templates", "name": row.name}, self._copy_definition
            )
        )

    def _copy_definition(self, answer: Mapping[str, Any]) -> None:
        self.app.copy_to_clipboard(answer["text"])
        self.show_message(
            tr(
                "Copied {count:,} characters, if the terminal allows it (tmux: set-clipboard on).",
                count=len(answer["text"]),
            )
        )

    def action_delete(self) -> None:
        """Delete the template after a question; one in use can only be retired."""
        if self.deck.read_only:
            self.show_message(tr("Read only: this deck changes nothing."), "warn")
            return
        self._act_on_row(
            lambda row: self.app.push_screen(
                ChoiceScreen(make_delete_question(row, self.look)),
                partial(self._apply_delete_answer, row),
            )
        )

    def _apply_delete_answer(self, row: TemplateEntry, answer: str | None) -> None:
        if answer == "p":
            self.deck.requests.send([make_retire_request(row)])
        elif answer == "y":
            again = Request(
                "template.create", _make_create_args(row), tr("Restored template"), object=row.name
            )
            self.deck.requests.send(
                [
                    Request(
                        "template.rm",
                        {"name": row.name},
                        tr("Deleted template"),
                        (again,),
                        row.name,
                    )
                ]
            )


_EMPTY_TEXT = (
    tr_noop("No templates yet. A template is a job with its parameters, kept under a name:"),
    tr_noop("n creates a template. Shell: taskdeck template create, or taskdeck apply"),
)


def make_retire_request(row: TemplateEntry) -> Request:
    """Return the request that retires a template, or lets a retired one take tasks again."""
    retire_request = Request(
        "template.retire", {"name": row.name}, tr("Retired template"), object=row.name
    )
    reinstate_request = Request(
        "template.retire",
        {"name": row.name, "back": True},
        tr("Takes tasks again:"),
        object=row.name,
    )
    first, undo = (
        (reinstate_request, retire_request) if row.retired else (retire_request, reinstate_request)
    )
    return Request(first.verb, first.args, first.result_text, (undo,), row.name)


_CREATE_FIELDS = (
    "type",
    "engine",
    "schema",
    "parameters",
    "description",
    "queue",
    "cpu",
    "memory",
    "resources",
    "timeout",
    "retries",
    "notify",
    "notify_on",
)


def _make_create_args(row: TemplateEntry) -> dict[str, Any]:
    """Return the arguments that create the template again."""
    return {"name": row.name} | {
        key: row.facts[key] for key in _CREATE_FIELDS if row.facts.get(key) is not None
    }


def make_delete_question(row: TemplateEntry, look: Look) -> Question:
    """Return the question before deletion, which offers to retire a template in use."""
    name = look.cut(look.sanitize(row.name), 40, "middle")
    if not row.used:
        answers = [Answer("y", tr("delete it")), Answer("n", tr("no"))]
        return Question(
            tr("Delete"), [[(tr("Delete template {name}?", name=name), "bold")]], answers, safe="n"
        )
    used = tr_n(
        row.used,
        "{used} task refers to it for what they ran.",
        "{used} tasks refer to it for what they ran.",
        used=format_used(row),
    )
    body = [[(tr("Template {name} cannot be deleted:", name=name), "bold")], [(used, "")]]
    if row.retired:
        return Question(
            tr("Delete"),
            [*body, [(tr("It is retired already and takes no more tasks."), "")]],
            [Answer("n", tr("keep"))],
            safe="n",
        )
    body.append([(tr("A retired template takes no more tasks and is listed last."), "")])
    return Question(
        tr("Delete"), body, [Answer("p", tr("retire it")), Answer("n", tr("no"))], safe="n"
    )
