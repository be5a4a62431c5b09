"""The base class of pages for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import falcon

from api.http.redirects import redirect
from api.http.resource import Resource, Verb
from pages.common import sessions
from pages.common.page_operation import PageOperation


class Page(Resource):
    """The base class of the pages. A subclass declares a PageOperation for each of its verbs."""

    operations: ClassVar[Mapping[str, PageOperation]] = {}
    declared_as: ClassVar[type[Verb]] = PageOperation

    def admit(
        self, req: falcon.Request, resp: falcon.Response, verb: Verb, params: Mapping[str, Any]
    ) -> None:
        """Require a session unless the page is public. Without one, ask to sign in."""
        if isinstance(verb, PageOperation) and not verb.public:
            sessions.admit(req, resp, self.services, verb, self._page_with_form(req, params))

    def refuse_method(self, req: falcon.Request, resp: falcon.Response, params: Mapping[str, Any]) -> None:
        """Redirect GET from an address that only accepts a form to the page with that form."""
        page = self._page_with_form(req, params)
        if req.method not in ("GET", "HEAD") or page == req.relative_uri:
            super().refuse_method(req, resp, params)
            return
        redirect(resp, page)
        resp.complete = True

    def _page_with_form(self, req: falcon.Request, params: Mapping[str, Any]) -> str:
        post = self.operations.get("POST")
        return post.form_page.format(**params) if post and post.form_page else req.relative_uri
