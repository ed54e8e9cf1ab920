"""Ray clusters of several nodes on this machine, by Ray's own means (`ray.cluster_utils`)."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import psutil
from ray.cluster_utils import Cluster

# Each head takes ports of its own: several clusters are up at once.
QUIET: Mapping[str, Any] = {
    "include_dashboard": False,
    "dashboard_port": 0,
    "dashboard_agent_listen_port": 0,
}
WITH_DASHBOARD: Mapping[str, Any] = {**QUIET, "include_dashboard": True}


@contextmanager
def cluster_of(*nodes: Mapping[str, Any], head: Mapping[str, Any] = QUIET) -> Iterator[Cluster]:
    """A cluster whose head does no work, and nodes with these resources; all logical."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **head})
    try:
        for resources in nodes:
            cluster.add_node(**resources)
        yield cluster
    finally:
        cluster.shutdown()


def workers_of(cluster: Cluster, title: str) -> list[psutil.Process]:
    """The processes of a cluster's workers whose title has a pattern: `ray::` and what they run."""
    found = []
    for node in cluster.list_all_nodes():
        for raylet in node.all_processes["raylet"]:
            with suppress(psutil.NoSuchProcess):
                for process in psutil.Process(raylet.process.pid).children(recursive=True):
                    with suppress(psutil.NoSuchProcess):
                        if re.search(title, " ".join(process.cmdline())):
                            found.append(process)
    return found
