"""The system under test: a running server with people and keys, and HTTP clients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Self
from uuid import uuid4

import requests

from commands.api_keys import IssueKey, issue_key
from domain.access import Context, system_context
from domain.property import Address
from infrastructure.storage.event_store import EventStore
from infrastructure.storage.postgres import make_pool
from projections.visibility import Visibility
from tests.support.arrange import add_unit, register_property, register_user
from tests.support.server import running_api
from tests.support.vault import VAULT

SEASIDE = Address(street="123 Ocean Drive", city="Beachtown", state="CA", zip="90210", country="USA")
PEOPLE = {
    "admin": ("user001", "Ada Admin", ()),
    "manager": ("user050", "Max Manager", ("abc123",)),
    "staff": ("user101", "Jane Smith", ("abc123",)),
    "guest": ("user789", "John Doe", ("abc123",)),
    "foreign": ("user900", "Fay Foreign", ("def456",)),
}


class Client(requests.Session):
    """An HTTP client of one server, with one key or without. Every call has a timeout."""

    def __init__(self, base_url: str, key: str | None) -> None:
        super().__init__()
        self.base_url = base_url
        if key is not None:
            self.headers["Authorization"] = f"Bearer {key}"

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs.setdefault("timeout", 60)
        kwargs.setdefault("allow_redirects", False)
        return super().request(method, self.base_url + url, *args, **kwargs)


class Site:
    """A server with its database, and a client for each role."""

    def __init__(self, dsn: str, base_url: str) -> None:
        self.dsn = dsn
        self.base_url = base_url
        self.pool = make_pool(dsn, application="tests", max_size=4)
        self.store = EventStore(self.pool, VAULT)
        self.keys: dict[str, str] = {}

    @classmethod
    @contextmanager
    def running(cls, dsn: str, **options: Any) -> Iterator[Self]:
        with running_api(dsn, **options) as base_url:
            site = cls(dsn, base_url)
            try:
                site.populate()
                yield site
            finally:
                site.pool.close()

    def populate(self) -> None:
        for property_id, name in (("abc123", "Seaside Apartments"), ("def456", "Hill House")):
            register_property(self.store, property_id, operator(), name=name)
        last = add_unit(self.store, "abc123", "unit456", operator(), name="Unit 101")
        for role, (user_id, name, property_ids) in PEOPLE.items():
            stored_role = "staff" if role == "foreign" else role
            last = register_user(
                self.store,
                user_id,
                operator(),
                name=name,
                email=f"{user_id}@example.com",
                phone="555-123-4567",
                role=stored_role,
                property_ids=property_ids,
            )
            self.keys[role] = self.key(role=stored_role, user_id=user_id)
        visibility = Visibility(self.dsn, self.pool, VAULT)
        assert visibility.wait_for(last.position) or visibility.wait_for(last.position)
        visibility.close()

    def key(self, **facts: Any) -> str:
        """Issue an API key and return its text."""
        values = {"name": "test", "rate_limit": None, **facts}
        return issue_key(self.store, IssueKey(**values), operator()).key

    def client(self, role: str | None = "admin", *, key: str | None = None) -> Client:
        return Client(self.base_url, key or (self.keys[role] if role else None))

    def is_ready(self) -> bool:
        """Whether the API answers that it is ready."""
        try:
            return requests.get(f"{self.base_url}/health/ready", timeout=5).ok
        except requests.RequestException:
            return False

    def ticket(self, by: str = "admin", **facts: Any) -> dict[str, Any]:
        """Open a ticket as that role and return its data."""
        answer = self.client(by).post("/v1/tickets", json={**LEAK, **facts})
        assert answer.status_code == 201, answer.text
        return answer.json()["data"]

    def person(self, **facts: Any) -> dict[str, Any]:
        """Register a member of staff of the first property and return the data."""
        email = f"{uuid4()}@example.com"
        body = {"name": "New", "email": email, "role": "staff", "property_ids": ["abc123"]}
        answer = self.client().post("/v1/users", json=body | facts)
        assert answer.status_code == 201, answer.text
        return answer.json()["data"]


def with_own_address(body: dict[str, Any] | None) -> dict[str, Any] | None:
    """The body of a request with another e-mail address, if it has one: addresses are unique."""
    return {**body, "email": f"{uuid4()}@example.com"} if body and "email" in body else body


LEAK = {
    "title": "Water leak in bathroom",
    "description": "There is water leaking from the ceiling in the bathroom",
    "priority": "high",
    "category": "plumbing",
    "property_id": "abc123",
    "unit_id": "unit456",
}


def operator() -> Context:
    return system_context(datetime.now(UTC), auth="cli", command_id=str(uuid4()))
