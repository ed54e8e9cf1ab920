"""Ray clusters of several nodes on this machine, by Ray's own means (`ray.cluster_utils`)."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from ray._private.services import get_node_ip_address
from ray.cluster_utils import Cluster

from tests.object_store import free_port, wait_for

# Each head takes ports of its own: several clusters are up at once. Nothing scales them, and no driver prints
# what their workers print: what reads their logs for it, again and again, takes as much CPU as a worker.
QUIET: Mapping[str, Any] = {
    "include_log_monitor": False,
    "no_monitor": True,
    "include_dashboard": False,
    "dashboard_port": 0,
    "dashboard_agent_listen_port": 0,
}
# A node that is gone is missed after two seconds and a half, not fifteen: five refused calls. One that is
# merely busy has ten seconds to answer each, as Ray has it.
SOON_MISSED: Mapping[str, Any] = {"health_check_period_ms": 500}


@contextmanager
def cluster_of(*nodes: Mapping[str, Any], head: Mapping[str, Any] | None = None) -> Iterator[Cluster]:
    """A cluster whose head has no CPU unless told so, and nodes with these resources; all logical."""
    cluster = Cluster(
        initialize_head=True,
        head_node_args={**QUIET, "num_cpus": 0, "_system_config": SOON_MISSED, **(head or {})},
    )
    try:
        for resources in nodes:
            cluster.add_node(**resources)
        yield cluster
    finally:
        cluster.shutdown()


@contextmanager
def autoscaling_cluster(folder: Path, **node_types: Mapping[str, int]) -> Iterator[str]:
    """The address of a cluster whose head does no work, and whose nodes Ray's autoscaler starts when they are
    asked for, at most one of each type, and takes away when they have been idle for some seconds: Ray's own
    fake provider, all on this machine. (`ray.cluster_utils.AutoscalingCluster` ends every cluster here.)"""
    port = free_port()
    head: dict[str, Any] = {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0}
    types = {
        name: {"resources": dict(resources), "node_config": {}, "min_workers": 0, "max_workers": 1}
        for name, resources in node_types.items()
    }
    commands = ["initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray"]
    config = {
        "cluster_name": "fake",
        "max_workers": len(types),
        "idle_timeout_minutes": 0.1,
        "upscaling_speed": 1.0,
        "provider": {
            "type": "fake_multinode",
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
            "gcs_address": f"{get_node_ip_address()}:{port}",
            "use_node_id_as_ip": True,  # they all have this machine's, and idle ones would not be found
        },
        **{name: {} for name in ("auth", "docker", "file_mounts")},
        **{f"{name}_commands": [] for name in commands},
        **{name: [] for name in ("cluster_synced_files", "rsync_exclude", "rsync_filter")},
        "file_mounts_sync_continuously": False,
        "head_node_type": "ray.head.default",
        "available_node_types": {"ray.head.default": head, **types},
    }
    (folder / "autoscaler.json").write_text(json.dumps(config))
    options = [f"--port={port}", "--num-cpus=0", "--num-gpus=0", "--include-dashboard=false"]
    options += ["--dashboard-agent-listen-port=0", f"--object-store-memory={200 * 2**20}"]
    settings = {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_AUTH_MODE": "disabled"}
    command = [Path(sys.executable).with_name("ray"), "start", "--head", "--block", *options]
    head_process = psutil.Popen(
        [*command, f"--autoscaling-config={folder / 'autoscaler.json'}"],
        env={**os.environ, **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port)
        yield f"{get_node_ip_address()}:{port}"
    finally:
        for process in [*head_process.children(recursive=True), head_process]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        head_process.wait()


def num_nodes(address: str) -> int:
    """How many nodes of the cluster at an address are up, its head among them."""
    names = (process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"]))
    return sum(name[0].endswith("/raylet") and f"--gcs-address={address}" in name for name in names if name)


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
