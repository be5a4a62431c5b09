"""What a path is: a class with one method a verb, and a declaration of each.

The declarations serve and document alike: the gate (api/gate.py) lets only declared operations
through, with the scope they name, and api/openapi.py describes them.
"""

from __future__ import annotations

from typing import Any, ClassVar

import falcon
import msgspec

from api.errors import STATUS_OF
from api.services import Services
from domain.access import Role, Scope

JSON = falcon.MEDIA_JSON
MULTIPART = falcon.MEDIA_MULTIPART
MAX_BODY_BYTES = 1_048_576


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One verb on one path, as it is served and as it is documented.

    `scope`, or `or_scope` in its place, is what a key needs; None asks for a key of any scope,
    `public=True` for no key at all, `session=True` for a browser that is signed in (api/web),
    as a person of `least_role` or above. `form_page` is where the form stands that is sent to an address
    which is no page itself: a path with the parameters' names. With `keeps_form` a form that came after the
    session had ended may be sent again.
    `answer` is the type of the envelope's `data` (None: null; of one item when `is_list`), or, when
    `media_type` is not JSON, unused. `body` and `query` are the closed structs handed to `validate` and
    `read_query`. With `has_etag` answers carry their version; with `answers_not_modified` If-None-Match
    counts too, for what looks the same as long as its version is. `is_recorded` makes each answer an event:
    that someone read the audit. With `changes_nothing` it is a read, whatever its verb. `errors` are codes of
    api.errors.STATUS_OF beyond those every operation can give.
    """

    summary: str
    description: str = ""
    roles: str = ""
    scope: Scope | None = None
    or_scope: Scope | None = None
    public: bool = False
    session: bool = False
    least_role: Role = "guest"
    form_page: str = ""
    keeps_form: bool = False
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    body_media_type: str = JSON
    max_body_bytes: int = MAX_BODY_BYTES
    body_example: Any = None
    answer: Any = None
    answer_example: Any = None
    media_type: str = JSON
    is_list: bool = False
    has_etag: bool = False
    answers_not_modified: bool = False
    takes_if_match: bool = False
    is_recorded: bool = False
    changes_nothing: bool = False
    status: int = 200
    errors: tuple[str, ...] = ()

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """Any one of these will do; none is asked for when it is empty."""
        return tuple(scope for scope in (self.scope, self.or_scope) if scope is not None)


class Resource:
    """Base of every path. A subclass has `on_get`, `on_post`... and an Operation for each of them."""

    operations: ClassVar[dict[str, Operation]] = {}

    def __init__(self, services: Services) -> None:
        self.services = services

    def __init_subclass__(cls) -> None:
        """HEAD is GET without the body, which Falcon leaves out by itself."""
        if hasattr(cls, "on_get"):
            cls.on_head = cls.on_get  # type: ignore[attr-defined]

    @classmethod
    def operation(cls, method: str) -> Operation | None:
        """What `method` is on this path, or None where it is not allowed."""
        return cls.operations.get("GET" if method == "HEAD" else method)

    @classmethod
    def allow(cls) -> str:
        """The value of the Allow header."""
        methods = {*cls.operations, "OPTIONS"} | ({"HEAD"} if "GET" in cls.operations else set())
        return ", ".join(sorted(methods))

    def on_options(self, req: falcon.Request, resp: falcon.Response, **params: str) -> None:
        resp.status = falcon.HTTP_204
        resp.set_header("Allow", self.allow())


class BadDeclaration(Exception):
    """A resource's methods and its `operations` do not agree. Found when the process starts."""


def verify(resource: type[Resource]) -> None:
    """Raise BadDeclaration unless exactly the declared operations can be reached."""
    defined = {
        name.removeprefix("on_").upper()
        for name in dir(resource)
        if name.startswith("on_") and name not in ("on_head", "on_options")
    }
    if defined != set(resource.operations):
        raise BadDeclaration(
            f"{resource.__name__} has {sorted(defined)}, declared are {sorted(resource.operations)}"
        )
    for operation in resource.operations.values():
        if unknown := set(operation.errors) - STATUS_OF.keys():
            raise BadDeclaration(f"{resource.__name__} declares unknown error codes {sorted(unknown)}")
