"""People in browsers: signing in, sending forms, and using one-time links."""

from __future__ import annotations

from urllib.parse import urlsplit

from requests import Response

from tests.acceptance.panel import hidden
from tests.acceptance.site import Site
from tests.support.browser import PASSWORD, Browser, forms_of

NEW_PASSWORD = "walrus trumpet sapphire ladder"
LINK = "/admin/one-time-link"


def signed_in(site: Site, account: str, password: str = PASSWORD) -> Browser:
    """Return a browser in which the person is signed in."""
    browser = Browser(site.base_url)
    answer = browser.sign_in(account, password)
    assert answer.status_code == 303, answer.text
    return browser


def send(browser: Browser, path: str, fields: dict[str, str]) -> Response:
    """Open the page, fill in its last form and send it."""
    return browser.send(path, {**hidden(browser.open(path).text), **fields})


def link_of(answer: Response) -> str:
    """The path and query of the one-time link in an answer of the API."""
    parts = urlsplit(answer.json()["data"]["url"])
    return f"{parts.path}?{parts.query}"


def use(site: Site, link: str, password: str = NEW_PASSWORD) -> Response:
    """Open the link in a new browser and send its form. Returns the last answer."""
    browser = Browser(site.base_url)
    page = browser.open(link)
    if page.status_code != 200:
        return page
    form = forms_of(page.text)[0]
    return browser.send(form.action, {**form.fields, "password": password, "again": password})
