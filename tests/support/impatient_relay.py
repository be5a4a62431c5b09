"""`ticketing relay` with shorter time limits, so that tests of the limits are fast."""

from __future__ import annotations

import sys
from functools import partial

import cli.main
import event_stream.relay
import infrastructure.storage.kafka

CONNECT_SECONDS = 2
HUNG_AFTER_SECONDS = 1.5
DELIVERY_SECONDS = 3.0


def main() -> None:
    infrastructure.storage.kafka.CONNECT_SECONDS = CONNECT_SECONDS
    event_stream.relay.run_relay = partial(
        event_stream.relay.run_relay, delivery_seconds=DELIVERY_SECONDS, hung_after_seconds=HUNG_AFTER_SECONDS
    )
    sys.argv = ["ticketing", "relay"]
    cli.main.main()


if __name__ == "__main__":
    main()
