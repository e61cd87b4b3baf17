"""A Ray cluster of several raylets on this machine, for the tests of a module."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from support.libraries import library
from support.threads import torch_threads

OBJECT_STORE = 80 * 2**20


class Nodes:
    """A head without cores, where the driver is, and nodes of one core each, which can be killed."""

    def __init__(self, cluster: Any) -> None:
        self.cluster = cluster
        self.workers = [self._new(), self._new()]

    def _new(self) -> Any:
        return self.cluster.add_node(num_cpus=1, object_store_memory=OBJECT_STORE)

    def kill(self, node: Any) -> None:
        """Kill a raylet, as the loss of a machine does."""
        self.cluster.remove_node(node, allow_graceful=False)

    def of_process(self, process: int) -> Any:
        """Return the node that a worker's process belongs to."""
        parent = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
        (node,) = (each for each in self.workers if parent == each.all_processes["raylet"][0].process.pid)
        return node

    def replace(self) -> None:
        """Put a new node in the place of each that was killed."""
        alive = [node for node in self.workers if node in self.cluster.worker_nodes]
        self.workers = alive + [self._new() for _ in range(2 - len(alive))]
        self.cluster.wait_for_nodes()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    library("ray.cluster_utils")
    names = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",
        "OMP_NUM_THREADS": "1",
        "RAY_worker_niceness": "0",  # or workers hardly run where anything else is at work
        "RAY_health_check_period_ms": "500",  # or it takes half a minute to notice that a node is dead
        "RAY_health_check_failure_threshold": "3",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in names.items():
            patch.setenv(name, value)
        tests = os.path.dirname(os.path.dirname(__file__))
        patch.setenv("PYTHONPATH", os.pathsep.join([tests, *filter(None, [os.environ.get("PYTHONPATH")])]))
        # Workers import from the folder of their driver, which is not to be the source: it comes before the package.
        patch.chdir(tmp_path_factory.mktemp("driver"))
        import ray
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": OBJECT_STORE})
        nodes = Nodes(cluster)
        ray.init(cluster.address, log_to_driver=False, logging_level="error")
        yield nodes
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture
def nodes(cluster):
    """The cluster with all its nodes."""
    cluster.replace()
    return cluster


@pytest.fixture(autouse=True)
def _one_thread():
    with torch_threads(1):
        yield
