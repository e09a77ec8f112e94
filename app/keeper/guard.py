"""Guard, the parent of the keeper."""

from __future__ import annotations

import json
import os
import time

from app.keeper.processes import has_ended
from app.keeper.run import Run
from app.keeper.shared_state import SharedState
from app.keeper.supervisor import Supervisor
from app.keeper.system_calls import EndedChild
from app.keeper.wire import JsonSocket


class Guard(Supervisor):
    """The keeper's parent.

    Its runs are those inherited when a keeper, or the guard above, died.
    """

    def __init__(self, shared: SharedState, link: JsonSocket, keeper: int) -> None:
        super().__init__(shared, link)
        self.keeper = keeper
        self.shared_state.strangers[keeper] = (0, "", 0)

    def run(self) -> bool:
        """Run until the keeper is dead. Return True if nothing is left to supervise."""
        while not self.is_finished:
            self.step()
        self.shared_state.strangers.pop(self.keeper, None)
        status = os.waitpid(self.keeper, 0)[1]
        if os.WIFEXITED(status) and status:
            time.sleep(0.2)  # the keeper failed by itself, and the next one may, too
        return status == 0

    def reap_stranger(self, child: EndedChild) -> bool:
        """Reap a stranger unless the keeper is dead.

        An unknown child may then be a run of the dead keeper.
        """
        self.is_finished = child.pid == self.keeper or has_ended(self.keeper)
        return not self.is_finished and super().reap_stranger(child)

    def on_link(self) -> None:
        """Forget the runs that the keeper reports as forgotten."""
        for text in self.link.receive():
            self.journal.forget_runs(json.loads(text)["f"])
        if not self.link.open:
            self.stop_listening(self.link.sock.fileno())

    def flush(self) -> None:
        """Send queued messages unless the keeper is gone."""
        if self.link.open:
            super().flush()

    def on_end(self, run: Run) -> None:
        """Send the exit record to the keeper."""
        self.link.send(run.records["e"] | {"left": run.leftover_count})
