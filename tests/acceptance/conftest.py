"""A real server per module: gunicorn workers and a projector on a database of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.site import PEOPLE, Site
from tests.support.browser import Browser, give_password
from tests.support.oauth import App, make_app
from tests.support.postgres import cloned_database


@pytest.fixture(scope="module")
def site(postgres: str, template: str) -> Iterator[Site]:
    """The server with two properties, people in every role and a key for each of them."""
    with cloned_database(postgres, template) as dsn, Site.running(dsn) as site:
        yield site


@pytest.fixture(scope="module")
def browser(site: Site) -> Browser:
    """A browser in which the member of staff is signed in."""
    give_password(site.store, PEOPLE["staff"][0])
    browser = Browser(site.base_url)
    assert browser.sign_in(PEOPLE["staff"][0]).status_code == 303
    return browser


@pytest.fixture(scope="module")
def app(site: Site) -> App:
    """An application with every grant there is."""
    return make_app(site.store)


@pytest.fixture(scope="module")
def public_app(site: Site) -> App:
    """One without a secret."""
    return make_app(site.store, public=True)
