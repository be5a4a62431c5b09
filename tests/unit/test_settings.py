"""A value that cannot be used is refused by the name of its variable."""

import pytest

from infrastructure.settings import BadSettings, load_settings
from tests.support.settings import names_read

UNUSABLE = [
    ("BASE_URL", "tickets.example.com"),
    ("BASE_URL", "ftp://tickets.example.com"),
    ("BASE_URL", "https://tickets.example.com/?a=b"),
    ("BASE_URL", "https://tickets.example.com:port"),
    ("BASE_URL", "https://"),
    ("BASE_URL", "https://a b.example.com"),
    ("ATTACHMENTS_S3_ENDPOINT", "minio:9000"),
    ("DATABASE_URL", "nonsense"),
    ("DATABASE_URL", "mysql://host/ticketing"),
    ("MIGRATE_DATABASE_URL", "nonsense"),
    ("KAFKA_BOOTSTRAP_SERVERS", "kafka"),
    ("KAFKA_BOOTSTRAP_SERVERS", "kafka-1:9092,,kafka-2:9092"),
    ("KAFKA_BOOTSTRAP_SERVERS", "kafka-1:9092,kafka-2:90920"),
    ("KAFKA_BOOTSTRAP_SERVERS", "kafka:0"),
    ("KAFKA_PREFIX", "a b"),
    ("KAFKA_REPLICATION_FACTOR", "0"),
    ("LOG_LEVEL", "LOUD"),
    ("EVENT_LOG_LOCK", "none"),
    ("WEBHOOK_ALLOW_PRIVATE_ADDRESSES", "yes"),
    ("WEBHOOK_RETRY_SECONDS", "5,soon"),
    ("WEBHOOK_TIMEOUT_SECONDS", "0"),
    ("WEBHOOK_RETENTION_DAYS", "1"),
    ("TRUSTED_PROXIES", "everyone"),
    ("CHECKPOINT_MINUTES", "0"),
    ("PORT", "0"),
    ("METRICS_PORT", "8000"),
    ("METRICS_PORT", "-1"),
    ("WORKERS", "many"),
    ("THREADS", "257"),
    ("WORKER_TIMEOUT_SECONDS", "2"),
]
# The rest take any text, or only where they are used can it be told that they cannot be (test_cli.py).
FOUND_OUT_LATER = {
    "TICKETING_HOME",
    "HOST",
    "NOTARY_DIR",
    "POSTGRES_DATA_DIR",
    "MASTER_KEY",
    "SIGNING_KEY",
    "ATTACHMENTS_S3_BUCKET",
}


@pytest.mark.parametrize(("name", "value"), UNUSABLE)
def test_a_value_that_cannot_be_used_is_refused_by_name(name, value):
    with pytest.raises(BadSettings, match=f"^{name} is|^{name}: "):
        load_settings({name: value})


def test_every_setting_is_among_them():
    assert {name for name, _ in UNUSABLE} | FOUND_OUT_LATER == names_read()


def test_a_password_is_not_repeated():
    with pytest.raises(BadSettings) as refusal:
        load_settings({"DATABASE_URL": "postgresql://ticketing:hunter2@host:port:port/x?nonsense"})

    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BASE_URL", "https://tickets.example.com/behind/a/proxy/"),
        ("BASE_URL", "http://[::1]:8000"),
        ("DATABASE_URL", "host=/run/postgresql dbname=ticketing"),
        ("DATABASE_URL", "postgresql://ticketing_app@/ticketing?host=%2Frun"),
        ("KAFKA_BOOTSTRAP_SERVERS", "kafka-1:9092, [::1]:9092"),
        ("LOG_LEVEL", "debug"),
        ("WEBHOOK_ALLOW_PRIVATE_ADDRESSES", "0"),
        ("METRICS_PORT", "9100"),
    ],
)
def test_what_can_be_used_is_taken(name, value):
    load_settings({name: value})
