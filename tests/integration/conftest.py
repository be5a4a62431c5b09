"""Fixtures of the tests of pages: two people with passwords, and a browser in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from falcon.testing import TestClient

from api.app import create_app
from commands.users import RegisterUser, register_user
from domain.access import Role
from infrastructure.event_store import Ticketing
from tests.support.api import services_on
from tests.support.browser import give_password
from tests.support.keys import operator
from tests.support.pages import Desk, Page

PEOPLE: tuple[tuple[str, Role, str], ...] = (("max", "manager", "Max <script>"), ("ada", "admin", "Ada"))


@pytest.fixture
def passwords(store: Ticketing, catch_up: Callable[[], None]) -> None:
    """Max, a manager of nothing yet, and Ada, an admin, who can sign in."""
    for user_id, role, name in PEOPLE:
        command = RegisterUser(user_id=user_id, name=name, email=f"{user_id}@example.com", role=role)
        register_user(store, command, operator())
        give_password(store, user_id)
    catch_up()


@pytest.fixture
def desk(database: str, tmp_path: Path) -> Iterator[TestClient]:
    """The application with /admin/desk."""
    with services_on(database, tmp_path) as services:
        yield TestClient(create_app(services, (("/admin/desk", Desk),)))


@pytest.fixture
def page(desk: TestClient, passwords: None) -> Page:
    return Page(desk)
