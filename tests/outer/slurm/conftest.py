"""The Slurm cluster of the tests in this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.outer.slurm import loopback_cluster
from tests.outer.slurm.loopback_cluster import LoopbackCluster


@pytest.fixture(scope="session")
def session_cluster() -> Iterator[LoopbackCluster]:
    """Yield a cluster of three nodes, started once; `cluster` leaves it as each test wants it."""
    if obstacle := loopback_cluster.find_obstacle():
        pytest.skip(obstacle)
    with loopback_cluster.open_cluster() as opened:
        yield opened


@pytest.fixture
def cluster(session_cluster: LoopbackCluster) -> Iterator[LoopbackCluster]:
    """Yield the cluster with all nodes idle; afterwards cancel what the test left."""
    yield session_cluster
    session_cluster.reset()
