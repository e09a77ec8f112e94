"""Short form of the failover trial: the plug of the active node is pulled once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.long.failover.cluster import find_obstacle, make_folder
from tests.long.failover.trial import Trial


@pytest.mark.skipif(bool(find_obstacle()), reason=find_obstacle())
def test_a_power_loss_moves_the_home_and_loses_nothing():
    with make_folder() as folder:
        trial = Trial(Path(folder), say=print)
        trial.run([trial.pull_plug])

    assert trial.report.times["plug pulled"] < 60 and len(trial.acknowledged) > 10
