"""What every manifest of the chart must have. Each policy yields what breaks it; check_chart.py plants a
fault for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Manifest = dict[str, Any]
Policy = Callable[[list[Manifest]], Iterator[str]]

USER = 10_001
LONGEST_RESTART_SECONDS = 300
DATABASE_OWNER = "MIGRATE_DATABASE_URL"


def violations(manifests: list[Manifest]) -> list[str]:
    """What breaks a policy, as `policy: place`."""
    return [f"{policy.__name__}: {place}" for policy in POLICIES for place in policy(manifests)]


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """The name and the pod template of each workload."""
    for manifest in manifests:
        if "template" in manifest.get("spec", {}):
            yield manifest["metadata"]["name"], manifest["spec"]["template"]


def containers(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest, Manifest]]:
    """The name of the workload, its pod and a container, for each container."""
    for name, pod in pods(manifests):
        for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]:
            yield name, pod["spec"], container


def runs_as_a_numbered_user(manifests: list[Manifest]) -> Iterator[str]:
    for name, pod in pods(manifests):
        context = pod["spec"].get("securityContext", {})
        if not context.get("runAsNonRoot") or (context.get("runAsUser"), context.get("runAsGroup")) != (
            USER,
            USER,
        ):
            yield name
    for name, _, container in containers(manifests):
        if container.get("securityContext", {}).keys() & {"runAsUser", "runAsGroup", "runAsNonRoot"}:
            yield name


def cannot_write_to_the_image(manifests: list[Manifest]) -> Iterator[str]:
    for name, pod, container in containers(manifests):
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        is_limited = "sizeLimit" in volumes.get(mounts.get("/tmp", ""), {}).get("emptyDir", {})
        if not container["securityContext"].get("readOnlyRootFilesystem") or not is_limited:
            yield name


def has_no_privileges(manifests: list[Manifest]) -> Iterator[str]:
    for name, pod, container in containers(manifests):
        context = container["securityContext"]
        if (
            context.get("allowPrivilegeEscalation") is not False
            or context.get("capabilities") != {"drop": ["ALL"]}
            or context.get("privileged")
            or pod["securityContext"].get("seccompProfile") != {"type": "RuntimeDefault"}
            or pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}
            or any("hostPath" in volume for volume in pod["volumes"])
        ):
            yield name


def has_no_token(manifests: list[Manifest]) -> Iterator[str]:
    for name, pod in pods(manifests):
        if pod["spec"].get("automountServiceAccountToken") is not False:
            yield name
    for manifest in manifests:
        if manifest["kind"] == "ServiceAccount" and manifest.get("automountServiceAccountToken") is not False:
            yield manifest["metadata"]["name"]


def has_requests_and_a_limit_of_memory(manifests: list[Manifest]) -> Iterator[str]:
    for name, _, container in containers(manifests):
        resources = container.get("resources", {})
        if not resources.get("requests", {}).keys() >= {"cpu", "memory"} or "memory" not in resources.get(
            "limits", {}
        ):
            yield name


def names_a_version_of_the_image(manifests: list[Manifest]) -> Iterator[str]:
    for name, _, container in containers(manifests):
        version = container["image"].rpartition("/")[2].partition(":")[2]
        if version in ("", "latest"):
            yield name


def has_secrets_only_by_reference(manifests: list[Manifest]) -> Iterator[str]:
    for manifest in manifests:
        if manifest["kind"] == "Secret":
            yield manifest["metadata"]["name"]
    for name, _, container in containers(manifests):
        for variable in container["env"]:
            is_secret = variable["name"].endswith(("DATABASE_URL", "_KEY", "_KEY_ID"))
            if is_secret != ("secretKeyRef" in variable.get("valueFrom", {})):
                yield f"{name} {variable['name']}"


def only_the_job_owns_the_tables(manifests: list[Manifest]) -> Iterator[str]:
    for name, _, container in containers(manifests):
        has_owner = DATABASE_OWNER in {variable["name"] for variable in container["env"]}
        if has_owner != (container["args"] == ["migrate"]):
            yield name


def is_restarted_when_it_hangs(manifests: list[Manifest]) -> Iterator[str]:
    """The liveness of no process depends on PostgreSQL or Kafka."""
    for name, _, container in containers(manifests):
        if container["args"] == ["migrate"]:
            continue
        liveness = container.get("livenessProbe", {})
        path = "/health/live" if container["args"] == ["api"] else "/health"
        seconds = liveness.get("periodSeconds", 10) * liveness.get("failureThreshold", 3)
        if (
            liveness.get("httpGet", {}).get("path") != path
            or "startupProbe" not in container
            or not 30 <= seconds <= LONGEST_RESTART_SECONDS
        ):
            yield name


def gets_requests_only_when_ready(manifests: list[Manifest]) -> Iterator[str]:
    for name, _, container in containers(manifests):
        ready = container.get("readinessProbe", {}).get("httpGet", {}).get("path")
        if ready != ("/health/ready" if container["args"] == ["api"] else None):
            yield name


def can_be_moved_one_at_a_time(manifests: list[Manifest]) -> Iterator[str]:
    selectors = [
        manifest["spec"]["selector"]["matchLabels"]
        for manifest in manifests
        if manifest["kind"] == "PodDisruptionBudget" and manifest["spec"].get("maxUnavailable") == 1
    ]
    for manifest in manifests:
        if manifest["kind"] == "Deployment" and manifest["spec"]["selector"]["matchLabels"] not in selectors:
            yield manifest["metadata"]["name"]


def is_spread_over_nodes(manifests: list[Manifest]) -> Iterator[str]:
    for name, pod in pods(manifests):
        (spread,) = pod["spec"].get("topologySpreadConstraints") or [{}]
        labels = spread.get("labelSelector", {}).get("matchLabels", {"": ""})
        if not labels.items() <= pod["metadata"]["labels"].items():
            yield name


def mounts_a_volume_of_one_node_once(manifests: list[Manifest]) -> Iterator[str]:
    for manifest in manifests:
        is_notary = manifest["metadata"]["name"].endswith("-notary")
        if manifest["kind"] == "Deployment" and is_notary:
            spec = manifest["spec"]
            volumes = {volume["name"]: volume for volume in spec["template"]["spec"]["volumes"]}
            is_recreated = spec.get("strategy", {}).get("type") == "Recreate" and spec["replicas"] == 1
            if not is_recreated or "persistentVolumeClaim" not in volumes["home"]:
                yield manifest["metadata"]["name"]


POLICIES: tuple[Policy, ...] = (
    runs_as_a_numbered_user,
    cannot_write_to_the_image,
    has_no_privileges,
    has_no_token,
    has_requests_and_a_limit_of_memory,
    names_a_version_of_the_image,
    has_secrets_only_by_reference,
    only_the_job_owns_the_tables,
    is_restarted_when_it_hangs,
    gets_requests_only_when_ready,
    can_be_moved_one_at_a_time,
    is_spread_over_nodes,
    mounts_a_volume_of_one_node_once,
)
