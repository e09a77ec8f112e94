"""Palette commands: bound keys, queues and pools, and commands of the app."""

from __future__ import annotations

from functools import partial

from app.translation import tr, tr_noop
from app.tui.actions.queues_pools import QueueOrPool, get_kind, get_label, toggle_drain
from app.tui.actions.tasks import toggle_rows
from app.tui.deck_app import DeckApp
from app.tui.screens.dialogs.keys import list_bindings
from app.tui.screens.dialogs.palette import PaletteCommand, make_command, make_commands
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

MOUSE_OFF = tr_noop(
    "The terminal handles the mouse and can select text. For clicks in the deck: :mouse on"
)
MOUSE_ON = tr_noop("The deck handles clicks and the wheel again.")


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
        make_command(
            tr_noop("queue {name}: its tasks"),
            partial(app.show_queue, queue),
            name=app.look.sanitize(queue.name),
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
    return make_command(
        tr_noop("pause {place}") if place.status == "active" else tr_noop("resume {place}"),
        lambda: app.requests.send(toggle_rows([place])),
        get_kind(place),
        place=app.look.sanitize(get_label(place)),
    )


def _make_drain_command(app: DeckApp, place: QueueOrPool) -> PaletteCommand:
    return make_command(
        tr_noop("{place}: resume (it is draining)")
        if place.status == "draining"
        else tr_noop("{place}: drain (nothing new starts; shown as emptied on purpose)"),
        lambda: app.requests.send(toggle_drain(place)),
        get_kind(place),
        place=app.look.sanitize(get_label(place)),
    )


def _list_app_commands(app: DeckApp) -> list[PaletteCommand]:
    leave = partial(app.call_later, app.run_action, "leave")
    return [
        make_command(tr_noop("welcome: show the first-run help again"), app.show_welcome),
        make_command(tr_noop("panes: show all at their default sizes"), app.reset_panes),
        make_command(
            tr_noop("mouse off: the terminal selects text again"), partial(_use_mouse, app, False)
        ),
        make_command(tr_noop("mouse on"), partial(_use_mouse, app, True)),
        make_command(
            tr_noop("back up now: in the background, jobs keep running"),
            app.background.back_up,
            search_words="backup",
        ),
        make_command(tr_noop("messages: recent messages in full"), app.action_recent_messages),
        make_command(tr_noop("failures: mark all as seen"), partial(_mark_failures_seen, app)),
        *(
            make_command(
                tr_noop("theme {name}"), partial(setattr, app, "theme", theme.name), name=theme.name
            )
            for theme in THEMES
        ),
        *(PaletteCommand(name, leave) for name in ("quit", "q", "wq", "q!")),
    ]


def _use_mouse(app: DeckApp, on: bool) -> None:
    app.use_mouse(on)
    app.show_message(tr(MOUSE_ON if on else MOUSE_OFF))


def _mark_failures_seen(app: DeckApp) -> None:
    app.read_marks.mark_all_viewed(app.now())
    app.show_message(tr("All failures marked as seen."))
