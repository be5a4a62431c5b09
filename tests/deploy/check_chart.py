"""`make deploy-check`: Helm renders the chart, kubeconform validates it, and it keeps the policies.

Not a part of `make test`, because it downloads and builds programs.
"""

import copy
import tarfile

import pytest
import yaml

from tests.deploy.chart import CHART, VALUES, lint, read, render, render_with, use, validate
from tests.deploy.policies import POLICIES, containers, pods, violations
from tests.deploy.tools import VERSIONS, install_tools

ROOT = CHART.parents[2]
SETS = sorted(VALUES.glob("*.yaml"), key=lambda path: path.stem)
PROCESSES = {"api", "projector", "relay", "webhook-dispatcher", "notary", "migrate"}

REFUSED = {
    "image.repository is not set": {"image": {"repository": ""}},
    "baseUrl is not set": {"baseUrl": ""},
    "additional properties 'replica' not allowed": {"api": {"replica": 3}},
    "additional properties 'LOGLEVEL' not allowed": {"settings": {"LOGLEVEL": "INFO"}},
    "additional properties 'database_url' not allowed": {"database_url": "postgresql://"},
    "minimum: got 0, want 1": {"api": {"workers": 0}},
    "got string, want integer": {"api": {"replicas": "3"}},
    "'ftp://tickets' does not match pattern": {"baseUrl": "ftp://tickets"},
    "'kafka' does not match pattern": {"kafka": {"bootstrapServers": "kafka"}},
    "missing property 'limits'": {"projector": {"resources": {"limits": None}}},
    "attachments.bucket and attachments.claim.existing are both set": {
        "attachments": {"bucket": "files", "claim": {"existing": "files"}}
    },
    "attachments.endpoint is set without attachments.bucket": {"attachments": {"endpoint": "https://s3"}},
    "attachments.claim.accessMode is ReadWriteOnce, but several APIs": {
        "attachments": {"claim": {"accessMode": "ReadWriteOnce"}}
    },
    "secrets.bucket.name is set without attachments.bucket": {"secrets": {"bucket": {"name": "bucket"}}},
    "minReplicas is 9, more than maxReplicas (6)": {
        "api": {"autoscaling": {"enabled": True, "minReplicas": 9}}
    },
    "metrics.port is 8000, the port of the API": {"metrics": {"port": 8000}},
    "ingress.tlsSecret is not set": {"ingress": {"enabled": True}},
    "Up to 2 APIs with 10 workers of 8 threads and 3 other processes open up to 287 connections": {
        "api": {"workers": 10}
    },
}


@pytest.fixture(scope="session")
def tools():
    return install_tools()


@pytest.fixture(scope="session")
def rendered(tools):
    """The output of Helm with every option."""
    done = render(tools, VALUES / "everything.yaml")
    assert done.code == 0, done.messages
    return done.output


@pytest.fixture
def manifests(rendered):
    return read(rendered)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("values", SETS, ids=lambda path: path.stem)
def test_every_set_of_values_renders_valid_manifests_that_keep_the_policies(tools, values, version):
    linted = lint(tools, values)
    assert linted.code == 0, linted.output + linted.messages
    done = render(tools, values, version=version)
    assert done.code == 0, done.messages
    found = validate(tools, done.output, version)

    assert found.code == 0, found.output
    assert f"Valid: {len(read(done.output))}, Invalid: 0, Errors: 0, Skipped: 0" in found.output
    assert violations(read(done.output)) == []


def test_every_process_has_a_workload(manifests):
    assert {container["args"][0] for _, _, container in containers(manifests)} == PROCESSES


def test_without_kafka_there_is_no_relay(tools):
    done = render(tools, VALUES / "least.yaml")

    names = {container["args"][0] for _, _, container in containers(read(done.output))}
    assert names == PROCESSES - {"relay"}
    assert "KAFKA" not in done.output


@pytest.mark.parametrize("message", REFUSED)
def test_contradictory_and_unknown_values_are_refused(tools, message):
    done = render_with(tools, REFUSED[message])

    assert done.code != 0
    assert message in done.messages


def test_an_older_kubernetes_is_refused(tools):
    done = render(tools, VALUES / "least.yaml", version="1.29.0")

    assert done.code != 0
    assert ">=1.30.0-0" in done.messages


@pytest.mark.parametrize(
    ("present", "planted"),
    [
        ("restartPolicy: Never", "restartPolice: Never"),
        ("containerPort: 9200", "containerPort: metrics"),
        ("apiVersion: policy/v1", "apiVersion: policy/v1beta1"),
        ("kind: PodMonitor", "kind: PodMonitors"),
        ("podMetricsEndpoints:", "podMetricEndpoints:"),
    ],
)
def test_kubeconform_finds_a_planted_fault(tools, rendered, present, planted):
    document = next(each for each in rendered.split("\n---\n") if present in each)

    assert validate(tools, document, VERSIONS[-1]).code == 0
    assert validate(tools, document.replace(present, planted, 1), VERSIONS[-1]).code != 0


def deployment(manifests, component):
    """The Deployment of a process, and its only container."""
    (found,) = [
        manifest
        for manifest in manifests
        if manifest["kind"] == "Deployment" and manifest["metadata"]["name"].endswith(f"-{component}")
    ]
    return found, found["spec"]["template"]["spec"]["containers"][0]


def of_api(manifests):
    return deployment(manifests, "api")[1]


def pod_of_relay(manifests):
    return deployment(manifests, "relay")[0]["spec"]["template"]["spec"]


PLANTED = {
    "runs_as_a_numbered_user": lambda found: pod_of_relay(found)["securityContext"].update(runAsUser=0),
    "cannot_write_to_the_image": lambda found: of_api(found)["securityContext"].pop("readOnlyRootFilesystem"),
    "has_no_privileges": lambda found: of_api(found)["securityContext"]["capabilities"].update(
        add=["NET_ADMIN"]
    ),
    "has_no_token": lambda found: pod_of_relay(found).pop("automountServiceAccountToken"),
    "has_requests_and_a_limit_of_memory": lambda found: of_api(found)["resources"].pop("limits"),
    "names_a_version_of_the_image": lambda found: of_api(found).update(
        image="r.example.com:5000/ticketing:latest"
    ),
    "has_secrets_only_by_reference": lambda found: of_api(found)["env"].append(
        {"name": "A_KEY", "value": "s"}
    ),
    "only_the_job_owns_the_tables": lambda found: of_api(found)["env"].append(
        {"name": "MIGRATE_DATABASE_URL", "valueFrom": {"secretKeyRef": {}}}
    ),
    "is_restarted_when_it_hangs": lambda found: of_api(found)["livenessProbe"]["httpGet"].update(
        path="/health/ready"
    ),
    "gets_requests_only_when_ready": lambda found: of_api(found).pop("readinessProbe"),
    "can_be_moved_one_at_a_time": lambda found: found.remove(
        next(each for each in found if each["kind"] == "PodDisruptionBudget")
    ),
    "is_spread_over_nodes": lambda found: pod_of_relay(found).pop("topologySpreadConstraints"),
    "mounts_a_volume_of_one_node_once": lambda found: deployment(found, "notary")[0]["spec"].update(
        replicas=2
    ),
}


@pytest.mark.parametrize("policy", [policy.__name__ for policy in POLICIES])
def test_each_policy_finds_a_planted_fault(manifests, policy):
    broken = copy.deepcopy(manifests)
    PLANTED[policy](broken)

    assert [found.partition(":")[0] for found in violations(broken)] == [policy]


def test_every_workload_is_selected_by_the_network_policies(manifests):
    policies = [each for each in manifests if each["kind"] == "NetworkPolicy"]
    of_all = next(each for each in policies if each["metadata"]["name"] == "desk-ticketing")

    for _, pod in pods(manifests):
        selector = of_all["spec"]["podSelector"]["matchLabels"]
        assert selector.items() <= pod["metadata"]["labels"].items()
    assert of_all["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_only_the_dispatcher_reaches_the_internet(manifests):
    wide = [
        (manifest["spec"]["podSelector"]["matchLabels"].get("app.kubernetes.io/component"), block["cidr"])
        for manifest in manifests
        if manifest["kind"] == "NetworkPolicy"
        for rule in manifest["spec"].get("egress", [])
        for block in [
            peer["ipBlock"]
            for peer in rule.get("to", [{"ipBlock": {"cidr": "0.0.0.0/0"}}])
            if "ipBlock" in peer
        ]
        if block["cidr"] in ("0.0.0.0/0", "::/0", "2000::/3")
    ]

    assert wide == [("webhook-dispatcher", "0.0.0.0/0"), ("webhook-dispatcher", "2000::/3")]


def test_the_rules_are_the_file_that_promtool_checks(manifests):
    (rules,) = [each for each in manifests if each["kind"] == "PrometheusRule"]

    assert rules["spec"] == yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())


def test_the_monitors_have_the_jobs_that_the_rules_expect(manifests):
    jobs = {
        rule["replacement"]: each["spec"]["selector"]["matchExpressions"][0]["operator"]
        for each in manifests
        if each["kind"] == "PodMonitor"
        for rule in each["spec"]["podMetricsEndpoints"][0]["relabelings"]
    }

    assert jobs == {"ticketing": "In", "ticketing-followers": "NotIn"}


def test_the_package_contains_the_rules(tools, tmp_path):
    done = use(tools.helm, "package", CHART, "--destination", tmp_path)
    assert done.code == 0, done.messages
    (package,) = tmp_path.iterdir()

    with tarfile.open(package) as archive:
        packed = archive.extractfile("ticketing/alerts.yml").read()
    assert packed == (ROOT / "deploy" / "prometheus" / "alerts.yml").read_bytes()
