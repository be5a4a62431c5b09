"""docker-compose.yml, the Dockerfile and nginx.conf name only what exists in the code."""

import json
import re
from pathlib import Path

import crossplane
import pytest
import typer
import yaml

from api.http.errors import STATUS_OF, error_body
from cli.main import app
from infrastructure.settings import load_settings, variable_names

ROOT = Path(__file__).parent.parent.parent
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
BUILT_SERVICES = {name: service for name, service in SERVICES.items() if "build" in service}
DOCKERFILE = (ROOT / "Dockerfile").read_text()
NGINX = (ROOT / "deploy" / "nginx.conf").read_text()
READ_BY_PYTHON = {"PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}
SUBCOMMANDS = set(typer.main.get_command(app).commands)


def dockerfile_environment():
    block = re.search(r"^ENV PATH=(?:.*\\\n)+.*$", DOCKERFILE, re.MULTILINE).group()
    return dict(pair.split("=", 1) for pair in re.findall(r"\w+=\S+", block))


def interpolate(value):
    """The value in docker compose when only the required variables are set."""
    return re.sub(r"\$\{\w+:([-?])([^}]*)\}", lambda found: found[2] if found[1] == "-" else "given", value)


def test_every_process_is_a_subcommand():
    assert {service["command"][0] for service in BUILT_SERVICES.values()} == {
        "migrate",
        "api",
        "projector",
        "notary",
        "relay",
        "webhook-dispatcher",
    }
    assert {service["command"][0] for service in BUILT_SERVICES.values()} <= SUBCOMMANDS


def test_the_image_runs_the_console_script():
    scripts = re.search(r"console_scripts =\n\s+(\w+) = cli\.start:main", (ROOT / "setup.cfg").read_text())

    assert f'ENTRYPOINT ["{scripts.group(1)}"]' in DOCKERFILE
    assert re.search(r'^CMD \["(\w+)"\]', DOCKERFILE, re.MULTILINE).group(1) in SUBCOMMANDS


def test_every_variable_is_read_by_settings():
    variables = {name for service in BUILT_SERVICES.values() for name in service["environment"]}
    variables |= dockerfile_environment().keys() - READ_BY_PYTHON

    assert variables <= variable_names()


def test_the_settings_of_every_service_are_valid():
    for service in BUILT_SERVICES.values():
        variables = {name: interpolate(str(value)) for name, value in service["environment"].items()}
        load_settings({**dockerfile_environment(), **variables})


def test_the_database_address_names_the_postgres_service():
    postgres = SERVICES["postgres"]["environment"]
    owner = BUILT_SERVICES["migrate"]["environment"]["MIGRATE_DATABASE_URL"]
    address = BUILT_SERVICES["api"]["environment"]["DATABASE_URL"]

    assert owner.startswith(f"postgresql://{postgres['POSTGRES_USER']}:")
    assert not address.startswith(f"postgresql://{postgres['POSTGRES_USER']}:")
    assert "MIGRATE_DATABASE_URL" not in BUILT_SERVICES["api"]["environment"]
    for each in (owner, address):
        assert each.endswith(f"@postgres:5432/{postgres['POSTGRES_DB']}")


def test_the_kafka_address_names_the_kafka_service():
    address = BUILT_SERVICES["relay"]["environment"]["KAFKA_BOOTSTRAP_SERVERS"]
    kafka = SERVICES["kafka"]

    assert kafka["environment"]["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://{address}"
    assert BUILT_SERVICES["api"]["environment"]["KAFKA_BOOTSTRAP_SERVERS"] == address


def test_kafka_has_the_version_that_the_tests_run():
    pom = (ROOT / "tests" / "support" / "kafka" / "pom.xml").read_text()
    version = re.search(r"<kafka.version>(.+)</kafka.version>", pom).group(1)

    assert SERVICES["kafka"]["image"] == f"apache/kafka:{version}"


def test_ports_agree():
    port = load_settings(dockerfile_environment()).port
    host_port, container_port = SERVICES["nginx"]["ports"][0].split(":")

    assert f"EXPOSE {port}\n" in DOCKERFILE
    assert f"server api:{port} resolve " in NGINX  # repeatedly: a new container has a new address
    assert f":{port}/health/ready" in BUILT_SERVICES["api"]["healthcheck"]["test"][-1]
    assert f"listen {container_port};" in NGINX
    assert f":{container_port}/health/live" in SERVICES["nginx"]["healthcheck"]["test"][-1]
    assert f"localhost:{host_port}" in BUILT_SERVICES["api"]["environment"]["BASE_URL"]


def test_nginx_proxies_to_a_service():
    upstream, target = re.search(r"upstream (\w+) \{\s+zone \w+ 64k;\s+server (\w+):", NGINX).groups()

    assert target in BUILT_SERVICES
    assert f"proxy_pass http://{upstream};" in NGINX


def test_refusals_of_nginx_have_the_error_format_of_the_api():
    answers = re.findall(r"return (\d+) '(.*)';", NGINX)
    bodies = [json.loads(body) for _, body in answers]

    assert set(re.findall(r"^\s+error_page [\d ]+ = ([@/\w]+);", NGINX, re.MULTILINE)) == set(
        re.findall(r"location (?:= )?([@/]\w+\S*) ", NGINX)
    )
    assert {status for status, _ in answers} == {"400", "405", "413", "414", "431", "503"}
    for (status, _), body in zip(answers, bodies, strict=True):
        expected = json.loads(
            error_body(body["error"]["code"], body["error"]["message"], None, "$request_id")
        )
        assert (STATUS_OF[body["error"]["code"]], body) == (int(status), expected)


def test_the_mounted_files_and_volumes_exist():
    for service in SERVICES.values():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert (ROOT / source).is_file() if source.startswith("./") else source in COMPOSE["volumes"]


def test_the_image_holds_every_package_of_setup_cfg():
    block = re.search(
        r"packages\.find\]\ninclude =\n((?:    .+\n)+)", (ROOT / "setup.cfg").read_text()
    ).group(1)
    included = (ROOT / ".dockerignore").read_text().splitlines()

    assert {f"!{name.rstrip('*')}" for name in block.split()} <= set(included)


def test_nginx_conf_is_valid():
    """crossplane checks names, contexts and arguments of directives against nginx's own tables."""
    parsed = crossplane.parse(str(ROOT / "deploy" / "nginx.conf"), strict=True)

    assert parsed["errors"] == []
    assert [block["directive"] for block in parsed["config"][0]["parsed"] if "block" in block] == [
        "events",
        "http",
    ]


def test_the_mounted_configuration_of_nginx_is_readable_by_its_user():
    assert (ROOT / "deploy" / "nginx.conf").stat().st_mode & 0o004


@pytest.mark.parametrize("name", sorted({*BUILT_SERVICES, "nginx"}))
def test_a_service_of_this_system_has_no_privileges_and_cannot_write_to_its_image(name):
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "/tmp" in service["tmpfs"]
    assert not service.keys() & {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"}


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - {"migrate"}))
def test_a_service_is_restarted_and_checked(name):
    assert SERVICES[name]["restart"] == "unless-stopped"
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


def test_migrations_run_once():
    assert SERVICES["migrate"]["restart"] == "no"


@pytest.mark.parametrize("name", sorted(BUILT_SERVICES.keys() - {"api", "migrate"}))
def test_a_follower_is_checked_at_its_port_for_metrics(name):
    port = load_settings({"METRICS_PORT": SERVICES[name]["environment"]["METRICS_PORT"]}).metrics_port

    assert f"http://127.0.0.1:{port}/health'" in SERVICES[name]["healthcheck"]["test"][-1]


def test_only_nginx_publishes_a_port():
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["nginx"]


def test_every_foreign_image_has_a_version():
    images = [service["image"] for name, service in SERVICES.items() if name not in BUILT_SERVICES]

    assert [image for image in images if not re.fullmatch(r"[\w/]+:\d[\w.-]*", image)] == []


def test_the_mounted_sockets_of_the_host_are_none():
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", [])]

    assert [mount for mount in mounts if mount.startswith("/")] == []
