"""Fixtures of acceptance tests: each module has a real server and its own database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser as Chromium

from tests.acceptance.site import PEOPLE, Site
from tests.support.browser import Browser, give_password
from tests.support.chromium import running_chromium
from tests.support.oauth import App, make_app
from tests.support.postgres import cloned_database


@pytest.fixture(scope="module")
def site(postgres: str, template: str) -> Iterator[Site]:
    """A server with two properties, a person in every role, and a key for each person."""
    with cloned_database(postgres, template) as dsn, Site.running(dsn) as site:
        yield site


@pytest.fixture(scope="module")
def browser(site: Site) -> Browser:
    """A browser in which a member of staff is signed in."""
    give_password(site.store, PEOPLE["staff"][0])
    browser = Browser(site.base_url)
    assert browser.sign_in(PEOPLE["staff"][0]).status_code == 303
    return browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def app(site: Site) -> App:
    """An OAuth client with every grant type."""
    return make_app(site.store)


@pytest.fixture(scope="module")
def public_app(site: Site) -> App:
    """An OAuth client without a secret."""
    return make_app(site.store, public=True)
