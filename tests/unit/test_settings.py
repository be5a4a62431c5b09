"""An invalid value of a setting is refused with the name of its variable."""

import pytest

from infrastructure.settings import BadSettings, load_settings, variable_names

INVALID = [
    ("BASE_URL", "tickets.example.com"),
    ("BASE_URL", "ftp://tickets.example.com"),
    ("BASE_URL", "https://tickets.example.com/?a=b"),
    ("BASE_URL", "https://tickets.example.com:port"),
    ("BASE_URL", "https://"),
    ("BASE_URL", "https://a b.example.com"),
    ("ATTACHMENTS_S3_ENDPOINT", "minio:9000"),
    ("DATABASE_URL", "nonsense"),
    ("DATABASE_URL", "mysql://host/ticketing"),
    ("DIRECT_DATABASE_URL", "nonsense"),
    ("MIGRATE_DATABASE_URL", "nonsense"),
    ("READ_DATABASE_URL", "nonsense"),
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
    ("TRUSTED_PROXIES", "10.0.0.0/8,0.0.0.0/0"),
    ("TRUSTED_PROXIES", "::/0"),
    ("CORS_ORIGINS", "*"),
    ("CORS_ORIGINS", "https://board.example.com,https://board.example.com/app"),
    ("CHECKPOINT_MINUTES", "0"),
    ("PORT", "0"),
    ("METRICS_PORT", "8000"),
    ("METRICS_PORT", "-1"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector"),
    ("WORKERS", "many"),
    ("THREADS", "257"),
    ("WORKER_TIMEOUT_SECONDS", "2"),
]
# These accept any text, or are checked only when they are used (test_cli.py).
NOT_CHECKED_HERE = {
    "TICKETING_HOME",
    "HOST",
    "NOTARY_DIR",
    "POSTGRES_DATA_DIR",
    "MASTER_KEY",
    "SIGNING_KEY",
    "ATTACHMENTS_S3_BUCKET",
    "OTEL_SDK_DISABLED",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
}
COLLECTOR = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(("name", "value"), INVALID)
def test_an_invalid_value_is_refused_with_the_name_of_its_variable(name, value):
    with pytest.raises(BadSettings, match=f"^{name} is|^{name}: "):
        load_settings({name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_TRACES_SAMPLER", "parentbased_ratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "10%"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.5"),  # without a sampler that uses it
    ],
)
def test_variables_of_traces_are_checked_if_there_is_a_collector(name, value):
    with pytest.raises(BadSettings, match=f"^{name} is"):
        load_settings({name: value, **COLLECTOR})
    assert not load_settings({name: value}).has_traces


def test_traces_can_be_disabled():
    assert load_settings(COLLECTOR).has_traces
    assert not load_settings(COLLECTOR | {"OTEL_SDK_DISABLED": "true"}).has_traces


def test_every_setting_is_tested_or_listed_as_not_checked_here():
    assert {name for name, _ in INVALID} | NOT_CHECKED_HERE == variable_names()


@pytest.mark.parametrize(
    ("name", "value", "missing"),
    [
        ("DIRECT_DATABASE_URL", "postgresql://host/ticketing", "DATABASE_URL"),
        ("MIGRATE_DATABASE_URL", "postgresql://host/ticketing", "DATABASE_URL"),
        ("READ_DATABASE_URL", "postgresql://host/ticketing", "DATABASE_URL"),
        ("ATTACHMENTS_S3_ENDPOINT", "https://s3.example.com", "ATTACHMENTS_S3_BUCKET"),
    ],
)
def test_a_setting_is_refused_without_the_one_it_needs(name, value, missing):
    with pytest.raises(BadSettings, match=f"^{name} is set without {missing}"):
        load_settings({name: value})


def test_a_refusal_does_not_contain_the_password():
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
        ("CORS_ORIGINS", "https://board.example.com, http://localhost:3000"),
    ],
)
def test_a_valid_value_is_accepted(name, value):
    load_settings({name: value})
