"""A minimal browser for tests of pages: cookies, forms, and the headers that browsers send."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import urlencode, urljoin

import requests

from infrastructure.storage.event_store import EventStore
from tests.support.keys import operator

PASSWORD = "otter violin quartz bramble"


class PageForm:
    """One form of a page.

    `action` and `method` are the address and method of the request. `fields` has the inputs with their
    initial values. `pairs` is everything that a browser sends, including lists and text areas. `typed` has
    the names of the fields that a person can fill in or choose.
    """

    def __init__(self, action: str, method: str) -> None:
        self.action, self.method = action, method
        self.fields: dict[str, str] = {}
        self.pairs: list[tuple[str, str]] = []
        self.buttons: list[tuple[str, str]] = []
        self.typed: list[str] = []

    def with_typed(self, **typed: str) -> list[tuple[str, str]]:
        """The pairs that a browser sends when a person has changed only these fields."""
        return [*((name, value) for name, value in self.pairs if name not in typed), *typed.items()]


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[PageForm] = []
        self._options: list[tuple[str, bool]] = []
        self._select = self._area = ""
        self._text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        name = attributes.get("name", "")
        if tag == "form":
            self.forms.append(PageForm(attributes.get("action", ""), attributes.get("method", "get")))
        elif tag == "option" and self._select:
            self._options.append((attributes.get("value", ""), "selected" in attributes))
        elif not self.forms or not name:
            return
        elif tag == "input":
            if attributes.get("type") not in ("checkbox", "radio") or "checked" in attributes:
                self.forms[-1].fields[name] = attributes.get("value", "")
                self.forms[-1].pairs.append((name, attributes.get("value", "")))
            if attributes.get("type") != "hidden":
                self.forms[-1].typed.append(name)
        elif tag == "select":
            self._select, self._options = name, []
            self.forms[-1].typed.append(name)
        elif tag == "textarea":
            self._area, self._text = name, []
            self.forms[-1].typed.append(name)
        elif tag == "button":
            self.forms[-1].buttons.append((name, attributes.get("value", "")))

    def handle_data(self, data: str) -> None:
        if self._area:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "select" and self._select and self._options:
            chosen = [value for value, is_selected in self._options if is_selected]
            self.forms[-1].pairs.append((self._select, chosen[-1] if chosen else self._options[0][0]))
        elif tag == "textarea" and self._area:
            text = "".join(self._text).removeprefix("\n")  # the HTML standard drops the first newline
            self.forms[-1].pairs.append((self._area, text.replace("\n", "\r\n")))
        if tag == "select":
            self._select = ""
        elif tag == "textarea":
            self._area = ""


def forms_of(page: str) -> list[PageForm]:
    """The forms of a page, in document order."""
    parser = _Forms()
    parser.feed(page)
    return parser.forms


class Browser:
    """A client with cookies. It does not follow redirects, so that tests can check each step."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.http = requests.Session()
        self.http.trust_env = False

    def open(self, path: str) -> requests.Response:
        return self.http.get(urljoin(self.base_url, path), allow_redirects=False, timeout=20)

    def send(
        self, path: str, fields: dict[str, str] | list[tuple[str, str]], **headers: str
    ) -> requests.Response:
        """Post a form, with the headers for a page of the same site."""
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


def give_password(store: EventStore, user_id: str, password: str = PASSWORD) -> None:
    from commands.passwords import change_password

    change_password(store, user_id, password, operator())


def without_own_script(page: str) -> str:
    """The page without the elements that load the script of this site."""
    return re.sub(r'<script src="/(?:web/site|docs/script)\.js" defer></script>', "", page)
