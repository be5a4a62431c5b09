"""A real server per module: gunicorn workers and a projector on a database of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.site import Site
from tests.support.postgres import cloned_database


@pytest.fixture(scope="module")
def site(postgres: str, template: str) -> Iterator[Site]:
    """The server with two properties, people in every role and a key for each of them."""
    with cloned_database(postgres, template) as dsn, Site.running(dsn) as site:
        yield site
