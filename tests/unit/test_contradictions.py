"""Settings that contradict one another are named, with what to do."""

import base64
import os

import pytest

from cli.doctor.contradictions import check_settings
from cli.doctor.storage import check_folders
from cli.listening import metrics_ports
from infrastructure.settings import BadSettings, load_settings

HTTPS = {"BASE_URL": "https://tickets.example.com", "TRUSTED_PROXIES": "10.0.0.0/8"}
DATABASE = "postgresql://app@db.example.com/ticketing"
CLUSTER = {
    "DATABASE_URL": "host=a,b dbname=ticketing target_session_attrs=read-write",
    "READ_DATABASE_URL": "host=a,b dbname=ticketing target_session_attrs=prefer-standby",
}
CASES = [
    (
        {"DATABASE_URL": DATABASE, "DIRECT_DATABASE_URL": DATABASE},
        "WARNING",
        "DIRECT_DATABASE_URL and DATABASE_URL are equal",
    ),
    (
        {"DATABASE_URL": "host=a,b dbname=ticketing"},
        "PROBLEM",
        "DATABASE_URL lists the hosts a,b without target_session_attrs=read-write",
    ),
    ({"DATABASE_URL": DATABASE, "READ_DATABASE_URL": DATABASE}, "WARNING", "READ_DATABASE_URL is an address"),
    ({"HOST": "0.0.0.0"}, "WARNING", "HOST is 0.0.0.0, but BASE_URL is http://127.0.0.1:8000"),
    ({"BASE_URL": "http://tickets.example.com"}, "WARNING", "without encryption"),
    ({"BASE_URL": "https://tickets.example.com"}, "WARNING", "TRUSTED_PROXIES is not set"),
    (HTTPS | {"WEBHOOK_ALLOW_PRIVATE_ADDRESSES": "1"}, "PROBLEM", "WEBHOOK_ALLOW_PRIVATE_ADDRESSES is 1"),
    ({"KAFKA_REPLICATION_FACTOR": "3"}, "WARNING", "KAFKA_REPLICATION_FACTOR is set without"),
    ({"KAFKA_PREFIX": "other"}, "WARNING", "KAFKA_PREFIX is set without"),
    ({"KAFKA_BOOTSTRAP_SERVERS": "a:1,b:1,c:1"}, "WARNING", "lists 3 servers, but KAFKA_REPLICATION_FACTOR"),
    (
        {"DATABASE_URL": DATABASE, "POSTGRES_DATA_DIR": "/srv/data"},
        "WARNING",
        "PostgreSQL is on the host db.example.com",
    ),
    (
        {"POSTGRES_DATA_DIR": "/srv/data", "NOTARY_DIR": "/srv/data/notary"},
        "WARNING",
        "is in POSTGRES_DATA_DIR",
    ),
    ({"SIGNING_KEY": "secret"}, "WARNING", "SIGNING_KEY has 6 characters"),
    ({"DATABSE_URL": DATABASE}, "WARNING", "DATABSE_URL is set, which no process reads"),
    ({"WEBHOOK_RETRY_SECOND": "5"}, "WARNING", "WEBHOOK_RETRY_SECOND is set, which no process reads"),
    ({"ticketing_home": "/srv"}, "WARNING", "ticketing_home is set, which no process reads"),
]
OF_OTHER_PROGRAMS = {
    "HOSTNAME": "api-1",
    "TEST_DATABASE_URL": DATABASE,
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://collector:4318",
    "PGPORT": "5432",
    "KAFKA_HEAP_OPTS": "-Xmx1g",
}


@pytest.mark.parametrize(("variables", "level", "text"), CASES, ids=[text for *_, text in CASES])
def test_a_contradiction_is_named_with_what_to_do(variables, level, text, tmp_path):
    (finding,) = check_settings(load_settings({"TICKETING_HOME": str(tmp_path)} | variables), variables)

    assert (finding.level, finding.check) == (level, "settings")
    assert text in finding.found
    assert finding.remedy


@pytest.mark.parametrize(
    "variables", [{}, HTTPS, HTTPS | {"HOST": "0.0.0.0", "DATABASE_URL": DATABASE}, CLUSTER]
)
def test_usual_settings_contradict_nothing(variables, tmp_path):
    findings = check_settings(load_settings({"TICKETING_HOME": str(tmp_path)} | variables), variables)

    assert [one.level for one in findings] == ["OK"]


def test_variables_of_other_programs_are_not_misspelt(tmp_path):
    (finding,) = check_settings(load_settings({"TICKETING_HOME": str(tmp_path)}), OF_OTHER_PROGRAMS)

    assert finding.level == "OK"


def test_data_of_an_embedded_server_that_is_not_used_are_named(tmp_path):
    (tmp_path / "postgres").mkdir()
    settings = load_settings({"TICKETING_HOME": str(tmp_path), "DATABASE_URL": DATABASE})

    (finding,) = check_settings(settings, {})

    assert "has the data of an embedded PostgreSQL" in finding.found


@pytest.mark.parametrize(
    ("metrics_port", "port", "ports"),
    [
        (9100, 8000, range(9_100, 9_105)),
        (8001, 8000, range(8_001, 8_006)),
        (7996, 8000, None),
        (65532, 8000, None),
    ],
)
def test_the_ports_for_metrics_of_up_do_not_contain_its_own(metrics_port, port, ports):
    settings = load_settings({"METRICS_PORT": str(metrics_port), "PORT": str(port)})
    if ports is None:
        with pytest.raises(BadSettings, match=f"METRICS_PORT is {metrics_port}"):
            metrics_ports(settings)
    else:
        assert list(metrics_ports(settings).values()) == list(ports)


def test_a_key_file_with_another_key_than_master_key_is_named(tmp_path):
    one, other = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))
    (tmp_path / "master-key").write_text(one + "\n")

    def check(key):
        return check_settings(load_settings({"TICKETING_HOME": str(tmp_path), "MASTER_KEY": key}), {})[
            0
        ].level

    assert [check(one), check(f"{other},{one}"), check(other)] == ["OK", "OK", "WARNING"]


def test_a_folder_that_cannot_be_used_is_named(tmp_path):
    file = tmp_path / "file"
    file.touch()
    settings = load_settings(
        {
            "TICKETING_HOME": str(tmp_path),
            "NOTARY_DIR": str(file / "notary"),
            "POSTGRES_DATA_DIR": str(tmp_path / "absent"),
        }
    )

    found = {one.check: one for one in check_folders(settings) if one.level != "OK"}

    assert list(found) == ["disk of NOTARY_DIR", "disk of POSTGRES_DATA_DIR"]
    assert found["disk of NOTARY_DIR"].found == f"{file} is not a folder."
    assert os.strerror(2) in found["disk of POSTGRES_DATA_DIR"].found
