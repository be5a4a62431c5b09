"""`ticketing relay`: publishes the event log to Kafka, or makes the relay publish events again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from cli.database import address_of_process
from cli.output import note
from cli.stopping import log_failure, make_stop_event
from cli.watching import start_observation, start_watches
from infrastructure.process.logs import configure_logs
from infrastructure.settings import BadSettings, Settings, load_settings

app = typer.Typer(
    invoke_without_command=True,
    no_args_is_help=False,
    help="Publish the event log to Kafka, in order, until a signal ends the process. A second relay is a"
    " standby.",
)


class RelayStopped(Exception):
    """The relay cannot start or continue; the message gives the reason and, if possible, the remedy."""


@app.callback()
def relay(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        settings = _settings()
        configure_logs(settings.log_level)
        loops = start_observation(settings, "relay")
        with log_failure("relay", RelayStopped), _explain_failures():
            from event_stream.relay import run_relay  # here, because only this command needs a Kafka client

            stop = make_stop_event()
            start_watches(settings.direct_url, bool(settings.kafka_bootstrap_servers), stop)
            run_relay(settings, stop, loop=loops.add("relay"))


@app.command()
def republish(
    from_position: Annotated[
        int,
        typer.Option(
            "--from",
            min=0,
            max=2**63 - 1,
            metavar="POSITION",
            help="Publish the events after this position of the log; 0 for everything.",
        ),
    ],
) -> None:
    """Make the relay publish events again, into topics that were lost or deleted.

    Stop the relay first, unless it refuses to start. Readers of a topic that was not lost see the events
    a second time.
    """
    with _explain_failures():
        from event_stream.relay import republish as publish_again

        count = publish_again(_settings(), from_position)
    note(f"The relay will publish {count} events again, from after position {from_position}.")


@contextmanager
def _explain_failures() -> Iterator[None]:
    from kafka.errors import KafkaError

    from event_stream.position import RelayRefused
    from infrastructure.storage.kafka_topics import WrongTopic

    try:
        yield
    except (RelayRefused, WrongTopic) as refusal:
        raise RelayStopped(str(refusal)) from None
    except (KafkaError, TimeoutError) as error:
        raise RelayStopped(f"Kafka does not work: {error}") from None


def _settings() -> Settings:
    settings = load_settings()
    if not settings.kafka_bootstrap_servers:
        raise BadSettings("KAFKA_BOOTSTRAP_SERVERS is not set; there is no Kafka to publish to.")
    address_of_process(settings)
    return settings
