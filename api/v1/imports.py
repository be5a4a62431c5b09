"""/v1/imports: objects of another system, with their original times and authors."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import falcon
import msgspec
from msgspec import Meta

from api.http.bodies import read_object, respond
from api.http.error_size import shorten_details, shorten_text
from api.http.import_files import read_item
from api.http.pending_changes import wait_until_shown
from api.http.problems import find_problems
from api.http.resource import MAX_BODY_BYTES, Operation, Resource
from api.v1 import examples
from commands.import_items import Importer, Item
from commands.imports import import_items, require_importer
from domain.errors import Details, DomainError, Invalid
from domain.text import ExternalSource

MOST_ITEMS = 1_000
MAX_IMPORT_BYTES = 8 * MAX_BODY_BYTES


class NewImport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Objects of one source. Each item has a `kind` (`property`, `unit`, `user` or `ticket`) and the fields
    that docs/how-to/import.md lists. Objects name each other by their ids in the source."""

    source: ExternalSource
    items: Annotated[list[dict[str, Any]], Meta(min_length=1, max_length=MOST_ITEMS)]
    webhooks: Annotated[bool, Meta(description="Send webhook messages about what is imported")] = False


class _Received(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body before its items are read one by one."""

    source: ExternalSource
    items: Annotated[list[Any], Meta(min_length=1, max_length=MOST_ITEMS)]
    webhooks: bool = False


class RefusedItem(msgspec.Struct, frozen=True, kw_only=True):
    """Why the item number `index`, counted from 0, was not imported."""

    index: int
    code: str
    message: str
    details: Details


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """The number of objects that were created, and of those that existed already and were not changed."""

    created: int
    unchanged: int
    refused: list[RefusedItem]


class Imports(Resource):
    """Imports objects."""

    operations: ClassVar[dict[str, Operation]] = {
        "POST": Operation(
            summary="Import objects of another system",
            operation_id="importObjects",
            description="Creates up to 1,000 properties, units, people and tickets with their original times"
            " and authors. An object that exists already, by its external id, is not changed, so an import"
            " may be sent again. A refused item does not affect the others. Items are imported in order, so"
            " what an item names comes before it. Webhooks get no messages, unless `webhooks` is true. Use"
            " `ticketing import` for a file of any length.",
            roles="admin without restriction to properties",
            scope="tickets:write",
            may_lag=True,
            body=NewImport,
            body_example=examples.IMPORT,
            max_body_bytes=MAX_IMPORT_BYTES,
            answer=ImportReport,
            answer_example=examples.IMPORT_REPORT,
            errors=("forbidden", "conflict"),
        )
    }

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        context = req.context.command()
        require_importer(context.caller)
        body = _read_body(req)
        read = [_read(item) for item in body.items]
        importer = Importer(context, body.source, notify=body.webhooks)
        items = [item for item in read if isinstance(item, Item)]
        results, position = import_items(self.services.store, items, importer)
        wait_until_shown(req, resp, self.services, position)
        remaining = iter(results)
        outcomes = [next(remaining) if isinstance(item, Item) else item for item in read]
        report = ImportReport(
            created=outcomes.count("created"),
            unchanged=outcomes.count("unchanged"),
            refused=[
                _refused(index, one) for index, one in enumerate(outcomes) if isinstance(one, DomainError)
            ],
        )
        respond(resp, report)


def _read_body(req: falcon.Request) -> _Received:
    given = read_object(req, MAX_IMPORT_BYTES)
    try:
        return msgspec.convert(given, _Received)
    except (msgspec.ValidationError, UnicodeError):
        raise Invalid(find_problems(given, _Received, noun="field")) from None


def _read(given: Any) -> Item | DomainError:
    if not isinstance(given, dict):
        return Invalid({"items": ["Each item must be an object."]})
    try:
        return read_item(given)
    except DomainError as refusal:
        return refusal


def _refused(index: int, refusal: DomainError) -> RefusedItem:
    details = shorten_details(refusal.details) if refusal.details else {}
    return RefusedItem(index=index, code=refusal.code, message=shorten_text(str(refusal)), details=details)
