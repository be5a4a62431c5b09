"""A page that exists only for tests, and a minimal browser that calls the application in this process."""

from __future__ import annotations

from typing import ClassVar
from urllib.parse import urlencode

import falcon
from falcon.testing import Result, TestClient

from domain.errors import Forbidden
from pages.common import page
from pages.common.page_operation import PageOperation
from tests.support.browser import PASSWORD, forms_of

FORM = "application/x-www-form-urlencoded"


class Desk(page.Page):
    """A page with a form, for tests of what all pages share."""

    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": PageOperation(summary="Show the caller"),
        "POST": PageOperation(summary="Repeat the text"),
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = req.context.caller
        resp.media = {
            "user_id": caller.user_id,
            "role": caller.role,
            "auth": caller.auth,
            "property_ids": None if caller.property_ids is None else sorted(caller.property_ids),
            "credential_id": caller.credential_id,
            "csrf_token": req.context.session.csrf_token,
        }

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        if req.context.form.value("text") == "refuse":
            raise Forbidden("<b>No.</b>")
        resp.media = {"text": req.context.form.value("text"), "actor": req.context.command().caller.user_id}


class Page:
    """A client of the application in this process. It stores and sends cookies as a browser does."""

    def __init__(self, client: TestClient) -> None:
        self.client = client
        self.cookies: dict[str, str] = {}

    def open(self, path: str, **headers: str | None) -> Result:
        return self._store_cookies(self.client.simulate_get(path, headers=self.headers(headers)))

    def send(self, path: str, fields: dict[str, str], **headers: str | None) -> Result:
        sent = self.headers({"Content-Type": FORM, "Sec-Fetch-Site": "same-origin", **headers})
        return self._store_cookies(self.client.simulate_post(path, body=urlencode(fields), headers=sent))

    def sign_in(self, account: str = "max", password: str = PASSWORD, next_path: str = "") -> Result:
        form = forms_of(self.open("/admin/sign-in?" + urlencode({"next": next_path})).text)[0]
        return self.send(form.action, {**form.fields, "account": account, "password": password})

    def token(self) -> str:
        return str(self.open("/admin/desk").json["csrf_token"])

    def headers(self, headers: dict[str, str | None]) -> dict[str, str]:
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = {name: value for name, value in headers.items() if value is not None}
        return {"Cookie": cookies, **sent} if cookies else sent

    def _store_cookies(self, answer: Result) -> Result:
        for name, cookie in answer.cookies.items():
            if cookie.expires is not None:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = cookie.value
        return answer
