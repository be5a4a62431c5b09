"""/admin/views: lists of tickets that a person has saved under a name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, NamedTuple
from urllib.parse import urlencode

import falcon
import msgspec

from api.http.queries import pairs_of
from domain.errors import Invalid
from infrastructure.storage.postgres import Pool, named_queries
from pages.common.page_operation import PageOperation
from pages.common.shown_form import Values
from pages.panel.page import PanelPage, page_of

LIST_PATH = "/admin/tickets"
VIEW_NAME: Values = {"name": ""}
MOST_VIEWS = 20  # of a person
LONGEST_NAME = 40
LONGEST_FILTERS = 2_000
NO_NAME = f"Enter a name of 1 to {LONGEST_NAME} characters."
TOO_MANY = f"You have {MOST_VIEWS} views. Remove one first."
_NOT_KEPT = ("page", "per_page")
_filters = msgspec.json.Decoder(list[tuple[str, str]])
_sql = named_queries(Path(__file__).parent / "sql" / "saved_views.sql")


class View(NamedTuple):
    """A saved list: the name, and the query string of the list."""

    name: str
    query: str


def views_of(pool: Pool, user_id: str) -> list[View]:
    """The views of a person by name."""
    rows = pool.fetch(_sql["list_views"], {"user_id": user_id})
    return [View(name, query_of(_filters.decode(filters))) for name, filters in rows]


class SavedViews(PanelPage):
    """Saves or removes a view. Saving another list under a name replaces the list."""

    operations: ClassVar[dict[str, PageOperation]] = {
        "POST": page_of("staff", "Save or remove a view of the tickets", form_page=LIST_PATH)
    }

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        form, user_id = req.context.form, req.context.caller.principal_id
        name, pairs = form.text("name"), kept_filters(form.value("query"))
        filters = msgspec.json.encode(pairs).decode()
        parameters = {"user_id": user_id, "name": name, "filters": filters, "most": MOST_VIEWS}
        if form.value("remove"):
            self.services.pool.fetch(_sql["remove_view"], parameters)
            self.go(resp, LIST_PATH, "view-removed")
            return
        if not 1 <= len(name) <= LONGEST_NAME or len(filters) > LONGEST_FILTERS:
            raise Invalid({"name": [NO_NAME]})
        if not self.services.pool.fetch(_sql["save_view"], parameters):
            raise Invalid({"name": [TOO_MANY]})
        self.go(resp, f"{LIST_PATH}?{query_of(pairs)}", "view-saved")


def query_of(pairs: Iterable[tuple[str, str]]) -> str:
    """The query string of a list with these filters."""
    return urlencode(list(pairs), safe=",")


def kept_filters(query: str) -> list[tuple[str, str]]:
    """The filters of the query string: without the number and length of the page, and without empty ones."""
    return [pair for pair in pairs_of(query) if pair[1].strip() and pair[0] not in _NOT_KEPT]
