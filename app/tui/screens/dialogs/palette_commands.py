"""Palette commands: bound keys, queues and pools, and commands of the app."""

from __future__ import annotations

from functools import partial

from app.tui.actions.queues_pools import QueueOrPool, get_label, toggle_drain
from app.tui.actions.tasks import toggle_rows
from app.tui.deck_app import DeckApp
from app.tui.screens.dialogs.keys import list_bindings
from app.tui.screens.dialogs.palette import PaletteCommand, make_commands
from app.tui.screens.dialogs.topics import make_topic_commands
from app.tui.themes import THEMES

SEARCH_WORDS = {
    "go('schedules')": "cron crontab timer timeline recurring repeat calendar",
    "go('usage')": "accounting hours gpu cpu by user tag template sreport sacct",
    "flow": "flow workflow dag tree graph dependencies critical path",
    "what_if": "whatif suppose forecast simulate plan more gpus capacity",
    "go('database')": (
        "sizes backup restore cleanup retention replica check verify repair config settings stats"
        " slow"
    ),
}
"""Extra search words by action."""

MOUSE_OFF = "The terminal handles the mouse and can select text. For clicks in the deck: :mouse on"
MOUSE_ON = "The deck handles clicks and the wheel again."


def list_commands(app: DeckApp) -> list[PaletteCommand]:
    """Return every command available on the current screen, places first."""
    return [
        *_list_bound(app),
        *_list_place_commands(app),
        *_list_app_commands(app),
        *make_topic_commands(app.open_topic),
    ]


def _list_bound(app: DeckApp) -> list[PaletteCommand]:
    live = app.screen.active_bindings
    bindings = sorted(
        (found for found in list_bindings(live) if found.action not in ("palette", "help_quit")),
        key=lambda binding: not (binding.id or "").startswith("place."),
    )
    # An action belongs to the node it is bound on: the app's actions are not the screen's.
    nodes = {found.binding.action: found.node for found in reversed(live.values())}
    return make_commands(
        bindings, lambda action: app.call_later(app.run_action, action, nodes[action]), SEARCH_WORDS
    )


def _list_place_commands(app: DeckApp) -> list[PaletteCommand]:
    queues = app.board.queues if app.board else ()
    tasks = [
        PaletteCommand(
            f"queue {app.look.sanitize(queue.name)}: its tasks", partial(app.show_queue, queue)
        )
        for queue in queues
    ]
    places = (*queues, *(app.board.pools if app.board else ()))
    return [
        *tasks,
        *(_make_toggle_command(app, place) for place in places),
        *(_make_drain_command(app, place) for place in places),
    ]


def _make_toggle_command(app: DeckApp, place: QueueOrPool) -> PaletteCommand:
    does = "pause" if place.status == "active" else "resume"
    return PaletteCommand(
        f"{does} {app.look.sanitize(get_label(place))}",
        lambda: app.requests.send(toggle_rows([place])),
    )


def _make_drain_command(app: DeckApp, place: QueueOrPool) -> PaletteCommand:
    does = (
        "resume (it is draining)"
        if place.status == "draining"
        else "drain (nothing new starts; shown as emptied on purpose)"
    )
    return PaletteCommand(
        f"{app.look.sanitize(get_label(place))}: {does}",
        lambda: app.requests.send(toggle_drain(place)),
    )


def _list_app_commands(app: DeckApp) -> list[PaletteCommand]:
    leave = partial(app.call_later, app.run_action, "leave")
    return [
        PaletteCommand("welcome: show the first-run help again", app.show_welcome),
        PaletteCommand("panes: show all at their default sizes", app.reset_panes),
        PaletteCommand(
            "mouse off: the terminal selects text again", partial(_use_mouse, app, False)
        ),
        PaletteCommand("mouse on", partial(_use_mouse, app, True)),
        PaletteCommand(
            "back up now: in the background, jobs keep running",
            app.background.back_up,
            search_words="backup",
        ),
        PaletteCommand("messages: recent messages in full", app.action_recent_messages),
        PaletteCommand("failures: mark all as seen", partial(_mark_failures_seen, app)),
        *(
            PaletteCommand(f"theme {theme.name}", partial(setattr, app, "theme", theme.name))
            for theme in THEMES
        ),
        *(PaletteCommand(name, leave) for name in ("quit", "q", "wq", "q!")),
    ]


def _use_mouse(app: DeckApp, on: bool) -> None:
    app.use_mouse(on)
    app.show_message(MOUSE_ON if on else MOUSE_OFF)


def _mark_failures_seen(app: DeckApp) -> None:
    app.read_marks.mark_all_viewed(app.now())
    app.show_message("All failures marked as seen.")
