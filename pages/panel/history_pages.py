"""/admin/properties/{id}/history and /admin/users/{id}/history."""

from __future__ import annotations

from typing import ClassVar

import falcon

from domain.aggregate import Aggregate
from domain.property import Property
from domain.user import User
from pages.common.page_operation import PageOperation
from pages.panel.object_history import page_of_events
from pages.panel.page import ListQuery, PanelPage, page_of, pages_of, read_filters
from pages.panel.people import PersonPage
from pages.panel.places import PropertyPage


class PropertyHistory(PropertyPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("manager", "Read the history of a property")
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, property_id: str) -> None:
        name = self.visible(req, property_id).detail.name
        place = self.services.store.load(Property, property_id)
        _show_history(self, req, resp, place, name=name, back=f"/admin/properties/{property_id}")


class PersonHistory(PersonPage):
    operations: ClassVar[dict[str, PageOperation]] = {
        "GET": page_of("manager", "Read the history of a person")
    }

    def on_get(self, req: falcon.Request, resp: falcon.Response, user_id: str) -> None:
        name = self.visible(req, user_id).detail.name
        user = self.services.store.load(User, user_id)
        _show_history(self, req, resp, user, name=name, back=f"/admin/users/{user_id}")


def _show_history(
    page: PanelPage, req: falcon.Request, resp: falcon.Response, subject: Aggregate, *, name: str, back: str
) -> None:
    query = read_filters(req, ListQuery)
    page.show(
        req,
        resp,
        "object_history.html",
        name=name,
        back=back,
        events=page_of_events(page.services, subject.id, subject.version, query),
        pages=pages_of(req, query, subject.version),
    )
