"""Template list: usage, ordering, and the actions on a template."""

from __future__ import annotations

from typing import Any

from app.tui.app import TaskdeckApp
from app.tui.rows.templates import make_details, make_template
from app.tui.screens.definitions.definition_editor import EditorScreen
from app.tui.screens.definitions.templates import TemplatesScreen
from app.tui.screens.submission.submit_form import SubmitScreen
from app.tui.style import Look
from tests.tui.fake_runtime import FakeRuntime, make_deck, wait_until
from tests.tui.screen_text import is_shown, read_screen_lines

SCHEMA = {
    "type": "object",
    "required": ["input"],
    "properties": {"input": {"type": "string"}, "crf": {"default": 23}},
}


def make_template_row(name: str, **values: Any) -> dict[str, Any]:
    """Return a row of `template.ls` with its usage."""
    return {
        "name": name, "type": "shell", "engine": "shell", "template": None,
        "schema": {"script": "ffmpeg -i a\necho done"},
        "parameters": SCHEMA, "description": "makes it smaller", "queue": "media", "cpu": 2.0,
        "memory": 512.0, "timeout": 1800.0,
        "retries": 0, "retired_at": None, "created_at": "2026-11-01T00:00:00.000000Z",
        "updated_at": "2026-11-01T00:00:00.000000Z",
        "used": 142, "active": 0, "last_used": "2026-11-25T08:30:11.000000Z", "median": 2643.0,
    } | values  # fmt: skip


ROWS = [
    make_template_row("encode"), make_template_row("夜间备份", description="每天", used=3,
    active=1),
    make_template_row("backup", engine="exec", schema={"argv": ["rsync", "-a", "/my home"]},
    parameters={}, used=0, last_used=None, median=None),
    make_template_row("a-retired-one", retired_at="2026-11-20T00:00:00.000000Z", used=10_000),
]  # fmt: skip


async def open_templates_screen(
    pilot: Any, app: TaskdeckApp, text: str = "encode"
) -> TemplatesScreen:
    await pilot.press("6")
    await wait_until(pilot, lambda: is_shown(app, text))
    assert isinstance(app.screen, TemplatesScreen)
    return app.screen


def list_names(screen: TemplatesScreen) -> list[str]:
    return [row.name for row in screen.table.find_view("templates").rows]


def test_the_details_say_who_hears_of_its_tasks():
    row = make_template(make_template_row("encode", notify="ops", notify_on="failed"))

    assert "  tells     ops if it fails" in [
        "".join(text for text, _ in line) for line in make_details(row, 80, Look())
    ]


async def test_templates_show_requests_and_usage_at_any_size():
    """List retired templates last, and show the cursor row's command below."""
    app = make_deck(FakeRuntime(template_ls=ROWS))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_templates_screen(pilot, app)
        assert list_names(screen) == ["backup", "encode", "夜间备份", "a-retired-one"]
        for width, height in ((80, 24), (120, 40), (200, 50), (60, 16)):
            await pilot.resize_terminal(width, height)
            await wait_until(pilot, lambda height=height: len(read_screen_lines(app)) == height)
            (line,) = [line for line in read_screen_lines(app) if "encode" in line]

            assert "2 (1 required)" in line and "142" in line and "2h11m ago" in line
            assert is_shown(app, "10k+") and is_shown(app, "now")
            assert is_shown(app, "rsync -a '/my home'") is (height > 16)


async def test_ascii_mode_draws_only_ascii():
    app = make_deck(FakeRuntime(template_ls=ROWS), look=Look(ascii=True, colour=False, utf8=False))
    async with app.run_test(size=(80, 24)) as pilot:
        await open_templates_screen(pilot, app)
        assert all(line.isascii() for line in read_screen_lines(app)[1:])


async def test_an_empty_list_explains_how_to_create_a_template():
    app = make_deck(FakeRuntime(template_ls=[]))
    async with app.run_test(size=(80, 24)) as pilot:
        await open_templates_screen(pilot, app, "No templates yet")
        await pilot.press("e")
        await wait_until(
            pilot,
            lambda: is_shown(app, "No template is under the cursor. Press n to create a template."),
        )


async def test_templates_are_ordered_by_use_and_filtered_by_words():
    app = make_deck(FakeRuntime(template_ls=ROWS))
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await open_templates_screen(pilot, app)
        await pilot.press("o", "u")
        await wait_until(pilot, lambda: list_names(screen)[0] == "encode")
        await pilot.press("o", "u")
        await wait_until(pilot, lambda: list_names(screen)[0] == "backup")
        assert list_names(screen)[-1] == "a-retired-one"
        await pilot.press("slash", *"engine:exec", "enter")
        await wait_until(pilot, lambda: not is_shown(app, "夜间备份"))
        assert is_shown(app, "backup")


async def test_enter_opens_the_form_unless_the_template_is_retired():
    app = make_deck(FakeRuntime(template_ls=ROWS, queue_ls=[]))
    async with app.run_test(size=(80, 24)) as pilot:
        await open_templates_screen(pilot, app)
        await pilot.press("G", "enter")
        await wait_until(
            pilot,
            lambda: is_shown(app, "a-retired-one is retired and takes no tasks; p reinstates it."),
        )
        await pilot.press("g", "j", "enter")
        await wait_until(pilot, lambda: isinstance(app.screen, SubmitScreen))


async def test_the_editor_opens_for_the_row_and_for_a_new_template():
    app = make_deck(FakeRuntime(template_ls=ROWS, definition_show={"text": "x", "format": "toml"}))
    async with app.run_test(size=(80, 24)) as pilot:
        await open_templates_screen(pilot, app)
        for key, name in (("e", "backup"), ("n", None)):
            await pilot.press(key)
            await wait_until(pilot, lambda: isinstance(app.screen, EditorScreen))
            assert isinstance(app.screen, EditorScreen) and (
                app.screen.kind,
                app.screen.edited,
            ) == ("templates", name)
            await pilot.press("escape")
            await wait_until(pilot, lambda: isinstance(app.screen, TemplatesScreen))


async def test_the_cursor_moves_to_a_new_template():
    answers = FakeRuntime(template_ls=ROWS, definition_show={"text": "x", "format": "toml"})
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_templates_screen(pilot, app)
        await pilot.press("n")
        await wait_until(pilot, lambda: isinstance(app.screen, EditorScreen))
        answers.table["template.ls"] = [*ROWS, {**ROWS[0], "name": "zz-new"}]
        app.screen.dismiss("zz-new")
        await wait_until(
            pilot, lambda: isinstance(app.screen, TemplatesScreen) and is_shown(app, "› zz-new")
        )


async def test_a_used_template_is_retired_instead_of_deleted():
    answers = FakeRuntime(template_ls=ROWS, template_retire=ROWS[0])
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_templates_screen(pilot, app)
        await pilot.press("j", "D")
        await wait_until(pilot, lambda: is_shown(app, "142 tasks refer to it"))
        await pilot.press("y")
        assert answers.list_args("template.rm") == []
        await pilot.press("p")
        await wait_until(pilot, lambda: is_shown(app, "Retired template encode."))
        assert answers.list_args("template.retire") == [{"name": "encode"}]


async def test_deleting_an_unused_template_asks_first():
    answers = FakeRuntime(template_ls=ROWS, template_rm={"name": "backup"})
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_templates_screen(pilot, app)
        await pilot.press("D")
        await wait_until(pilot, lambda: is_shown(app, "Delete template backup?"))
        assert answers.list_args("template.rm") == []
        await pilot.press("y")
        await wait_until(pilot, lambda: is_shown(app, "Deleted template backup."))
        assert answers.list_args("template.rm") == [{"name": "backup"}]


async def test_a_retired_template_can_be_restored():
    answers = FakeRuntime(template_ls=ROWS, template_retire=ROWS[3])
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_templates_screen(pilot, app)
        await pilot.press("G", "p")
        await wait_until(
            pilot,
            lambda: (
                answers.list_args("template.retire") == [{"name": "a-retired-one", "back": True}]
            ),
        )


async def test_the_definition_can_be_copied():
    app = make_deck(
        FakeRuntime(
            template_ls=ROWS, definition_show={"text": "[templates.backup]\n", "format": "toml"}
        )
    )
    async with app.run_test(size=(80, 24)) as pilot:
        await open_templates_screen(pilot, app)
        await pilot.press("y")
        await wait_until(pilot, lambda: is_shown(app, "Copied 19 characters"))
        assert app.clipboard == "[templates.backup]\n"


def test_parameters_in_groups_are_counted():
    grouped = {
        "$defs": {"io": {"required": ["input"], "properties": {"input": {}, "output": {}}}},
        "allOf": [{"$ref": "#/$defs/io"}, {"properties": {"genome": {}}}, {"$ref": "#/$defs/none"},
        7],
        "required": ["genome"], "properties": {"seed": True},
    }  # fmt: skip

    row = make_template(make_template_row("nf", parameters=grouped))

    assert (row.parameters, row.required) == (4, 2)


def test_hostile_definitions_are_shown_as_plain_text():
    row = make_template(make_template_row("\x1b[2J", description="[b]\x07",
    schema={"script": "a\x1b]52;c;x\x07\r\nb"},
                        parameters={"properties": {"x\x1b": {"type": ["a", "\x1b"],
                        "default": "\u202e"}}}))  # fmt: skip

    text = "".join(span for line in make_details(row, 80, Look()) for span, _ in line)

    assert not {c for c in text if ord(c) < 32} and "\u202e" not in text and "[b]" in text


def test_the_default_of_a_secret_parameter_is_not_shown():
    secret = {"pin": {"writeOnly": True, "default": "pp9"}, "api_token": {"default": "pp9"}}

    text = "".join(
        span
        for line in make_details(
            make_template(make_template_row("door", parameters={"properties": secret})), 80, Look()
        )
        for span, _ in line
    )

    assert text.count("default •••") == 2 and "pp9" not in text


async def test_templates_cannot_be_marked():
    app = make_deck(FakeRuntime(template_ls=ROWS))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_templates_screen(pilot, app)
        before = screen.table.cursor
        await pilot.press("space")
        await wait_until(pilot, lambda: is_shown(app, "space does nothing here"))
        assert (screen.table.cursor, screen.table.marks) == (before, set())
