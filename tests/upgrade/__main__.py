"""`make upgrade`: the drill with 100 requests per second. Prints the figures."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.support.commands import MASTER_KEY
from tests.support.kafka_server import KafkaServer
from tests.support.postgres import cloned_database, running_server
from tests.upgrade.drill import Report, Scale, run_drill
from tests.upgrade.versions import later_version, newest_tag, tagged_version
from tests.upgrade.witnesses import Kafka

LONGEST_REFUSAL_SECONDS = 2.0


def main() -> int:
    """Returns the exit code: 1 when something was wrong, 2 without a tag."""
    parser = argparse.ArgumentParser(prog="make upgrade", description=__doc__)
    parser.add_argument("--per-second", type=float, default=100.0, help="requests per second")
    parser.add_argument("--pause", type=int, default=500, help="requests between two steps")
    options = parser.parse_args()
    tag = newest_tag()
    if tag is None:
        print("This checkout has no tag whose commit can be read: fetch the tags and the history.")
        return 2
    os.environ["MASTER_KEY"] = MASTER_KEY
    report = _run(tag, Scale(options.per_second, options.pause, workers=2))
    print(f"From {tag} to this version, with an expansion, a contraction and other read tables added:")
    print(*report.lines(), sep="\n")
    is_good = not report.failed and not report.violations
    return 0 if is_good and report.refused_seconds <= LONGEST_REFUSAL_SECONDS else 1


def _run(tag: str, scale: Scale) -> Report:
    with tempfile.TemporaryDirectory(prefix="ticketing-upgrade-") as name, running_server() as server:
        folder = Path(name)
        old, new = tagged_version(tag, folder / "old"), later_version(folder / "new")
        home = folder / "home"
        home.mkdir()
        kafka = KafkaServer(folder / "kafka")
        kafka.start()
        try:
            with cloned_database(server, "template1") as dsn:
                return run_drill(dsn, old, new, home, scale, Kafka(kafka.bootstrap_servers, "upgrade"))
        finally:
            kafka.stop()


if __name__ == "__main__":
    sys.exit(main())
