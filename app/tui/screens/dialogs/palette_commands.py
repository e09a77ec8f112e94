"""The commands of the palette: what is bound to keys here, the queues, and the app's own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from app.tui.actions.queues_pools import Place, called, drain
from app.tui.actions.tasks import pause
from app.tui.screens.dialogs.keys import bindings_of
from app.tui.screens.dialogs.palette import Command, from_bindings
from app.tui.terminal.driver import ClicksOnlyDriver
from app.tui.themes import THEMES

if TYPE_CHECKING:
    from app.tui.app import TaskdeckApp


ALSO = {"go('database')": "sizes backup restore cleanup retention replica check verify repair config settings stats slow"}
"""What people look for that a place shows, or says how to do, by its action."""

MOUSE_OFF = "The mouse is the terminal's: it selects text there. Clicks come back with :mouse on."
MOUSE_ON = "Clicks and the wheel are the deck's again."


def commands_of(app: TaskdeckApp) -> list[Command]:
    """Everything that can be done from where one is."""
    return [*_bound(app), *_queues(app), *_own(app)]


def _bound(app: TaskdeckApp) -> list[Command]:
    live = app.screen.active_bindings
    bindings = [binding for binding in bindings_of(live) if binding.action not in ("palette", "help_quit")]
    # An action is that of the node it is bound on: the app's places are none of the screen's.
    nodes = {found.binding.action: found.node for found in reversed(live.values())}
    return from_bindings(bindings, lambda action: app.call_later(app.run_action, action, nodes[action]), ALSO)


def _queues(app: TaskdeckApp) -> list[Command]:
    queues = app.board.queues if app.board else ()
    tasks = [Command(f"queue {app.look.theirs(queue.name)}: its tasks", partial(app.show_queue, queue)) for queue in queues]
    places = (*queues, *(app.board.pools if app.board else ()))
    return [*tasks, *(_turn(app, place) for place in places), *(_drain(app, place) for place in places)]


def _turn(app: TaskdeckApp, place: Place) -> Command:
    does = "pause" if place.status == "active" else "resume"
    return Command(f"{does} {app.look.theirs(called(place))}", lambda: app.do(pause([place])))


def _drain(app: TaskdeckApp, place: Place) -> Command:
    does = "resume, it drains" if place.status == "draining" else "drain, what runs there ends and nothing new starts"
    return Command(f"{app.look.theirs(called(place))}: {does}", lambda: app.do(drain(place)))


def _own(app: TaskdeckApp) -> list[Command]:
    leave = partial(app.call_later, app.run_action, "leave")
    return [
        Command("welcome: the first-run lines again", partial(_welcome, app)),
        Command("panes: all of them, at their usual sizes", partial(_usual, app)),
        Command("mouse off: the terminal selects text again", partial(_mouse, app, False)),
        Command("mouse on", partial(_mouse, app, True)),
        Command("back up now: apart, while the work goes on", app.back_up, also="backup"),
        Command("messages: what was said lately, in full", app.action_said_lately),
        Command("failures: all are seen", partial(_seen, app)),
        *(Command(f"theme {theme.name}", partial(setattr, app, "theme", theme.name)) for theme in THEMES),
        *(Command(name, leave) for name in ("quit", "q", "wq", "q!")),
    ]


def _usual(app: TaskdeckApp) -> None:
    app.action_place(0)
    if app.deck:
        app.deck.usual_sizes()


def _mouse(app: TaskdeckApp, on: bool) -> None:
    if isinstance(app._driver, ClicksOnlyDriver):
        app._driver.use_mouse(on)
    app.say(MOUSE_ON if on else MOUSE_OFF)


def _seen(app: TaskdeckApp) -> None:
    app.seen.all(app.now())
    app.say("All failures so far are marked as seen.")


def _welcome(app: TaskdeckApp) -> None:
    app.action_place(0)
    if app.board and app.board.ever:
        app.say("The first-run lines are for a deck without a task; ? shows the keys.", "warn")
    elif app.deck:
        app.deck.action_welcome()
