"""The admin panel's people: who signs in, and a browser for each."""

from __future__ import annotations

import re

from tests.acceptance.site import PEOPLE, Site
from tests.support.browser import Browser, give_password

SIGNED_IN = ("admin", "manager", "staff", "guest")


def give_passwords(site: Site) -> None:
    for role in SIGNED_IN:
        give_password(site.store, PEOPLE[role][0])


def browser_of(site: Site, role: str) -> Browser:
    """A browser in which the person of that role is signed in."""
    browser = Browser(site.base_url)
    answer = browser.sign_in(PEOPLE[role][0])
    assert answer.status_code == 303, answer.text
    return browser


def hidden(page: str) -> dict[str, str]:
    """The hidden fields of the page's last form that is posted; the first is the one to sign out."""
    form = re.findall(r'<form[^>]*method="post".*?</form>', page, re.DOTALL)[-1]
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form))
