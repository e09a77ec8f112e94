"""The deck as drawn at every size."""

from __future__ import annotations

import os
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from app.core.board import MAX_ALERTS, Board
from app.core.shell_context import identify_terminal
from app.tui.app import TaskdeckApp
from app.tui.base_app import UndimFilter
from app.tui.panes.work import format_idle_reason
from app.tui.style import Look
from app.tui.themes import THEMES
from db.errors import DamagedDatabase
from tests.tui import boards
from tests.tui.recording_runtime import RecordingRuntime, is_fed, make_recorded_deck, wait_for
from tests.tui.screen_text import read_screen_lines

pytestmark = pytest.mark.usefixtures("utc")


async def draw_deck(
    board: Board, size: tuple[int, int], *keys: str, look: Look | None = None
) -> list[str]:
    app, _ = make_recorded_deck(board, look=look)
    async with app.run_test(size=size) as pilot:
        await wait_for(pilot, lambda: is_fed(app))
        await pilot.press(*keys)
        await pilot.pause()
        assert app.failure is None
        return read_screen_lines(app)


BUSY_120 = """
 Taskdeck  render01                                             ● runtime ok  db ok  backup 41m  load 11.2/16  10:42:07
 0 Deck 5 Tasks 6 Templ 7 Alerts 8 Sched 9 Hist O Ops B 7 running, 22 waiting, 3 blocked, 2 held, 4 scheduled, 3 failed
─ 1 Queues ─ LOAD ─────────── WAIT OLDEST LAST 30m ─ STATE ──── ─ 2 Pools ───── █USED▒RESVD ─ RESERVED ── USED 30m ─────
  media      ████████   2/2     14    41m ▄▅▅▆▅▇▆▅▄▅ ● full       gpu      cpu  ████████▒▒···     6.0/8    5.1 ▅▆▆▇▆▆▇▇
  gpu        ████····   2/4      5  2h12m ▂▁▂▂▁▂▂▁▂▂ ● no room             mem  ██████████▒▒·  30.0/32G  24.8G ▃▄▅▆▇▇██
  etl        ██······   1/4      0      – ▁▁▂▁▁▃▁▁▂▁ ○ open       main     cpu  █████████▒▒··     7.0/8    5.7 ▄▅▇██▆▅▇
  default    ██······   2/8      1     3s ▃▄▃▆█▇▄▃▃▄ ○ open                mem  ██▒▒·········   9.5/32G   6.1G ▂▂▂▃▃▃▂▂
  backup     ········   0/1      2  9h40m ▁▁▁▁▁▁▁▁▁▁ ‖ paused
                                                                  host   cpu 11.2 of 16   mem 41.0 of 64G   disk 212G
━▌3 Running 7 ━━━━━━━━━━━━━━ QUEUE ━ ELAPSED  OF LIMIT ━━━━━━ LEFT ━ CPU ━━ MEMORY  LAST OUTPUT ━━━━━━━━━━━━━━━━━━━━━━━━
› 1042 ● resnet50-sweep-06   gpu       3h18m █████·   82%      ~6m 2.9/4  11.8/12G! epoch 41/50 loss=0.2143 acc=0.918
  1047 ● nightly-etl         etl       2h31m █████·   84%     ~12m 0.9/1  2.6/4.0G  loaded 8,412,000 of 9,100,000 rows
  1043 ● resnet50-sweep-07   gpu       1h02m ██····   26%      ~2h 2.2/2  13.0/18G  epoch 13/50 loss=0.6120 acc=0.781
  1039 ● encode S02E04.mkv   media    57m12s █████·   95%      ~2m 1.9/2  1.2/2.0G  frame=81234 fps=23.9 speed=0.99x
  1050 ● encode S02E05.mkv   media    12m07s █·····   20%     ~33m 1.9/2  1.4/2.0G  frame=17011 fps=24.1 speed=1.00x
  1051 ● 夜间备份 verify     default   4m40s no limit            – 0.9/1  0.6/1.0G  checked 41 of 120 archives
  1052 ‖ sha256 photos       default     31s █·····    5%        – 0.0/1  0.3/0.5G  paused by ann 2m ago

─ W Next to start ────────── QUEUE ─── WAITS ───── START  WHY IT WAITS ────────────────────────────── 7 of 31 (5: all) ─
  1049 ○ resnet50-sweep-08   gpu       2h12m        5–8m  needs 12.0G of pool gpu, 2.0G free; #1042 frees 12.0G
  1053 ○ encode S02E06.mkv   media       41m        2–3m  first of 14; queue media is full (2 of 2); #1039 ends next
  1054 ○ encode S02E07.mkv   media       41m      26–43m  second of 14
  1055 ○ encode S02E08.mkv   media       41m 1h02m–1h41m  third of 14
  1060 ↳ etl-report          etl       2h31m      10–16m  after #1047 nightly-etl, which is running
  1062 ◔ vacuum archive      default      6m       23:30  not before 23:30 today
  1031 ○ backup /home        backup    9h40m           –  queue backup is paused by ann since 01:02

─ E Just ended ───────────── QUEUE ─────── WHEN ───────── HOW IT ENDED ──────────────────────── today 141 ok, 3 failed ─
  1048 ✗ thumbs S02          media       2m ago           failed, exit 1 after 3s: No such file: /srv/in/S02E09.mkv
  1046 ✓ encode S02E03.mkv   media      12m ago           succeeded in 44m02s
  1045 ◷ crawl shop-b        default    18m ago           timed out after 10m

─ 4 SLA alerts 3 ───────── ON ────────────────────── WHY ───────────────────────────────────── SINCE ─ STATE ───────────
  ▲ CRIT  encode-on-time   #1039 encode S02E04.mkv   running 57m, allowed 45m                     12m  firing
  △ warn  etl-by-11:00     #1047 nightly-etl         may miss: ends 10:54–11:09, due 11:00        40s  pending
  ▲ warn  gpu-wait         #1049 resnet50-sweep-08   waiting 2h12m, allowed 30m                 1h42m  acked ann


 ann paused #1052 sha256 photos, just now.
 ↵ open  l log  w why  x cancel  p pause  n new  / filter  space mark  y copy  : go  ? help  q quit
"""  # noqa: E501 - 120 columns wide

BUSY_80 = """
 render01  7 running, 22 waiting, 9 later, 3 failed                 ● ok  10:42
─ 1 Queues 5 ── LOAD ───────────── WAIT  OLDEST ─ STARTED ─── STATE ── +1 more ─
  media         ██████████   2/2     14      41m  ▄▅▅▆▅▇▆▅▄▅  ● full
  gpu           █████·····   2/4      5    2h12m  ▂▁▂▂▁▂▂▁▂▂  ● no room
  default       ██········   2/8      1       3s  ▃▄▃▆█▇▄▃▃▄  ○ open
  backup        ··········   0/1      2    9h40m  ▁▁▁▁▁▁▁▁▁▁  ‖ paused
─ 2 Pools ─────────────────────────────────────────── █ used ▒ reserved · free ─
  gpu        cpu ██████▒▒··  6.0/8 use  5.1  mem ████████▒· 30.0/32G use 24.8G
  main       cpu ███████▒▒·  7.0/8 use  5.7  mem ██▒·······  9.5/32G use  6.1G
━▌3 Running 7  5 of 7 ━━━━━ QUEUE ━ ELAPSED LIMIT ━━ LEFT ━ CPU ━━ MEMORY ━━━━━━
› 1042 ● resnet50-sweep-06  gpu       3h18m   82%     ~6m 2.9/4  11.8/12G!
  1047 ● nightly-etl        etl       2h31m   84%    ~12m 0.9/1  2.6/4.0G
  1043 ● resnet50-sweep-07  gpu       1h02m   26%     ~2h 2.2/2  13.0/18G
  1039 ● encode S02E04.mkv  media    57m12s   95%     ~2m 1.9/2  1.2/2.0G
  1050 ● encode S02E05.mkv  media    12m07s   20%    ~33m 1.9/2  1.4/2.0G
─ W Next to start ─────────── START  WHY IT WAITS ─────────── 2 of 31 (5: all) ─
  1049 ○ resnet50-sweep-08     5–8m  needs 12.0G, 2.0G free; #1042 frees 12.0G
  1053 ○ encode S02E06.mkv     2–3m  1st of 14; queue full 2/2; #1039 ends next
─ 4 SLA alerts 3 ─────── ON ────────────── WHY ──────────────── SINCE  STATE ───
  ▲ CRIT  encode-on-time #1039 en…2E04.mkv 57m > 45m              12m  firing
  △ warn  etl-by-11:00   #1047 nightly-etl ~11:09 > 11:00         40s  pending
  ▲ warn  gpu-wait       #1049 re…sweep-08 2h12m > 30m          1h42m  acked ann
 #1042: epoch 41/50 loss=0.2143 acc=0.918
 ↵ open  l log  w why  x cancel  p pause  n new  / filter  : go  ? help  q quit
"""


async def test_the_busy_deck_at_120_by_40():
    assert await draw_deck(boards.busy(), (120, 40)) == BUSY_120.strip("\n").split("\n")


async def test_the_busy_deck_at_80_by_24():
    assert await draw_deck(boards.busy(), (80, 24)) == BUSY_80.strip("\n").split("\n")


async def test_ascii_changes_only_the_glyphs():
    shown = await draw_deck(boards.busy(), (80, 24), look=Look(ascii=True))
    assert shown[9:11] == [
        "=[3 Running 7  5 of 7 ===== QUEUE = ELAPSED LIMIT == LEFT = CPU == MEMORY ======",
        "> 1042 * resnet50-sweep-06  gpu       3h18m   82%     ~6m 2.9/4  11.8/12G!",
    ]
    assert shown[2] == "  media         %%%%%%%%%%   2/2     14      41m  3556586535  * full"
    assert (
        shown[-1] == " enter open  l log  w why  x cancel  p pause  n new  / filter  ? help  q quit"
    )
    assert all(line.isascii() for line in shown)


@pytest.mark.parametrize("keys", [["x"], ["X"], ["question_mark"], ["colon"], ["y"], ["slash"]])
async def test_dialogs_help_and_palette_are_ascii_in_ascii_mode(keys: list[str]):
    board = boards.busy()._replace(
        running=tuple(row for row in boards.RUNNING if row.name.isascii())
    )
    app, _ = make_recorded_deck(board, look=Look(ascii=True))
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for(pilot, lambda: is_fed(app))
        await pilot.press(*keys)
        if keys != ["slash"]:
            await wait_for(pilot, lambda: app.screen is not app.deck)
        assert all(line.isascii() for line in read_screen_lines(app))


class DelayedRuntime(RecordingRuntime):
    """A runtime that answers only once a test allows it."""

    def __init__(self, board: Board) -> None:
        super().__init__(board)
        self.may_answer = Event()

    def answer(self, verb: str, args: dict[str, Any]) -> Any:
        self.may_answer.wait(10)
        return super().answer(verb, args)


UNKNOWN_120 = """
 Taskdeck  HOST                                                                                       loading  10:42:07
 0 Deck 5 Tasks 6 Templates 7 Alerts 8 Schedules 9 History O Operations B Database
─ 1 Queues ──────────────────────────────────────────────────── ─ 2 Pools ──────────────────────────────────────────────
━▌3 Running ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
─ W Next to start ──────────────────────────────────────────────────────────────────────────────────────────────────────
─ 4 SLA alerts ─────────────────────────────────────────────────────────────────────────────────────────────────────────
 n new task  : go  ? help  q quit
"""  # noqa: E501 - 120 columns wide


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 16)])
async def test_nothing_is_claimed_before_the_first_board(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(nodename="HOST"))
    late = DelayedRuntime(boards.busy())
    factory: Any = late
    app = TaskdeckApp(factory, now=lambda: boards.NOW)
    async with app.run_test(size=size) as pilot:
        await wait_for(pilot, lambda: "loading" in read_screen_lines(app)[0])
        shown = [line for line in read_screen_lines(app) if line]
        if size == (120, 40):
            assert shown == UNKNOWN_120.strip("\n").split("\n")
        head, words = shown[0], " ".join(shown[1:])
        assert "HOST" in head and "runtime" not in head and "db" not in head
        for claim in (
            "Nothing",
            "No rules",
            "running",
            "Running 0",
            "Queues 0",
            "alerts 0",
            "today",
        ):
            assert claim not in words
        late.may_answer.set()
        await wait_for(
            pilot,
            lambda: (
                "● " in read_screen_lines(app)[0] and "loading" not in read_screen_lines(app)[0]
            ),
        )


async def test_an_unreadable_database_claims_nothing_else():
    late = DelayedRuntime(boards.busy())
    factory: Any = late
    app = TaskdeckApp(factory, now=lambda: boards.NOW)
    async with app.run_test(size=(80, 24)) as pilot:
        app.connection._receive_feed_error(DamagedDatabase("the database is damaged."), False)
        await wait_for(
            pilot,
            lambda: any("the database is damaged." in line for line in read_screen_lines(app)),
        )
        shown = read_screen_lines(app)
        late.may_answer.set()
    assert "loading" not in shown[0] and "Jobs continue; their ends are recorded." in " ".join(
        " ".join(shown).split()
    )
    claims = ("No job runs", "Nothing runs", "Nothing waits", "Nothing has been")
    assert not [line for line in shown if any(claim in line for claim in claims)]


async def test_at_200_by_50_spare_width_goes_to_names_and_output():
    long = boards.make_running(
        7, "a-name-of-exactly-thirty-2-cells", "q", 5, None, None, (1, 1), (1, 2), "o" * 90
    )
    shown = await draw_deck(boards.busy()._replace(running=(long,)), (200, 50))
    assert "a-name-of-exactly-thirty-2-cells" in shown[10]
    assert "o" * 90 in shown[10]
    assert len(shown) == 50 and max(map(len, shown)) <= 200


async def test_at_100_cells_panes_are_side_by_side_without_sparklines():
    shown = await draw_deck(boards.busy(), (100, 30))
    assert (
        shown[2]
        == "─ 1 Queues ─ LOAD ─────────── WAIT OLDEST STATE ──── ─ 2 Pools ───── █USED▒RESVD ──"
        " RESERVED ── USED"
    )
    assert shown[8] == " " * 55 + "host   cpu 11.2 of 16   mem 41.0 of 64G"


@pytest.mark.parametrize(
    "size", [(100, 30), (119, 33), (81, 25), (80, 24), (60, 16), (70, 20), (160, 45)]
)
async def test_no_line_exceeds_the_screen_and_help_and_quit_stay(size: tuple[int, int]):
    shown = await draw_deck(boards.busy(), size)
    assert len(shown) == size[1]
    assert max(map(len, shown)) <= size[0]
    assert shown[-1].endswith("? help  q quit")
    assert "render01" in shown[0] and "● " in shown[0] and " ok " in shown[0]


async def test_below_80_by_24_one_pane_is_shown_and_digits_switch():
    work = await draw_deck(boards.busy(), (70, 20))
    assert work[0].startswith(" render01   1  2 [3] 4") and "3 Running 7" in work[1]
    queues = await draw_deck(boards.busy(), (70, 20), "1")
    assert "[1]" in queues[0] and "1 Queues 5" in queues[1]
    assert not any("Running" in line for line in queues)
    alerts = await draw_deck(boards.busy(), (70, 20), "tab")
    assert "[4]" in alerts[0] and "4 SLA alerts" in alerts[1]


async def test_more_alerts_than_a_board_holds_are_marked_with_a_plus():
    busy = boards.busy()
    many = tuple(busy.alerts[0]._replace(id=n) for n in range(MAX_ALERTS))
    for alerts, count in ((many, "200+"), (many[1:], "199")):
        shown = await draw_deck(busy._replace(alerts=alerts), (80, 24))
        assert any(f"─ 4 SLA alerts {count}  +" in line for line in shown)


async def test_a_stopped_runtime_shows_who_stopped_it_and_how_to_start():
    shown = await draw_deck(boards.trouble(), (80, 24))
    assert "✗ NO RUNTIME 11m" in shown[0]
    assert (
        shown[1] == " ✗ NO RUNTIME since 10:31: ann stopped it (taskdeck stop). Nothing starts. 7"
    )
    assert (
        shown[2] == "   jobs continue; their ends are recorded. S restarts it, or: taskdeck serve"
    )
    assert (
        shown[7]
        == "─ 2 Pools ───────────────────────────────────────── measured 10:31:02, 11m old ─"
    )
    assert shown[-1].startswith(" S start runtime")


async def test_a_full_disk_is_in_the_header_and_explained_below():
    shown = await draw_deck(boards.halted(), (120, 40))
    assert "‖ NOTHING STARTS since 10:31" in shown[0] and "db DISK FULL" in shown[0]
    assert (
        shown[2]
        == " ✗ DISK FULL: /var/lib/taskdeck has 0 bytes free. Nothing new starts. The 7 running"
        " jobs continue; nothing is lost."
    )
    assert shown[3].startswith(
        "   Free space there: dispatch resumes by itself. Largest: runs/ 41.2G, backups/ 3.1G.  B"
        " shows"
    )
    assert any("disk 0B!" in line for line in shown)


async def test_the_footer_of_an_empty_pane_says_what_n_creates():
    for key, made in (("3", "n new task"), ("4", "n new rule")):
        shown = await draw_deck(boards.empty(), (80, 24), key)
        assert shown[-1] == f" {made}  : go  ? help  q quit"


async def test_the_first_run_explains_how_to_start_until_escape():
    shown = await draw_deck(boards.empty(), (80, 24))
    assert "  Nothing has been submitted yet. Start with:" in shown
    assert "    taskdeck submit -- gzip -k big.log       from any shell: runs there" in shown
    assert shown[-1] == " n new task  : go  ? help  q quit"
    after = await draw_deck(boards.empty(), (80, 24), "escape")
    assert "  Nothing runs." in after and "  Nothing waits." in after


async def test_the_welcome_shows_findings_of_doctor():
    app, recording = make_recorded_deck(boards.empty())
    recording.table["doctor"] = [
        {"check": "home", "ok": True, "text": "fine", "cure": None},
        {
            "check": "logind",
            "ok": False,
            "text": "logind ends all you started",
            "cure": "sudo loginctl enable-linger ann",
        },
    ]
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(pilot, lambda: "doctor" in recording.verbs())
        assert app.deck is not None
        await wait_for(pilot, lambda: bool(app.deck and app.deck._faults))
        app.deck.show_board()
        await pilot.pause()
        shown = read_screen_lines(app)
    assert "  ! logind ends all you started" in shown
    assert "    Fix: sudo loginctl enable-linger ann" in shown


async def test_the_empty_running_section_says_why_nothing_runs():
    shown = await draw_deck(boards.busy()._replace(running=(), counts={"queued": 22}), (120, 40))
    assert "  Nothing runs. 31 wait: 2 in paused queue backup (p on it resumes it)." in shown


async def test_a_single_paused_queue_is_named_as_the_reason():
    shown = await draw_deck(
        boards.busy()._replace(running=(), counts={"queued": 2}, waiting_total=2), (120, 40)
    )
    assert "  Nothing runs. 2 wait: queue backup is paused (p on it resumes it)." in shown
    named = [
        queue._replace(name="encode-at-night-and-slowly") if queue.name == "backup" else queue
        for queue in boards.busy().queues
    ]
    assert len(format_idle_reason(boards.busy()._replace(queues=tuple(named)))) < 78
    assert (
        format_idle_reason(boards.busy()._replace(queues=(), waiting_total=1))
        == "Nothing runs. 1 waits: w on it says why."
    )


async def test_a_run_with_only_a_limit_shows_an_upper_bound():
    first, *others = boards.busy().running
    shown = await draw_deck(
        boards.busy()._replace(running=(first._replace(left=33.5, at_most=True), *others)),
        (120, 40),
    )
    assert any("1042" in line and " <34s " in line for line in shown)


async def test_a_run_is_late_one_second_after_its_usual_duration():
    first, second, *others = boards.busy().running
    late = (first._replace(left=-0.4), second._replace(left=-300.0), *others)
    shown = await draw_deck(boards.busy()._replace(running=late), (120, 40))
    assert any(f"{first.number} " in line and " ~1s " in line for line in shown)
    assert [str(second.number) in line for line in shown if " late " in line] == [True]


@pytest.mark.parametrize(
    ("left", "says"), [(None, "DEMO  "), (559.0, "DEMO 9m  "), (41.6, "DEMO CLOSES IN 42s  ")]
)
async def test_the_header_counts_down_to_the_end_of_a_demo(left: float | None, says: str):
    board = boards.busy()._replace(runtime=boards.busy().runtime._replace(demo=True))
    app, _ = make_recorded_deck(board)
    app.demo_ends = None if left is None else app.ticks() + left
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(pilot, lambda: is_fed(app))
        await pilot.pause()
        assert read_screen_lines(app)[0].startswith(f" {says}")


async def test_the_header_begins_with_read_only_and_demo():
    board = boards.busy()._replace(runtime=boards.busy().runtime._replace(demo=True))
    app, _ = make_recorded_deck(board, read_only=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(pilot, lambda: is_fed(app))
        await pilot.pause()
        assert read_screen_lines(app)[0].startswith(" READ ONLY  DEMO  Taskdeck  render01")


@pytest.mark.usefixtures("real_frames")
async def test_a_failing_pane_reports_it_and_the_others_continue(monkeypatch: pytest.MonkeyPatch):
    app, _ = make_recorded_deck()
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(pilot, lambda: is_fed(app))
        assert app.deck is not None

        def broken(board: Board) -> None:
            raise ZeroDivisionError("a test")

        monkeypatch.setattr(app.deck.panes[0], "show_board", broken)
        app.board = boards.busy()._replace(today_ok=142)
        await pilot.pause()
        shown = read_screen_lines(app)
    assert shown[2].startswith("This pane failed (ZeroDivisionError: a test). The others work.")
    assert "1042 ● resnet50-sweep-06" in shown[10]


@pytest.mark.parametrize("theme", ["quiet", "light", "contrast"])
async def test_every_theme_shows_the_same_text(theme: str):
    app, _ = make_recorded_deck()
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for(pilot, lambda: is_fed(app))
        app.theme = theme
        await pilot.pause()
        assert read_screen_lines(app) == BUSY_80.strip("\n").split("\n")
        assert "<svg" in app.export_screenshot()


async def test_no_two_themes_are_the_same_picture():
    app, _ = make_recorded_deck()
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for(pilot, lambda: is_fed(app))
        backgrounds = set()
        for theme in THEMES:
            app.theme = theme.name
            await pilot.pause()
            dims = any(isinstance(found, UndimFilter) for found in app.get_line_filters()[:1])
            backgrounds.add((app.screen.styles.background.hex, dims))
        assert len({ground for ground, _ in backgrounds}) == len(THEMES)
        assert ("#000000", True) in backgrounds, "high contrast has no dim text"


def test_the_default_theme_is_quiet():
    app, _ = make_recorded_deck()
    assert isinstance(app, TaskdeckApp) and app.theme == "quiet"


@pytest.mark.usefixtures("real_frames")
async def test_a_board_that_shows_nothing_new_draws_nothing(monkeypatch: pytest.MonkeyPatch):
    app, _ = make_recorded_deck()
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(pilot, lambda: is_fed(app))
        await pilot.pause()
        drawn: list[Any] = []
        monkeypatch.setattr(
            app, "_display", lambda screen, update: drawn.append(update) if update else None
        )
        app.board = boards.busy()._replace(at=boards.NOW + 1)
        await pilot.pause()
        assert drawn == []
        app.board = boards.busy()._replace(today_ok=142)
        await pilot.pause()
        assert [span for update in drawn for span in update.spans] == [(27, 104, 105)]


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
async def test_colour_codes_are_removed_from_output_and_reason(size: tuple[int, int]):
    busy = boards.busy()
    first = busy.running[0]._replace(output="\x1b[36mepoch\x1b[0m 41\x1b[K")
    end = busy.ended[0]._replace(how="failed, exit 1: \x1b[1;31mNo such file\x1b[0m")
    app, _ = make_recorded_deck(busy._replace(running=(first,), next=(), ended=(end,)))
    async with app.run_test(size=size) as pilot:
        await wait_for(pilot, lambda: is_fed(app))
        await pilot.press("j" if size[0] > 100 else "k")
        await pilot.pause()
        shown = "\n".join(read_screen_lines(app))
        assert "epoch 41" in shown and "\u241b" not in shown
        assert size[0] < 100 or "exit 1: No such file" in shown


async def test_at_80_by_24_cursor_and_filter_reveal_ended_rows():
    shown = await draw_deck(boards.busy(), (80, 24))
    assert not any("Just ended" in line for line in shown)
    shown = await draw_deck(boards.busy(), (80, 24), "G")
    assert any("━▌E Just ended" in line for line in shown)
    assert [line[:8] for line in shown if line.startswith("›")] == ["› 1045 ◷"]
    shown = await draw_deck(boards.busy(), (80, 24), "f", "f", "f")
    assert [line[2:8] for line in shown[8:20] if line[2:6].isdigit()] == ["1048 ✗", "1045 ◷"]
    assert sum("No rows match the filter. Press esc to clear it." in line for line in shown) == 2


async def test_many_ended_rows_leave_a_line_for_empty_sections():
    ended = tuple(
        boards.make_ended(n, f"job {n}", "etl", "succeeded", 60.0 * n, "in 1s")
        for n in range(1, 60)
    )
    shown = await draw_deck(
        boards.busy()._replace(running=(), next=(), waiting_total=0, ended=ended), (120, 40)
    )
    assert any(line == "  Nothing runs." for line in shown) and any(
        line == "  Nothing waits." for line in shown
    )
    below = next(at for at, line in enumerate(shown) if "4 SLA alerts" in line)
    assert shown[below - 1] == "" and "ago" in shown[below - 2]


FAILED_ROWS = tuple(
    boards.make_ended(n, f"job {n}", "etl", "failed", 60.0 * n, "exit 1") for n in range(1, 30)
)


@pytest.mark.parametrize(("size", "keys", "said"), [
    ((120, 40), (), "9 of 29 (5: all)  today 141 ok, 3 failed"),
    ((200, 50), (), "19 of 29 (5: all)  today 141"),
    ((80, 24), ("end",), "3 of 29"),
])  # fmt: skip
async def test_the_title_counts_the_shown_ended_rows(
    size: tuple[int, int], keys: tuple[str, ...], said: str
):
    shown = await draw_deck(boards.busy()._replace(running=(), ended=FAILED_ROWS), size, *keys)
    rule = next(line for line in shown if "Just ended" in line)
    assert said in rule


async def test_the_title_counts_the_shown_running_rows_at_any_width():
    """Expect the count at the right end, and behind the title at 80 cells."""
    board = boards.busy()._replace(
        running=tuple(
            boards.make_running(n, "job", "etl", 5, None, None, (1, 1), (1, 2), "")
            for n in range(40)
        )
    )
    for size, said in (
        ((80, 24), "━▌3 Running 40  5 of 40 ━"),
        ((120, 40), "10 of 40 (5: all) ━"),
        ((200, 50), " of 40 (5: all) ━"),
    ):
        rule = next(line for line in await draw_deck(board, size) if "3 Running" in line)
        assert said in rule and "QUEUE" in rule


@pytest.mark.parametrize("size", [(80, 24), (100, 30), (120, 40), (200, 50)])
@pytest.mark.parametrize("pane", ["1", "2", "3", "4"])
async def test_a_zoomed_pane_says_how_to_show_all_panes(size: tuple[int, int], pane: str):
    shown = await draw_deck(boards.busy(), size, pane, "z")
    assert shown[-1].startswith(" z all panes  ")
    again = await draw_deck(boards.busy(), size, pane, "z", "z")
    assert not any("zoomed" in line or "all panes" in line for line in again)


async def test_no_zoom_where_only_one_pane_fits():
    shown = await draw_deck(boards.busy(), (70, 20), "z")
    assert not any("zoomed" in line or "all panes" in line for line in shown)


def make_alert_board(firing: int, resolved: int) -> Board:
    """Return a board with firing alerts above resolved ones."""
    open_ones = (
        boards.make_alert(n, f"fires-{n}", "critical", "firing", "task", "late", 60.0)
        for n in range(firing)
    )
    closed = (
        boards.make_alert(100 + n, f"over-{n}", "critical", "resolved", "task", "late", 60.0)
        for n in range(resolved)
    )
    return boards.busy()._replace(alerts=(*open_ones, *closed))


def read_alert_rows(app: TaskdeckApp) -> list[str]:
    shown = read_screen_lines(app)
    return shown[next(n for n, line in enumerate(shown) if "4 SLA alerts" in line) + 1 : -2]


@pytest.mark.parametrize("keys", [[], ["4", "G", "3"], ["4", "tab"]])
async def test_new_alerts_scroll_into_view_while_the_pane_is_unfocused(keys: list[str]):
    app, _ = make_recorded_deck(make_alert_board(0, 8))
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for(pilot, lambda: is_fed(app))
        await pilot.press(*keys)

        app.board = make_alert_board(4, 8)
        await pilot.pause()

        assert [f"fires-{n}" in row for n, row in enumerate(read_alert_rows(app)[:3])] == [True] * 3


async def test_the_alert_cursor_stays_on_top_until_moved():
    app, _ = make_recorded_deck(make_alert_board(0, 8))
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for(pilot, lambda: is_fed(app))
        app.board = make_alert_board(2, 8)
        await pilot.press("4")
        await wait_for(
            pilot, lambda: any("› ▲ CRIT  fires-0" in row for row in read_alert_rows(app))
        )

        await pilot.press("G")
        app.board = make_alert_board(3, 8)
        await pilot.pause()
        assert any(row.startswith("› ✓ CRIT  over-7") for row in read_alert_rows(app))

        await pilot.press("3", "4")
        await wait_for(
            pilot, lambda: any(row.startswith("› ✓ CRIT  over-7") for row in read_alert_rows(app))
        )


@pytest.mark.parametrize(
    ("size", "plain"), [((80, 24), False), ((80, 24), True), ((60, 16), False)]
)
async def test_alerts_of_one_rule_name_their_tasks(size: tuple[int, int], plain: bool):
    alerts = tuple(
        boards.make_alert(
            n,
            "fast",
            "critical",
            "firing",
            f"#{n} sleepy",
            "running 1m, allowed 2s",
            60.0,
            "1h02m > 2s",
            task=n,
        )
        for n in (1040, 1041)
    )
    shown = await draw_deck(
        boards.busy()._replace(alerts=alerts), size, "4", look=Look(plain=plain)
    )
    rows = [line for line in shown if "CRIT" in line]
    assert [f"fast           #{n}" in line for line, n in zip(rows, (1040, 1041), strict=True)] == [
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("origin", "told"),
    [(identify_terminal(), False), ("pts/9 1 2", True)],
    ids=["here", "at another deck"],
)
async def test_the_message_line_shows_actions_of_other_terminals_only(origin: str, told: bool):
    board = boards.busy()
    assert board.news is not None
    lines = await draw_deck(board._replace(news=board.news._replace(origin=origin)), (120, 40))
    assert ("ann paused #1052 sha256 photos, just now." in lines[-2]) is told
