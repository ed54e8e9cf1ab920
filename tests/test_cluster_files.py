"""What lies in cluster/ is what Ray, KubeRay and Kubernetes take, and names what is there."""

import copy
import json
import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

import jsonschema
import kubernetes_validate
import pytest
import ray
import tyro
import yaml
from ray.autoscaler._private.util import prepare_config
from ray.runtime_env import RuntimeEnv

from tests.kuberay_schema import KUBERAY
from vbert.distributed.prometheus import (
    BACKBONE_SECONDS,
    BYTES,
    CLIPS,
    COMMIT_SECONDS,
    DECODE_SECONDS,
    FAILURES,
)

ROOT = Path(__file__).parents[1]
CLUSTER = ROOT / "cluster"
KUBERNETES = kubernetes_validate.latest_version()


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CLUSTER / name).read_text())
    return found


def check_pod(template: dict[str, Any]) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": template["spec"]}
    kubernetes_validate.validate(pod, KUBERNETES, strict=True)


def groups(cluster: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {group["groupName"]: group for group in cluster["spec"]["workerGroupSpecs"]}


@pytest.mark.parametrize("name", ["raycluster.yaml", "rayjob-pretrain.yaml"])
def test_kuberay_takes_its_manifests(name: str):
    manifest = read(name)
    schema = KUBERAY[manifest["kind"]]
    jsonschema.validate(manifest, schema)
    spelled_wrong = copy.deepcopy(manifest)
    spelled_wrong["spec"]["enableAutoscaling"] = True
    with pytest.raises(jsonschema.ValidationError, match="enableAutoscaling"):
        jsonschema.validate(spelled_wrong, schema)


def test_the_cluster_s_pods_are_pods():
    cluster = read("raycluster.yaml")
    templates = [group["template"] for group in groups(cluster).values()]
    for template in (cluster["spec"]["headGroupSpec"]["template"], *templates):
        check_pod(template)
    templates[0]["spec"]["containers"][0]["imagePolicy"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError, match="imagePolicy"):
        check_pod(templates[0])


def test_the_head_does_no_work_and_workers_come_as_they_are_wanted():
    cluster = read("raycluster.yaml")
    assert cluster["spec"]["enableInTreeAutoscaling"] is True
    assert cluster["spec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert {name: group["minReplicas"] for name, group in groups(cluster).items()} == {"cpu": 0, "gpu": 0}
    assert all(group["maxReplicas"] > 0 for group in groups(cluster).values())
    gpu = groups(cluster)["gpu"]["template"]["spec"]["containers"][0]
    assert gpu["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_the_daily_run_is_a_cron_job_of_this_cluster():
    job = read("cronjob-featurize.yaml")
    kubernetes_validate.validate(job, KUBERNETES, strict=True)
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert (
        f"--address=http://{read('raycluster.yaml')['metadata']['name']}-head-svc:8265"
        in container["command"]
    )
    assert job["spec"]["concurrencyPolicy"] == "Forbid"


def pods() -> dict[str, dict[str, Any]]:
    """Of every pod that the manifests make, its spec."""
    cluster = read("raycluster.yaml")["spec"]
    daily = read("cronjob-featurize.yaml")["spec"]["jobTemplate"]["spec"]
    workers = {name: group["template"]["spec"] for name, group in groups({"spec": cluster}).items()}
    head = cluster["headGroupSpec"]["template"]["spec"]
    return {**workers, "head": head, "daily": daily["template"]["spec"]}


@pytest.mark.parametrize("name", ["cpu", "gpu", "head", "daily"])
def test_pods_have_no_rights_that_they_do_not_need(name: str):
    pod = pods()[name]
    uid = re.findall(r"useradd .*--uid (\d+)", (CLUSTER / "Dockerfile").read_text())
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert [str(pod["securityContext"]["runAsUser"])] == uid
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_every_cluster_wants_a_token():
    cluster = read("raycluster.yaml")
    assert cluster["spec"]["authOptions"] == {"mode": "token"}
    assert tuple(map(int, cluster["spec"]["rayVersion"].split("."))) >= (2, 52, 0), "the first that knows it"
    (container,) = pods()["daily"]["containers"]
    environment = {variable["name"]: variable for variable in container["env"]}
    assert environment["RAY_AUTH_MODE"]["value"] == "token"
    # KubeRay's secret has the cluster's name.
    secret = {"name": cluster["metadata"]["name"], "key": "auth_token"}
    assert environment["RAY_AUTH_TOKEN"]["valueFrom"] == {"secretKeyRef": secret}
    for name in ("aws.yaml", "gcp.yaml"):
        config = read(name)
        for commands in (config["head_start_ray_commands"], config["worker_start_ray_commands"]):
            assert commands[-1].startswith("export RAY_AUTH_MODE=token; ray start ")
            assert "dashboard-host" not in commands[-1]
        assert "/home/ray/.ray/auth_token" in config["file_mounts"]


def test_only_those_who_need_to_reach_the_cluster():
    policy = read("networkpolicy.yaml")
    kubernetes_validate.validate(policy, KUBERNETES, strict=True)
    cluster = read("raycluster.yaml")["metadata"]["name"]
    assert policy["spec"]["podSelector"]["matchLabels"] == {"ray.io/cluster": cluster}
    each_other, submitting, measuring = policy["spec"]["ingress"]
    assert each_other == {"from": [{"podSelector": {"matchLabels": {"ray.io/cluster": cluster}}}]}
    labels = [who["podSelector"]["matchLabels"] for who in submitting["from"]]
    daily = read("cronjob-featurize.yaml")["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
    assert daily in labels
    assert submitting["ports"] == [{"port": 8265}]
    head = read("raycluster.yaml")["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in head["ports"]}
    assert (ports["dashboard"], ports["metrics"]) == (8265, measuring["ports"][0]["port"])


def test_manifests_select_the_cluster_by_its_name():
    name = read("raycluster.yaml")["metadata"]["name"]
    assert read("rayjob-pretrain.yaml")["spec"]["clusterSelector"] == {"ray.io/cluster": name}
    assert read("podmonitor.yaml")["spec"]["selector"]["matchLabels"] == {"ray.io/cluster": name}


@pytest.mark.parametrize("name", ["aws.yaml", "gcp.yaml"])
def test_ray_up_takes_its_files(name: str):
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    config = read(name)
    jsonschema.validate(config, schema)
    whole = prepare_config(config)
    jsonschema.validate(whole, schema)
    assert whole["available_node_types"]["head"]["resources"] == {"CPU": 0}
    assert sum(kind["max_workers"] for kind in whole["available_node_types"].values()) == whole["max_workers"]
    assert "--num-cpus=0" in whole["head_start_ray_commands"][-1]


def test_versions_are_those_of_the_lock():
    lock = (ROOT / "requirements.lock").read_text()
    (version,) = re.findall(r"^ray(?:\[[^\]]*\])?==(\S+)", lock, re.MULTILINE)
    assert read("raycluster.yaml")["spec"]["rayVersion"] == version
    (uv,) = set(
        re.findall(r"uv==([\d.]+)", (CLUSTER / "Dockerfile").read_text() + (ROOT / "Makefile").read_text())
    )
    assert uv


def test_the_images_copy_what_there_is():
    lines = (CLUSTER / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    stages = [line.split()[-1] for line in lines if line.startswith("FROM ")]
    assert stages == ["cpu", "cuda"]
    sources = [source for line in lines if line.startswith("COPY ") for source in shlex.split(line)[1:-1]]
    assert {"requirements.lock", "vbert", "jobs"} <= set(sources)
    assert all((ROOT / source).exists() for source in sources)
    assert any("--only-binary :all: --require-hashes -r requirements.lock" in line for line in lines)
    # The base image has no compiler, and not every package has wheels for each Python: it is the lock's own.
    (locked_for,) = re.findall(r"--python-version ([\d.]+)", (ROOT / "Makefile").read_text())
    assert next(line for line in lines if line.startswith("FROM ")).startswith(
        f"FROM python:{locked_for}-slim"
    )


def test_the_runtime_environment_installs_the_lock(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    environment = RuntimeEnv(**read("runtime-env.yaml"))
    (package,) = environment["uv"]["packages"]
    option, _, lock = package.partition(" ${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}/")
    assert option == "-r"
    folder = ROOT / environment["working_dir"]
    assert (folder / lock).is_file()
    assert (folder / "jobs").is_dir()
    # Every process of the job has all of it as an environment variable (MAX_ARG_STRLEN of Linux).
    assert len(environment.serialize()) < 128 * 1024


def test_the_entrypoints_are_jobs_with_options_that_they_have():
    texts = [read("rayjob-pretrain.yaml")["spec"]["entrypoint"]]
    (container,) = read("cronjob-featurize.yaml")["spec"]["jobTemplate"]["spec"]["template"]["spec"][
        "containers"
    ]
    texts.append(" ".join(container["command"]))
    for text in texts:
        (job,) = re.findall(r"/jobs/(\w+)\.py", text)
        options = get_type_hints(import_module(f"vbert.commands.{job}").main)["config"]
        given = shlex.split(text.split(f"{job}.py")[1])
        assert given
        assert isinstance(tyro.cli(options, args=given), options)


def test_grafana_draws_the_metrics_that_there_are():
    text = (CLUSTER / "grafana-dashboard.json").read_text()
    drawn = set(re.findall(r"ray_(vbert_\w+?)_(?:total|bucket)", text))
    known = {CLIPS, DECODE_SECONDS, BACKBONE_SECONDS, BYTES, FAILURES, COMMIT_SECONDS}
    assert drawn == known
    panels = json.loads(text)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
