"""The list of templates: what there is, how it is used, and the ways from there to a form, an editor or the end of one."""

from __future__ import annotations

from typing import Any

from app.tui.app import TaskdeckApp
from app.tui.rows.templates import about, template
from app.tui.screens.definition_editor import EditorScreen
from app.tui.screens.submit_form import SubmitScreen
from app.tui.screens.templates import TemplatesScreen
from app.tui.style import Look
from tests.tui.fake_runtime import Answers, deck, until
from tests.tui.screen_text import screen_text

SCHEMA = {"type": "object", "required": ["input"], "properties": {"input": {"type": "string"}, "crf": {"default": 23}}}


def made(name: str, **values: Any) -> dict[str, Any]:
    """A row of `template.ls` with its usage."""
    return {
        "name": name, "type": "shell", "engine": "shell", "template": None, "schema": {"script": "ffmpeg -i a\necho done"},
        "parameters": SCHEMA, "description": "makes it smaller", "queue": "media", "cpu": 2.0, "memory": 512.0, "timeout": 1800.0,
        "retries": 0, "retired_at": None, "created_at": "2026-11-01T00:00:00.000000Z", "updated_at": "2026-11-01T00:00:00.000000Z",
        "used": 142, "active": 0, "last_used": "2026-11-25T08:30:11.000000Z", "median": 2643.0,
    } | values  # fmt: skip


ROWS = [
    made("encode"), made("夜间备份", description="每天", used=3, active=1),
    made("backup", engine="exec", schema={"argv": ["rsync", "-a", "/my home"]}, parameters={}, used=0, last_used=None, median=None),
    made("a-retired-one", retired_at="2026-11-20T00:00:00.000000Z", used=10_000),
]  # fmt: skip


def shown(app: TaskdeckApp, text: str) -> bool:
    return any(text in line for line in screen_text(app))


async def opened(pilot: Any, app: TaskdeckApp, text: str = "encode") -> TemplatesScreen:
    await pilot.press("6")
    await until(pilot, lambda: shown(app, text))
    assert isinstance(app.screen, TemplatesScreen)
    return app.screen


def order(screen: TemplatesScreen) -> list[str]:
    return [row.name for row in screen.table.view("templates").rows]


async def test_each_template_says_what_it_asks_how_often_it_was_used_and_how_long_it_runs_in_any_size():
    """You should see the retired one last, and below the list what the one under the cursor runs."""
    app = deck(Answers(template_ls=ROWS))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        assert order(screen) == ["backup", "encode", "夜间备份", "a-retired-one"]
        for width, height in ((80, 24), (120, 40), (200, 50), (60, 16)):
            await pilot.resize_terminal(width, height)
            await until(pilot, lambda height=height: len(screen_text(app)) == height)
            (line,) = [line for line in screen_text(app) if "encode" in line]

            assert "2, 1 to fill in" in line and "142" in line and "2h11m ago" in line
            assert shown(app, "10k+") and shown(app, "now")
            assert shown(app, "rsync -a '/my home'") is (height > 16)


async def test_in_ascii_nothing_else_is_drawn():
    app = deck(Answers(template_ls=ROWS), look=Look(ascii=True, colour=False, utf8=False))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        assert all(line.isascii() for line in screen_text(app)[1:])


async def test_without_any_it_says_how_to_make_one():
    app = deck(Answers(template_ls=[]))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app, "No templates yet")
        await pilot.press("e")
        await until(pilot, lambda: shown(app, "There is no template under the cursor; n makes one."))


async def test_they_are_ordered_by_use_and_found_by_words():
    app = deck(Answers(template_ls=ROWS))
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot, app)
        await pilot.press("o", "u")
        await until(pilot, lambda: order(screen)[0] == "encode")
        await pilot.press("o", "u")
        await until(pilot, lambda: order(screen)[0] == "backup")
        assert order(screen)[-1] == "a-retired-one"
        await pilot.press("slash", *"engine:exec", "enter")
        await until(pilot, lambda: not shown(app, "夜间备份"))
        assert shown(app, "backup")


async def test_enter_opens_its_form_unless_it_is_retired():
    app = deck(Answers(template_ls=ROWS, queue_ls=[]))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press("G", "enter")
        await until(pilot, lambda: shown(app, "a-retired-one is retired and takes no tasks; p takes it up again."))
        await pilot.press("g", "j", "enter")
        await until(pilot, lambda: isinstance(app.screen, SubmitScreen))


async def test_the_editor_opens_on_it_and_on_a_new_one():
    app = deck(Answers(template_ls=ROWS, definition_show={"text": "x", "format": "toml"}))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        for key, name in (("e", "backup"), ("n", None)):
            await pilot.press(key)
            await until(pilot, lambda: isinstance(app.screen, EditorScreen))
            assert isinstance(app.screen, EditorScreen) and (app.screen.kind, app.screen.edited) == ("templates", name)
            await pilot.press("escape")
            await until(pilot, lambda: isinstance(app.screen, TemplatesScreen))


async def test_the_cursor_goes_to_a_new_one_when_it_is_saved():
    answers = Answers(template_ls=ROWS, definition_show={"text": "x", "format": "toml"})
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, EditorScreen))
        answers.table["template.ls"] = [*ROWS, {**ROWS[0], "name": "zz-new"}]
        app.screen.dismiss("zz-new")
        await until(pilot, lambda: isinstance(app.screen, TemplatesScreen) and shown(app, "› zz-new"))


async def test_a_used_one_is_not_deleted_but_offered_to_be_retired_and_u_takes_that_back():
    answers = Answers(template_ls=ROWS, template_retire=ROWS[0])
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press("j", "D")
        await until(pilot, lambda: shown(app, "142 tasks refer to it"))
        await pilot.press("y")
        assert answers.asked("template.rm") == []
        await pilot.press("p")
        await until(pilot, lambda: shown(app, "Retired template encode."))
        assert answers.asked("template.retire") == [{"name": "encode"}]


async def test_an_unused_one_is_deleted_after_a_question():
    answers = Answers(template_ls=ROWS, template_rm={"name": "backup"})
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press("D")
        await until(pilot, lambda: shown(app, "Delete template backup?"))
        assert answers.asked("template.rm") == []
        await pilot.press("y")
        await until(pilot, lambda: shown(app, "Deleted template backup."))
        assert answers.asked("template.rm") == [{"name": "backup"}]


async def test_a_retired_one_takes_tasks_again():
    answers = Answers(template_ls=ROWS, template_retire=ROWS[3])
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press("G", "p")
        await until(pilot, lambda: answers.asked("template.retire") == [{"name": "a-retired-one", "back": True}])


async def test_its_definition_is_copied():
    app = deck(Answers(template_ls=ROWS, definition_show={"text": "[templates.backup]\n", "format": "toml"}))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press("y")
        await until(pilot, lambda: shown(app, "Copied 19 characters"))
        assert app.clipboard == "[templates.backup]\n"


def test_parameters_of_groups_are_counted():
    grouped = {
        "$defs": {"io": {"required": ["input"], "properties": {"input": {}, "output": {}}}},
        "allOf": [{"$ref": "#/$defs/io"}, {"properties": {"genome": {}}}, {"$ref": "#/$defs/none"}, 7],
        "required": ["genome"], "properties": {"seed": True},
    }  # fmt: skip

    row = template(made("nf", parameters=grouped))

    assert (row.parameters, row.required) == (4, 2)


def test_hostile_definitions_are_shown_as_text():
    row = template(made("\x1b[2J", description="[b]\x07", schema={"script": "a\x1b]52;c;x\x07\r\nb"},
                        parameters={"properties": {"x\x1b": {"type": ["a", "\x1b"], "default": "\u202e"}}}))  # fmt: skip

    text = "".join(span for line in about(row, 80, Look()) for span, _ in line)

    assert not {c for c in text if ord(c) < 32} and "\u202e" not in text and "[b]" in text


def test_the_default_of_a_secret_parameter_is_not_shown():
    secret = {"pin": {"writeOnly": True, "default": "pp9"}, "api_token": {"default": "pp9"}}

    text = "".join(span for line in about(template(made("door", parameters={"properties": secret})), 80, Look()) for span, _ in line)

    assert text.count("usually •••") == 2 and "pp9" not in text


async def test_nothing_is_marked_where_no_verb_means_marks():
    app = deck(Answers(template_ls=ROWS))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        before = screen.table.cursor
        await pilot.press("space")
        await until(pilot, lambda: shown(app, "space does nothing here"))
        assert (screen.table.cursor, screen.table.marks) == (before, set())
