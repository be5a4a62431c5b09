"""/admin/tickets/deleted: the tickets that were deleted, newest first, for admins, who can restore them."""

from __future__ import annotations

from typing import ClassVar

import falcon

from pages.common.page_operation import PageOperation
from pages.panel.page import ListQuery, PanelPage, page_of, pages_of, read_filters
from projections.deleted_tickets import list_deleted


class DeletedTickets(PanelPage):
    operations: ClassVar[dict[str, PageOperation]] = {"GET": page_of("admin", "List the deleted tickets")}

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        filters = read_filters(req, ListQuery)
        items, total = list_deleted(self.services.pool, req.context.caller, filters.limit, filters.offset)
        pages = pages_of(req, filters, total)
        self.show(req, resp, "tickets_deleted.html", tickets=items, pages=pages)
