"""User commands: programs of `[keys.commands]` on the task under the cursor.

In the terminal a program takes the place of the deck until it ends. In the background its exit
code and its last output become a message.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from textual.binding import Binding

from app.core.text.sanitize import sanitize, truncate
from app.core.user_commands import UserCommand
from app.output_tail import collect_tail
from app.translation import tr
from app.tui.actions.question import Answer, Question
from app.tui.actions.tasks import TaskRow
from app.tui.screens.dialogs.choice import ChoiceScreen
from app.tui.screens.tasks.task_actions import TaskActions
from app.tui.terminal.driver import STDERR

if TYPE_CHECKING:
    from app.tui.data.call_queue import CallQueue
    from app.tui.navigation import Navigation

MAX_BACKGROUND = 4
"""Programs in the background at the same time."""
MAX_SHOWN, MAX_LAST_LINE = 600, 100
"""Characters of output that a message tells: of a failure, and of a success."""
END_SECONDS = 1.0
"""Seconds that a program gets to end with the deck, before it is killed."""
INTERRUPTED = (-signal.SIGINT, 128 + signal.SIGINT)
"""Results of a program that the user ended with ctrl+c."""


def make_bindings(commands: Sequence[UserCommand]) -> list[Binding]:
    """Return the bindings of the commands."""
    return [
        Binding(
            command.key,
            f"user_command({number})",
            sanitize(command.name),
            id=f"commands.{command.key}",
            show=False,
        )
        for number, command in enumerate(commands)
    ]


class UserCommandRunner:
    """Runs user commands. `is_suspended` is set while a program has the terminal."""

    def __init__(
        self, app: Navigation, read_queue: CallQueue, commands: Sequence[UserCommand]
    ) -> None:
        self._app, self._read_queue, self._commands = app, read_queue, commands
        self._background = 0
        self._running: dict[asyncio.subprocess.Process, tuple[int, signal.Signals]] = {}
        """Target and signal that end each program together with the deck."""
        self.is_suspended = False

    def run(self, number: int) -> None:
        """Run a command on the task under the cursor, after a confirmation if it asks for one."""
        app, screen, command = self._app, self._app.screen, self._commands[number]
        if app.refuse_changes() or not isinstance(screen, TaskActions):
            return
        row = screen.find_task_under_cursor(command.name)
        if row is None:
            return
        if command.needs_log:
            self._read_queue.send(
                "log",
                {"id": row.uuid},
                lambda found, error: app.call_later(self._use_log, command, row, found, error),
            )
        else:
            self._confirm(command, row, "")

    def _use_log(
        self,
        command: UserCommand,
        row: TaskRow,
        found: Mapping[str, Any] | None,
        error: Exception | None,
    ) -> None:
        """Continue with the path of the log of the latest run."""
        if error or found is None:
            self._warn(str(error))
        elif not found["runs"]:
            self._warn(
                tr(
                    "#{number} has not started, so it has no log. Nothing was run.",
                    number=row.number,
                )
            )
        else:
            self._confirm(command, row, found["runs"][-1]["path"])

    def _confirm(self, command: UserCommand, row: TaskRow, log: str) -> None:
        values = {"number": str(row.number), "name": row.name, "log": log}
        try:
            argv = command.fill(values)
        except ValueError as error:
            self._warn(tr("{command}: {why}. Nothing was run.", command=command.name, why=error))
            return
        start = partial(self._start, command, argv)
        if not command.confirm:
            start()
            return
        clean = self._app.look.sanitize
        name = truncate(clean(row.name), 40)
        question = Question(
            clean(command.name),
            [
                [(tr("Run this on #{number} {name}?", number=row.number, name=name), "")],
                [(clean(shlex.join(argv)), "dim")],
            ],
            [Answer("y", tr("run it")), Answer("n", tr("no"))],
            safe="n",
        )
        self._app.push_screen(ChoiceScreen(question), lambda key: start() if key == "y" else None)

    def _start(self, command: UserCommand, argv: list[str]) -> None:
        if command.is_background and self._background >= MAX_BACKGROUND:
            self._warn(
                tr(
                    "{n} commands run in the background already. {command} was not run.",
                    n=self._background,
                    command=command.name,
                )
            )
            return
        run = self._run_in_background if command.is_background else self._run_in_terminal
        self._app.run_worker(self._run_and_report(run, command, argv), exit_on_error=False)

    async def _run_and_report(self, run: Any, command: UserCommand, argv: list[str]) -> None:
        try:
            await run(command, argv)
        except OSError as error:
            why = (error.strerror or type(error).__name__).lower()
            self._warn(
                tr(
                    "{command}: {program} cannot be started: {why}.",
                    command=command.name,
                    program=argv[0],
                    why=why,
                )
            )
        except Exception as error:
            self._app.report(error, self)

    async def _run_in_terminal(self, command: UserCommand, argv: list[str]) -> None:
        """Give the terminal to a program until it ends."""
        code, problem = 0, None
        self.is_suspended = True
        try:
            with self._app.suspend(), _ignore_interrupts():
                try:
                    code = await self._wait_in_terminal(command, argv)
                except OSError as error:  # must not skip the end of `suspend`
                    problem = error
        finally:
            self.is_suspended = False
        self._app.action_redraw()
        if problem:
            raise problem
        if code:
            self._show_result(_describe_end(command, code), "warn")

    async def _wait_in_terminal(self, command: UserCommand, argv: list[str]) -> int:
        process = await asyncio.create_subprocess_exec(
            *argv, stdout=STDERR, env=self._make_environment()
        )
        code = await self._wait_for_end(process, process.pid, signal.SIGHUP)
        if code and code not in INTERRUPTED:  # its last output says why
            await self._wait_for_enter(_describe_end(command, code))
        return code

    async def _wait_for_end(
        self, process: asyncio.subprocess.Process, target: int, number: signal.Signals
    ) -> int:
        """Return the exit code; a negative target is the process group of the program."""
        self._running[process] = target, number
        code = await process.wait()
        del self._running[process]
        return code

    async def close(self) -> None:
        """End the programs that still run, because the deck ends."""
        running = list(self._running.items())
        await asyncio.gather(*(_end_process(process, *how) for process, how in running))

    async def _wait_for_enter(self, text: str) -> None:
        prompt = tr("Press enter to return to the deck.")
        os.write(STDERR, f"\n{sanitize(text)} {prompt} ".encode())
        loop, typed = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(0, typed.set)
        try:
            await typed.wait()
            os.read(0, 4096)
        finally:
            loop.remove_reader(0)

    async def _run_in_background(self, command: UserCommand, argv: list[str]) -> None:
        self._background += 1
        output, write_end = os.pipe()
        try:
            with collect_tail(output) as read_tail:
                process = await asyncio.create_subprocess_exec(
                    *argv,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=write_end,
                    stderr=write_end,
                    env=self._make_environment(),
                    start_new_session=True,
                )
                text = tr("{command} runs.", command=command.name)
                self._app.show_message(self._app.look.sanitize(text), "dim")
                code = await self._wait_for_end(process, -process.pid, signal.SIGTERM)
                self._show_output(command, code, read_tail())
        finally:
            self._background -= 1
            for fd in (output, write_end):
                os.close(fd)

    def _show_output(self, command: UserCommand, code: int, output: bytes) -> None:
        text = output.decode("utf-8", "replace")
        lines = [line for line in (sanitize(one).strip() for one in text.splitlines()) if line]
        if not code:
            last = truncate(lines[-1], MAX_LAST_LINE) if lines else ""
            done = tr("{command} is done.", command=command.name)
            self._show_result(f"{done} {last}".rstrip(), "")
            return
        said = " | ".join(lines)
        if len(said) > MAX_SHOWN:
            said = f"… {said[-MAX_SHOWN:].lstrip(' |')}"
        ending = _describe_end(command, code)
        self._show_result(f"{ending} {said}".rstrip(), "warn")

    def _make_environment(self) -> dict[str, str]:
        home = {"TASKDECK_HOME": os.fspath(self._app.home)} if self._app.home else {}
        return os.environ | home

    def _show_result(self, text: str, style: str) -> None:
        """Show a result, which stays for other keys and screens."""
        self._app.show_message(self._app.look.sanitize(text), style, stays=True)

    def _warn(self, text: str) -> None:
        self._app.show_message(self._app.look.sanitize(text[:1].upper() + text[1:]), "warn")


async def _end_process(
    process: asyncio.subprocess.Process, target: int, number: signal.Signals
) -> None:
    """End a program, by KILL if it does not end in time."""
    for sent in (number, signal.SIGKILL):
        with suppress(ProcessLookupError, TimeoutError):
            os.kill(target, sent)
            async with asyncio.timeout(END_SECONDS):
                await process.wait()
            return


def _describe_end(command: UserCommand, code: int) -> str:
    if code >= 0:
        return tr("{command} ended with exit code {code}.", command=command.name, code=code)
    name = str(-code)
    with suppress(ValueError):
        name = signal.Signals(-code).name.removeprefix("SIG")
    return tr("{command} ended with signal {signal}.", command=command.name, signal=name)


@contextmanager
def _ignore_interrupts() -> Iterator[None]:
    """Let keys that interrupt or quit end the program in the terminal only.

    A handler, unlike SIG_IGN, is not inherited by the program.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGQUIT)}
    for number in before:
        signal.signal(number, lambda *_: None)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
