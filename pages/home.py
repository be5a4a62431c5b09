"""/: leads people to the panel."""

from __future__ import annotations

from typing import ClassVar

import falcon

from api.http.redirects import redirect
from pages.common.page import Page
from pages.common.page_operation import PageOperation
from pages.common.sessions import HOME_PATH


class Home(Page):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": PageOperation(summary="Go to the panel", public=True)
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        redirect(resp, HOME_PATH)
