"""`make clients`: checks the OpenAPI document with linters, and with clients that are generated from it.

Starts a server, takes the document as it is served, generates a client with each generator, compiles it, and
calls the server with it. Prints the table of generators and operations; the exit code is 1 if a step failed.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from domain.ticket import Ticket
from tests.acceptance.site import LEAK, Site, operator
from tests.clients.generators import GENERATORS, STEPS, Result, check
from tests.clients.tools import HERE, Failed, Tools, install_tools, run
from tests.support.arrange import register_property
from tests.support.postgres import cloned_database, make_template, running_server
from webhook_dispatcher.payloads import TicketStep, make_message

AT_ONCE = 2
TICKETS = 5
LINTERS = {
    "Spectral": ("spectral", "lint", "openapi.json", "-r", HERE / "spectral.yaml", "--fail-severity=warn"),
    "Redocly": ("redocly", "lint", "openapi.json", "--config", HERE / "redocly.yaml", "--max-problems=50"),
}


def main() -> int:
    started = time.monotonic()
    try:
        tools = install_tools()
    except Failed as failure:
        print(failure, file=sys.stderr)
        return 1
    print(f"tools installed: {time.monotonic() - started:.0f} s", flush=True)
    with running_site() as site, tempfile.TemporaryDirectory(prefix="ticketing-clients-") as name:
        folder = Path(name)
        document = site.client(None).get("/v1/openapi.json").content
        with ThreadPoolExecutor(AT_ONCE) as pool:
            clients = [
                pool.submit(
                    check, one, tools, document, folder / str(number), _environment(site, tools, number)
                )
                for number, one in enumerate(GENERATORS)
            ]
            linted = pool.submit(_lint, tools, document, folder)
            problems, results = linted.result(), [client.result() for client in clients]
    _print_table(results)
    for result in results:
        problems |= {f"{result.generator}, {step}": reason for step, reason in result.failures.items()}
        missing = set(STEPS) - result.succeeded - result.failures.keys()
        problems |= {f"{result.generator}, {step}": "not reached" for step in STEPS if step in missing}
    for where, reason in problems.items():
        print(f"\n{where}: {reason}")
    used = sum(len(result.succeeded) for result in results)
    print(f"\n{time.monotonic() - started:.0f} s\n{used} passed, {len(problems)} failed")
    return 1 if problems else 0


@contextmanager
def running_site() -> Iterator[Site]:
    """A server on its own database, with people and properties."""
    with running_server() as server, cloned_database(server, make_template(server)) as dsn:
        variables = {"WEBHOOK_ALLOW_PRIVATE_ADDRESSES": "1"}
        with Site.running(dsn, forked=False, workers=1, **variables) as site:
            yield site


def _environment(site: Site, tools: Tools, number: int) -> dict[str, str]:
    """The environment of one client: a property with tickets that no other client changes."""
    property_id = f"property{number}"
    register_property(site.store, property_id, operator(), name=f"Property {number}")
    facts = {"property_id": property_id, "unit_id": None}
    tickets = [site.ticket(title=f"Leak {count}", **facts)["id"] for count in range(TICKETS)]
    return {
        **tools.environment(),
        "BASE_URL": site.base_url,
        "API_KEY": site.keys["admin"],
        "PROPERTY_ID": property_id,
        "ASSIGNEE_ID": "user001",
        "TICKET_IDS": json.dumps(sorted(tickets)),
        "WEBHOOK_BODY": _webhook_body(),
        "WEBHOOK_URL": "http://127.0.0.1:9999/hook",  # nothing is posted: no dispatcher runs
    }


def _webhook_body() -> str:
    """The body of a post, with fields that a later version may add."""
    facts = {**LEAK, "title": "Leak", "requester_id": "user789"}
    ticket = Ticket.open("ticket1", operator(), **facts)
    step = TicketStep(position=1, event=ticket.pending[0], before=None, after=ticket)
    body = json.loads(make_message(step, "ticket.created", {}).body)
    body["data"]["property"]["added_later"] = 1
    return json.dumps({**body, "added_later": {"some": ["thing"]}})


def _lint(tools: Tools, document: bytes, folder: Path) -> dict[str, str]:
    """The findings by linter."""
    (folder / "openapi.json").write_bytes(document)
    findings = {}
    for name, command in LINTERS.items():
        try:
            run(command, folder, tools.environment())
            print(f"{name}: no findings", flush=True)
        except Failed as failure:
            findings[name] = str(failure)
    return findings


def _print_table(results: list[Result]) -> None:
    width = max(len(result.generator) for result in results)
    print("\n" + " " * width, *STEPS, sep=" | ")
    for result in results:
        cells = ("ok" if step in result.succeeded else "FAILED" for step in STEPS)
        row = (cell.center(len(step)) for cell, step in zip(cells, STEPS, strict=True))
        print(result.generator.ljust(width), *row, sep=" | ")


if __name__ == "__main__":
    sys.exit(main())
