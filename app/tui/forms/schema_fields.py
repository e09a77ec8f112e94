"""Form fields for template parameters, generated from a JSON Schema.

Hundreds of fields are one widget that draws only visible lines. One input moves to the field being
edited; switches, choices and headings handle keys here. Errors found by `core.schema.parameters`
appear below their fields while typing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input

from app.core.schema import parameters
from app.core.schema.form_fields import FieldPath, FormField
from app.core.schema.form_outline import build_outline
from app.core.schema.secrets import find_declared_names, get_secret_reference, mask_value
from app.core.text import units
from app.core.text.sanitize import MASK
from app.translation import tr
from app.tui.forms import schema_rows
from app.tui.forms.fields import WORD_TIMEOUT, Options, PickScreen, TypeToSelect, make_form_entry
from app.tui.forms.fields import FormEntry as Entry
from app.tui.forms.schema_rows import FieldRow, FormState, HeadingRow, SchemaLine, SchemaRow
from app.tui.key_queue import KeyInput, QueuedInput
from app.tui.widgets.strips import StripWidget

PAGE_ROWS = 8
"""Rows moved by a page key."""
FIND_CELLS, TAIL_CELLS = 8, 32
"""Cells of the title rule before and after the search text."""


class ParameterFields(TypeToSelect, QueuedInput, StripWidget, can_focus=True):
    """Fields of a template's parameters with the given texts, else the defaults."""

    DEFAULT_CSS = "ParameterFields > Input { position: absolute; height: 1; display: none; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "go(1)", "Next line", id="fields.down", show=False),
        Binding("up", "go(-1)", "Line before", id="fields.up", show=False),
        Binding("pagedown", f"go({PAGE_ROWS})", "Page down", id="fields.page-down", show=False),
        Binding("pageup", f"go({-PAGE_ROWS})", "Page up", id="fields.page-up", show=False),
        Binding("space", "turn", "Toggle, open, close", id="fields.turn", show=False),
        Binding(
            "enter", "enter", "Show choices, toggle, next field", id="fields.enter", show=False
        ),
        Binding("right", "choose(1)", "Next choice", id="fields.next", show=False),
        Binding("left", "choose(-1)", "Choice before", id="fields.previous", show=False),
        Binding(
            "slash,fullwidth_solidus", "find", "Find a parameter", id="fields.find", show=False
        ),
    ]

    @dataclass
    class Changed(Message):
        """A value changed, or the first values were set."""

    @dataclass
    class Moved(Message):
        """The cursor moved; `about` describes the row, unsanitized."""

        about: str

    @dataclass
    class Left(Message):
        """A field was left, so missing values in it are reported now."""

    def __init__(
        self, template: str, schema: Mapping[str, Any], texts: Mapping[FieldPath, str]
    ) -> None:
        super().__init__()
        self.template = template
        self.schema = schema
        self.findings: list[parameters.ParameterFinding] = []
        """All errors, in the order of the fields."""
        self._form_state = FormState(build_outline(schema), dict(texts))
        self.findable = self.can_focus = bool(schema_rows.build_rows(self._form_state))
        """True if the template has parameters."""
        self._rows: list[SchemaRow] = []
        self._tops: list[int] = []
        """First line of each row; the line before the first row is the form's title."""
        self._lines: list[SchemaLine] = []
        self._at = -1
        """Row under the cursor; -1 without focus."""
        self._finding = False
        self.ready = False
        """Set once the fields are mounted."""
        self._validate()
        self._form_state = replace(
            self._form_state,
            quiet=frozenset(
                self._find_place(finding) for finding in self.findings if finding.missing
            ),
        )

    def compose(self) -> ComposeResult:
        yield make_form_entry("parameter")
        yield make_form_entry("find")

    def on_mount(self) -> None:
        self.ready = True
        self._rebuild_lines()
        if self.screen.focused is self:
            self.focus_end(1)
        self.post_message(self.Changed())

    # -- values --

    @property
    def texts(self) -> dict[FieldPath, str]:
        """Texts that differ from the defaults."""
        return dict(self._form_state.texts)

    @property
    def values(self) -> dict[str, Any]:
        """Values of the filled-in parameters."""
        return self._form_state.outline.parse_texts(self._form_state.texts)

    @property
    def shown_values(self) -> dict[str, Any]:
        """Values for display, with secrets masked as in `show`, unless they are references."""
        outlined, texts = self._form_state.outline, self._form_state.texts
        hidden = {
            path: MASK
            for path, text in texts.items()
            if schema_rows.is_masked(outlined.fields[path], text)
        }
        values = outlined.parse_texts({**texts, **hidden})
        masked = mask_value(values, find_declared_names(self.schema, values))
        return {
            name: value if get_secret_reference(value) else masked[name]
            for name, value in values.items()
        }

    @property
    def current_path(self) -> FieldPath | None:
        """Path of the current field."""
        row = self._row
        return row.field.path if isinstance(row, FieldRow) else None

    @property
    def missing_count(self) -> int:
        """Number of missing values."""
        return sum(finding.missing for finding in self.findings)

    @property
    def shown_findings(self) -> list[parameters.ParameterFinding]:
        """Errors to report; missing values only after the field was left."""
        return [
            finding
            for finding in self.findings
            if self._form_state.is_shown(self._find_place(finding), finding)
        ]

    def _find_place(self, finding: parameters.ParameterFinding) -> FieldPath:
        """Return the path of the field or object that an error belongs to."""
        return self._form_state.outline.find_location(finding.path)

    def report_missing(self) -> None:
        """Report all missing values, since the form is about to be submitted."""
        self._form_state = replace(self._form_state, quiet=frozenset())
        if self.ready:
            self._rebuild_lines()

    def set_texts(self, texts: Mapping[FieldPath, str]) -> None:
        """Replace all texts."""
        self._form_state = replace(self._form_state, texts=dict(texts))
        if self.ready:
            self._apply_change()
            self._show_editor()

    def commit(self) -> None:
        """Store the text of the input, including characters typed just now."""
        row = self._row
        if isinstance(row, FieldRow) and _is_text(row.field) and self._editor.display:
            self._set_text(row.field, self._editor.value)

    def _set_text(self, found: FormField, text: str) -> None:
        texts = {path: said for path, said in self._form_state.texts.items() if path != found.path}
        if text and text != schema_rows.get_default(replace(self._form_state, texts=texts), found):
            texts[found.path] = text
        if texts != self._form_state.texts:
            self._form_state = replace(self._form_state, texts=texts)
            self._apply_change()

    def _apply_change(self) -> None:
        self._validate()
        self._rebuild_lines()
        self.post_message(self.Changed())

    def _validate(self) -> None:
        """Find all errors and the fields they belong to."""
        outlined, texts = self._form_state.outline, self._form_state.texts
        found = parameters.find_faults(self.schema, outlined.parse_texts(texts))
        found += [
            parameters.ParameterFinding(one.path, tr("{name} must be a JSON object", name=one.name))
            for one in outlined.find_unparsed(texts)
        ]
        places: dict[FieldPath, list[parameters.ParameterFinding]] = {}
        for finding in found:
            places.setdefault(self._find_place(finding), []).append(finding)
        order = {path: number for number, path in enumerate([*outlined.objects, *outlined.fields])}
        self.findings = [
            finding
            for path in sorted(places, key=lambda p: order.get(p, -1))
            for finding in places[path]
        ]
        self._form_state = replace(self._form_state, faults=places)

    # -- keys --

    def focus_end(self, by: int) -> None:
        """Focus the first field, or with -1 the last; without fields, the form's next field."""
        stops = [at for at, row in enumerate(self._rows) if _is_tab_stop(row)]
        if stops:
            self._go_to_row(stops[0 if by > 0 else -1])
        else:
            self.leave(by)

    def go_to_fault(self) -> None:
        """Put the cursor on the first field or heading with an error."""
        if not self.ready or not self.findings:
            return
        self.clear_find()
        place = self._find_place(self.findings[0])
        self._form_state = schema_rows.open_headings(self._form_state, place)
        self._rebuild_lines()
        fields = [
            at
            for at, row in enumerate(self._rows)
            if isinstance(row, FieldRow) and row.field.path == place
        ]
        headings = [
            at for at, row in enumerate(self._rows) if isinstance(row, HeadingRow) and row.faults
        ]
        if found := fields or headings:
            self._go_to_row(found[0])

    def step(self, by: int) -> bool:
        """Move to the next or previous field; return False if there is none."""
        if self._finding:
            self._finish_find()
            return True
        stops = [
            at
            for at, row in enumerate(self._rows)
            if _is_tab_stop(row) and (at > self._at if by > 0 else at < self._at)
        ]
        if not stops:
            return False
        self._go_to_row(stops[0 if by > 0 else -1])
        return True

    def action_go(self, by: int) -> None:
        """Move by lines, including headings; past the last one, leave for the form's next field."""
        if self._finding:
            self._finish_find()
        elif 0 <= self._at + by < len(self._rows):
            self._go_to_row(self._at + by)
        elif abs(by) > 1:
            self._go_to_row(0 if by < 0 else len(self._rows) - 1)
        else:
            self.leave(by)

    def leave(self, by: int) -> None:
        """Focus the form's field below or above."""
        self.commit()
        self._mark_visited()
        self.screen.set_focus(self, scroll_visible=False)
        self._hide_editors()
        self._at = -1
        (self.screen.focus_next if by > 0 else self.screen.focus_previous)()
        self._rebuild_lines()
        self._post_moved()

    async def handle_input(self, event: KeyInput) -> None:
        """Select choices by typing; pass on other keys.

        A character that is not alphanumeric only continues a prefix.
        """
        letter = event.character or "" if isinstance(event, events.Key) else ""
        word = (
            (self._prefix + letter).casefold()
            if self._prefix and event.time - self._prefix_at < WORD_TIMEOUT
            else ""
        )
        continues_prefix = bool(letter and word) and any(
            label.casefold().startswith(word) for _, label in self.list_options()
        )
        if not (
            self._choice
            and (letter.isalnum() or continues_prefix)
            and isinstance(event, events.Key)
            and self.handle_letter(event)
        ):
            await super().handle_input(event)

    @property
    def _choice(self) -> FieldRow | None:
        """The row under the cursor if it is a choice."""
        row = self._row
        return (
            row
            if isinstance(row, FieldRow) and row.field.choices and not row.field.is_switch
            else None
        )

    def list_options(self) -> Options:
        return self._list_options(self._choice.field) if self._choice else ()

    def get_value(self) -> str:
        return self._choice.text if self._choice else ""

    def choose(self, value: str) -> None:
        if self._choice:
            self._set_text(self._choice.field, value)

    async def action_turn(self) -> None:
        """Toggle a switch or a heading, or open a list of choices."""
        row = self._row
        if isinstance(row, HeadingRow):
            self._toggle_heading(row)
        elif row and row.field.is_switch:
            # Switching off restores the initial state: unset, unless set before.
            self._set_text(
                row.field, _toggle_text(row, schema_rows.get_default(self._form_state, row.field))
            )
        elif row and row.field.choices:
            await self._open_choices(row)

    async def action_enter(self) -> None:
        """Open the list or heading, else move on."""
        if isinstance(self._row, HeadingRow) or (
            self._row and self._row.field.choices and not self._row.field.is_switch
        ):
            await self.action_turn()
        elif not self.step(1):
            self.leave(1)

    async def action_choose(self, by: int) -> None:
        """Select the next or previous choice; right opens a heading, left closes it."""
        row = self._row
        if isinstance(row, HeadingRow):
            if row.open is (by < 0):
                self._toggle_heading(row)
        elif row and row.field.is_switch:
            await self.action_turn()
        elif row and (options := self._list_options(row.field)):
            values = [value for value, _ in options]
            at = values.index(row.text) + by if row.text in values else 0
            self._set_text(row.field, values[at % len(values)])

    async def _open_choices(self, row: FieldRow) -> None:
        options = self._list_options(row.field)
        pick = PickScreen(
            options, row.text, lambda: self._compute_box(row).translate(self.region.offset)
        )
        await self.app.push_screen(pick, lambda text: self._apply_choice(row.field, text))

    def _apply_choice(self, found: FormField, text: str | None) -> None:
        if text is not None:
            self._set_text(found, text)

    def _list_options(self, found: FormField) -> list[tuple[str, str]]:
        unset = [] if schema_rows.get_default(self._form_state, found) else [("", tr("(not set)"))]
        return [
            *unset,
            *(
                (choice[0], self.look.sanitize(schema_rows.get_choice_label(choice)))
                for choice in found.choices
            ),
        ]

    def _toggle_heading(self, row: HeadingRow) -> None:
        self._form_state = replace(
            self._form_state, folds={**self._form_state.folds, row.key: not row.open}
        )
        self._rebuild_lines()
        self._post_moved()

    # -- search --

    def action_find(self) -> None:
        """Open the search; only matching parameters are shown."""
        if not self.findable:
            return
        self.commit()
        self._mark_visited()
        self._finding = True
        self._find.value = ""
        self._form_state = replace(self._form_state, query="")
        self._hide_editors()
        self._at = -1
        self._rebuild_lines()
        self._show_input(self._find, self._find_box)
        self.call_after_refresh(self._scroll_into_view)

    def clear_find(self) -> bool:
        """Show all parameters again; return False if all are shown."""
        if not self._finding and not self._form_state.query:
            return False
        row, here = self._row, self.has_focus_within
        self._finding = False
        self._hide_editors()
        self._find.value = ""
        if isinstance(row, FieldRow) and not any(
            _is_same_row(one, row)
            for one in schema_rows.build_rows(replace(self._form_state, query=""))
        ):
            self._form_state = schema_rows.open_headings(self._form_state, row.field.path)
        self._apply_query("")
        if here:
            self._go_to_row(
                next((at for at, one in enumerate(self._rows) if _is_same_row(one, row)), 0)
            )
        return True

    def _finish_find(self) -> None:
        """Move from the search to the first match; show all if there is none."""
        self._apply_query(self._find.value)
        if not self._rows or not self._form_state.query:
            self.clear_find()
        else:
            self._finding = False
            self._hide_editors()
            self._go_to_row(0)

    def _apply_query(self, words: str) -> None:
        self._form_state = replace(self._form_state, query=words.strip())
        self._rebuild_lines()

    # -- cursor --

    @property
    def _row(self) -> SchemaRow | None:
        return self._rows[self._at] if 0 <= self._at < len(self._rows) else None

    @property
    def _editor(self) -> Entry:
        return self.query_one("#parameter", Entry)

    @property
    def _find(self) -> Entry:
        return self.query_one("#find", Entry)

    def _go_to_row(self, at: int) -> None:
        """Put the cursor on a row, which then receives the typed text."""
        target = self._rows[max(0, min(at, len(self._rows) - 1))]
        self.commit()
        if not _is_same_row(target, self._row):
            self._mark_visited()
        self._at = next((at for at, row in enumerate(self._rows) if _is_same_row(row, target)), 0)
        self._prefix = ""
        self._rebuild_lines()
        self._show_editor()
        self._post_moved()

    def _mark_visited(self) -> None:
        """Mark the current field as visited."""
        row, before = self._row, self._form_state
        if isinstance(row, FieldRow):
            self._form_state = before.mark_visited(row.field.path)
        if self._form_state.quiet != before.quiet:
            self.post_message(self.Left())

    def _show_editor(self) -> None:
        row = self._row
        if isinstance(row, FieldRow) and _is_text(row.field):
            editor = self._editor
            with self.prevent(Input.Changed):
                editor.password = schema_rows.is_masked(row.field, row.text)
                editor.line_separator = ", " if row.field.is_list else " "
                editor.value = row.text
                editor.cursor_position = len(row.text)
            self._show_input(editor, self._compute_box(row))
        else:
            self._hide_editors()
            if row is not None:
                self.screen.set_focus(self, scroll_visible=False)
        self.call_after_refresh(self._scroll_into_view)

    def _compute_box(self, row: FieldRow) -> Region:
        of = self._measures
        return Region(of.names + 1, self._tops[self._at], of.get_box_cells(row.field), 1)

    @property
    def _find_box(self) -> Region:
        return Region(FIND_CELLS, 0, max(4, self.size.width - FIND_CELLS - TAIL_CELLS), 1)

    def _show_input(self, editor: Entry, box: Region) -> None:
        """Move an input to a field and focus it."""
        self._move_editor(editor, box)
        editor.display = True
        self.screen.set_focus(editor, scroll_visible=False)

    def _move_editor(self, editor: Entry, box: Region) -> None:
        editor.styles.offset = (box.x, box.y)
        editor.styles.width = box.width

    def _hide_editors(self) -> None:
        for editor in (self._editor, self._find):
            if self.screen.focused is editor:
                self.screen.set_focus(self, scroll_visible=False)
            editor.display = False

    def _scroll_into_view(self) -> None:
        """Scroll the current row and its errors into view."""
        if self._at >= 0 or self._finding:
            top = 0 if self._finding or self._at <= 0 else self._tops[self._at]
            after = (
                self._tops[self._at + 1]
                if 0 <= self._at + 1 < len(self._tops)
                else len(self._lines)
            )
            form = self.screen.query_one("#form")
            # The drawn position may still be the one before the last scroll.
            inside = takewhile(lambda of: of is not form, self.ancestors_with_self)
            y = top + sum(of.virtual_region.y for of in inside if isinstance(of, Widget))
            form.scroll_to_region(
                Region(0, y, 1, max(1, after - top)), animate=False, force=True, immediate=True
            )

    def _post_moved(self) -> None:
        self.post_message(self.Moved(schema_rows.describe_row(self._row)))

    @on(Input.Changed)
    def _handle_typing(self, event: Input.Changed) -> None:
        event.stop()
        row = self._row
        if event.input is self._find:
            self._apply_query(self._find.value if self._finding else self._form_state.query)
        elif isinstance(row, FieldRow) and _is_text(row.field):
            text = self._editor.value
            self._editor.password = schema_rows.is_masked(row.field, text)
            self._set_text(row.field, text)

    def on_focus(self) -> None:
        # The focus may have moved on by now: `leave` passes it through this widget.
        if self._at < 0 and not self._finding and self.screen.focused is self:
            self.focus_end(1)

    def on_descendant_blur(self) -> None:
        self.call_later(self._release_cursor)

    def on_blur(self) -> None:
        self.call_later(self._release_cursor)

    def _release_cursor(self) -> None:
        """Release the cursor after the focus moved elsewhere."""
        if (
            not self.has_focus_within
            and self.screen.focused not in (None, self, *self.children)
            and self.app.screen is self.screen
        ):
            self._mark_visited()
            self._at, self._finding = -1, False
            self._hide_editors()
            self._rebuild_lines()
            self._post_moved()

    async def on_click(self, event: events.Click) -> None:
        """Move to the clicked line; toggle a clicked switch, choice or heading."""
        at = max((at for at, top in enumerate(self._tops[:-1]) if top <= event.y), default=-1)
        if event.y == 0:
            self.action_find()
        elif 0 <= at < len(self._rows):
            self._finding = False
            self._go_to_row(at)
            row = self._rows[at]
            if isinstance(row, HeadingRow) or not _is_text(row.field):
                await self.action_turn()

    # -- drawing --

    @property
    def _measures(self) -> schema_rows.LineMeasures:
        return schema_rows.compute_measures(self._form_state.outline, max(30, self.size.width))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return max(1, len(self._lines))

    def on_resize(self) -> None:
        self._rebuild_lines()
        if self._finding:
            self._move_editor(self._find, self._find_box)
        elif isinstance(self._row, FieldRow):
            self._move_editor(self._editor, self._compute_box(self._row))
        # Only now is there space to scroll to additional lines.
        if self.has_focus_within:
            self._scroll_into_view()
        elif self.screen.focused:
            self.screen.focused.scroll_visible(animate=False, force=True, immediate=True)

    def watch_has_focus(self, _has_focus: bool) -> None:
        super().watch_has_focus(_has_focus)
        self._rebuild_lines()

    def _rebuild_lines(self) -> None:
        """Rebuild the lines and redraw those that differ; the cursor stays on its row."""
        here = self._row
        self._rows = schema_rows.build_rows(self._form_state)
        if here is not None:
            self._at = next(
                (at for at, row in enumerate(self._rows) if _is_same_row(row, here)),
                min(self._at, len(self._rows) - 1),
            )
        self._show_lines(*self._build_lines())
        if self.ready and self._editor.display and isinstance(self._row, FieldRow):
            self._editor.styles.offset = self._compute_box(self._row).offset

    def _build_lines(self) -> tuple[list[SchemaLine], list[int]]:
        of, look = self._measures, self.look
        lines, tops = [self._build_title(of.room)], list[int]()
        for at, row in enumerate(self._rows):
            tops.append(len(lines))
            here = at == self._at and self.has_focus
            lines += schema_rows.build_lines(
                row, of, look, whole=bool(self._form_state.query), here=here
            )
        general = self._form_state.list_shown_faults(())
        lines += schema_rows.build_fault_lines(general, of, look)
        if not self._rows and self._form_state.query:
            lines.append(((tr("No parameter matches. Press esc to show all."), "dim"),))
        return lines, [*tops, len(lines)]

    def _build_title(self, room: int) -> SchemaLine:
        """Return the title rule: number of fields, missing values, errors; or the search."""
        inside = self._at >= 0 or self._finding
        if self._finding or self._form_state.query:
            shown = "" if self._finding else self.look.sanitize(self._form_state.query)
            tail = tr(
                "{rows} of {count}, esc shows all",
                rows=sum(isinstance(row, FieldRow) for row in self._rows),
                count=self._count,
            )
            return (
                (
                    self.look.draw_rule(
                        room, [(2, tr("Find {shown}", shown=shown).rstrip())], tail, inside
                    ),
                    "title" if inside else "dim",
                ),
            )
        missing_count, fault_count = self.missing_count, len(self.findings) - self.missing_count
        title = tr("Parameters {count}", count=units.format_count(self._count))
        title += tr(", {count} required", count=missing_count) if missing_count else ""
        title += tr(", {count} to fix", count=fault_count) if fault_count else ""
        find = tr("ctrl+f finds one") if self.findable else ""
        return (
            (self.look.draw_rule(room, [(2, title)], find, inside), "title" if inside else "dim"),
        )

    @property
    def _count(self) -> int:
        return sum(
            not (found.is_rest and found.is_hidden)
            for found in self._form_state.outline.fields.values()
        )

    def _show_lines(self, lines: list[SchemaLine], tops: list[int]) -> None:
        old, self._lines, self._tops = self._lines, lines, tops
        if len(old) != len(lines):
            self.refresh(layout=True)
        changed = [
            Region(0, y, self.size.width, 1)
            for y, line in enumerate(lines)
            if y >= len(old) or old[y] != line
        ]
        if changed:
            self.refresh(*changed)

    def render_line(self, y: int) -> Strip:
        """Return the strip of a line, made only when visible."""
        spans = self._lines[y] if y < len(self._lines) else ()
        strip = self.look.strip(spans, self.size.width)
        return strip if self.app.native_ansi_color else strip.apply_style(self.rich_style)

    def list_text(self) -> list[str]:
        """Return the lines as text."""
        return ["".join(text for text, _ in line) for line in self._lines]


def _is_tab_stop(row: SchemaRow) -> bool:
    """Return True if tab stops at the row: fields and closed headings."""
    return isinstance(row, FieldRow) or not row.open


def _is_text(found: FormField) -> bool:
    return not found.is_switch and not found.choices


def _is_same_row(one: SchemaRow, other: SchemaRow | None) -> bool:
    if isinstance(one, FieldRow) and isinstance(other, FieldRow):
        return one.field.path == other.field.path
    return isinstance(one, HeadingRow) and isinstance(other, HeadingRow) and one.key == other.key


def _toggle_text(row: FieldRow, default: str) -> str:
    return {"true": "false" if default else "", "false": "true"}.get(row.text, "true")
