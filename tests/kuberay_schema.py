"""JSON Schemas of KubeRay's RayCluster and RayJob: the fields of its Go types (apis/ray/v1).

Strict: a field that KubeRay does not know is an error. Pod templates are checked with Kubernetes' own schema.
"""

from typing import Any

STRING, BOOLEAN = {"type": "string"}, {"type": "boolean"}
COUNT = {"type": "integer", "minimum": 0}
STRINGS = {"type": "object", "additionalProperties": STRING}
POD_TEMPLATE = {"type": "object", "required": ["spec"]}
RAY_START_PARAMS = STRINGS  # a number without quotes is refused


def a_record(required: list[str], **fields: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": fields, "additionalProperties": False}


AUTOSCALER_OPTIONS = a_record(
    [],
    resources={"type": "object"},
    image=STRING,
    imagePullPolicy={"enum": ["Always", "IfNotPresent", "Never"]},
    env={"type": "array"},
    envFrom={"type": "array"},
    volumeMounts={"type": "array"},
    securityContext={"type": "object"},
    idleTimeoutSeconds=COUNT,
    upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
    version={"enum": ["v1", "v2"]},
)
HEAD_GROUP = a_record(
    ["template"],
    serviceType={"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
    headService={"type": "object"},
    enableIngress=BOOLEAN,
    rayStartParams=RAY_START_PARAMS,
    template=POD_TEMPLATE,
)
WORKER_GROUP = a_record(
    ["groupName", "minReplicas", "maxReplicas", "template"],
    groupName={"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"},
    suspend=BOOLEAN,
    replicas=COUNT,
    minReplicas=COUNT,
    maxReplicas=COUNT,
    idleTimeoutSeconds=COUNT,
    numOfHosts=COUNT,
    rayStartParams=RAY_START_PARAMS,
    template=POD_TEMPLATE,
    scaleStrategy={"type": "object"},
)
CLUSTER_SPEC = a_record(
    ["headGroupSpec"],
    headGroupSpec=HEAD_GROUP,
    workerGroupSpecs={"type": "array", "items": WORKER_GROUP},
    rayVersion=STRING,
    enableInTreeAutoscaling=BOOLEAN,
    autoscalerOptions=AUTOSCALER_OPTIONS,
    headServiceAnnotations=STRINGS,
    suspend=BOOLEAN,
    managedBy=STRING,
    gcsFaultToleranceOptions={"type": "object"},
    authOptions=a_record(
        [], mode={"enum": ["disabled", "token"]}, secretName=STRING, enableK8sTokenAuth=BOOLEAN
    ),
)
JOB_SPEC = a_record(
    ["entrypoint"],
    activeDeadlineSeconds=COUNT,
    backoffLimit=COUNT,
    rayClusterSpec=CLUSTER_SPEC,
    submitterPodTemplate=POD_TEMPLATE,
    metadata=STRINGS,
    clusterSelector=STRINGS,
    submitterConfig=a_record([], backoffLimit=COUNT),
    managedBy=STRING,
    deletionStrategy={"type": "object"},
    entrypoint=STRING,
    runtimeEnvYAML=STRING,
    jobId=STRING,
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
    entrypointResources=STRING,
    entrypointNumCpus={"type": "number"},
    entrypointNumGpus={"type": "number"},
    ttlSecondsAfterFinished=COUNT,
    shutdownAfterJobFinishes=BOOLEAN,
    suspend=BOOLEAN,
)


def a_resource(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"type": "object", "required": ["name"]}
    return a_record(
        ["apiVersion", "kind", "metadata", "spec"],
        apiVersion={"const": "ray.io/v1"},
        kind={"const": kind},
        metadata=metadata,
        spec=spec,
    )


KUBERAY = {"RayCluster": a_resource("RayCluster", CLUSTER_SPEC), "RayJob": a_resource("RayJob", JOB_SPEC)}
