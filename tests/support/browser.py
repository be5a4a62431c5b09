"""A browser as far as our pages need one: cookies, forms, and what browsers say about themselves."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import urlencode, urljoin

import requests

from infrastructure.event_store import Ticketing
from tests.support.keys import operator

PASSWORD = "otter violin quartz bramble"


class PageForm:
    """One form of a page: where it goes, the fields as the server filled them, and the names of those that a
    person fills in or chooses."""

    def __init__(self, action: str, method: str) -> None:
        self.action, self.method = action, method
        self.fields: dict[str, str] = {}
        self.buttons: list[tuple[str, str]] = []
        self.typed: list[str] = []


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[PageForm] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(PageForm(given.get("action", ""), given.get("method", "get")))
        elif tag == "input" and self.forms and given.get("name"):
            if given.get("type") not in ("checkbox", "radio") or "checked" in given:
                self.forms[-1].fields[given["name"]] = given.get("value", "")
            if given.get("type") != "hidden":
                self.forms[-1].typed.append(given["name"])
        elif tag in ("textarea", "select") and self.forms and given.get("name"):
            self.forms[-1].typed.append(given["name"])
        elif tag == "button" and self.forms and given.get("name"):
            self.forms[-1].buttons.append((given["name"], given.get("value", "")))


def forms_of(page: str) -> list[PageForm]:
    """The forms of a page, in their order."""
    parser = _Forms()
    parser.feed(page)
    return parser.forms


class Browser:
    """Follows no redirect by itself, so that tests see each step."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.http = requests.Session()
        self.http.trust_env = False

    def open(self, path: str) -> requests.Response:
        return self.http.get(urljoin(self.base_url, path), allow_redirects=False, timeout=20)

    def send(self, path: str, fields: dict[str, str], **headers: str) -> requests.Response:
        """Post a form as a page of the same site does."""
        sent = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Sec-Fetch-Site": "same-origin",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        return self.http.post(
            urljoin(self.base_url, path),
            data=urlencode(fields),
            headers=sent,
            allow_redirects=False,
            timeout=30,
        )

    def sign_in(self, account: str, password: str = PASSWORD, next_path: str = "/admin") -> requests.Response:
        page = self.open("/admin/sign-in?" + urlencode({"next": next_path}))
        form = forms_of(page.text)[0]
        return self.send(form.action, {**form.fields, "account": account, "password": password})


def give_password(store: Ticketing, user_id: str, password: str = PASSWORD) -> None:
    from commands.passwords import ChangePassword, change_password

    change_password(store, ChangePassword(user_id=user_id, password=password), operator())
