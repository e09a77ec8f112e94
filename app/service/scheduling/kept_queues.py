"""Cache of queues between dispatch rounds.

Of many queues, a round changes one or two. A queue is kept while its rows stay equal. Comparing
rows takes a tenth of the time to make the tasks of a queue again.
"""

from __future__ import annotations

from collections.abc import Callable

from app.core.scheduling.plan import QueueView

MAX_KEPT = 1000
"""Maximum number of kept queues; a full cache drops the one that was made last."""


class KeptQueues:
    """Cache of queues by name and kind of view, each valid for one set of inputs."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, bool], tuple[object, QueueView]] = {}

    def get(
        self, name: str, is_wide: bool, inputs: object, make: Callable[[], QueueView]
    ) -> QueueView:
        """Return the queue that is made of these inputs; make it if they are not the last ones.

        The inputs must be all that `make` depends on.
        """
        kept = self._kept.get((name, is_wide))
        if kept is not None and kept[0] == inputs:
            return kept[1]
        if len(self._kept) >= MAX_KEPT and (name, is_wide) not in self._kept:
            self._kept.popitem()  # rounds read all queues in the same order: the others stay
        queue = make()
        self._kept[name, is_wide] = inputs, queue
        return queue
