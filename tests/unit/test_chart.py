"""The Helm chart agrees with the code. `make deploy-check` renders it."""

import configparser
import json
import re
from pathlib import Path

import yaml

from cli.doctor.server import PER_WORKER
from cli.stopping import FINISH_SECONDS
from domain.public_ips import _GLOBAL_V6, _REFUSED_V4, _REFUSED_V6
from infrastructure.settings import variable_names
from server.gunicorn_server import GRACEFUL_SECONDS
from server.worker import DRAIN_ACCEPT_SECONDS

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "ticketing"
TEMPLATES = {path.name: path.read_text() for path in (CHART / "templates").iterdir()}
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
NOT_IN_PODS = {
    "POSTGRES_DATA_DIR",  # PostgreSQL is elsewhere
    "WEBHOOK_ALLOW_PRIVATE_ADDRESSES",  # for development; the network policy forbids them
}


def test_the_versions_of_the_chart_are_that_of_the_program():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert chart["version"] == chart["appVersion"] == setup["metadata"]["version"]


def test_every_setting_can_be_set():
    """A new setting needs a value of the chart, or a place in `settings` of values.schema.json."""
    text = "".join(TEMPLATES.values())
    set_by_templates = set(re.findall(r"name: ([A-Z][A-Z0-9_]+),", text))
    set_by_templates |= set(re.findall(r'"variable" "([A-Z0-9_]+)"', text))
    of_boto3 = {name for name in set_by_templates if name.startswith("AWS_")}
    free = SCHEMA["properties"]["settings"]["properties"].keys()

    assert not set_by_templates & free
    assert (set_by_templates - of_boto3) | free | NOT_IN_PODS == variable_names()


def test_the_schema_knows_exactly_the_values_that_exist():
    assert names_of_schema(SCHEMA) - {"global"} == names_of_values(VALUES)


def names_of_schema(schema, prefix=""):
    """The dotted names of values, without those inside of free maps."""
    found = set()
    for name, inner in schema.get("properties", {}).items():
        if f"{prefix}{name}" == "settings" or "$ref" in inner or "properties" not in inner:
            found.add(f"{prefix}{name}")
        else:
            found |= names_of_schema(inner, f"{prefix}{name}.")
    return found


def names_of_values(values, prefix=""):
    found = set()
    for name, value in values.items():
        if isinstance(value, dict) and value and name != "resources":
            found |= names_of_values(value, f"{prefix}{name}.")
        else:
            found.add(f"{prefix}{name}")
    return found


def test_the_pods_run_as_the_user_of_the_image():
    user = re.search(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)

    assert (
        f"runAsUser: {user[1]}\n    runAsGroup: {user[2]}\n    fsGroup: {user[2]}\n" in TEMPLATES["_pod.tpl"]
    )


def test_pods_have_the_time_that_their_processes_take_to_end():
    pause = int(re.search(r'command: \[sleep, "(\d+)"\]', TEMPLATES["api.yaml"])[1])
    (api,) = re.findall(r'"grace" (\d+)', TEMPLATES["api.yaml"])
    (follower,) = re.findall(r'"grace" (\d+)', TEMPLATES["followers.yaml"])

    assert int(api) > pause + DRAIN_ACCEPT_SECONDS + GRACEFUL_SECONDS
    assert int(follower) > FINISH_SECONDS


def test_the_chart_counts_the_connections_of_a_worker_as_the_doctor_does():
    (connections,) = re.findall(
        r"\$each := ternary (\d+) \(add \(int \$values.api.threads\) \1\)", TEMPLATES["_refusals.tpl"]
    )

    assert int(connections) == PER_WORKER


def test_the_network_policy_of_webhooks_excludes_what_the_dispatcher_refuses():
    policies = TEMPLATES["network-policies.yaml"]
    blocks = re.findall(r"cidr: (\S+)\n +except:\n((?: +- [0-9a-f.:]+/\d+\n)+)", policies)
    found = {cidr: re.findall(r"- (\S+)", networks) for cidr, networks in blocks}

    assert found == {
        "0.0.0.0/0": [str(network) for network in _REFUSED_V4],
        str(_GLOBAL_V6): [str(network) for network in _REFUSED_V6],
    }


def test_the_alert_rules_exist_once():
    rules = CHART / "alerts.yml"

    assert rules.is_symlink()
    assert rules.resolve() == ROOT / "deploy" / "prometheus" / "alerts.yml"
    assert '.Files.Get "alerts.yml"' in TEMPLATES["monitoring.yaml"]
