"""What KubeRay's custom resources look like, as far as cluster/kuberay uses them; anything else is refused.

A part of the schema of ray.io/v1, written down from KubeRay 1.6's API reference
(https://docs.ray.io/en/master/cluster/kubernetes/references/api.html), since the whole definitions come with the
operator alone. Pods' specifications are checked by their keys; what Ray reads from them Ray's own reader checks.
"""

from __future__ import annotations

from typing import Any


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {
        "type": "object", "properties": properties, "required": list(required), "additionalProperties": False,
    }  # fmt: skip


_TEXT = {"type": "string"}
_FLAG = {"type": "boolean"}
_COUNT = {"type": "integer", "minimum": 0}
_TEXTS = {"type": "object", "additionalProperties": _TEXT}
_OBJECTS = {"type": "array", "items": {"type": "object"}}

_CONTAINER = _object(
    {
        "name": _TEXT, "image": _TEXT, "ports": _OBJECTS, "env": _OBJECTS, "envFrom": _OBJECTS,
        "resources": _object({"requests": _TEXTS, "limits": _TEXTS}), "volumeMounts": _OBJECTS,
    },
    "name", "image",
)  # fmt: skip
_POD = _object(
    {
        "metadata": _object({"labels": _TEXTS, "annotations": _TEXTS}),
        "spec": _object(
            {
                "restartPolicy": {"enum": ["Always", "OnFailure", "Never"]},
                "securityContext": {"type": "object"}, "tolerations": _OBJECTS, "volumes": _OBJECTS,
                "terminationGracePeriodSeconds": _COUNT, "containers": {"type": "array", "items": _CONTAINER},
            },
            "containers",
        ),
    },
    "spec",
)  # fmt: skip
_HEAD_GROUP = _object(
    {
        "serviceType": {"enum": ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]},
        "rayStartParams": _TEXTS, "template": _POD,
    },
    "template",
)  # fmt: skip
_WORKER_GROUP = _object(
    {
        "groupName": _TEXT, "replicas": _COUNT, "minReplicas": _COUNT, "maxReplicas": _COUNT,
        "idleTimeoutSeconds": _COUNT, "numOfHosts": _COUNT, "rayStartParams": _TEXTS, "template": _POD,
    },
    "groupName", "minReplicas", "maxReplicas", "template",
)  # fmt: skip
_CLUSTER = _object(
    {
        "rayVersion": _TEXT,
        "authOptions": _object({"mode": {"enum": ["disabled", "token"]}, "secretName": _TEXT}),
        "enableInTreeAutoscaling": _FLAG,
        "autoscalerOptions": _object(
            {
                "version": {"enum": ["v1", "v2"]}, "idleTimeoutSeconds": _COUNT,
                "upscalingMode": {"enum": ["Default", "Aggressive", "Conservative"]},
            }
        ),
        "headGroupSpec": _HEAD_GROUP,
        "workerGroupSpecs": {"type": "array", "items": _WORKER_GROUP},
    },
    "headGroupSpec",
)  # fmt: skip
_JOB = _object(
    {
        "entrypoint": _TEXT, "submissionMode": {"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
        "backoffLimit": _COUNT, "shutdownAfterJobFinishes": _FLAG, "ttlSecondsAfterFinished": _COUNT,
        "activeDeadlineSeconds": _COUNT, "rayClusterSpec": _CLUSTER,
    },
    "rayClusterSpec",
)  # fmt: skip


def resource(kind: str) -> dict[str, Any]:
    """The JSON schema of a RayCluster or a RayJob."""
    spec = {"RayCluster": _CLUSTER, "RayJob": _JOB}[kind]
    metadata = _object({"name": _TEXT, "namespace": _TEXT, "labels": _TEXTS}, "name")
    return _object(
        {"apiVersion": {"const": "ray.io/v1"}, "kind": {"const": kind}, "metadata": metadata, "spec": spec},
        "apiVersion", "kind", "metadata", "spec",
    )  # fmt: skip
