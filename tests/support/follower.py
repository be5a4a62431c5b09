"""Keeps a copy with the code of docs/how-to/copies.md, and random changes for it to follow."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests

from commands.ticket_opening import open_ticket
from commands.tickets import NewTicket, delete_ticket, restore_ticket
from commands.values import ValidValues
from domain.errors import Conflict, Invalid, NotFound
from infrastructure.storage.event_store import EventStore
from tests.support.arrange import change_ticket, change_user, comment_on_ticket
from tests.support.keys import operator

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "copies.md"
ROLES = ("staff", "manager", "guest")


def code_of_guide() -> dict[str, Any]:
    """What the Python code of the guide defines."""
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    defined: dict[str, Any] = {}
    exec(code, defined)
    defined["WAIT_SECONDS"] = 1  # a test must not wait for 25 s if the last change concerns another key
    return defined


class Follower:
    """A client that keeps a copy, and begins again at its last position after a broken connection."""

    def __init__(self, session: requests.Session, base_url: str) -> None:
        self.copy: dict[str, dict[str, Any]] = {}
        self.position = "0"
        self._session = session
        self._base_url = base_url
        self._follow = code_of_guide()["follow"]

    def follow_to(self, position: int) -> None:
        """Follow until everything up to that position of the log is in the copy."""
        while not self._has_reached(position):
            with suppress(requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
                for reached in self._follow(self._session, self._base_url, self.copy, self.position):
                    self.position = reached
                    if self._has_reached(position):
                        return

    def _has_reached(self, position: int) -> bool:
        return "." not in self.position and int(self.position) >= position


class RandomChanges:
    """Random changes of the tickets of some properties, and of the rights of one person."""

    def __init__(
        self,
        store: EventStore,
        user_id: str,
        property_ids: list[str],
        roles: Sequence[str],
        seed: int,
        *,
        other_requester_id: str,
    ) -> None:
        self._store = store
        self._user_id = user_id
        self._requester_ids = (user_id, other_requester_id)
        self._property_ids = property_ids
        self._roles = roles
        self._ticket_ids: list[str] = []
        self._choices = random.Random(seed)
        self._positions = [0]

    @property
    def last_position(self) -> int:
        return max(self._positions)

    def make(self, number: int) -> None:
        """Make so many changes; several threads may do so at the same time."""
        for _ in range(number):
            change = self._choices.choices(
                (
                    self._open,
                    self._move,
                    self._give,
                    self._change,
                    self._delete,
                    self._restore,
                    self._comment,
                    self._grant,
                ),
                (5, 5, 5, 3, 2, 2, 1, 1),
            )[0]
            with suppress(Conflict, Invalid, NotFound):
                self._positions.append(change().position)

    def _open(self) -> Any:
        requester = self._choices.choice(self._requester_ids)
        values = NewTicket(title="Leak", property_id=self._a_property(), requester_id=requester)
        ticket = open_ticket(self._store, ValidValues(values), operator())
        self._ticket_ids.append(ticket.id)
        return ticket

    def _move(self) -> Any:
        return change_ticket(self._store, self._a_ticket(), operator(), property_id=self._a_property())

    def _give(self) -> Any:
        """Make the ticket one of another requester."""
        requester_id = self._choices.choice(self._requester_ids)
        return change_ticket(self._store, self._a_ticket(), operator(), requester_id=requester_id)

    def _change(self) -> Any:
        title = f"Leak {self._choices.random()}"
        return change_ticket(self._store, self._a_ticket(), operator(), title=title)

    def _delete(self) -> Any:
        return delete_ticket(self._store, self._a_ticket(), operator())

    def _restore(self) -> Any:
        return restore_ticket(self._store, self._a_ticket(), operator())

    def _comment(self) -> Any:
        return comment_on_ticket(self._store, self._a_ticket(), operator())

    def _grant(self) -> Any:
        """Give the person another role or other properties."""
        if self._choices.random() < 0.4:
            return change_user(self._store, self._user_id, operator(), role=self._choices.choice(self._roles))
        some = self._choices.sample(self._property_ids, self._choices.randint(0, len(self._property_ids)))
        return change_user(self._store, self._user_id, operator(), property_ids=tuple(some))

    def _a_property(self) -> str:
        return self._choices.choice(self._property_ids)

    def _a_ticket(self) -> str:
        return self._choices.choice(self._ticket_ids) if self._ticket_ids else "none"


def listed(session: requests.Session, base_url: str) -> dict[str, dict[str, Any]]:
    """The tickets that GET /v1/tickets lists for the key, by id."""
    found: dict[str, dict[str, Any]] = {}
    url = f"{base_url}/v1/tickets?cursor=&per_page=100"
    while url:
        answer = session.get(url, timeout=60).json()
        found |= {ticket["id"]: ticket for ticket in answer["data"]}
        url = answer["meta"]["pagination"]["links"].get("next")
    return found
